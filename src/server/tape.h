/* SPDX-License-Identifier: MIT
 * The samples of a page, in a memfd that only ever grows, shared by everything
 * that consumes them. Belongs to the loop's thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "audio/wav.h"

struct transport;

enum {
	/* Of up to a few kB send() costs less than sendfile(). */
	TAPE_NEWEST_SIZE = 16384,
};

/* Offsets count bytes of samples from the page's first frame; there is no
 * header inside (every consumer has one of its own, since each may have joined
 * at another frame). The fields are for this folder; only tape.c writes them.
 */
struct tape {
	unsigned refs;
	int fd;
	struct wav_format format;
	uint64_t planned_size; /* or WAV_ENDLESS */
	uint64_t size;	       /* bytes appended so far */
	uint64_t first;	       /* that can still be read: 0, unless memory was
				* given back */
	bool ended;
	size_t newest_size;
	uint8_t newest[TAPE_NEWEST_SIZE]; /* a copy of the last bytes */
};

/* PLANNED_SIZE is the page's size in bytes when that is known before the first
 * sample, or WAV_ENDLESS. A planned page up to TAPE_KEEP_SIZE gets its memory
 * now (-ENOSPC/-ENOMEM here, not in the middle). One reference. */
#define TAPE_KEEP_SIZE (UINT64_C(32) << 20)
int tape_new(struct tape **ret, const struct wav_format *format,
	     uint64_t planned_size);
struct tape *tape_ref(struct tape *tape);
struct tape *tape_unref(struct tape *tape); /* takes NULL, returns NULL */

/* Appends SIZE bytes, or none: 0 or negative errno (-ENOSPC, -ENOMEM). */
int tape_append(struct tape *tape, const void *data, size_t size);
/* Nothing will be appended any more. */
void tape_end(struct tape *tape);

/* Sends what lies from *offset on, at most SIZE bytes, and advances *offset.
 * Bytes that were taken; 0 at the edge, when nothing waits in the transport
 * either; -EAGAIN when the socket is full, or another negative errno. */
ssize_t tape_send(const struct tape *tape, struct transport *transport,
		  uint64_t *offset, size_t size);

/* A second descriptor of the samples, for pread() in another thread; the
 * caller's. Or negative errno. */
int tape_dup(const struct tape *tape);

/* Gives back the memory before OFFSET, of a page that has grown beyond
 * TAPE_KEEP_SIZE: everybody has consumed it. */
void tape_forget(struct tape *tape, uint64_t offset);
