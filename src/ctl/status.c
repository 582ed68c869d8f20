/* SPDX-License-Identifier: MIT
 * status, clients, zones: print one call's result, for people or programs. */
#include <inttypes.h>

#include "base/log.h"
#include "base/util.h"
#include "ctl/bus.h"

/* --- for people --- */

static void print_zones(const struct value *zones)
{
	printf("%-24s %8s\n", "ZONE", "CLIENTS");
	for (size_t i = 0; i < zones->count; i++)
		printf("%-24s %8" PRIu64 "\n",
		       value_string(&zones->items[i], "name"),
		       value_natural(&zones->items[i], "clients"));
}

/* "3 d 04:05:06" */
static const char *duration_text(double seconds, char text[32])
{
	uint64_t s = seconds > 0 ? (uint64_t)seconds : 0;

	if (s >= 86400)
		snprintf(text, 32,
			 "%" PRIu64 " d %02" PRIu64 ":%02" PRIu64 ":%02" PRIu64,
			 s / 86400, s / 3600 % 24, s / 60 % 60, s % 60);
	else
		snprintf(text, 32, "%02" PRIu64 ":%02" PRIu64 ":%02" PRIu64,
			 s / 3600, s / 60 % 60, s % 60);
	return text;
}

static void print_clients(const struct value *clients)
{
	printf("%-40s %-16s %-16s %-16s %-7s %s\n", "CLIENT", "IDENTITY",
	       "ZONE", "CONNECTED", "STATE", "SKIPS");
	for (size_t i = 0; i < clients->count; i++) {
		const struct value *c = &clients->items[i];
		const char *identity = value_string(c, "identity");
		char text[32];

		printf("%-40s %-16s %-16s %-16s %-7s %" PRIu64 "\n",
		       value_string(c, "peer"), *identity ? identity : "-",
		       value_string(c, "zone"),
		       duration_text(value_real(c, "connected_seconds"), text),
		       value_boolean(c, "on_air") ? "on air" : "waits",
		       value_natural(c, "skips"));
	}
}

static void print_page(const struct value *page)
{
	printf("Page %" PRIu64 ": %s, %s, priority %" PRId64 ", zones",
	       value_natural(page, "id"), value_string(page, "source"),
	       value_string(page, "state"), value_integer(page, "priority"));
	value_print_words(value_get(page, "zones"));
	printf(", %.1f s", value_real(page, "seconds"));
	if (value_get(page, "planned_seconds"))
		printf(" of %.1f s", value_real(page, "planned_seconds"));
	printf(", %" PRIu64 " clients, %" PRIu64 " lost, %" PRIu64
	       " overruns\n",
	       value_natural(page, "clients"), value_natural(page, "lost"),
	       value_natural(page, "overruns"));
}

static void print_status(const struct value *status)
{
	const struct value *pages = value_get(status, "pages");
	const struct value *zones = value_get(status, "zones");

	printf("intercom-server %s: device '%s', %s, %" PRIu64 " Hz, %" PRIu64
	       " channels, mode %s\n",
	       value_string(status, "version"), value_string(status, "device"),
	       value_string(status, "format"), value_natural(status, "rate"),
	       value_natural(status, "channels"), value_string(status, "mode"));
	printf("%" PRIu64 " pages so far; %" PRIu64
	       " clients are connected, %" PRIu64 " came\n",
	       value_natural(status, "pages_begun"),
	       value_natural(status, "clients"),
	       value_natural(status, "accepted"));
	printf("turned away: %" PRIu64 " too many, %" PRIu64
	       " too many from one address, %" PRIu64 " without a key, %" PRIu64
	       " that sent data, %" PRIu64 " that took too little\n",
	       value_natural(status, "refused"),
	       value_natural(status, "refused_address"),
	       value_natural(status, "unproven"),
	       value_natural(status, "abused"), value_natural(status, "stuck"));
	for (size_t i = 0; pages && i < pages->count; i++)
		print_page(&pages->items[i]);
	if (zones)
		print_zones(zones);
}

/* --- the commands --- */

/* Shows what METHOD returns, or its item KEY unless that is NULL. */
static int show(struct ctl *ctl, const char *method, const char *key,
		void (*print)(const struct value *value))
{
	_cleanup_(value_clear) struct value all = {0};
	const struct value *value = &all;
	int status = ctl_read(ctl, method, &all);

	if (status != CTL_DONE)
		return status;
	if (key)
		value = value_get(&all, key);
	if (!value) {
		log_error("The server's status has no %s", key);
		return CTL_FAILED;
	}
	if (ctl->json) {
		value_print_json(stdout, value);
		putchar('\n');
	} else {
		print(value);
	}
	return ctl_flush();
}

int ctl_status(struct ctl *ctl)
{
	return show(ctl, "Status", NULL, print_status);
}

int ctl_clients(struct ctl *ctl)
{
	return show(ctl, "Clients", NULL, print_clients);
}

int ctl_zones(struct ctl *ctl)
{
	return show(ctl, "Status", "zones", print_zones);
}
