/* SPDX-License-Identifier: MIT
 * Where the samples of a page come from: a thread that reads a microphone or a
 * file and writes messages to a socket, which is all that the two share. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "audio/wav.h"

enum source_message_type {
	SOURCE_PREPARED, /* all but the device is ready: u.prepared. The thread
			    waits for source_go() */
	SOURCE_BUSY,	 /* somebody else has the device: u.ended. The thread
			    waits for source_go(), to try again */
	SOURCE_OPENED,	 /* the device or file is open: u.opened */
	SOURCE_SAMPLES,	 /* u.samples.size bytes follow, whole frames */
	SOURCE_GAP,	 /* an overrun lost u.gap.frames here */
	SOURCE_ENDED,	 /* the last message: u.ended */
};

struct source_message {
	enum source_message_type type;
	union {
		struct {
			/* Frames of the page that are chime: the first ones
			 * of the samples to come. */
			uint64_t chime_frames;
		} prepared;
		struct {
			struct wav_format format;
			uint32_t period_frames; /* as obtained */
			uint64_t size; /* bytes to come, or WAV_ENDLESS */
		} opened;
		struct {
			uint32_t size;
		} samples;
		struct {
			uint64_t frames;
		} gap;
		struct {
			int error; /* 0 at the end of a file, or negative errno
				    */
			char reason[160]; /* for a person, when error < 0 */
		} ended;
	} u;
};

/* --- the loop's side --- */

struct source;

/* Runs BODY(userdata, fd) in a thread with one end of a new socket pair; BODY
 * owns neither. When BODY returns, the thread frees userdata with FREE_DATA and
 * closes its end. On error nothing was started and userdata is the caller's. */
int source_start(struct source **ret, const char *name,
		 void (*body)(void *userdata, int fd),
		 void (*free_data)(void *userdata), void *userdata);

/* The descriptor to wait on for EPOLLIN; EOF when the thread has ended. */
int source_fd(const struct source *source);

/* Reads the next message; its samples, if any, are read with
 * source_read_samples before the next one. 1 when there is one, 0 at the end,
 * -EAGAIN when there is none yet (or only a part of one). */
int source_next(struct source *source, struct source_message *ret);

/* Up to SIZE bytes of the samples announced; how many, or -EAGAIN. */
ssize_t source_read_samples(struct source *source, void *buffer, size_t size);

/* Lets the thread go on from SOURCE_PREPARED or SOURCE_BUSY. */
void source_go(struct source *source);

/* Tells the thread to end. What it sends from now on fails. Reading is over;
 * wait for EPOLLHUP on source_fd (with no other event asked for), which comes
 * soon after, when the thread has ended. */
void source_stop(struct source *source);

/* Waits for the thread (quick once source_fd has hung up) and frees.
 * Takes NULL; returns NULL. */
struct source *source_free(struct source *source);

/* --- the thread's side: 0, or -EPIPE when the page is over --- */

int source_send(int fd, const struct source_message *message);
int source_send_samples(int fd, const void *data, size_t size);
/* SOURCE_PREPARED, then waits for source_go(). */
int source_prepared(int fd, uint64_t chime_frames);
/* The same after the reason of SOURCE_BUSY was sent. */
int source_wait(int fd);
/* SOURCE_ENDED or SOURCE_BUSY with a reason in printf's manner. */
int source_send_reason(int fd, enum source_message_type type, int error,
		       const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Whether source_stop() was called. */
int source_stopped(int fd);
