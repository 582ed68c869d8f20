/* SPDX-License-Identifier: MIT
 * A timer of the loop, off until it is set and after each call. */
#pragma once

#include <systemd/sd-event.h>

/* *ret starts as NULL; the caller frees it, also on error. 0 or negative errno.
 */
int timer_new(sd_event_source **ret, sd_event *event,
	      sd_event_time_handler_t on_time, void *userdata);
/* Sets it to USEC (CLOCK_MONOTONIC): one call then, or up to 20 ms later. */
void timer_set(sd_event_source *timer, uint64_t usec);
/* Sets it to DELAY_USEC from now, unless it is set already. */
void timer_start(sd_event_source *timer, uint64_t delay_usec);
void timer_stop(sd_event_source *timer);
