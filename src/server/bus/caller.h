/* SPDX-License-Identifier: MIT
 * The pages that were asked for over the bus: who asked, and the answer that
 * is due when its microphone or file is open. Runs in the loop. */
#pragma once

#include <sys/queue.h>
#include <systemd/sd-bus.h>

#include "server/bus/request.h"
#include "server/server.h"

struct bus_page;

struct bus_pages {
	struct server *server; /* borrowed */
	TAILQ_HEAD(, bus_page) list;
};

void bus_pages_init(struct bus_pages *pages, struct server *server);
/* Forgets all; their answers are not sent. */
void bus_pages_clear(struct bus_pages *pages);

/* A method handler: answers MESSAGE now or later. */
int bus_pages_begin(struct bus_pages *pages, sd_bus_message *message,
		    enum bus_request_kind kind, sd_bus_error *error);
/* To be called first when a page enters a state. */
void bus_pages_on_page(struct bus_pages *pages, const struct page_info *info);
/* The connection is gone, and with it every caller. */
void bus_pages_on_disconnected(struct bus_pages *pages);

/* The highest sample of about the last tenth of a second, 0.0 .. 1.0. */
double bus_pages_peak(struct bus_pages *pages, uint32_t id);
