/* SPDX-License-Identifier: MIT
 * Polls, since a pipe may be silent for ever. */
#include "audio/wavreader.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "audio/samples.h"
#include "audio/source.h"
#include "base/util.h"

enum {
	POLL_MS = 100, /* the longest delay of a stop while a pipe is idle */
	/* A pipe that waits for less has nothing that is late. */
	LATE_MS = 100,
	SOON_MS = 200,
};

/* read(), which would block although poll() has said that there is something:
 * others may read the same pipe, and O_NONBLOCK would be theirs, too. So its
 * bytes are moved into a pipe of our own. */
static ssize_t read_at_once(struct wavreader *reader, void *buffer, size_t size)
{
	ssize_t n;

	if (reader->is_regular) {
		n = pread(reader->fd, buffer, size, reader->offset);
		reader->offset += n > 0 ? n : 0;
		return n;
	}
	n = splice(reader->fd, NULL, reader->pipe[1], NULL, size,
		   SPLICE_F_NONBLOCK);
	if (n < 0 && errno == EINVAL) /* a device that cannot do it */
		return read(reader->fd, buffer, size);
	return n > 0 ? read(reader->pipe[0], buffer, (size_t)n) : n;
}

static int poll_ms(uint64_t deadline_usec)
{
	const uint64_t now = now_usec();

	if (deadline_usec <= now)
		return 0;
	return (int)MIN((deadline_usec - now) / 1000 + 1, (uint64_t)POLL_MS);
}

/* Appends some bytes to the buffer. Bytes, 0 at the end, or negative errno;
 * -EPIPE when the page is over, -ETIMEDOUT when nothing has come until the
 * deadline. Polls, since a pipe may be silent for ever. */
static ssize_t read_some(struct wavreader *reader, uint64_t deadline_usec,
			 int stop)
{
	struct pollfd pfd = {.fd = reader->fd, .events = POLLIN};
	ssize_t n;

	for (;;) {
		int r = poll(&pfd, 1, poll_ms(deadline_usec));

		if (source_stopped(stop))
			return -EPIPE;
		if (r < 0 && errno != EINTR)
			return -errno;
		if (r <= 0 && now_usec() >= deadline_usec)
			return -ETIMEDOUT;
		if (r <= 0)
			continue;
		n = read_at_once(reader, reader->buffer + reader->have,
				 MIN(sizeof(reader->buffer) - reader->have,
				     (size_t)WAVREADER_READ_SIZE_MAX));
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n > 0)
			reader->have += (size_t)n;
		return n < 0 ? -errno : n;
	}
}

static void consume(struct wavreader *reader, size_t size)
{
	reader->have -= size;
	memmove(reader->buffer, reader->buffer + size, reader->have);
}

/* While a page is prepared, it counts against the limit of pages. */
static ssize_t read_patiently(struct wavreader *reader, int stop)
{
	return read_some(reader,
			 now_usec() + (uint64_t)(reader->patience_seconds *
						 (double)USEC_PER_SEC),
			 stop);
}

static int read_header(struct wavreader *reader, int stop)
{
	bool empty = true;

	wav_parser_init(&reader->parser);
	while (!reader->parser.done) {
		ssize_t n = read_patiently(reader, stop);

		if (n < 0)
			return (int)n;
		if (n == 0) {
			snprintf(reader->parser.error,
				 sizeof(reader->parser.error),
				 empty ? "it is empty"
				       : "it ends before its samples begin");
			return -EBADMSG;
		}
		empty = false;
		n = wav_parser_feed(&reader->parser, reader->buffer,
				    reader->have);
		if (n < 0)
			return (int)n;
		consume(reader, (size_t)n);
	}
	return 0;
}

/* Waits for the first frame of a pipe, which may end without one. 0 or negative
 * errno. */
static int await_frame(struct wavreader *reader, int stop)
{
	while (reader->have < wav_frame_size(&reader->parser.format)) {
		ssize_t n = read_patiently(reader, stop);

		if (n < 0)
			return (int)n;
		if (n == 0) {
			reader->size = 0;
			break;
		}
	}
	return 0;
}

/* How large a regular file is; the WAV file in it may begin anywhere. */
static int file_size(const struct wavreader *reader, uint64_t *ret)
{
	struct stat st;

	if (fstat(reader->fd, &st) < 0)
		return -errno;
	*ret = reader->parser.state.consumed + reader->have;
	if (st.st_size > reader->offset)
		*ret += (uint64_t)(st.st_size - reader->offset);
	return 0;
}

/* Finds out how many samples there are. */
static int find_size(struct wavreader *reader, int stop)
{
	const struct wav_parser *parser = &reader->parser;
	const bool is_regular = reader->is_regular;
	uint64_t size = 0;
	int r = is_regular ? file_size(reader, &size) : 0;

	if (r < 0)
		return r;
	reader->size =
	    wav_parser_size(parser, is_regular ? WAV_FILE : WAV_PIPE, size);
	if (reader->size > 0 && !is_regular)
		r = await_frame(reader, stop);
	if (r == 0 && reader->size == 0) {
		snprintf(reader->parser.error, sizeof(reader->parser.error),
			 "it has no samples");
		r = -EBADMSG;
	}
	return r;
}

/* All has been read. What follows the samples of an unknown size is none of
 * them. */
static void note_end(struct wavreader *reader)
{
	reader->ended = true;
	if (reader->size == WAV_ENDLESS)
		reader->have -=
		    wav_trailer(&reader->parser, reader->buffer, reader->have);
}

/* Text-to-speech is much faster than speech: what is done soon after there is
 * enough gets its size as well. */
static ssize_t read_more(struct wavreader *reader, uint64_t enough_usec,
			 int stop)
{
	if (enough_usec == 0)
		return read_patiently(reader, stop);
	return read_some(reader, enough_usec + SOON_MS * UINT64_C(1000), stop);
}

int wavreader_open(struct wavreader *reader, int stop)
{
	int r = read_header(reader, stop);

	if (r == 0)
		r = find_size(reader, stop);
	if (r < 0)
		return r;
	reader->format = wav_plain(&reader->parser.format);
	reader->has_end = reader->is_regular;
	return 0;
}

/* What a pipe's header states is often not meant, so it only bounds what is
 * read. */
int wavreader_read_ahead(struct wavreader *reader, double seconds, int stop)
{
	const struct wav_format *format = &reader->parser.format;
	const size_t frame_size = wav_frame_size(format);
	const double wish = seconds * format->rate * (double)frame_size;
	uint64_t *size = &reader->size, enough_usec = 0;
	ssize_t n = 1;

	while (n > 0 && reader->have < *size &&
	       reader->have < WAVREADER_AHEAD_SIZE_MAX) {
		if (enough_usec == 0 && (double)reader->have >= wish)
			enough_usec = now_usec();
		n = read_more(reader, enough_usec, stop);
		if (n == -ETIMEDOUT && enough_usec > 0)
			return 0;
		if (n < 0)
			return (int)n;
	}
	if (n == 0) {
		note_end(reader);
		*size = MIN(*size, (uint64_t)(reader->have -
					      reader->have % frame_size));
	}
	reader->has_end = *size <= reader->have;
	return 0;
}

int wavreader_drop_late(struct wavreader *reader, uint64_t since_usec, int stop)
{
	const struct wav_format *format = &reader->parser.format;
	const size_t frame_size = wav_frame_size(format);
	struct pollfd pfd = {.fd = reader->fd, .events = POLLIN};
	const uint64_t waited = now_usec() - since_usec;
	uint64_t late = usec_to_frames(waited, format->rate) * frame_size;

	if (waited < LATE_MS * UINT64_C(1000))
		return 0;
	late = MIN(late, reader->size);
	while (late > 0) {
		size_t size = (size_t)MIN(late, (uint64_t)reader->have);
		ssize_t n = 1;

		size -= size % frame_size;
		consume(reader, size);
		late -= size;
		if (reader->size != WAV_ENDLESS)
			reader->size -= size;
		if (late == 0 || poll(&pfd, 1, 0) <= 0)
			break;
		n = read_some(reader, UINT64_MAX, stop);
		if (n <= 0)
			return (int)n;
	}
	return 0;
}

uint64_t wavreader_frames(const struct wavreader *reader)
{
	if (!reader->has_end || reader->size == WAV_ENDLESS)
		return WAV_ENDLESS;
	return reader->size / wav_frame_size(&reader->parser.format);
}

/* Reads until there are SIZE bytes, and so many more that a trailer is not
 * taken for samples. 0 or negative errno. */
static int fill(struct wavreader *reader, size_t size, int stop)
{
	if (reader->ended)
		return 0;
	if (reader->size == WAV_ENDLESS)
		size += WAV_TRAILER_MAX;
	while (reader->have < size) {
		ssize_t n = read_some(reader, UINT64_MAX, stop);

		if (n < 0)
			return (int)n;
		if (n == 0) {
			note_end(reader);
			break;
		}
	}
	return 0;
}

ssize_t wavreader_read(struct wavreader *reader, size_t count, void **ret,
		       int stop)
{
	const struct wav_format *format = &reader->parser.format;
	const size_t frame_size = wav_frame_size(format);
	size_t size = (size_t)MIN((uint64_t)(count * frame_size), reader->size);
	int r;

	consume(reader, reader->lent);
	reader->lent = 0;
	r = fill(reader, size, stop);
	if (r < 0)
		return r;
	size = MIN(size, reader->have);
	size -= size % frame_size;
	/* What a file has was looked at when it was opened. */
	if (size == 0 && reader->is_regular && reader->size >= frame_size)
		return -ENODATA;
	reader->lent = size;
	if (reader->size != WAV_ENDLESS)
		reader->size -= size;
	*ret = reader->buffer;
	return (ssize_t)(samples_to_plain(format, reader->buffer, size) /
			 wav_frame_size(&reader->format));
}

struct wavreader *wavreader_free(struct wavreader *reader)
{
	if (!reader)
		return NULL;
	fd_close(reader->fd);
	fd_close(reader->pipe[0]);
	fd_close(reader->pipe[1]);
	free(reader);
	return NULL;
}

/* Where the reading of a regular file begins, and a pipe's own one. */
static int look_at(struct wavreader *reader)
{
	struct stat st;

	if (fstat(reader->fd, &st) < 0)
		return -errno;
	reader->is_regular = S_ISREG(st.st_mode);
	if (!reader->is_regular)
		return pipe2(reader->pipe, O_CLOEXEC) < 0 ? -errno : 0;
	reader->offset = lseek(reader->fd, 0, SEEK_CUR);
	return reader->offset < 0 ? -errno : 0;
}

int wavreader_new(struct wavreader **ret, int fd, double patience_seconds)
{
	struct wavreader *reader = calloc(1, sizeof(*reader));
	int r;

	if (!reader) {
		fd_close(fd);
		return -ENOMEM;
	}
	reader->fd = fd;
	reader->pipe[0] = reader->pipe[1] = -1;
	reader->patience_seconds = patience_seconds;
	r = look_at(reader);
	if (r < 0) {
		wavreader_free(reader);
		return r;
	}
	*ret = reader;
	return 0;
}
