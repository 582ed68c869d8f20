/* SPDX-License-Identifier: MIT
 * The microphone's level, without a page: --test. */
#pragma once

#include "audio/microphone.h"

enum soundcheck_display { SOUNDCHECK_SHOW, SOUNDCHECK_QUIET };

/* Captures for SECONDS as a page does and prints the level to stdout. 0; or
 * negative errno after logging what is wrong: -ENODATA when there was nothing
 * but digital silence. */
int soundcheck_run(const struct microphone_config *config, double seconds,
		   enum soundcheck_display display);
