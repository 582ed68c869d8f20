/* SPDX-License-Identifier: MIT
 * Owns one memfd. sendfile() queues the memfd's own memory on the socket, so
 * what was appended is never altered. The newest is sent from a copy. */
#include "server/tape.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>

#include "base/util.h"

/* Memory is given back in pieces of this size: one system call a piece. */
#define FORGET_STEP (UINT64_C(1) << 20)

/* Of up to a few kB send() costs less than sendfile(). */
enum { NEWEST_SIZE_MAX = 16384 };

struct page {
	unsigned refs;
	int fd;
	struct wav_format format;
	uint64_t planned_size;
	uint64_t size;
	uint64_t first;
	bool ended;
	size_t newest_size;
	uint8_t newest[NEWEST_SIZE_MAX]; /* a copy of the last bytes */
};

int page_new(struct page **ret, const struct wav_format *format,
	     uint64_t planned_size)
{
	struct page *page;
	_cleanup_close_ int fd = -1;

	fd = memfd_create("page", MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (planned_size > 0 && planned_size <= PAGE_KEEP_SIZE &&
	    fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)planned_size) < 0)
		return -errno;
	page = calloc(1, sizeof(*page));
	if (!page)
		return -ENOMEM;
	page->refs = 1;
	page->fd = TAKE_FD(fd);
	page->format = *format;
	page->planned_size = planned_size;
	*ret = page;
	return 0;
}

struct page *page_ref(struct page *page)
{
	page->refs++;
	return page;
}

struct page *page_unref(struct page *page)
{
	if (!page || --page->refs > 0)
		return NULL;
	fd_close(page->fd);
	free(page);
	return NULL;
}

const struct wav_format *page_format(const struct page *page)
{
	return &page->format;
}

uint64_t page_planned_size(const struct page *page)
{
	return page->planned_size;
}

uint64_t page_size(const struct page *page)
{
	return page->size;
}

bool page_ended(const struct page *page)
{
	return page->ended;
}

static void keep_newest(struct page *page, const uint8_t *data, size_t size)
{
	size_t keep = page->newest_size;

	if (size > NEWEST_SIZE_MAX) {
		data += size - NEWEST_SIZE_MAX;
		size = NEWEST_SIZE_MAX;
	}
	if (keep > NEWEST_SIZE_MAX - size)
		keep = NEWEST_SIZE_MAX - size;
	memmove(page->newest, page->newest + page->newest_size - keep, keep);
	memcpy(page->newest + keep, data, size);
	page->newest_size = keep + size;
}

int page_append(struct page *page, const void *data, size_t size)
{
	assert(!page->ended);
	while (size > 0) {
		ssize_t n = pwrite(page->fd, data, size, (off_t)page->size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		page->size += (uint64_t)n;
		keep_newest(page, data, (size_t)n);
		data = (const uint8_t *)data + n;
		size -= (size_t)n;
	}
	return 0;
}

void page_end(struct page *page)
{
	page->ended = true;
}

static size_t bytes_from(const struct page *page, uint64_t offset, size_t limit)
{
	uint64_t left = offset < page->size ? page->size - offset : 0;

	return left < limit ? (size_t)left : limit;
}

static ssize_t send_newest(const struct page *page, int fd, uint64_t *offset,
			   size_t size)
{
	const uint8_t *end = page->newest + page->newest_size;
	ssize_t n;

	do
		n = send(fd, end - (page->size - *offset), size,
			 MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	*offset += (uint64_t)n;
	return n;
}

static ssize_t send_file(const struct page *page, int fd, uint64_t *offset,
			 size_t size)
{
	off_t position = (off_t)*offset;
	ssize_t n;

	do
		n = sendfile(fd, page->fd, &position, size);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	*offset = (uint64_t)position;
	return n;
}

ssize_t page_send(const struct page *page, int fd, uint64_t *offset,
		  size_t size)
{
	size = bytes_from(page, *offset, size);
	if (size == 0)
		return 0;
	if (page->size - *offset <= page->newest_size)
		return send_newest(page, fd, offset, size);
	return send_file(page, fd, offset, size);
}

ssize_t page_read(const struct page *page, uint64_t offset, void *buffer,
		  size_t size)
{
	ssize_t n;

	do
		n = pread(page->fd, buffer, bytes_from(page, offset, size),
			  (off_t)offset);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

int page_dup(const struct page *page)
{
	int fd = fcntl(page->fd, F_DUPFD_CLOEXEC, 0);

	return fd < 0 ? -errno : fd;
}

void page_forget(struct page *page, uint64_t offset)
{
	uint64_t end = offset / FORGET_STEP * FORGET_STEP;

	if (page->size <= PAGE_KEEP_SIZE || end <= page->first)
		return;
	/* Failing costs memory, not sound; the next call tries again. */
	if (fallocate(page->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		      (off_t)page->first, (off_t)(end - page->first)) == 0)
		page->first = end;
}

uint64_t page_first(const struct page *page)
{
	return page->first;
}
