/* SPDX-License-Identifier: MIT
 * Owns the thread that reads a microphone or a file and its socket pair. One
 * descriptor carries the data, the wake-up, the end and the back-pressure. */
#include "audio/source.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/thread.h"
#include "base/util.h"

/* The loop's commands to the thread. */
enum { WORD_GO = 'g', WORD_STOP = 's' };

enum { CLOSE_MS = 1000 }; /* that a card may take to close */

struct source {
	int fd;
	struct source_message message;
	size_t message_have; /* bytes of message read so far */
	uint32_t samples_left;
};

struct thread_args {
	int fd;
	void (*body)(void *userdata, int fd);
	void (*free_data)(void *userdata);
	void *userdata;
};

static void *thread_main(void *userdata)
{
	struct thread_args *args = userdata;

	args->body(args->userdata, args->fd);
	if (args->free_data)
		args->free_data(args->userdata);
	close(args->fd);
	free(args);
	return NULL;
}

int source_start(struct source **ret, const char *name,
		 void (*body)(void *userdata, int fd),
		 void (*free_data)(void *userdata), void *userdata)
{
	_cleanup_free_ struct source *source = calloc(1, sizeof(*source));
	_cleanup_free_ struct thread_args *args = calloc(1, sizeof(*args));
	pthread_t thread;
	int fds[2], r;

	if (!source || !args)
		return -ENOMEM;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		return -errno;
	source->fd = fds[0];
	*args = (struct thread_args){fds[1], body, free_data, userdata};
	r = thread_start(&thread, name, thread_main, args);
	if (r < 0) {
		close(fds[0]);
		close(fds[1]);
		return r;
	}
	pthread_detach(thread);
	(void)TAKE_PTR(args);
	*ret = TAKE_PTR(source);
	return 0;
}

int source_fd(const struct source *source)
{
	return source->fd;
}

static ssize_t read_some(struct source *source, void *buffer, size_t size)
{
	ssize_t n =
	    TEMP_FAILURE_RETRY(recv(source->fd, buffer, size, MSG_DONTWAIT));

	return n < 0 ? -errno : n;
}

int source_next(struct source *source, struct source_message *ret)
{
	assert(source->samples_left == 0);
	while (source->message_have < sizeof(source->message)) {
		ssize_t n = read_some(
		    source, (char *)&source->message + source->message_have,
		    sizeof(source->message) - source->message_have);

		if (n <= 0)
			return (int)n;
		source->message_have += (size_t)n;
	}
	source->message_have = 0;
	if (source->message.type == SOURCE_SAMPLES)
		source->samples_left = source->message.u.samples.size;
	*ret = source->message;
	return 1;
}

ssize_t source_read_samples(struct source *source, void *buffer, size_t size)
{
	ssize_t n;

	if (size > source->samples_left)
		size = source->samples_left;
	if (size == 0)
		return 0;
	n = read_some(source, buffer, size);
	if (n > 0)
		source->samples_left -= (uint32_t)n;
	return n;
}

/* The socket always has room: a thread gets only a few bytes. */
static void tell(const struct source *source, char word)
{
	(void)send(source->fd, &word, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void source_go(struct source *source)
{
	tell(source, WORD_GO);
}

void source_stop(struct source *source)
{
	shutdown(source->fd, SHUT_RD);
	tell(source, WORD_STOP);
}

struct source *source_free(struct source *source)
{
	struct pollfd closed;

	if (!source)
		return NULL;
	source_stop(source);
	closed = (struct pollfd){.fd = source->fd};
	(void)poll(&closed, 1, CLOSE_MS);
	close(source->fd);
	free(source);
	return NULL;
}

/* Sends PARTS, which it alters, at once if the socket has room. */
static int send_all(int fd, struct iovec *parts, size_t count)
{
	while (count > 0) {
		const struct msghdr message = {.msg_iov = parts,
					       .msg_iovlen = count};
		ssize_t n = sendmsg(fd, &message, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -EPIPE;
		for (; count > 0 && (size_t)n >= parts->iov_len; count--)
			n -= (ssize_t)parts++->iov_len;
		if (count == 0)
			return 0;
		parts->iov_base = (char *)parts->iov_base + n;
		parts->iov_len -= (size_t)n;
	}
	return 0;
}

int source_send(int fd, const struct source_message *message)
{
	struct iovec part = {(void *)message, sizeof(*message)};

	return send_all(fd, &part, 1);
}

int source_send_samples(int fd, const void *data, size_t size)
{
	struct source_message message = {.type = SOURCE_SAMPLES};
	struct iovec parts[] = {{&message, sizeof(message)},
				{(void *)data, size}};

	message.u.samples.size = (uint32_t)size;
	return send_all(fd, parts, 2);
}

int source_wait(int fd)
{
	char word;
	ssize_t n = TEMP_FAILURE_RETRY(recv(fd, &word, 1, 0));

	return n == 1 && word == WORD_GO ? 0 : -EPIPE;
}

int source_prepared(int fd, uint64_t chime_frames)
{
	const struct source_message message = {
	    .type = SOURCE_PREPARED,
	    .u.prepared.chime_frames = chime_frames,
	};
	int r = source_send(fd, &message);

	return r < 0 ? r : source_wait(fd);
}

int source_send_reason(int fd, enum source_message_type type, int error,
		       const char *format, ...)
{
	struct source_message message = {.type = type};
	va_list ap;

	message.u.ended.error = error;
	va_start(ap, format);
	vsnprintf(message.u.ended.reason, sizeof(message.u.ended.reason),
		  format, ap);
	va_end(ap);
	return source_send(fd, &message);
}

int source_stopped(int fd)
{
	/* Even an empty send fails with EPIPE once the peer has shut down its
	 * reading side (unix_stream_sendmsg() checks that first). */
	return send(fd, "", 0, MSG_NOSIGNAL) < 0 && errno == EPIPE;
}
