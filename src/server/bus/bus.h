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
/* Gives the name back, so that a call from now on goes to another server, and
 * calls ON_LEFT once, when all that came before is answered; at once if BUS is
 * NULL or not connected. At the latest after a second. */
void server_bus_leave(struct server_bus *bus, void (*on_left)(void *userdata),
		      void *userdata);
/* Takes NULL; returns NULL. */
struct server_bus *server_bus_free(struct server_bus *bus);
