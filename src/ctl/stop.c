/* SPDX-License-Identifier: MIT
 * stop: ends every page, or those given by number. */
#include <inttypes.h>

#include "base/options.h"
#include "base/util.h"
#include "ctl/bus.h"

static int stop_one(struct ctl *ctl, uint32_t id, uint32_t *ret_count)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
	int status = ctl_call(ctl, &reply, "Stop", "u", id), r;

	if (status != CTL_DONE)
		return status;
	r = sd_bus_message_read(reply, "u", ret_count);
	return r < 0 ? ctl_failed("The server's answer cannot be read", r)
		     : CTL_DONE;
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
	if (status != CTL_DONE)
		return status;
	printf("%" PRIu32 " page%s ended\n", ended, plural_s(ended));
	return ctl_flush();
}
