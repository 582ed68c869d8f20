/* SPDX-License-Identifier: MIT
 * Runs in a thread of its own: a file on one side, the source's socket on the
 * other. Paces by absolute monotonic times, so errors do not add up. */
#include "audio/filesource.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/util.h"

enum {
	POLL_MS = 100, /* the longest delay of a stop while a pipe is idle */
	CHUNK_MS = 20,
	LATE_MS = 100, /* a pipe that is later than this has paused */
	BUFFER_SIZE = 65536,
};

struct filesource {
	int fd;
	bool is_regular;
	int pipe[2]; /* of our own, for what is no regular file */
	enum filesource_pace pace;
	struct wav_parser parser;
	uint8_t buffer[BUFFER_SIZE];
	size_t have; /* bytes in buffer */
};

static void filesource_free(void *userdata)
{
	struct filesource *filesource = userdata;

	fd_close(filesource->fd);
	fd_close(filesource->pipe[0]);
	fd_close(filesource->pipe[1]);
	free(filesource);
}

/* read(), which would block although poll() has said that there is something:
 * others may read the same pipe, and O_NONBLOCK would be theirs, too. So its
 * bytes are moved into a pipe of our own. */
static ssize_t read_at_once(const struct filesource *filesource, void *buffer,
			    size_t size)
{
	ssize_t n;

	if (filesource->is_regular)
		return read(filesource->fd, buffer, size);
	n = splice(filesource->fd, NULL, filesource->pipe[1], NULL, size,
		   SPLICE_F_NONBLOCK);
	if (n < 0 && errno == EINVAL) /* a device that cannot do it */
		return read(filesource->fd, buffer, size);
	return n > 0 ? read(filesource->pipe[0], buffer, (size_t)n) : n;
}

/* Appends some bytes to the buffer. Bytes, 0 at the end, or negative errno;
 * -EPIPE when the page is over. Polls, since a pipe may be silent for ever. */
static ssize_t filesource_read(struct filesource *filesource, int fd)
{
	struct pollfd pfd = {.fd = filesource->fd, .events = POLLIN};
	ssize_t n;

	for (;;) {
		int r = poll(&pfd, 1, POLL_MS);

		if (source_stopped(fd))
			return -EPIPE;
		if (r < 0 && errno != EINTR)
			return -errno;
		if (r <= 0)
			continue;
		n = read_at_once(filesource,
				 filesource->buffer + filesource->have,
				 BUFFER_SIZE - filesource->have);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n > 0)
			filesource->have += (size_t)n;
		return n < 0 ? -errno : n;
	}
}

static void consume(struct filesource *filesource, size_t size)
{
	filesource->have -= size;
	memmove(filesource->buffer, filesource->buffer + size,
		filesource->have);
}

static int read_header(struct filesource *filesource, int fd)
{
	wav_parser_init(&filesource->parser);
	while (!filesource->parser.done) {
		ssize_t n = filesource_read(filesource, fd);

		if (n < 0)
			return (int)n;
		if (n == 0) {
			snprintf(filesource->parser.error,
				 sizeof(filesource->parser.error),
				 "it ends before its samples begin");
			return -EBADMSG;
		}
		n = wav_parser_feed(&filesource->parser, filesource->buffer,
				    filesource->have);
		if (n < 0)
			return (int)n;
		consume(filesource, (size_t)n);
	}
	return 0;
}

/* The size of a regular file bounds the size that its header states; a pipe has
 * no such bound. */
static void bound_size(struct filesource *filesource)
{
	size_t frame_size = wav_frame_size(&filesource->parser.format);
	off_t position = lseek(filesource->fd, 0, SEEK_CUR);
	struct stat st;
	uint64_t left;

	if (!filesource->is_regular || position < 0 ||
	    fstat(filesource->fd, &st) < 0)
		return;
	left = filesource->have;
	if (st.st_size > position)
		left += (uint64_t)(st.st_size - position);
	left -= left % frame_size;
	if (filesource->parser.data_size > left)
		filesource->parser.data_size = left;
}

static int send_opened(const struct filesource *filesource,
		       uint32_t chunk_frames, int fd)
{
	struct source_message message = {.type = SOURCE_OPENED};

	message.u.opened.format = filesource->parser.format;
	message.u.opened.period_frames = chunk_frames;
	message.u.opened.size = filesource->parser.data_size;
	return source_send(fd, &message);
}

static void sleep_until(uint64_t usec)
{
	const struct timespec ts = {
	    .tv_sec = (time_t)(usec / USEC_PER_SEC),
	    .tv_nsec = (long)(usec % USEC_PER_SEC * 1000),
	};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) ==
	       EINTR)
		;
}

/* Waits until the time in which the frames sent so far are played. After a pipe
 * has paused, moves *start instead of sending faster to catch up. */
static void keep_pace(const struct filesource *filesource, uint64_t sent_frames,
		      uint64_t *start)
{
	uint64_t due = *start + frames_to_usec(sent_frames,
					       filesource->parser.format.rate);
	uint64_t now = now_usec();

	if (now > due + LATE_MS * UINT64_C(1000))
		*start += now - due;
	else
		sleep_until(due);
}

/* The size of the next piece to send: whole frames, at most WISH bytes; 0 at
 * the end; or negative errno. */
static ssize_t fill_chunk(struct filesource *filesource, size_t wish,
			  uint64_t left, size_t frame_size, int fd)
{
	size_t size;

	if (left < wish)
		wish = (size_t)left;
	while (filesource->have < wish) {
		ssize_t n = filesource_read(filesource, fd);

		if (n < 0)
			return n;
		if (n == 0)
			break;
	}
	size = filesource->have < wish ? filesource->have : wish;
	return (ssize_t)(size - size % frame_size);
}

static int send_samples(struct filesource *filesource, uint32_t chunk_frames,
			int fd)
{
	size_t frame_size = wav_frame_size(&filesource->parser.format);
	size_t wish = chunk_frames * frame_size;
	uint64_t left = filesource->parser.data_size, sent = 0;
	uint64_t start = now_usec();

	while (left > 0) {
		ssize_t n = fill_chunk(filesource, wish, left, frame_size, fd);
		int r;

		/* What a file has was looked at when it was opened. */
		if (n == 0 && filesource->is_regular && left >= frame_size)
			return -ENODATA;
		if (n <= 0)
			return (int)n;
		if (filesource->pace == FILESOURCE_PACED)
			keep_pace(filesource, sent / frame_size, &start);
		r = source_send_samples(fd, filesource->buffer, (size_t)n);
		if (r < 0)
			return r;
		consume(filesource, (size_t)n);
		sent += (uint64_t)n;
		if (left != WAV_ENDLESS)
			left -= (uint64_t)n;
	}
	return 0;
}

static uint32_t chunk_frames_of(const struct wav_format *format)
{
	uint32_t frames = format->rate * CHUNK_MS / 1000;
	uint32_t most = (uint32_t)(BUFFER_SIZE / wav_frame_size(format));

	return frames < most ? frames : most;
}

static void body(void *userdata, int fd)
{
	struct filesource *filesource = userdata;
	uint32_t chunk_frames;
	int r;

	r = read_header(filesource, fd);
	if (r == -EBADMSG) {
		source_send_reason(
		    fd, SOURCE_ENDED, r,
		    "This is not a WAV file that can be played: %s",
		    filesource->parser.error);
		return;
	}
	if (r == 0) {
		bound_size(filesource);
		chunk_frames = chunk_frames_of(&filesource->parser.format);
		r = source_prepared(fd, 0);
		if (r == 0)
			r = send_opened(filesource, chunk_frames, fd);
		if (r == 0)
			r = send_samples(filesource, chunk_frames, fd);
	}
	if (r == 0)
		source_send_reason(fd, SOURCE_ENDED, 0, "end of file");
	else if (r != -EPIPE)
		source_send_reason(fd, SOURCE_ENDED, r,
				   "Cannot read the file: %s",
				   r == -ENODATA ? "it was cut while it played"
						 : strerror(-r));
}

static int look_at(struct filesource *filesource)
{
	struct stat st;

	if (fstat(filesource->fd, &st) < 0)
		return -errno;
	filesource->is_regular = S_ISREG(st.st_mode);
	if (!filesource->is_regular && pipe2(filesource->pipe, O_CLOEXEC) < 0)
		return -errno;
	return 0;
}

int filesource_start(struct source **ret, int fd, enum filesource_pace pace)
{
	struct filesource *filesource = calloc(1, sizeof(*filesource));
	int r;

	if (!filesource) {
		fd_close(fd);
		return -ENOMEM;
	}
	filesource->fd = fd;
	filesource->pipe[0] = filesource->pipe[1] = -1;
	filesource->pace = pace;
	r = look_at(filesource);
	if (r >= 0)
		r = source_start(ret, "file", body, filesource_free,
				 filesource);
	if (r < 0)
		filesource_free(filesource);
	return r;
}
