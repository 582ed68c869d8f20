/* SPDX-License-Identifier: MIT
 * Whether a loudspeaker's card could play now, found out without opening it for
 * playback: no sound, no amplifier woken, nobody kept from it. May read ALSA's
 * configuration; to be called by the thread that opens PCMs. */
#pragma once

enum cardstate {
	/* dmix, a sound server or another plug-in: only opening would tell. */
	CARDSTATE_UNKNOWN,
	CARDSTATE_READY,
	CARDSTATE_BUSY, /* all of its subdevices are open, by whomever */
	CARDSTATE_MISSING,
};

/* Of DEVICE, as for pcm_open(), for playback. */
enum cardstate cardstate_look(const char *device);
