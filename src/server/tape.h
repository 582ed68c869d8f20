/* SPDX-License-Identifier: MIT
 * A page: samples in a memfd that only ever grow, shared by everything that
 * consumes them. Belongs to the loop's thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "audio/wav.h"

struct page;

/* Offsets count bytes of samples from the page's first frame; there is no
 * header inside (every consumer has one of its own, since each may have joined
 * at another frame).
 *
 * PLANNED_SIZE is the page's size in bytes when that is known before the first
 * sample, or WAV_ENDLESS. A planned page up to PAGE_KEEP_SIZE gets its memory
 * now (-ENOSPC/-ENOMEM here, not in the middle). One reference. */
#define PAGE_KEEP_SIZE (UINT64_C(32) << 20)
int page_new(struct page **ret, const struct wav_format *format,
	     uint64_t planned_size);
struct page *page_ref(struct page *page);
struct page *page_unref(struct page *page); /* takes NULL, returns NULL */

const struct wav_format *page_format(const struct page *page);
uint64_t page_planned_size(const struct page *page);
uint64_t page_size(const struct page *page); /* bytes appended so far */
bool page_ended(const struct page *page);

/* Appends SIZE bytes. 0 or negative errno (-ENOSPC, -ENOMEM). */
int page_append(struct page *page, const void *data, size_t size);
/* Nothing will be appended any more. */
void page_end(struct page *page);

/* Sends what lies from *offset on to a socket, at most SIZE bytes, and advances
 * *offset. Returns bytes sent, 0 at the edge, -EAGAIN when the socket is full,
 * or another negative errno. */
ssize_t page_send(const struct page *page, int fd, uint64_t *offset,
		  size_t size);
/* Copies from OFFSET on. Bytes copied, 0 at the edge, negative errno. */
ssize_t page_read(const struct page *page, uint64_t offset, void *buffer,
		  size_t size);

/* A second descriptor of the samples, for pread() in another thread; the
 * caller's. Or negative errno. */
int page_dup(const struct page *page);

/* Gives back the memory before OFFSET, of a page that has grown beyond
 * PAGE_KEEP_SIZE: everybody has consumed it. */
void page_forget(struct page *page, uint64_t offset);
/* The first byte that can still be read (0 unless memory was given back). */
uint64_t page_first(const struct page *page);
