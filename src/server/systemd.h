/* SPDX-License-Identifier: MIT
 * Tells systemd and the log what a server does, and ends a server that nobody
 * uses. An observer, nothing more. */
#pragma once

#include <systemd/sd-event.h>

#include "server/server.h"

struct systemd;

/* LOG_PAGES: a line for each page that begins or ends (with fields, when it
 * goes to the journal); else somebody else shows them. With IDLE_EXIT_SECONDS
 * above 0 the loop exits when there was neither client nor page for so long.
 * 0 or negative errno. */
enum systemd_pages { SYSTEMD_LOG_PAGES, SYSTEMD_SILENT };
int systemd_new(struct systemd **ret, sd_event *event, struct server *server,
		enum systemd_pages pages, unsigned idle_exit_seconds);
/* Takes NULL; returns NULL. */
struct systemd *systemd_free(struct systemd *systemd);

/* READY=1, and from now on STATUS=. */
void systemd_ready(struct systemd *systemd);
