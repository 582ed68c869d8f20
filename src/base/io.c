/* SPDX-License-Identifier: MIT */
#include "base/io.h"

#include <errno.h>
#include <unistd.h>

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
