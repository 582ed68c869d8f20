/* SPDX-License-Identifier: MIT
 * Whether a card could be opened now, found out without opening its PCM: no
 * sound, no amplifier woken, nobody kept from it. May read ALSA's
 * configuration; to be called by the thread that opens PCMs, or before it
 * runs. */
#pragma once

#include "audio/pcm.h"

enum cardstate {
	/* dmix, a sound server or another plug-in: only opening would tell. */
	CARDSTATE_UNKNOWN,
	CARDSTATE_READY,
	CARDSTATE_BUSY, /* all of its subdevices are open, by whomever */
	CARDSTATE_MISSING,
};

/* Of DEVICE, as for pcm_open(). */
enum cardstate cardstate_look(const char *device, enum pcm_direction direction);

/* When a program starts: logs that DEVICE is missing, if it is. Its name may be
 * wrong, and otherwise the first page would tell. */
void cardstate_warn(const char *device, enum pcm_direction direction);
