/* SPDX-License-Identifier: MIT
 * A virtual card (vcard.h) for the tests of one module, as "card", and as
 * "patient". */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Makes a folder with an asound.conf and points ALSA at it. Frame n of the
 * microphone (S16_LE, stereo) is the number n; it ends after FRAMES. */
void card_setup(uint32_t frames);
/* Removes the folder. */
void card_teardown(void);

/* Makes or removes a file in the card's control directory. */
void card_command(const char *name);
void card_revoke(const char *name);

/* Adds another device of that card, with more of its options, or anything else
 * to the asound.conf. */
void card_add(const char *name, const char *options);
__attribute__((format(printf, 1, 2))) void card_configure(const char *format,
							  ...);

/* The path of a file in the folder (valid until the next call but one), and up
 * to SIZE bytes of its contents. */
const char *card_path(const char *name);
size_t card_read(const char *name, void *buffer, size_t size);
/* Reads what the loudspeaker has played so far, up to SIZE bytes. */
size_t card_played(void *buffer, size_t size);
/* How often the card has logged EVENT: "open", "start", "xrun" .. */
unsigned card_count(const char *event);
