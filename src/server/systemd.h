/* SPDX-License-Identifier: MIT
 * Observes a server: tells systemd and the log about it, and its owner when
 * nobody uses it. Runs in the loop. */
#pragma once

#include <systemd/sd-event.h>

#include "server/server.h"

struct systemd;

/* LOG_PAGES: logs each page that begins or ends, with fields if the log is the
 * journal; SILENT: the console shows them. */
enum systemd_pages { SYSTEMD_LOG_PAGES, SYSTEMD_SILENT };

struct systemd_config {
	enum systemd_pages pages;
	unsigned idle_exit_seconds; /* 0: never */
	/* Called after so long without any client or page. */
	void (*on_idle)(void *userdata);
	void *userdata;
};

/* SERVER must outlive it. 0 or negative errno. */
int systemd_new(struct systemd **ret, sd_event *event, struct server *server,
		const struct systemd_config *config);
/* Takes NULL; returns NULL. */
struct systemd *systemd_free(struct systemd *systemd);

/* Tells systemd READY=1, and soon the first STATUS=. */
void systemd_ready(struct systemd *systemd);
