/* SPDX-License-Identifier: MIT
 * Commands on standard input, and what the person at the microphone sees. */
#pragma once

#include <systemd/sd-event.h>

#include "server/server.h"

struct terminal;

struct terminal_config {
	enum { TERMINAL_PLAIN, TERMINAL_METER } meter;	/* -V */
	enum { TERMINAL_SHOW, TERMINAL_QUIET } display; /* -q */
};

/* Reads lines from standard input; at its end, or on "quit", the loop exits
 * after the pages in progress. The display is drawn on stdout, in place when
 * that is a terminal and a line an event when it is not. 0 or negative
 * errno. */
int terminal_new(struct terminal **ret, sd_event *event, struct server *server,
		 const struct terminal_config *config);
/* Takes NULL; returns NULL. */
struct terminal *terminal_free(struct terminal *terminal);
