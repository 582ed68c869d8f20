/* SPDX-License-Identifier: MIT
 * The arguments of Talk and Play: read, bounded, and refused by name. */
#pragma once

#include <systemd/sd-bus.h>

#include "server/server.h"

enum bus_request_kind { BUS_REQUEST_TALK, BUS_REQUEST_PLAY };

/* What becomes of the page when its caller leaves the bus. */
enum bus_request_orphan {
	BUS_REQUEST_STOP_WAITING, /* stopped if it has not begun */
	BUS_REQUEST_STOP_ALWAYS,  /* has no end of its own */
	BUS_REQUEST_KEEP,	  /* the caller said so */
};

struct bus_request {
	struct page_request page;
	enum bus_request_orphan orphan;
};

/* The page's descriptors are the caller's on success. On failure negative
 * errno, and ERROR is set. */
int bus_request_read(struct bus_request *ret, sd_bus_message *message,
		     enum bus_request_kind kind, const struct server *server,
		     sd_bus_error *error);
