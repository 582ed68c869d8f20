/* SPDX-License-Identifier: MIT
 * Cleanup attributes, ownership transfer, the clock and names. No state. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define USEC_PER_SEC UINT64_C(1000000)
#define NSEC_PER_SEC UINT64_C(1000000000)

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#define MIN(a, b)                                                              \
	({                                                                     \
		const __typeof__(a) _a = (a);                                  \
		const __typeof__(b) _b = (b);                                  \
		_a < _b ? _a : _b;                                             \
	})

#define MAX(a, b)                                                              \
	({                                                                     \
		const __typeof__(a) _a = (a);                                  \
		const __typeof__(b) _b = (b);                                  \
		_a > _b ? _a : _b;                                             \
	})

/* Hands over the pointer that a variable owns: sets it to NULL. */
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

/* _cleanup_(f): calls f(&variable) when the variable goes out of scope. */
#define _cleanup_(f) __attribute__((cleanup(f)))

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
#define _cleanup_close_ _cleanup_(cleanup_close)

static inline void cleanup_free(void *p)
{
	free(*(void **)p);
}
#define _cleanup_free_ _cleanup_(cleanup_free)

static inline void cleanup_file(FILE **f)
{
	if (*f)
		fclose(*f);
}
#define _cleanup_file_ _cleanup_(cleanup_file)

static inline uint64_t clock_usec(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * USEC_PER_SEC + (uint64_t)ts.tv_nsec / 1000;
}

/* CLOCK_MONOTONIC in microseconds. */
static inline uint64_t now_usec(void)
{
	return clock_usec(CLOCK_MONOTONIC);
}

/* By how much A is more than B; 0 if it is not. */
static inline uint64_t surplus(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

/* The number of frames in USEC microseconds at RATE Hz, rounded down. */
static inline uint64_t usec_to_frames(uint64_t usec, uint32_t rate)
{
	return usec / USEC_PER_SEC * rate +
	       usec % USEC_PER_SEC * rate / USEC_PER_SEC;
}

/* How long FRAMES last at RATE Hz (not 0), in microseconds, rounded down. */
static inline uint64_t frames_to_usec(uint64_t frames, uint32_t rate)
{
	return frames / rate * USEC_PER_SEC +
	       frames % rate * USEC_PER_SEC / rate;
}

/* The same in seconds; 0 where the rate is not known (0). */
static inline double frames_to_seconds(uint64_t frames, uint32_t rate)
{
	return rate ? (double)frames / rate : 0;
}

/* LENGTH is what snprintf() returned of TEXT: what did not fit is not left out
 * silently. */
static inline void mark_cut(char *text, size_t size, int length)
{
	if (length >= 0 && (size_t)length >= size)
		strcpy(text + size - sizeof("..."), "...");
}

/* The plural ending of a noun after COUNT: "%u page%s", "%u loss%s". */
static inline const char *plural_s(uint64_t count)
{
	return count == 1 ? "" : "s";
}

static inline const char *plural_es(uint64_t count)
{
	return count == 1 ? "" : "es";
}

/* The value of the two hexadecimal digits that TEXT begins with, or -1. */
static inline int hex_byte(const char *text)
{
	static const char digits[] = "0123456789abcdefABCDEF";
	int byte = 0;

	for (int i = 0; i < 2; i++) {
		const char *digit = text[i] ? strchr(digits, text[i]) : NULL;

		if (!digit)
			return -1;
		byte = byte * 16 + (int)(digit - digits);
		if (*digit <= 'F' && *digit >= 'A')
			byte -= 6;
	}
	return byte;
}

/* The name of a zone or a loudspeaker: 1 to 63 of A-Z a-z 0-9 . _ - without a
 * dot in front, since it becomes a part of file names and of units' names. */
enum { VALID_NAME_SIZE = 64 };
static inline bool name_valid(const char *name)
{
	/* Not isalnum(): that depends on the locale. */
	size_t length = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				     "abcdefghijklmnopqrstuvwxyz"
				     "0123456789._-");

	return *name != '.' && length > 0 && length < VALID_NAME_SIZE &&
	       !name[length];
}
