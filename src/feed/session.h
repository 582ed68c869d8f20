/* SPDX-License-Identifier: MIT
 * A client's side of one server: finds it, connects, waits, reads the header of
 * a page and its samples, and connects again. Knows no card and never blocks.
 */
#pragma once

#include <poll.h>

#include "audio/wav.h"
#include "base/backoff.h"
#include "wire/net.h"
#include "wire/resolver.h"

struct transport_keys;

enum session_state {
	SESSION_PAUSED,	   /* until the next attempt */
	SESSION_RESOLVING, /* and no address is known yet */
	SESSION_CONNECTING,
	SESSION_HANDSHAKE, /* connected; the server has yet to prove itself */
	SESSION_WAITING,   /* connected; no page yet */
	SESSION_HEADER,	   /* a header is coming in */
	SESSION_PAGE,	   /* samples can be read */
	SESSION_LINGERING, /* all samples were read; the server closes */
};

enum session_result {
	SESSION_RUNNING,
	SESSION_COMPLETE,  /* all that was announced came */
	SESSION_CUT_SHORT, /* it ended early: session_page.error says how */
};

struct session_page {
	struct wav_format format;
	uint64_t data_size;  /* bytes, or WAV_ENDLESS */
	uint64_t received;   /* bytes */
	uint64_t begun_usec; /* when the header was complete */
	uint64_t number;     /* 1 for the first page of this session */
	enum session_result result;
	int error; /* negative errno, 0 when the server just closed */
};

struct session;

/* NAME is what the user called it; it is copied. With KEYS (which outlive the
 * session) only a server that has one of them is believed. 0 or -ENOMEM. */
int session_new(struct session **ret, const char *name,
		const struct net_endpoint *endpoint,
		struct transport_keys *keys);
/* Closes. Takes NULL; returns NULL. */
struct session *session_free(struct session *session);

const char *session_name(const struct session *session);
enum session_state session_state(const struct session *session);
const char *session_state_name(const struct session *session);

struct session_counts {
	uint64_t connected, failed; /* or ended badly */
};
struct session_counts session_counts(const struct session *session);

/* Does all that can be done now but for reading samples. */
void session_step(struct session *session, uint64_t now_usec);
/* When to step again at the latest, whatever the descriptors say. */
uint64_t session_deadline(const struct session *session);
/* Fills in what to wait for; samples only if WANTED. */
enum session_wanted { SESSION_SAMPLES_UNWANTED, SESSION_SAMPLES_WANTED };
void session_pollfds(const struct session *session, struct pollfd fds[2],
		     enum session_wanted wanted);

/* The page of state PAGE; after its end until the next one begins. */
const struct session_page *session_page(const struct session *session);

/* In state PAGE: reads samples. Bytes (> 0); -EAGAIN when there are none; 0
 * when the page has ended (the state is another then, and page->result tells).
 */
ssize_t session_read(struct session *session, void *buffer, size_t size,
		     uint64_t now_usec);
/* In state PAGE: how many bytes of samples wait to be read. */
size_t session_queued(const struct session *session);
/* In state PAGE: samples are not read on purpose, so a silent server is not to
 * blame. */
void session_hold_off(struct session *session, uint64_t now_usec);
