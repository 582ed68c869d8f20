/* SPDX-License-Identifier: MIT
 * Waits for thousands of sockets on behalf of an sd-event loop. The loop itself
 * looks at every ready source before it serves one, which takes too long with
 * so many. Runs in the loop. */
#pragma once

#include <stdint.h>
#include <systemd/sd-event.h>

struct poller;

/* One descriptor; embedded in its owner. */
struct poller_watch {
	int fd;
	void (*on_ready)(void *userdata, uint32_t events); /* EPOLLIN etc. */
	void *userdata;
};

/* 0 or negative errno. */
int poller_new(struct poller **ret, sd_event *event);
/* Serves one batch in INTERVAL_USEC at most, for sockets that are in no hurry:
 * so they wake the loop less often. 0 or negative errno. */
int poller_slow_down(struct poller *poller, uint64_t interval_usec);
/* To be called when all watches are removed. Takes NULL; returns NULL. */
struct poller *poller_free(struct poller *poller);

/* Waits for input. WATCH must not move until it is removed; the caller keeps
 * the descriptor. 0 or negative errno. */
int poller_add(struct poller *poller, struct poller_watch *watch);
/* Waits for EVENTS, those of epoll. 0 or negative errno. */
int poller_change(struct poller *poller, struct poller_watch *watch,
		  uint32_t events);
/* WATCH is not called any more, even if it is removed while another one is
 * being called. */
void poller_remove(struct poller *poller, struct poller_watch *watch);
