/* SPDX-License-Identifier: MIT */
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "base/util.h"

int standard_fds_open(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		/* The lowest that is free: this one. */
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
			return -errno;
	return 0;
}

/* Threads must not both see room for one line: stdout and stderr may be the
 * same pipe. */
static pthread_mutex_t room_mutex = PTHREAD_MUTEX_INITIALIZER;

/* A terminal that poll() calls writable may lack room for a line, and write()
 * then waits: it is opened once more, as O_NONBLOCK belongs to the open file.
 * -1 when it is no terminal, or that of another user. */
static int open_terminal(int fd)
{
	char path[sizeof("/proc/self/fd/") + 10];

	if (!isatty(fd))
		return -1;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

/* A pipe that can be written to takes PIPE_BUF bytes, see poll(2). */
static int write_with_room(int fd, const void *data, size_t size)
{
	while (size > 0) {
		struct pollfd pfd = {.fd = fd, .events = POLLOUT};
		ssize_t n;

		if (poll(&pfd, 1, 0) == 0)
			return -EAGAIN;
		n = TEMP_FAILURE_RETRY(write(fd, data, MIN(size, PIPE_BUF)));
		if (n < 0)
			return -errno;
		data = (const char *)data + n;
		size -= (size_t)n;
	}
	return 0;
}

int write_if_read(int fd, const void *data, size_t size)
{
	_cleanup_close_ int terminal = open_terminal(fd);
	int r;

	pthread_mutex_lock(&room_mutex);
	r = write_with_room(terminal >= 0 ? terminal : fd, data, size);
	pthread_mutex_unlock(&room_mutex);
	return r;
}

int write_all(int fd, const void *data, size_t size)
{
	while (size > 0) {
		ssize_t n = TEMP_FAILURE_RETRY(write(fd, data, size));

		if (n < 0)
			return -errno;
		data = (const char *)data + n;
		size -= (size_t)n;
	}
	return 0;
}

int pwrite_all(int fd, const void *data, size_t size, off_t offset)
{
	while (size > 0) {
		ssize_t n = TEMP_FAILURE_RETRY(pwrite(fd, data, size, offset));

		if (n < 0)
			return -errno;
		data = (const char *)data + n;
		size -= (size_t)n;
		offset += n;
	}
	return 0;
}

ssize_t pread_all(int fd, void *buffer, size_t size, off_t offset)
{
	size_t have = 0;

	while (have < size) {
		ssize_t n = TEMP_FAILURE_RETRY(pread(fd, (char *)buffer + have,
						     size - have,
						     offset + (off_t)have));

		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		have += (size_t)n;
	}
	return (ssize_t)have;
}
