/* SPDX-License-Identifier: MIT
 * The terminal of the person at the microphone: commands on standard input, a
 * display on standard output. Runs in the loop. */
#pragma once

#include <systemd/sd-event.h>

#include "server/server.h"

struct console;

enum console_meter { CONSOLE_PLAIN, CONSOLE_METER };

/* Obeys lines from standard input; at its end, or on "quit", the loop exits
 * after the pages in progress. Unless log_is_quiet(), shows events as lines
 * and, on a terminal, a status line below. SERVER must outlive the console. 0
 * or negative errno. */
int console_new(struct console **ret, sd_event *event, struct server *server,
		enum console_meter meter);
/* Takes NULL; returns NULL. */
struct console *console_free(struct console *console);
