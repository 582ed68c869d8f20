/* SPDX-License-Identifier: MIT
 * The samples of a page, in an append-only memfd that all consumers share.
 * Belongs to the loop's thread; others read a descriptor of tape_dup(). */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "audio/wav.h"

struct transport;

enum {
	/* For up to a few kB, send() costs less than sendfile(). */
	TAPE_NEWEST_SIZE = 16384,
};

/* The memory of all pages together; the owner sets max_size. */
struct tape_shelf {
	uint64_t size, max_size; /* bytes */
	/* The page that ended last, or NULL: it makes room for others. */
	struct tape *last;
};

/* Offsets count bytes from the first frame of the page. There is no header:
 * every consumer has its own, since each may join at another frame. This folder
 * may read the fields; only tape.c writes them. */
struct tape {
	unsigned refs;
	int fd;
	struct tape_shelf *shelf; /* or NULL */
	uint64_t room;		  /* bytes that it takes of the shelf */
	struct wav_format format;
	uint64_t planned_size; /* bytes, or WAV_ENDLESS */
	uint64_t size;	       /* bytes appended so far */
	uint64_t first;	       /* the first byte that is still there: beyond 0,
				* memory was given back */
	bool ended;
	uint64_t cut; /* what lies beyond was never due; or UINT64_MAX */
	size_t newest_size;
	uint8_t newest[2 * TAPE_NEWEST_SIZE]; /* a copy of the last bytes */
};

/* SHELF must outlive the tape; with NULL there is no bound. PLANNED_SIZE is the
 * size of the page in bytes, or WAV_ENDLESS if it is not known yet. Up to
 * TAPE_KEEP_SIZE the memory is allocated now, so that -ENOSPC or -ENOMEM comes
 * here, not during the page. 0 and one reference, or negative errno. */
#define TAPE_KEEP_SIZE (UINT64_C(32) << 20)
int tape_new(struct tape **ret, struct tape_shelf *shelf,
	     const struct wav_format *format, uint64_t planned_size);
struct tape *tape_ref(struct tape *tape);
struct tape *tape_unref(struct tape *tape); /* takes NULL, returns NULL */

/* Appends SIZE bytes, or none: 0 or negative errno (-ENOSPC, -ENOMEM). */
int tape_append(struct tape *tape, const void *data, size_t size);
/* Says that nothing will be appended any more. */
void tape_end(struct tape *tape);
/* Says that the page was ended at SIZE: what was sent of it before it was due
 * is not kept. */
void tape_cut(struct tape *tape, uint64_t size);
/* The size of the page, which may have been cut. */
uint64_t tape_page_size(const struct tape *tape);

/* Sends up to SIZE bytes from *offset on and advances *offset. Returns the
 * bytes that were taken; 0 when there are none and the transport has sent
 * everything; -EAGAIN when the socket is full; or another negative errno. */
ssize_t tape_send(const struct tape *tape, struct transport *transport,
		  uint64_t *offset, size_t size);

/* A second descriptor of the samples, owned by the caller, for pread() in
 * another thread; or negative errno. */
int tape_dup(const struct tape *tape);

/* Gives back the memory before OFFSET, which all consumers have passed. No
 * effect up to TAPE_KEEP_SIZE. */
void tape_forget(struct tape *tape, uint64_t offset);

/* Makes TAPE the last one, with a reference; or none with NULL. */
void tape_shelf_keep(struct tape_shelf *shelf, struct tape *tape);
