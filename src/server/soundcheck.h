/* SPDX-License-Identifier: MIT
 * The microphone's level, without a page: --test. */
#pragma once

#include "audio/microphone.h"

/* Captures for SECONDS as a page does and prints the level to stdout, unless
 * log_is_quiet(). 0; or negative errno after logging what is wrong: -ENODATA
 * when there was nothing but digital silence. */
int soundcheck_run(const struct microphone_config *config, double seconds);
