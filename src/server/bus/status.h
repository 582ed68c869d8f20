/* SPDX-License-Identifier: MIT
 * Appends the state of a server to messages, which it only reads. All functions
 * return 0 or positive, or negative errno. */
#pragma once

#include <systemd/sd-bus.h>

#include "server/server.h"

/* aa{sv}: a dictionary for each item of PROPERTY: "Zones", "Clients" or "Pages"
 * (else -ENOENT). org.alsaintercom1(5) lists the keys. */
int bus_status_append_list(sd_bus_message *message, const struct server *server,
			   const char *property);
/* a{sv}: the whole state, the answer of Status. */
int bus_status_append_all(sd_bus_message *message, const struct server *server);
/* as: the names of ZONES, which has a bit for each. */
int bus_status_append_zone_names(sd_bus_message *message,
				 const struct server *server, uint64_t zones);
