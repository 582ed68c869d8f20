/* SPDX-License-Identifier: MIT
 * The client's side of one server: looks it up, connects, waits, reads a page's
 * header and samples, and connects again, while a page's receipt may still be
 * owed. Knows no card and never blocks. */
#pragma once

#include <poll.h>

#include "audio/wav.h"
#include "wire/net.h"
#include "wire/resolver.h"

struct receipt;
struct tls_keys;

enum session_state {
	SESSION_PAUSED,	   /* until the next attempt */
	SESSION_RESOLVING, /* no address is known yet */
	SESSION_CONNECTING,
	SESSION_HANDSHAKE, /* connected; the server has yet to prove itself */
	SESSION_WAITING,   /* connected; no page yet */
	SESSION_HEADER,	   /* a header has begun */
	SESSION_UNSIZED,   /* it states no samples: are there any? */
	SESSION_PAGE,	   /* samples can be read */
	SESSION_LINGERING, /* all samples were read; the server should close */
};

enum session_result {
	SESSION_RUNNING,
	SESSION_COMPLETE,  /* all announced samples came */
	SESSION_STOPPED,   /* the server has ended the page early */
	SESSION_CUT_SHORT, /* the connection failed: session_problem() */
};

struct session_page {
	struct wav_format format;
	uint64_t data_size;	   /* bytes, or WAV_ENDLESS */
	uint64_t received;	   /* bytes of samples */
	uint64_t begun_usec;	   /* when the header was complete */
	uint64_t number;	   /* 1 for the first page of this session */
	struct wav_page announced; /* by the RIFF chunk; zeros without one */
	enum session_result result;
};

/* Whether it is a recording, of which every sample is to be heard. */
bool session_page_is_played(const struct session_page *page);

struct session;

/* NAME is the user's name for the server, and is copied. With KEYS, which must
 * outlive the session, the server has to prove that it knows the key for its
 * host; NULL: no TLS. After some pages in a row that are shorter than
 * SHORT_USEC the session pauses before it connects. 0 or -ENOMEM. */
int session_new(struct session **ret, const char *name,
		const struct net_endpoint *endpoint, struct tls_keys *keys,
		uint64_t short_usec);
/* Closes. Takes NULL; returns NULL. */
struct session *session_free(struct session *session);

const char *session_name(const struct session *session);
enum session_state session_state(const struct session *session);
const char *session_state_name(const struct session *session);
/* Why it is not connected: what went wrong last; "" when all is well. */
const char *session_problem(const struct session *session);

struct session_counts {
	uint64_t connected, failed; /* failed: or cut short */
};
struct session_counts session_counts(const struct session *session);

/* Does everything that can be done now, except reading samples. */
void session_step(struct session *session, uint64_t now_usec);
/* When to call session_step() again at the latest, or in state PAGE
 * session_read(), whatever the descriptors say. UINT64_MAX: never. */
uint64_t session_deadline(const struct session *session);
/* Whether the server has agreed to be told once a minute how this client is,
 * the time has come, and no page has. Then session_say() tells it. */
bool session_wants_status(const struct session *session, uint64_t now_usec);
void session_say(struct session *session, const char *line, size_t size,
		 uint64_t now_usec);

/* Fills in the descriptors to wait for, and returns how many they are; samples
 * count only if WANTED. */
enum session_wanted { SESSION_SAMPLES_UNWANTED, SESSION_SAMPLES_WANTED };
unsigned session_pollfds(const struct session *session, struct pollfd fds[2],
			 enum session_wanted wanted);

/* In state PAGE the present page, otherwise the last one. */
const struct session_page *session_page(const struct session *session);

/* In state PAGE: reads samples. Bytes (> 0); -EAGAIN when there are none; or 0
 * when the page has ended: then the state has changed and page->result is set.
 */
ssize_t session_read(struct session *session, void *buffer, size_t size,
		     uint64_t now_usec);
/* Bytes of samples that wait to be read; 0 in other states than PAGE. With TLS
 * too many: see transport_queued(). */
size_t session_queued(const struct session *session);
/* In state PAGE: from now on session_arrival_ns() tells when the newest of the
 * samples that were read last had arrived: CLOCK_MONOTONIC, or 0 where that is
 * not known. */
void session_time_arrivals(struct session *session);
int64_t session_arrival_ns(const struct session *session);
/* In state PAGE: how long ago the newest byte arrived in the kernel, 0 when
 * that does not tell. */
uint64_t session_age_usec(const struct session *session);
/* In state PAGE: call it while not reading on purpose, so that the server is
 * not taken for silent. */
void session_hold_off(struct session *session, uint64_t now_usec);

/* Gives the server, which has ended its side of the connection that page NUMBER
 * came on, RECEIPT, with the number of frames that have arrived there, and
 * closes. Does nothing unless that is owed. */
void session_give_receipt(struct session *session, uint64_t number,
			  const struct receipt *receipt);
