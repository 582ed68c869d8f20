/* SPDX-License-Identifier: MIT
 * The terminal of the person at the microphone: commands on standard input, a
 * display on standard output. Runs in the loop. */
#pragma once

#include <systemd/sd-event.h>

#include "server/server.h"

struct console;

struct console_config {
	enum { CONSOLE_PLAIN, CONSOLE_METER } meter;  /* -V */
	enum { CONSOLE_SHOW, CONSOLE_QUIET } display; /* -q */
};

/* Obeys lines from standard input; at its end, or on "quit", the loop exits
 * after the pages in progress. Shows events as lines and, on a terminal, a
 * status line below. SERVER must outlive the console. 0 or negative errno. */
int console_new(struct console **ret, sd_event *event, struct server *server,
		const struct console_config *config);
/* Takes NULL; returns NULL. */
struct console *console_free(struct console *console);
