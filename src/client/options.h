/* SPDX-License-Identifier: MIT
 * The command line of intercom-client as one struct. */
#pragma once

#include "client/client.h"

/* Fills *ret from the defaults and the command line. Returns 1 to go on; 0
 * when the program has done what was asked (--help, --version, -L); or -EINVAL
 * after a line that says what is wrong. */
int client_options_parse(struct client_config *ret, int argc, char **argv);
