/* SPDX-License-Identifier: MIT
 * For the targets with a server in them. A clock that a target of one thread
 * can put forward: time passes without waiting, for libsystemd's timers too.
 * Include it once in a target. */
#pragma once

#include <fcntl.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/thread.h"

static uint64_t fuzz_clock_ahead_seconds;

/* The lowest descriptor that is free. */
static inline int free_fd(void)
{
	const int fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);

	close(fd);
	return fd;
}

/* In the place of the C library's. */
int clock_gettime(clockid_t clock, struct timespec *ret)
{
	int r = (int)syscall(SYS_clock_gettime, clock, ret);

	if (r == 0 && (clock == CLOCK_MONOTONIC || clock == CLOCK_BOOTTIME))
		ret->tv_sec += (time_t)fuzz_clock_ahead_seconds;
	return r;
}

/* --- by the linker, in the place of the real ones: no thread is made. What a
 * source's thread would do, it does at once; so its file must have an end. ---
 */

int __wrap_thread_start(pthread_t *ret, const char *name,
			void *(*body)(void *userdata), void *userdata);
int __wrap_pthread_join(pthread_t thread, void **ret);
int __wrap_clock_nanosleep(clockid_t clock, int flags,
			   const struct timespec *time, struct timespec *left);

int __wrap_thread_start(pthread_t *ret, const char *name,
			void *(*body)(void *userdata), void *userdata)
{
	*ret = pthread_self();
	(void)body(userdata);
	return 0;
}

int __wrap_pthread_join(pthread_t thread, void **ret)
{
	return 0;
}

int __wrap_clock_nanosleep(clockid_t clock, int flags,
			   const struct timespec *time, struct timespec *left)
{
	return 0;
}
