/* SPDX-License-Identifier: MIT
 * Saves a page as a WAV file. A thread behind a pipe writes it, so that a slow
 * or full disk costs the file, never the sound. The process must ignore SIGPIPE
 * and SIGXFSZ. */
#pragma once

#include <stdbool.h>

#include "audio/wav.h"

struct saver;

/* Begins a file. If PATH is a directory or ends in '/', the file is a new one
 * in it, named by the time; otherwise it replaces PATH. The thread logs whether
 * the file was saved. DONE_FD, an eventfd(2), is duplicated; saver_finish()
 * says what it is for. 0 or negative errno. */
int saver_start(struct saver **ret, const char *path,
		const struct wav_format *format, int done_fd);

/* How many bytes saver_write() can take now. */
size_t saver_room(const struct saver *saver);

/* Hands samples over; never waits. After an error the file cannot be completed:
 * call saver_free(). -EPIPE: the thread gave up and has logged why. -EAGAIN:
 * SIZE was more than the pipe had room for. 0 or negative errno. */
int saver_write(struct saver *saver, const void *data, size_t size);

/* The page is over: the thread completes the file (or logs its loss) and then
 * adds 1 to DONE_FD. Frees. Takes NULL; returns NULL. */
struct saver *saver_finish(struct saver *saver);
/* Removes the incomplete file and frees. Takes NULL; returns NULL. */
struct saver *saver_free(struct saver *saver);

/* Whether saver_start() takes PATH for a directory. Looks at the disk. */
bool saver_path_is_directory(const char *path);
