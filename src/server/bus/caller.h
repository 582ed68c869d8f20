/* SPDX-License-Identifier: MIT
 * The pages that were requested over the bus: answers each caller when its page
 * begins, queues or fails, and stops pages of callers that leave. Runs in the
 * loop. */
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
/* Forgets all without an answer. */
void bus_pages_clear(struct bus_pages *pages);

/* Begins a page for the call MESSAGE: 1, it is answered later; or negative
 * errno, and sd-bus answers with ERROR. */
int bus_pages_begin(struct bus_pages *pages, sd_bus_message *message,
		    enum bus_request_kind kind, sd_bus_error *error);
/* To be called when a page enters a state, before its signals are sent. */
void bus_pages_on_page(struct bus_pages *pages, const struct page_info *info);
/* The connection is lost, and with it every caller. */
void bus_pages_on_disconnected(struct bus_pages *pages);

/* The highest sample since the last call, 0.0 to 1.0. Calls within 0.1 s share
 * the peak of a page in the list. */
double bus_pages_peak(struct bus_pages *pages, uint32_t id);
