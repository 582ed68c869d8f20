/* SPDX-License-Identifier: MIT
 * check: the server's word on who is missing, as a plug-in of Nagios, Icinga
 * and their like: one line, and their exit statuses. */
#include <inttypes.h>
#include <string.h>

#include "base/log.h"
#include "base/util.h"
#include "ctl/bus.h"
#include "ctl/missing.h"

enum { CHECK_OK, CHECK_WARNING, CHECK_CRITICAL, CHECK_UNKNOWN };

enum { NAMES_MAX = 10 };

/* Those that run plug-ins wait for 10 s (NRPE) or more. */
#define CALL_USEC (8 * USEC_PER_SEC)

struct count {
	uint64_t missing, connected, expected;
	bool expected_known; /* of zones of a server with keys it is not */
	int state;
};

static int unknown(const char *why)
{
	printf("UNKNOWN - %s\n", why);
	(void)ctl_flush();
	return CHECK_UNKNOWN;
}

/* --- of which zones --- */

static bool is_wanted(const struct ctl *ctl, const char *zone)
{
	for (unsigned i = 0; i < ctl->zones.count; i++)
		if (strcmp(ctl->zones.items[i], zone) == 0)
			return true;
	return ctl->zones.count == 0;
}

/* A loudspeaker that has not come since the server started may be missing from
 * any zone. */
static bool is_counted(const struct ctl *ctl, const struct value *entry)
{
	const char *zone = value_string(entry, "zone");

	return !*zone || is_wanted(ctl, zone);
}

static const struct value *find_zone(const struct value *status,
				     const char *name)
{
	const struct value *zones = value_get(status, "zones");

	for (size_t i = 0; zones && i < zones->count; i++)
		if (strcmp(value_string(&zones->items[i], "name"), name) == 0)
			return &zones->items[i];
	return NULL;
}

/* The number of the first wanted zone that does not exist; or how many are
 * wanted, if all do. */
static unsigned wrong_zone(const struct ctl *ctl, const struct value *status)
{
	unsigned i = 0;

	while (i < ctl->zones.count && find_zone(status, ctl->zones.items[i]))
		i++;
	return i;
}

/* --- counting --- */

static void count_missing(const struct ctl *ctl, const struct value *missing,
			  struct count *count)
{
	for (size_t i = 0; missing && i < missing->count; i++) {
		const struct value *entry = &missing->items[i];

		if (!is_counted(ctl, entry))
			continue;
		count->missing += value_natural(entry, "count");
		/* Somebody plays on it, and may be the loudspeaker's owner. */
		count->state =
		    MAX(count->state,
			strcmp(value_string(entry, "why"), "card-busy") == 0
			    ? CHECK_WARNING
			    : CHECK_CRITICAL);
	}
}

static void count_zones(const struct ctl *ctl, const struct value *status,
			struct count *count)
{
	for (unsigned i = 0; i < ctl->zones.count; i++) {
		const struct value *zone =
		    find_zone(status, ctl->zones.items[i]);

		count->connected += value_natural(zone, "clients");
		count->expected += value_natural(zone, "expected");
	}
	count->expected_known = count->expected > 0;
}

static struct count count_all(const struct ctl *ctl, const struct value *status)
{
	struct count count = {.state = CHECK_OK};

	count_missing(ctl, value_get(status, "missing"), &count);
	if (ctl->zones.count > 0) {
		count_zones(ctl, status, &count);
		return count;
	}
	count.connected = value_natural(status, "present");
	count.expected = value_natural(status, "expected");
	count.expected_known = true;
	return count;
}

/* --- telling --- */

static void print_names(const struct ctl *ctl, const struct value *missing)
{
	unsigned told = 0, rest = 0;

	for (size_t i = 0; i < missing->count; i++) {
		if (!is_counted(ctl, &missing->items[i]))
			continue;
		if (told == NAMES_MAX) {
			rest++;
			continue;
		}
		fputs(told++ ? ", " : ": ", stdout);
		missing_print(&missing->items[i]);
	}
	if (rest)
		printf(" and %u more", rest);
}

static void print_data(const struct count *count)
{
	printf("|missing=%" PRIu64 ";;0;0", count->missing);
	if (count->expected_known)
		printf(";%" PRIu64, count->expected);
	printf(" connected=%" PRIu64 ";;;0", count->connected);
	if (count->expected_known)
		printf(";%" PRIu64, count->expected);
	putchar('\n');
}

static void print_counts(const char *state, const struct count *count)
{
	printf("%s - %" PRIu64, state, count->connected);
	if (count->expected_known)
		printf(" of %" PRIu64, count->expected);
	printf(" loudspeaker%s connected",
	       plural_s(count->expected_known ? count->expected
					      : count->connected));
}

static int tell(const struct ctl *ctl, const struct value *status)
{
	static const char *const states[] = {"OK", "WARNING", "CRITICAL"};
	const struct count count = count_all(ctl, status);
	const bool starting =
	    strcmp(value_string(status, "roll_call"), "starting") == 0;
	const bool complete =
	    count.expected_known && count.connected >= count.expected;

	/* It does not know yet: that takes 100 s. */
	if (count.state == CHECK_OK && starting && !complete) {
		print_counts("UNKNOWN", &count);
		fputs(", the server has only just started", stdout);
		print_data(&count);
		return CHECK_UNKNOWN;
	}
	print_counts(states[count.state], &count);
	printf(", %" PRIu64 " missing", count.missing);
	if (count.missing)
		print_names(ctl, value_get(status, "missing"));
	print_data(&count);
	return count.state;
}

static int ask(struct ctl *ctl, struct value *ret)
{
	int status = ctl_connect(ctl);

	if (status != CTL_DONE)
		return status;
	(void)sd_bus_set_method_call_timeout(ctl->bus, CALL_USEC);
	return ctl_read(ctl, "Status", ret);
}

int ctl_check(struct ctl *ctl)
{
	_cleanup_(value_clear) struct value status = {0};
	unsigned wrong;
	char text[128];
	int state;

	/* Icinga takes the first line, of standard error as well. */
	log_set_level(LOG_CRIT);
	if (ask(ctl, &status) != CTL_DONE)
		return unknown("no server answers (intercomctl status tells "
			       "why)");
	if (!*value_string(&status, "roll_call") ||
	    strcmp(value_string(&status, "roll_call"), "off") == 0)
		return unknown("the server expects nobody: it needs --psk-file "
			       "or --expect");
	wrong = wrong_zone(ctl, &status);
	if (wrong < ctl->zones.count) {
		snprintf(text, sizeof(text), "there is no zone '%.64s'",
			 ctl->zones.items[wrong]);
		return unknown(text);
	}
	state = tell(ctl, &status);
	return ctl_flush() == CTL_DONE ? state : CHECK_UNKNOWN;
}
