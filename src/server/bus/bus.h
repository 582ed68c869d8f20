/* SPDX-License-Identifier: MIT
 * The D-Bus face of a server: methods to server calls, what happens to
 * signals and properties. An observer and a user of its calls, nothing more. */
#pragma once

#include <systemd/sd-event.h>

#include "server/server.h"

enum server_bus_kind { SERVER_BUS_NONE, SERVER_BUS_SYSTEM, SERVER_BUS_USER };

struct server_bus;

/* Connects to the bus in the background and goes on trying when there is none:
 * neither accepting nor sound ever waits for it. With SERVER_BUS_NONE *ret is
 * NULL. 0 or negative errno. */
int server_bus_new(struct server_bus **ret, sd_event *event,
		   struct server *server, enum server_bus_kind kind);
/* Takes NULL; returns NULL. */
struct server_bus *server_bus_free(struct server_bus *bus);
