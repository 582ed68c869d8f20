/* SPDX-License-Identifier: MIT
 * Commands on standard input, and what the person at the microphone sees. */
#pragma once

#include <systemd/sd-event.h>

#include "server/server.h"

struct console;

struct console_config {
	enum { CONSOLE_PLAIN, CONSOLE_METER } meter;  /* -V */
	enum { CONSOLE_SHOW, CONSOLE_QUIET } display; /* -q */
};

/* Reads lines from standard input; at its end, or on "quit", the loop exits
 * after the pages in progress. The display is drawn on stdout, in place when
 * that is a terminal and a line an event when it is not. 0 or negative
 * errno. */
int console_new(struct console **ret, sd_event *event, struct server *server,
		const struct console_config *config);
/* Takes NULL; returns NULL. */
struct console *console_free(struct console *console);
