/* SPDX-License-Identifier: MIT
 * What a client keeps on disk, beside its loop: the volume as it was before a
 * page, and what its card runs at. One thread does it all, so that a disk that
 * hangs costs neither sound nor threads. Nothing here blocks but the end. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct keeper;

/* Restores a volume that a crash has left changed. VOLUME is what a page plays
 * at, in percent by the control MIXER (or NULL: any); -1: it is left alone. The
 * strings must outlive the keeper and its thread, which a disk that hangs keeps
 * for as long as it likes. 0 or negative errno. */
int keeper_new(struct keeper **ret, const char *device, const char *mixer,
	       int volume);
/* Restores the volume, and waits until all is done, but not beyond UNTIL_USEC.
 * Takes NULL; returns NULL. */
struct keeper *keeper_free(struct keeper *keeper, uint64_t until_usec);

/* The descriptor to wait on for input, and what to do then. */
int keeper_fd(const struct keeper *keeper);
void keeper_dispatch(struct keeper *keeper);

/* A page begins: has its volume set, after the old one was noted. Whether that
 * is done, or cannot be done in time: then the page sounds without, until the
 * disk is back. When to ask again at the latest; UINT64_MAX for never. */
bool keeper_volume_is_set(struct keeper *keeper, uint64_t now_usec);
uint64_t keeper_deadline(const struct keeper *keeper, uint64_t now_usec);
/* The page is over. */
void keeper_restore_volume(struct keeper *keeper);

/* In parts of the nominal rate; 0 while nothing is known. */
double keeper_card_rate(const struct keeper *keeper);
void keeper_learn_card_rate(struct keeper *keeper, double rate);
