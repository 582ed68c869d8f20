/* SPDX-License-Identifier: MIT
 * The command line of intercom-server as one struct. */
#pragma once

#include <stdbool.h>

#include "base/options.h"
#include "server/bus/bus.h"
#include "server/server.h"
#include "wire/net.h"

struct server_options {
	struct server_config config; /* without chime_fd and keys */
	struct option_list listen;   /* none: the default port */
	struct option_list expect;   /* "[ZONE=]N" */
	const char *chime_path;	     /* or NULL */
	const char *psk_path;	     /* or NULL */
	enum server_bus_kind bus;
	unsigned idle_exit_seconds; /* 0: never */
	double test_seconds;	    /* of the microphone, no server; 0: none */
	bool interactive, meter;
	bool sync;   /* --sync: config.page.sync_ms is not 0 */
	bool speech; /* narrows what the command line left open */
};

/* Fills *ret from the defaults and the command line; its strings are those of
 * ARGV. 1: go on; 0: --help, --version or -L is done; -EINVAL: the command line
 * is wrong, and the log says why. */
int server_options_parse(struct server_options *ret, int argc, char **argv);
/* Takes an item of expect apart. *RET_ZONE is "" when it names none. 0 or
 * -EINVAL. */
int server_options_expected(const char *text, char zone[NET_ZONE_SIZE],
			    unsigned *ret_count);
