/* SPDX-License-Identifier: MIT
 * How intercomctl reaches a server, and what it says when it cannot. */
#pragma once

#include <systemd/sd-event.h>

#include "ctl/ctl.h"

/* Connects ctl->bus. An exit status. */
int ctl_connect(struct ctl *ctl);

/* Calls a method without arguments and waits. An exit status; on CTL_DONE
 * *ret_reply is the caller's. */
int ctl_call(struct ctl *ctl, const char *method, sd_bus_message **ret_reply);

/* Says why a call failed; the exit status that belongs to it. */
int ctl_refused(const struct ctl *ctl, const sd_bus_error *error);
/* The same for an errno of our own. */
int ctl_failed(const char *what, int r);

/* Calls ON_SIGNAL for every signal of the server, and ON_GONE when it leaves
 * the bus. 0 or negative errno. */
int ctl_follow(struct ctl *ctl, sd_bus_message_handler_t on_signal,
	       sd_bus_message_handler_t on_gone, void *userdata);

/* SIGINT, SIGTERM and SIGHUP come to HANDLER. 0 or negative errno. */
int ctl_catch_signals(sd_event *event, sd_event_signal_handler_t handler,
		      void *userdata);
