/* SPDX-License-Identifier: MIT
 * stop: every page, or those that are named. */
#include <inttypes.h>

#include "base/options.h"
#include "base/util.h"
#include "bus/names.h"
#include "ctl/bus.h"

static int stop_one(struct ctl *ctl, uint32_t id, uint32_t *ret_count)
{
	sd_bus_error error = SD_BUS_ERROR_NULL;
	sd_bus_message *reply = NULL;
	int status = CTL_DONE, r;

	r = sd_bus_call_method(ctl->bus, BUS_NAME, BUS_PATH, BUS_INTERFACE,
			       "Stop", &error, &reply, "u", id);
	if (r < 0)
		status = ctl_refused(ctl, &error);
	else if ((r = sd_bus_message_read(reply, "u", ret_count)) < 0)
		status = ctl_failed("The server's answer cannot be read", r);
	sd_bus_error_free(&error);
	sd_bus_message_unref(reply);
	return status;
}

int ctl_stop(struct ctl *ctl)
{
	uint32_t count = 0, ended = 0;
	int status = CTL_DONE;

	if (ctl->arg_count == 0)
		status = stop_one(ctl, 0, &ended);
	for (unsigned i = 0; i < ctl->arg_count && status == CTL_DONE; i++) {
		uint64_t id;

		if (option_integer("stop", ctl->args[i], 1, UINT32_MAX, &id) <
		    0)
			return CTL_USAGE;
		status = stop_one(ctl, (uint32_t)id, &count);
		ended += count;
	}
	if (status == CTL_DONE)
		printf("%" PRIu32 " page%s ended\n", ended,
		       ended == 1 ? "" : "s");
	return status;
}
