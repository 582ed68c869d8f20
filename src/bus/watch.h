/* SPDX-License-Identifier: MIT
 * Reports when a program leaves the bus. Unlike sd_bus_track it never makes a
 * blocking call. Runs in the loop. */
#pragma once

#include <systemd/sd-bus.h>

struct bus_watch;

/* Watches NAME, a unique name (":1.7"). Calls ON_GONE(userdata) once, never
 * from within this call; ON_GONE may free the watch. 0 or negative errno. */
int bus_watch_new(struct bus_watch **ret, sd_bus *bus, const char *name,
		  void (*on_gone)(void *userdata), void *userdata);
/* Takes NULL; returns NULL. */
struct bus_watch *bus_watch_free(struct bus_watch *watch);
