/* SPDX-License-Identifier: MIT
 * Where the samples of a page come from: a thread that reads a microphone or a
 * file and writes messages to a socket. Thread and loop share nothing else. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "audio/wav.h"

enum { SOURCE_REASON_SIZE = 288 };

enum source_message_type {
	SOURCE_PREPARED, /* all is ready but the device: u.prepared. The thread
			    waits for source_go() */
	SOURCE_BUSY,	 /* another program has the device: u.ended. The thread
			    waits for source_go() and tries again */
	SOURCE_OPENED,	 /* the device or file is open: u.opened */
	SOURCE_SAMPLES,	 /* u.samples.size bytes follow, whole frames */
	SOURCE_GAP,	 /* an overrun, which lost u.gap.frames here */
	SOURCE_ENDED,	 /* the last message: u.ended */
};

struct source_message {
	enum source_message_type type;
	union {
		struct {
			/* How many of the first frames of the page are
			 * chime. */
			uint64_t chime_frames;
		} prepared;
		struct {
			struct wav_format format;
			uint32_t period_frames; /* as obtained */
			uint64_t size; /* bytes to come, or WAV_ENDLESS */
			/* Of a microphone: CLOCK_MONOTONIC, when the first
			 * frame is captured, at the earliest. */
			int64_t start_ns;
			/* How many frames more must be captured before one is
			 * sent. */
			uint32_t held_frames;
		} opened;
		struct {
			uint32_t size;
		} samples;
		struct {
			uint64_t frames;
		} gap;
		struct {
			int error; /* -errno; 0: end of the file */
			char reason[SOURCE_REASON_SIZE]; /* for a person, when
							    error < 0 */
		} ended;
	} u;
};

/* --- the loop's side --- */

struct source;

/* Runs BODY(userdata, fd) in a thread, called NAME, with one end of a new
 * socket pair. When BODY returns, the thread calls FREE_DATA(userdata) unless
 * it is NULL, and closes fd. 0; or negative errno: then nothing was started,
 * and userdata is still the caller's. */
int source_start(struct source **ret, const char *name,
		 void (*body)(void *userdata, int fd),
		 void (*free_data)(void *userdata), void *userdata);

/* The descriptor to wait on for EPOLLIN; at EOF when the thread has ended. */
int source_fd(const struct source *source);

/* Reads the next message. After SOURCE_SAMPLES all samples must be read with
 * source_read_samples() before the next call. 1; 0 when the thread has ended;
 * -EAGAIN when no whole message has come yet; or another negative errno. */
int source_next(struct source *source, struct source_message *ret);

/* Reads up to SIZE bytes of the samples announced. Bytes; 0 when all were read
 * or the thread has ended; -EAGAIN, or another negative errno. */
ssize_t source_read_samples(struct source *source, void *buffer, size_t size);

/* Lets the thread continue after SOURCE_PREPARED or SOURCE_BUSY. */
void source_go(struct source *source);

/* Tells the thread to end: everything that it sends from now on fails. Do not
 * read any more, but wait for EPOLLHUP on source_fd() (asking for no other
 * event), which tells that the thread has ended. */
void source_stop(struct source *source);

/* Waits until the thread has closed its device or file (it has once source_fd
 * has hung up), for a second at most: a device that hangs is left to the
 * thread, which ends when it can. Frees. Takes NULL; returns NULL. */
struct source *source_free(struct source *source);

/* --- the thread's side: 0, or -EPIPE when the page is over --- */

int source_send(int fd, const struct source_message *message);
int source_send_samples(int fd, const void *data, size_t size);
/* Sends SOURCE_PREPARED and waits for source_go(). */
int source_prepared(int fd, uint64_t chime_frames);
/* Waits for source_go(), after SOURCE_BUSY was sent. */
int source_wait(int fd);
/* Sends SOURCE_ENDED or SOURCE_BUSY with a reason, formatted as by printf(). */
int source_send_reason(int fd, enum source_message_type type, int error,
		       const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Whether source_stop() was called. */
int source_stopped(int fd);
