/* SPDX-License-Identifier: MIT
 * Cleanup attributes, ownership transfer and the clock. No state. */
#pragma once

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define USEC_PER_SEC UINT64_C(1000000)
#define NSEC_PER_SEC UINT64_C(1000000000)

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* Hands an owned pointer over: the variable no longer owns it. */
#define TAKE_PTR(p)                                                            \
	({                                                                     \
		__typeof__(p) _taken = (p);                                    \
		(p) = NULL;                                                    \
		_taken;                                                        \
	})

static inline int take_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}
#define TAKE_FD(fd) take_fd(&(fd))

/* Closes FD unless it is negative. Returns -1, for "fd = fd_close(fd)". */
static inline int fd_close(int fd)
{
	if (fd >= 0)
		close(fd);
	return -1;
}

static inline void cleanup_close(const int *fd)
{
	fd_close(*fd);
}
#define _cleanup_close_ __attribute__((cleanup(cleanup_close)))

static inline void cleanup_free(void *p)
{
	free(*(void **)p);
}
#define _cleanup_free_ __attribute__((cleanup(cleanup_free)))

static inline void cleanup_file(FILE **f)
{
	if (*f)
		fclose(*f);
}
#define _cleanup_file_ __attribute__((cleanup(cleanup_file)))

/* CLOCK_MONOTONIC in microseconds. */
static inline uint64_t now_usec(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * USEC_PER_SEC + (uint64_t)ts.tv_nsec / 1000;
}

/* Frames that pass in USEC microseconds at RATE Hz, rounded down. */
static inline uint64_t usec_to_frames(uint64_t usec, uint32_t rate)
{
	return usec / USEC_PER_SEC * rate +
	       usec % USEC_PER_SEC * rate / USEC_PER_SEC;
}

/* Microseconds that FRAMES last at RATE Hz (not 0), rounded down. */
static inline uint64_t frames_to_usec(uint64_t frames, uint32_t rate)
{
	return frames / rate * USEC_PER_SEC +
	       frames % rate * USEC_PER_SEC / rate;
}
