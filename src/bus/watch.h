/* SPDX-License-Identifier: MIT
 * Tells when a program leaves the bus. Unlike sd_bus_track it never makes a
 * call that blocks. Runs in the loop. */
#pragma once

#include <systemd/sd-bus.h>

struct bus_watch;

/* NAME is a unique name (":1.7"). ON_GONE is called once, never from within
 * this call; it may free the watch. 0 or negative errno. */
int bus_watch_new(struct bus_watch **ret, sd_bus *bus, const char *name,
		  void (*on_gone)(void *userdata), void *userdata);
/* Takes NULL; returns NULL. */
struct bus_watch *bus_watch_free(struct bus_watch *watch);
