/* SPDX-License-Identifier: MIT
 * The state of a server as D-Bus values. Only reads. All return 0 or positive,
 * or negative errno. */
#pragma once

#include <systemd/sd-bus.h>

#include "server/server.h"

/* aa{sv}: a dictionary for each item of the property "Zones", "Clients" or
 * "Pages". org.alsaintercom1(5) lists the keys. */
int bus_status_append_list(sd_bus_message *message, const struct server *server,
			   const char *property);
/* a{sv}: everything. */
int bus_status_append_all(sd_bus_message *message, const struct server *server);
/* as: the names of ZONES, a bit each. */
int bus_status_append_zone_names(sd_bus_message *message,
				 const struct server *server, uint64_t zones);
