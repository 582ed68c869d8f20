/* SPDX-License-Identifier: MIT
 * The D-Bus interface of a server, org.alsaintercom1(5): turns methods into
 * calls of the server, and its events into signals and properties. Runs in the
 * loop. */
#pragma once

#include <systemd/sd-event.h>

#include "server/server.h"

enum server_bus_kind { SERVER_BUS_NONE, SERVER_BUS_SYSTEM, SERVER_BUS_USER };

struct server_bus;

/* Connects to the bus in the background, and tries again as long as there is
 * none; the server works meanwhile. With SERVER_BUS_NONE *ret is NULL. SERVER
 * must outlive it. 0 or negative errno. */
int server_bus_new(struct server_bus **ret, sd_event *event,
		   struct server *server, enum server_bus_kind kind);
/* Takes NULL; returns NULL. */
struct server_bus *server_bus_free(struct server_bus *bus);
