/* SPDX-License-Identifier: MIT
 * The command line of intercom-server as one struct. */
#pragma once

#include <stdbool.h>

#include "base/options.h"
#include "server/bus/bus.h"
#include "server/server.h"

struct server_options {
	struct server_config config; /* chime and keys are not yet loaded */
	struct option_list listen;   /* none: the default */
	const char *chime_path;	     /* or NULL */
	const char *psk_path;	     /* or NULL */
	enum server_bus_kind bus;
	unsigned idle_exit_seconds; /* 0: never */
	bool interactive, meter, quiet;
};

/* Fills *ret from the defaults and the command line. Returns 1 to go on; 0
 * when the program has done what was asked (--help, --version, -L); or -EINVAL
 * after a line that says what is wrong. */
int server_options_parse(struct server_options *ret, int argc, char **argv);
