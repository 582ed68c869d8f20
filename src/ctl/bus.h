/* SPDX-License-Identifier: MIT
 * How intercomctl reaches a server, and what it says when it cannot. */
#pragma once

#include <systemd/sd-event.h>

#include "ctl/ctl.h"
#include "ctl/value.h"

/* Connects ctl->bus. An exit status. */
int ctl_connect(struct ctl *ctl);

/* Calls a method and waits; TYPES and what follows are its arguments, as for
 * sd_bus_call_method(). An exit status; on CTL_DONE *ret_reply is the
 * caller's. */
int ctl_call(struct ctl *ctl, sd_bus_message **ret_reply, const char *method,
	     const char *types, ...);
/* What Status() returns, into an empty *RET, which the caller clears in any
 * case. An exit status. */
int ctl_read_status(struct ctl *ctl, struct value *ret);

/* Says why a call failed; the exit status that belongs to it. */
int ctl_refused(const struct ctl *ctl, const sd_bus_error *error);
/* The same for an errno of our own. */
int ctl_failed(const char *what, int r);
/* Makes sure that all output is written. An exit status. */
int ctl_flush(void);

/* Makes the loop, with the bus in it: ON_INTERRUPT is called for SIGINT,
 * SIGTERM and SIGHUP, ON_SIGNAL for every signal of the server, and ON_GONE
 * when it leaves the bus. 0 or negative errno; *ret is the caller's, also on
 * error if it is not NULL. */
int ctl_follow(struct ctl *ctl, sd_event **ret,
	       sd_event_signal_handler_t on_interrupt,
	       sd_bus_message_handler_t on_signal,
	       sd_bus_message_handler_t on_gone, void *userdata);
