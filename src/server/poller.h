/* SPDX-License-Identifier: MIT
 * Waits for many sockets on behalf of an sd-event loop, which itself looks at
 * every socket that is ready before it serves one: with thousands that is all
 * that it does. Runs in the loop. */
#pragma once

#include <stdint.h>
#include <systemd/sd-event.h>

struct poller;

/* One descriptor; embedded in what it belongs to. */
struct poller_watch {
	int fd;
	void (*on_ready)(void *userdata, uint32_t events); /* EPOLLIN etc. */
	void *userdata;
};

/* 0 or negative errno. */
int poller_new(struct poller **ret, sd_event *event);
/* After the last watch is removed. Takes NULL; returns NULL. */
struct poller *poller_free(struct poller *poller);

/* WATCH stays where it is until it is removed; its descriptor remains the
 * caller's. 0 or negative errno. */
int poller_add(struct poller *poller, struct poller_watch *watch,
	       uint32_t events);
int poller_change(struct poller *poller, struct poller_watch *watch,
		  uint32_t events);
/* From now on it is not called, also when this is done in another's call. */
void poller_remove(struct poller *poller, struct poller_watch *watch);
