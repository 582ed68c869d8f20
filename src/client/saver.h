/* SPDX-License-Identifier: MIT
 * Keeps what a client receives as a WAV file, in a thread behind a pipe: a disk
 * that is slow or full costs the file, never the sound. The process must ignore
 * SIGPIPE and SIGXFSZ. */
#pragma once

#include <stdbool.h>

#include "audio/wav.h"

struct saver;

/* Begins a file at PATH: when that is a directory (or ends in '/') a new file
 * in it, named by the time; otherwise that file, replaced. Logs what comes of
 * it. DONE_FD, an eventfd(2), is told when a file that was finished is there,
 * or lost. 0 or negative errno. */
int saver_start(struct saver **ret, const char *path,
		const struct wav_format *format, int done_fd);

/* How many bytes can be given now without loss. */
size_t saver_room(const struct saver *saver);

/* Gives samples; never waits. 0, or a negative errno once the file is lost
 * (which is logged): then free it. -EAGAIN: more than there was room for. */
int saver_write(struct saver *saver, const void *data, size_t size);

/* The page is over: the thread completes the file, and DONE_FD is told once.
 * Frees. Takes NULL; returns NULL. */
struct saver *saver_finish(struct saver *saver);
/* Gives the file up, and frees. Takes NULL; returns NULL. */
struct saver *saver_free(struct saver *saver);

/* Whether PATH is taken as a directory. */
bool saver_path_is_directory(const char *path);
