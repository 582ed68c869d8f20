/* SPDX-License-Identifier: MIT
 * The volume of a card: set for a page and restored after it, by the next
 * client if this one crashes. The calls talk to the card and the disk, in the
 * loop's thread. With audio/pcm.c the only module that knows asoundlib. */
#pragma once

struct mixer;

/* For the card of the playback DEVICE; ELEMENT names the control (NULL: Master,
 * PCM, Speaker, Headphone, or the first with a playback volume). Strings are
 * copied; nothing is opened yet. 0 or -ENOMEM. */
int mixer_new(struct mixer **ret, const char *device, const char *element);
/* Restores the volume and frees. Takes NULL; returns NULL. */
struct mixer *mixer_free(struct mixer *mixer);

/* Notes the volume in a file and sets it to PERCENT of the control's range;
 * does nothing if it is set already. A failure is only logged, and once while
 * it stays the same: the page sounds anyway. */
void mixer_set(struct mixer *mixer, unsigned percent);
/* Restores the noted volume; does nothing if none is noted. */
void mixer_restore(struct mixer *mixer);

/* Restores the volumes that crashed clients have noted. */
void mixer_restore_left_over(void);
