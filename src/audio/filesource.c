/* SPDX-License-Identifier: MIT
 * Runs in a thread of its own: a file on one side, the source's socket on the
 * other. Sends as fast as the loop takes it, which has the page's clock. */
#include "audio/filesource.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "audio/samples.h"
#include "base/util.h"

enum {
	POLL_MS = 100, /* the longest delay of a stop while a pipe is idle */
	CHUNK_MS = 20,
	/* A pipe that waits for less has nothing that is late. */
	LATE_MS = 100,
	SOON_MS = 200,
	READ_SIZE_MAX = 65536,
	BUFFER_SIZE = FILESOURCE_AHEAD_SIZE_MAX + READ_SIZE_MAX,
};

struct filesource {
	int fd;
	bool is_regular;
	int pipe[2]; /* of our own, for what is no regular file */
	struct filesource_config config;
	bool has_end; /* its size is known: read, or that of a file */
	struct wav_parser parser;
	struct wav_format format; /* of the page: the parser's made plain */
	uint64_t size;		  /* of the samples as they are in the file */
	uint8_t buffer[BUFFER_SIZE + WAV_TRAILER_MAX];
	size_t have; /* bytes in buffer */
	bool ended;  /* all of it was read */
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
static ssize_t filesource_read(struct filesource *filesource,
			       uint64_t deadline_usec, int fd)
{
	struct pollfd pfd = {.fd = filesource->fd, .events = POLLIN};
	ssize_t n;

	for (;;) {
		int r = poll(&pfd, 1, poll_ms(deadline_usec));

		if (source_stopped(fd))
			return -EPIPE;
		if (r < 0 && errno != EINTR)
			return -errno;
		if (r <= 0 && now_usec() >= deadline_usec)
			return -ETIMEDOUT;
		if (r <= 0)
			continue;
		n = read_at_once(
		    filesource, filesource->buffer + filesource->have,
		    MIN(sizeof(filesource->buffer) - filesource->have,
			(size_t)READ_SIZE_MAX));
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

/* While a page is prepared, it counts against the limit of pages. */
static ssize_t read_patiently(struct filesource *filesource, int fd)
{
	return filesource_read(
	    filesource,
	    now_usec() + (uint64_t)(filesource->config.patience_seconds *
				    (double)USEC_PER_SEC),
	    fd);
}

static int read_header(struct filesource *filesource, int fd)
{
	wav_parser_init(&filesource->parser);
	while (!filesource->parser.done) {
		ssize_t n = read_patiently(filesource, fd);

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

/* Waits for the first frame of a pipe, which may end without one. 0 or negative
 * errno. */
static int await_frame(struct filesource *filesource, int fd)
{
	while (filesource->have < wav_frame_size(&filesource->parser.format)) {
		ssize_t n = read_patiently(filesource, fd);

		if (n < 0)
			return (int)n;
		if (n == 0) {
			filesource->size = 0;
			break;
		}
	}
	return 0;
}

/* How large a regular file is; the WAV file in it may begin anywhere. */
static int file_size(const struct filesource *filesource, uint64_t *ret)
{
	const off_t position = lseek(filesource->fd, 0, SEEK_CUR);
	const uint64_t header_size = filesource->parser.state.consumed;
	struct stat st;

	if (position < 0 || fstat(filesource->fd, &st) < 0)
		return -errno;
	*ret = header_size + filesource->have;
	if (st.st_size > position)
		*ret += (uint64_t)(st.st_size - position);
	return 0;
}

/* Finds out how many samples there are. */
static int find_size(struct filesource *filesource, int fd)
{
	const struct wav_parser *parser = &filesource->parser;
	const bool is_regular = filesource->is_regular;
	uint64_t size = 0;
	int r = is_regular ? file_size(filesource, &size) : 0;

	if (r < 0)
		return r;
	filesource->size =
	    wav_parser_size(parser, is_regular ? WAV_FILE : WAV_PIPE, size);
	if (filesource->size > 0 && !is_regular)
		r = await_frame(filesource, fd);
	if (r == 0 && filesource->size == 0) {
		snprintf(filesource->parser.error,
			 sizeof(filesource->parser.error), "it has no samples");
		r = -EBADMSG;
	}
	return r;
}

/* Of SIZE bytes in the file, those in the page. */
static uint64_t plain_size(const struct filesource *filesource, uint64_t size)
{
	if (size == WAV_ENDLESS)
		return size;
	return size / wav_frame_size(&filesource->parser.format) *
	       wav_frame_size(&filesource->format);
}

/* All has been read. What follows the samples of an unknown size is none of
 * them. */
static void note_end(struct filesource *filesource)
{
	filesource->ended = true;
	if (filesource->size == WAV_ENDLESS)
		filesource->have -= wav_trailer(
		    &filesource->parser, filesource->buffer, filesource->have);
}

/* Text-to-speech is much faster than speech: what is done soon after there is
 * enough gets its size as well. */
static ssize_t read_more(struct filesource *filesource, uint64_t enough_usec,
			 int fd)
{
	if (enough_usec == 0)
		return read_patiently(filesource, fd);
	return filesource_read(filesource,
			       enough_usec + SOON_MS * UINT64_C(1000), fd);
}

/* Reads a pipe until it has ended, which tells its size, or until there is
 * enough to be ahead of the page. What a pipe's header states is often not
 * meant, so it only bounds what is read. */
static int read_ahead(struct filesource *filesource, int fd)
{
	const struct wav_format *format = &filesource->parser.format;
	const size_t frame_size = wav_frame_size(format);
	const double wish = filesource->config.ahead_seconds * format->rate *
			    (double)frame_size;
	uint64_t *size = &filesource->size, enough_usec = 0;
	ssize_t n = 1;

	while (n > 0 && filesource->have < *size &&
	       filesource->have < FILESOURCE_AHEAD_SIZE_MAX) {
		if (enough_usec == 0 && (double)filesource->have >= wish)
			enough_usec = now_usec();
		n = read_more(filesource, enough_usec, fd);
		if (n == -ETIMEDOUT && enough_usec > 0)
			return 0;
		if (n < 0)
			return (int)n;
	}
	if (n == 0) {
		note_end(filesource);
		*size = MIN(*size, (uint64_t)(filesource->have -
					      filesource->have % frame_size));
	}
	filesource->has_end = *size <= filesource->have;
	return 0;
}

/* What came into a pipe before the page could begin, at SINCE, is late. */
static int drop_late(struct filesource *filesource, uint64_t since, int fd)
{
	const struct wav_format *format = &filesource->parser.format;
	const size_t frame_size = wav_frame_size(format);
	struct pollfd pfd = {.fd = filesource->fd, .events = POLLIN};
	const uint64_t waited = now_usec() - since;
	uint64_t late = usec_to_frames(waited, format->rate) * frame_size;

	if (waited < LATE_MS * UINT64_C(1000))
		return 0;
	late = MIN(late, filesource->size);
	while (late > 0) {
		size_t size = (size_t)MIN(late, (uint64_t)filesource->have);
		ssize_t n = 1;

		size -= size % frame_size;
		consume(filesource, size);
		late -= size;
		if (filesource->size != WAV_ENDLESS)
			filesource->size -= size;
		if (late == 0 || poll(&pfd, 1, 0) <= 0)
			break;
		n = filesource_read(filesource, UINT64_MAX, fd);
		if (n <= 0)
			return (int)n;
	}
	return 0;
}

static int send_opened(const struct filesource *filesource,
		       uint32_t chunk_frames, int fd)
{
	struct source_message message = {.type = SOURCE_OPENED};

	message.u.opened.format = filesource->format;
	message.u.opened.period_frames = chunk_frames;
	message.u.opened.size = filesource->has_end
				    ? plain_size(filesource, filesource->size)
				    : WAV_ENDLESS;
	return source_send(fd, &message);
}

/* Reads until there are SIZE bytes, and so many more that a trailer is not
 * taken for samples. 0 or negative errno. */
static int fill(struct filesource *filesource, size_t size, int fd)
{
	if (filesource->ended)
		return 0;
	if (filesource->size == WAV_ENDLESS)
		size += WAV_TRAILER_MAX;
	while (filesource->have < size) {
		ssize_t n = filesource_read(filesource, UINT64_MAX, fd);

		if (n < 0)
			return (int)n;
		if (n == 0) {
			note_end(filesource);
			break;
		}
	}
	return 0;
}

/* The size of the next piece to send: whole frames, at most WISH bytes; 0 at
 * the end; or negative errno. */
static ssize_t fill_chunk(struct filesource *filesource, size_t wish,
			  uint64_t left, size_t frame_size, int fd)
{
	size_t size;
	int r;

	if (left < wish)
		wish = (size_t)left;
	r = fill(filesource, wish, fd);
	if (r < 0)
		return r;
	size = filesource->have < wish ? filesource->have : wish;
	return (ssize_t)(size - size % frame_size);
}

static int send_samples(struct filesource *filesource, uint32_t chunk_frames,
			int fd)
{
	size_t frame_size = wav_frame_size(&filesource->parser.format);
	size_t wish = chunk_frames * frame_size;
	uint64_t left = filesource->size;

	while (left > 0) {
		ssize_t n = fill_chunk(filesource, wish, left, frame_size, fd);
		int r;

		/* What a file has was looked at when it was opened. */
		if (n == 0 && filesource->is_regular && left >= frame_size)
			return -ENODATA;
		if (n <= 0)
			return (int)n;
		r = source_send_samples(
		    fd, filesource->buffer,
		    samples_to_plain(&filesource->parser.format,
				     filesource->buffer, (size_t)n));
		if (r < 0)
			return r;
		consume(filesource, (size_t)n);
		if (left != WAV_ENDLESS)
			left -= (uint64_t)n;
	}
	return 0;
}

static uint32_t chunk_frames_of(const struct wav_format *format)
{
	uint32_t frames = format->rate * CHUNK_MS / 1000;
	uint32_t most = (uint32_t)(READ_SIZE_MAX / wav_frame_size(format));

	return frames < most ? frames : most;
}

static void send_refusal(const struct wav_parser *parser, int fd)
{
	source_send_reason(fd, SOURCE_ENDED, -EBADMSG,
			   "This is not a WAV file that can be played: %s%s",
			   parser->error,
			   parser->foreign ? "; this plays it: " WAV_CONVERT
					     "- | intercomctl play -"
					   : "");
}

/* All that can be done before the page has its zones. */
static int prepare(struct filesource *filesource, int fd)
{
	int r = read_header(filesource, fd);

	if (r == 0)
		r = find_size(filesource, fd);
	if (r < 0)
		return r;
	filesource->format = wav_plain(&filesource->parser.format);
	filesource->has_end = filesource->is_regular;
	if (filesource->is_regular ||
	    filesource->config.kind != FILESOURCE_RECORDING)
		return 0;
	return read_ahead(filesource, fd);
}

static int play(struct filesource *filesource, int fd)
{
	uint32_t chunk_frames = chunk_frames_of(&filesource->parser.format);
	const uint64_t since = now_usec();
	int r = source_prepared(fd, 0);

	if (r == 0 && filesource->config.kind == FILESOURCE_LIVE)
		r = drop_late(filesource, since, fd);
	if (r == 0)
		r = send_opened(filesource, chunk_frames, fd);
	if (r == 0)
		r = send_samples(filesource, chunk_frames, fd);
	return r;
}

static void send_end(const struct filesource *filesource, int r, int fd)
{
	if (r == 0)
		source_send_reason(fd, SOURCE_ENDED, 0, "end of file");
	else if (r == -EBADMSG)
		send_refusal(&filesource->parser, fd);
	else if (r == -ETIMEDOUT)
		source_send_reason(
		    fd, SOURCE_ENDED, r,
		    "The pipe is given up: nothing has come for %g seconds",
		    filesource->config.patience_seconds);
	else if (r != -EPIPE)
		source_send_reason(fd, SOURCE_ENDED, r,
				   "Cannot read the file: %s",
				   r == -ENODATA ? "it was cut while it played"
						 : strerror(-r));
}

static void body(void *userdata, int fd)
{
	struct filesource *filesource = userdata;
	int r = prepare(filesource, fd);

	if (r == 0)
		r = play(filesource, fd);
	send_end(filesource, r, fd);
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

int filesource_start(struct source **ret, int fd,
		     const struct filesource_config *config)
{
	struct filesource *filesource = calloc(1, sizeof(*filesource));
	int r;

	if (!filesource) {
		fd_close(fd);
		return -ENOMEM;
	}
	filesource->fd = fd;
	filesource->pipe[0] = filesource->pipe[1] = -1;
	filesource->config = *config;
	r = look_at(filesource);
	if (r >= 0)
		r = source_start(ret, "file", body, filesource_free,
				 filesource);
	if (r < 0)
		filesource_free(filesource);
	return r;
}
