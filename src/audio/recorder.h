/* SPDX-License-Identifier: MIT
 * Keeps pages as WAV files beside the loop: one thread writes them all, so that
 * a disk that is slow, full or hangs costs files, never sound, nor threads. The
 * process must ignore SIGPIPE and SIGXFSZ. */
#pragma once

#include <stdbool.h>

#include "audio/wav.h"

struct recorder;
struct recording;

/* Strings and data must outlive the recorder and its thread, which a disk that
 * hangs keeps for as long as it likes. */
struct recorder_config {
	/* A directory, which gets a file for each page; or, where that is
	 * allowed, anything else is the file that each page replaces. Which of
	 * the two it is, is found out once, before CHECK is called. */
	const char *path;
	enum { RECORDER_DIRECTORY, RECORDER_DIRECTORY_OR_FILE } kind;
	uint64_t
	    backlog_max; /* bytes of all pages that may wait for the disk */
	/* In the thread, before all else: whether the directory can be used. 0
	 * or negative errno. */
	int (*check)(const void *userdata);
	/* In the thread, after each file; or NULL. */
	void (*tidy)(const void *userdata);
	const void *userdata;
	/* In the loop: the file PATH is complete, or ERROR says why there is
	 * none. Not called for what was discarded. */
	void (*on_file)(const struct recorder_config *config, const char *path,
			int error);
};

/* Starts the thread and waits for its check: 0 or the check's error. A disk
 * that hangs is waited for no longer than some seconds, and that is logged:
 * pages are kept as soon as it is back. */
int recorder_new(struct recorder **ret, const struct recorder_config *config);
/* Waits until every file is complete, but not beyond UNTIL_USEC; logs how many
 * are not. All recordings must have been released. Takes NULL; returns NULL. */
struct recorder *recorder_free(struct recorder *recorder, uint64_t until_usec);

/* The descriptor to wait on for input, and what to do then: it hears of the
 * thread and has it go on. Both take NULL (-1: nothing to wait for). */
int recorder_fd(const struct recorder *recorder);
void recorder_dispatch(struct recorder *recorder);
/* Whether no page that is over waits for its file. True for NULL. */
bool recorder_is_idle(const struct recorder *recorder);

/* --- one page: nothing here blocks --- */

/* Begins a file; in a directory YYYYMMDD-HHMMSSLABEL.wav. The samples are, or
 * will be, in the memfd SAMPLES_FD, which is taken over also on error. 0 or
 * -ENOMEM; 0 and *ret is NULL when the disk hangs, which is logged once: then
 * the page is not kept. */
int recording_begin(struct recording **ret, struct recorder *recorder,
		    const char *label, const struct wav_format *format,
		    int samples_fd);

/* The following take NULL. */

/* SIZE bytes of samples are there by now. */
void recording_push(struct recording *recording, uint64_t size);
/* There will be no more: completes the file. */
void recording_finish(struct recording *recording);
/* Gives the file up, unless it was finished. */
void recording_discard(struct recording *recording);
/* The first byte that has yet to be written; UINT64_MAX when nothing more is
 * needed. */
uint64_t recording_offset(const struct recording *recording);
/* The owner has nothing more to say: finishes what was not discarded. Returns
 * NULL. */
struct recording *recording_release(struct recording *recording);
