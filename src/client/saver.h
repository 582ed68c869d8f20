/* SPDX-License-Identifier: MIT
 * Keeps a page that a client receives as a WAV file: its samples wait in memory
 * for the recorder's thread. */
#pragma once

#include "audio/recorder.h"

struct saver;

/* A recorder for --save PATH, which must outlive it; repairs what a crash left
 * in it when it is a directory. 0 or negative errno. */
int saver_open(struct recorder **ret, const char *path);

/* Begins a file. 0, and NULL when the disk hangs, or negative errno. */
int saver_start(struct saver **ret, struct recorder *recorder,
		const struct wav_format *format);

/* How many bytes can be given now without loss. */
size_t saver_room(const struct saver *saver);

/* Gives samples; never waits. 0; -EPIPE once the file is lost, which was
 * logged; or another negative errno. On error free it. */
int saver_write(struct saver *saver, const void *data, size_t size);

/* The page is over: the file is completed. Frees. Takes NULL; returns NULL. */
struct saver *saver_finish(struct saver *saver);
/* Gives the file up, and frees. Takes NULL; returns NULL. */
struct saver *saver_free(struct saver *saver);
