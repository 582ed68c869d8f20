/* SPDX-License-Identifier: MIT
 * Parses the command line of intercom-client into one struct. */
#pragma once

#include "client/configuration.h"

/* Fills *ret from the defaults and the command line; its strings point into
 * ARGV, its keys are not loaded. Returns 1 to go on, 0 when the program has
 * done what was asked (--help, --version, -L), or -EINVAL after logging what is
 * wrong. */
int client_options_parse(struct client_config *ret, int argc, char **argv);
