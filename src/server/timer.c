/* SPDX-License-Identifier: MIT
 * Setting a timer can fail only for want of memory, which is ignored. */
#include "server/timer.h"

#include "base/util.h"

int timer_new(sd_event_source **ret, sd_event *event,
	      sd_event_time_handler_t on_time, void *userdata)
{
	int r = sd_event_add_time(event, ret, CLOCK_MONOTONIC, 0,
				  USEC_PER_SEC / 50, on_time, userdata);

	return r < 0 ? r : sd_event_source_set_enabled(*ret, SD_EVENT_OFF);
}

void timer_set(sd_event_source *timer, uint64_t usec)
{
	(void)sd_event_source_set_time(timer, usec);
	(void)sd_event_source_set_enabled(timer, SD_EVENT_ONESHOT);
}

void timer_start(sd_event_source *timer, uint64_t delay_usec)
{
	int enabled;

	if (sd_event_source_get_enabled(timer, &enabled) >= 0 &&
	    enabled == SD_EVENT_OFF)
		timer_set(timer, now_usec() + delay_usec);
}

void timer_stop(sd_event_source *timer)
{
	(void)sd_event_source_set_enabled(timer, SD_EVENT_OFF);
}
