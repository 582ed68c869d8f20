/* SPDX-License-Identifier: MIT
 * sendfile() queues the memory of the memfd itself on the socket, so appended
 * bytes are never altered. The newest are sent from a copy. */
#include "server/tape.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <sys/mman.h>

#include "base/io.h"
#include "base/util.h"
#include "wire/transport.h"

/* Memory is given back in multiples of this size, to save system calls. */
#define FORGET_STEP (UINT64_C(1) << 20)

/* Takes SIZE bytes of room for TAPE. The last page goes first: nothing but
 * somebody who might want to save it needs it. */
static int take_room(struct tape *tape, uint64_t size)
{
	struct tape_shelf *shelf = tape->shelf;

	if (!shelf)
		return 0;
	if (size > shelf->max_size - shelf->size)
		shelf->last = tape_unref(shelf->last);
	if (size > shelf->max_size - shelf->size)
		return -ENOMEM;
	shelf->size += size;
	tape->room += size;
	return 0;
}

static void give_room(struct tape *tape, uint64_t size)
{
	if (!tape->shelf)
		return;
	tape->shelf->size -= size;
	tape->room -= size;
}

static int open_tape(struct tape *tape)
{
	const uint64_t size =
	    tape->planned_size <= TAPE_KEEP_SIZE ? tape->planned_size : 0;
	int r;

	tape->fd = memfd_create("tape", MFD_CLOEXEC);
	if (tape->fd < 0)
		return -errno;
	r = take_room(tape, size);
	if (r == 0 && size > 0 &&
	    fallocate(tape->fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)size) < 0)
		r = -errno;
	return r;
}

static void tape_free(struct tape *tape)
{
	give_room(tape, tape->room);
	fd_close(tape->fd);
	free(tape);
}

int tape_new(struct tape **ret, struct tape_shelf *shelf,
	     const struct wav_format *format, uint64_t planned_size)
{
	struct tape *tape = calloc(1, sizeof(*tape));
	int r;

	if (!tape)
		return -ENOMEM;
	tape->refs = 1;
	tape->shelf = shelf;
	tape->format = *format;
	tape->planned_size = planned_size;
	tape->cut = UINT64_MAX;
	r = open_tape(tape);
	if (r < 0) {
		tape_free(tape);
		return r;
	}
	*ret = tape;
	return 0;
}

struct tape *tape_ref(struct tape *tape)
{
	tape->refs++;
	return tape;
}

struct tape *tape_unref(struct tape *tape)
{
	if (tape && --tape->refs == 0)
		tape_free(tape);
	return NULL;
}

/* There is room for twice as much, so that the rest is not moved for each
 * chunk. */
static void keep_newest(struct tape *tape, const uint8_t *data, size_t size)
{
	if (size > TAPE_NEWEST_SIZE) {
		data += size - TAPE_NEWEST_SIZE;
		size = TAPE_NEWEST_SIZE;
		tape->newest_size = 0;
	}
	if (size > sizeof(tape->newest) - tape->newest_size) {
		const size_t keep = TAPE_NEWEST_SIZE - size;

		memmove(tape->newest, tape->newest + tape->newest_size - keep,
			keep);
		tape->newest_size = keep;
	}
	memcpy(tape->newest + tape->newest_size, data, size);
	tape->newest_size += size;
}

int tape_append(struct tape *tape, const void *data, size_t size)
{
	uint64_t need = tape->size + size - tape->first;
	int r = 0;

	assert(!tape->ended);
	if (need > tape->room)
		r = take_room(tape, need - tape->room);
	if (r == 0)
		r = pwrite_all(tape->fd, data, size, (off_t)tape->size);
	if (r < 0)
		return r;
	tape->size += size;
	keep_newest(tape, data, size);
	return 0;
}

void tape_end(struct tape *tape)
{
	tape->ended = true;
}

void tape_cut(struct tape *tape, uint64_t size)
{
	tape->cut = size;
}

uint64_t tape_page_size(const struct tape *tape)
{
	return MIN(tape->size, tape->cut);
}

static size_t bytes_from(const struct tape *tape, uint64_t offset, size_t limit)
{
	return (size_t)MIN(surplus(tape->size, offset), (uint64_t)limit);
}

static ssize_t send_newest(const struct tape *tape, struct transport *transport,
			   uint64_t *offset, size_t size)
{
	const uint8_t *end = tape->newest + tape->newest_size;
	ssize_t n = transport_send(transport, end - (tape->size - *offset),
				   size, TRANSPORT_NO_MORE);

	if (n > 0)
		*offset += (uint64_t)n;
	return n;
}

ssize_t tape_send(const struct tape *tape, struct transport *transport,
		  uint64_t *offset, size_t size)
{
	size = bytes_from(tape, *offset, size);
	if (size == 0)
		return transport_flush(transport);
	if (tape->size - *offset <= tape->newest_size)
		return send_newest(tape, transport, offset, size);
	return transport_send_file(transport, tape->fd, offset, size);
}

int tape_dup(const struct tape *tape)
{
	int fd = fcntl(tape->fd, F_DUPFD_CLOEXEC, 0);

	return fd < 0 ? -errno : fd;
}

void tape_forget(struct tape *tape, uint64_t offset)
{
	uint64_t end = offset / FORGET_STEP * FORGET_STEP;

	if (tape->size <= TAPE_KEEP_SIZE || end <= tape->first)
		return;
	/* A failure costs memory, not sound; the next call tries again. */
	if (fallocate(tape->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		      (off_t)tape->first, (off_t)(end - tape->first)) < 0)
		return;
	give_room(tape, end - tape->first);
	tape->first = end;
}

void tape_shelf_keep(struct tape_shelf *shelf, struct tape *tape)
{
	tape_unref(shelf->last);
	shelf->last = tape ? tape_ref(tape) : NULL;
}
