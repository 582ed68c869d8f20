/* SPDX-License-Identifier: MIT
 * Appends the state of a server to messages, which it only reads. All functions
 * return 0 or positive, or negative errno. */
#pragma once

#include <systemd/sd-bus.h>

#include "server/server.h"

/* aa{sv}: a dictionary for each. org.alsaintercom1(5) lists the keys. */
int bus_status_append_zones(sd_bus_message *message,
			    const struct server *server);
int bus_status_append_missing(sd_bus_message *m, const struct server *server);
int bus_status_append_clients(sd_bus_message *message,
			      const struct server *server);
int bus_status_append_pages(sd_bus_message *message,
			    const struct server *server);
/* a{sv}: the answer of Status, which does not grow with the clients. */
int bus_status_append_all(sd_bus_message *message, const struct server *server);
/* a{sv}: HEARD with up to MAX loudspeakers, those that failed first. */
int bus_status_append_heard(sd_bus_message *message,
			    const struct ledger_list *heard, size_t max);
/* as: the names of ZONES, which has a bit for each. */
int bus_status_append_zone_names(sd_bus_message *message,
				 const struct server *server, uint64_t zones);

/* Of a member of the roll that is missing: its identity, "" for a zone; and
 * since when, in seconds since 1970. */
const char *bus_status_identity(const struct roll_member *member);
uint64_t bus_status_since(const struct roll_member *member);
