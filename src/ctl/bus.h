/* SPDX-License-Identifier: MIT
 * How intercomctl calls a server, and reports that it cannot. */
#pragma once

#include <systemd/sd-event.h>

#include "ctl/ctl.h"
#include "ctl/value.h"

/* Connects ctl->bus. Returns an exit status. */
int ctl_connect(struct ctl *ctl);

/* Calls a method and waits for the reply. The arguments are as for
 * sd_bus_call_method(). Returns an exit status; on CTL_DONE the caller owns
 * *ret_reply. */
int ctl_call(struct ctl *ctl, sd_bus_message **ret_reply, const char *method,
	     const char *types, ...);
/* What METHOD, which takes no arguments, returns: into an empty *RET, which the
 * caller clears in any case. An exit status. */
int ctl_read(struct ctl *ctl, const char *method, struct value *ret);

/* Logs why a call failed. Returns the exit status for ERROR. */
int ctl_refused(const struct ctl *ctl, const sd_bus_error *error);
/* Logs "WHAT: " and the negative errno R. Returns CTL_FAILED. */
int ctl_failed(const char *what, int r);
/* Writes all buffered output. Returns an exit status. */
int ctl_flush(void);

/* Makes a loop and attaches the bus. Calls ON_INTERRUPT (or NULL) for SIGINT,
 * SIGTERM and SIGHUP, ON_SIGNAL for every signal of the server, and ON_GONE
 * when the server leaves the bus. 0 or negative errno. *ret must be NULL
 * before; the caller unrefs it, also on error. */
int ctl_follow(struct ctl *ctl, sd_event **ret,
	       sd_event_signal_handler_t on_interrupt,
	       sd_bus_message_handler_t on_signal,
	       sd_bus_message_handler_t on_gone, void *userdata);
