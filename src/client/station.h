/* SPDX-License-Identifier: MIT
 * One server that the client listens to. Saves its page, and discards samples
 * that are not to be heard; the turn plays them. Runs in the client's loop. */
#pragma once

#include "base/log.h"
#include "client/latency.h"
#include "client/rendezvous.h"
#include "client/reserve.h"
#include "client/saver.h"
#include "feed/session.h"
#include "wire/receipt.h"

struct station {
	struct session *session;
	struct log_limit lines;	   /* that the server makes the client log */
	struct recorder *recorder; /* shared by all stations, or NULL */
	const char *save;	   /* its path */
	const char *name;	   /* of the client, in receipts */
	struct saver *saver;	   /* for the page being received, or NULL */
	uint64_t seen_page;	   /* number of the page begun last */
	struct receipt receipt;	   /* of that page, as it stands */
	struct reserve reserve;	   /* what the network to it needs */
	struct latency probe; /* live or stored? while it waits for its turn */
	enum rendezvous_doubt doubt; /* of its wall clock */
	bool muted;	       /* the rest of the page is not to be heard */
	bool turned_to;	       /* the page has had a turn */
	uint64_t discard_usec; /* when to discard again */
};

/* Whether a page is being received: its samples can be read. */
bool station_has_page(const struct station *station);

/* The session has a new page: starts its file, if any. TARGET_USEC is how late
 * the page is meant to sound. */
void station_begin_page(struct station *station, uint64_t target_usec);

/* How many of SIZE bytes may be read now without loss to the file. */
size_t station_room(const struct station *station, size_t size);
/* Gives the file up and logs why; ERROR is a negative errno, -EAGAIN for a disk
 * that is too slow, -EPIPE when the saver has logged the reason itself. */
void station_lose_file(struct station *station, int error);
/* Completes the file, if any: no more of the page is saved. */
void station_finish_file(struct station *station);

/* As session_read(), and saves what was read. */
ssize_t station_read(struct station *station, void *buffer, size_t size,
		     uint64_t now_usec);
/* Reads what has arrived, up to 512 kB, and saves it without playing it. */
void station_discard(struct station *station, uint64_t now_usec);
