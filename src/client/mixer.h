/* SPDX-License-Identifier: MIT
 * The volume of a card: set for a page, put back afterwards, also by the next
 * client when this one crashed. With pcm.c the only module that knows
 * asoundlib. */
#pragma once

struct mixer;

/* The mixer of the card that the playback DEVICE is on; ELEMENT is the name of
 * the control (NULL: Master, PCM, Speaker, Headphone, or the first there is).
 * Strings are copied; nothing is opened yet. 0 or -ENOMEM. */
int mixer_new(struct mixer **ret, const char *device, const char *element);
/* Puts the volume back. Takes NULL; returns NULL. */
struct mixer *mixer_free(struct mixer *mixer);

/* Sets the volume to PERCENT of the control's range, having noted the old one
 * in a file. Failures are logged once until it works: a page sounds anyway. */
void mixer_set(struct mixer *mixer, unsigned percent);
/* Puts the noted volume back; nothing when there is none. */
void mixer_restore(struct mixer *mixer);

/* Puts back what clients noted that are no longer there. */
void mixer_restore_left_over(void);
