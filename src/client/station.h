/* SPDX-License-Identifier: MIT
 * A server that the client listens to, and what becomes of its page beside the
 * loudspeaker: it is saved, waits for its turn, or is read and not heard. */
#pragma once

#include "client/latency.h"
#include "client/saver.h"
#include "feed/session.h"

/* Files of all stations. */
struct station_files {
	const char *path;    /* of --save, or NULL */
	int done_fd;	     /* an eventfd, of all savers */
	uint64_t unfinished; /* pages that are over, whose files are not */
};

struct station {
	struct session *session;
	struct station_files *files;
	struct saver *saver;   /* of the page that is being received, or NULL */
	uint64_t seen_page;    /* its number */
	struct latency probe;  /* of a page that waits for its turn */
	bool muted;	       /* the rest of its page is not to be heard */
	bool turned_to;	       /* the page has been begun, maybe not for good */
	uint64_t discard_usec; /* when next to read what is not heard */
};

/* Whether samples of a page can be read. */
bool station_has_page(const struct station *station);

/* A page has begun, which shall be TARGET_USEC late. */
void station_begin_page(struct station *station, uint64_t target_usec,
			uint64_t now_usec);

/* How many of SIZE bytes the file can take now. */
size_t station_room(const struct station *station, size_t size);
/* Gives the file up, and says why. */
void station_lose_file(struct station *station, int error);
/* No more of the page is kept: completes the file. */
void station_finish_file(struct station *station);

/* As session_read(), with the file kept. */
ssize_t station_read(struct station *station, void *buffer, size_t size,
		     uint64_t now_usec);
/* Reads what is there and is not to be heard. */
void station_discard(struct station *station, uint64_t now_usec);
