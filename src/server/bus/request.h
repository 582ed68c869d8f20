/* SPDX-License-Identifier: MIT
 * Reads and checks the arguments of Talk and Play. Errors name the culprit. */
#pragma once

#include <systemd/sd-bus.h>

#include "server/server.h"

enum bus_request_kind { BUS_REQUEST_TALK, BUS_REQUEST_PLAY };

/* Whether the page is stopped when its caller leaves the bus. */
enum bus_request_orphan {
	BUS_REQUEST_STOP_WAITING, /* only if it has not begun */
	BUS_REQUEST_STOP_ALWAYS,  /* always: it may have no end of its own */
	BUS_REQUEST_KEEP,	  /* never: the caller asked for that */
};

struct bus_request {
	struct page_request page;
	enum bus_request_orphan orphan;
};

/* 0: the descriptors in ret->page are the caller's. Negative errno: sd-bus
 * answers the call with ERROR if it is set, else with the errno. */
int bus_request_read(struct bus_request *ret, sd_bus_message *message,
		     enum bus_request_kind kind, const struct server *server,
		     sd_bus_error *error);
