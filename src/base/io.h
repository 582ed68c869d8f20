/* SPDX-License-Identifier: MIT
 * Read and write everything, however often the system call is interrupted or
 * transfers only a part; and write without waiting for a reader. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

/* 0 or negative errno. */
int write_all(int fd, const void *data, size_t size);
int pwrite_all(int fd, const void *data, size_t size, off_t offset);
/* Bytes read, fewer than SIZE only at the file's end; or negative errno. */
ssize_t pread_all(int fd, void *buffer, size_t size, off_t offset);

/* Puts /dev/null in the place of each standard descriptor that is closed:
 * otherwise a socket gets its number, and the log is sent to a peer. The first
 * call of a program. 0 or negative errno. */
int standard_fds_open(void);

/* Writes to a pipe or terminal of others, whose flags (O_NONBLOCK) stay as they
 * are. 0, -EAGAIN when nobody reads (then a terminal may have got a part), or
 * another negative errno. */
int write_if_read(int fd, const void *data, size_t size);
