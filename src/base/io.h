/* SPDX-License-Identifier: MIT
 * Read and write everything, however often the system call is interrupted or
 * transfers only a part. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

/* 0 or negative errno. */
int write_all(int fd, const void *data, size_t size);
int pwrite_all(int fd, const void *data, size_t size, off_t offset);
/* Bytes read, fewer than SIZE only at the file's end; or negative errno. */
ssize_t pread_all(int fd, void *buffer, size_t size, off_t offset);
