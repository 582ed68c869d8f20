/* SPDX-License-Identifier: MIT
 * For the targets with a server in them: a clock that the target can put
 * forward, so that time passes without waiting, for libsystemd's timers too.
 * Include it in one file of a target. */
#pragma once

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "audio/source.h"
#include "base/thread.h"

static uint64_t fuzz_clock_ahead_seconds;

/* The lowest free descriptor. */
static inline int free_fd(void)
{
	const int fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);

	close(fd);
	return fd;
}

/* Replaces the C library's. */
int clock_gettime(clockid_t clock, struct timespec *ret)
{
	int r = (int)syscall(SYS_clock_gettime, clock, ret);

	if (r == 0 && (clock == CLOCK_MONOTONIC || clock == CLOCK_BOOTTIME))
		ret->tv_sec += (time_t)fuzz_clock_ahead_seconds;
	return r;
}

/* --- put in place of the real ones by the linker: a source's thread runs at
 * once and the loop waits for it, so its file must have an end. Where the
 * thread would wait for the loop, the loop goes on, and resumes the thread when
 * it has told it to. --- */

/* One of these threads, or the loop, runs at any time, never two of them. */
struct fuzz_thread {
	struct fuzz_thread *next;
	sem_t go, stopped;
	void *(*body)(void *userdata);
	void *userdata;
	bool ended;
};

static struct fuzz_thread *fuzz_threads, *fuzz_running;

int __wrap_thread_start(pthread_t *ret, const char *name,
			void *(*body)(void *userdata), void *userdata);
struct source *__real_source_free(struct source *source);
struct source *__wrap_source_free(struct source *source);
int __wrap_clock_nanosleep(clockid_t clock, int flags,
			   const struct timespec *time, struct timespec *left);
int __wrap_source_prepared(int fd, uint64_t chime_frames);
void __real_source_go(struct source *source);
void __wrap_source_go(struct source *source);

static void *fuzz_thread_main(void *userdata)
{
	struct fuzz_thread *thread = userdata;

	sem_wait(&thread->go);
	(void)thread->body(thread->userdata);
	thread->ended = true;
	sem_post(&thread->stopped);
	return NULL;
}

static void fuzz_resume(struct fuzz_thread *thread)
{
	fuzz_running = thread;
	sem_post(&thread->go);
	sem_wait(&thread->stopped);
	fuzz_running = NULL;
}

/* Resumes all waiting threads, which look whether they have been told to go on.
 */
static void fuzz_resume_all(void)
{
	struct fuzz_thread **link = &fuzz_threads;

	while (*link) {
		struct fuzz_thread *thread = *link;

		fuzz_resume(thread);
		if (thread->ended) {
			*link = thread->next;
			sem_destroy(&thread->go);
			sem_destroy(&thread->stopped);
			free(thread);
		} else {
			link = &thread->next;
		}
	}
}

int __wrap_thread_start(pthread_t *ret, const char *name,
			void *(*body)(void *userdata), void *userdata)
{
	struct fuzz_thread *thread = calloc(1, sizeof(*thread));

	assert(thread);
	sem_init(&thread->go, 0, 0);
	sem_init(&thread->stopped, 0, 0);
	thread->body = body;
	thread->userdata = userdata;
	assert(pthread_create(ret, NULL, fuzz_thread_main, thread) == 0);
	thread->next = fuzz_threads;
	fuzz_threads = thread;
	fuzz_resume_all();
	return 0;
}

int __wrap_source_prepared(int fd, uint64_t chime_frames)
{
	struct fuzz_thread *thread = fuzz_running;
	const struct source_message message = {
	    .type = SOURCE_PREPARED,
	    .u.prepared.chime_frames = chime_frames,
	};
	char word;

	if (source_send(fd, &message) < 0)
		return -EPIPE;
	while (recv(fd, &word, 1, MSG_DONTWAIT | MSG_PEEK) < 0) {
		sem_post(&thread->stopped);
		sem_wait(&thread->go);
	}
	return source_wait(fd);
}

void __wrap_source_go(struct source *source)
{
	__real_source_go(source);
	fuzz_resume_all();
}

/* A thread that is waited for has been told to end. */
struct source *__wrap_source_free(struct source *source)
{
	if (source)
		source_stop(source);
	fuzz_resume_all();
	return __real_source_free(source);
}

int __wrap_clock_nanosleep(clockid_t clock, int flags,
			   const struct timespec *time, struct timespec *left)
{
	return 0;
}
