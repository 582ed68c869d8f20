/* SPDX-License-Identifier: MIT
 * status, clients, zones: print one call's result, for people or programs. */
#include <inttypes.h>
#include <string.h>

#include "base/log.h"
#include "base/util.h"
#include "ctl/bus.h"
#include "ctl/missing.h"

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

/* The width of a column: its longest text's. An empty column has no title. */
static int width_of(const struct value *list, const char *key,
		    const char *title)
{
	size_t width = 0;

	for (size_t i = 0; i < list->count; i++)
		width = MAX(width, strlen(value_string(&list->items[i], key)));
	return (int)(width ? MAX(width, strlen(title)) : 0);
}

static void print_sync(const struct value *heard, const char *who)
{
	if (value_get(heard, "sync_us"))
		printf(", %swithin %" PRIu64 " us", who,
		       value_natural(heard, "sync_us"));
}

/* What it said of the last page that it was sent. */
static void print_last_receipt(const struct value *client)
{
	const char *heard = value_string(client, "heard");
	const char *reason = value_string(client, "reason");

	if (!value_get(client, "last_page"))
		return;
	printf(", page %" PRIu64 ": %s", value_natural(client, "last_page"),
	       strcmp(heard, "all") == 0 ? "heard all" : reason);
	print_sync(client, "in step ");
}

/* Columns are as wide as their texts, so that a line fits a terminal. */
static void print_clients(const struct value *clients)
{
	const int peer = width_of(clients, "peer", "CLIENT");
	const int identity = width_of(clients, "identity", "IDENTITY");
	const int zone = width_of(clients, "zone", "ZONE");

	printf("%-*s %-*s%s%-*s %-12s %s\n", peer, "CLIENT", identity,
	       identity ? "IDENTITY" : "", identity ? " " : "", zone, "ZONE",
	       "CONNECTED", "STATE");
	for (size_t i = 0; i < clients->count; i++) {
		const struct value *c = &clients->items[i];
		const uint64_t skips = value_natural(c, "skips");
		const char *card = value_string(c, "card");
		char text[32];

		printf("%-*s %-*s%s%-*s %-12s %s", peer,
		       value_string(c, "peer"), identity,
		       value_string(c, "identity"), identity ? " " : "", zone,
		       value_string(c, "zone"),
		       duration_text(value_real(c, "connected_seconds"), text),
		       value_boolean(c, "on_air") ? "on air" : "waits");
		if (skips)
			printf(", %" PRIu64 " skip%s", skips, plural_s(skips));
		if (strcmp(card, "busy") == 0 || strcmp(card, "missing") == 0)
			printf(", card %s", card);
		print_last_receipt(c);
		putchar('\n');
	}
}

static void print_page(const struct value *page)
{
	const struct value *zones = value_get(page, "zones");
	const uint64_t clients = value_natural(page, "clients");
	const uint64_t lost = value_natural(page, "lost");
	const uint64_t overruns = value_natural(page, "overruns");

	printf("Page %" PRIu64 ": %s, %s, priority %" PRId64 ", zone%s",
	       value_natural(page, "id"), value_string(page, "source"),
	       value_string(page, "state"), value_integer(page, "priority"),
	       plural_s(zones ? zones->count : 0));
	value_print_words(zones);
	printf("\n  %.1f s", value_real(page, "seconds"));
	if (value_get(page, "planned_seconds"))
		printf(" of %.1f s", value_real(page, "planned_seconds"));
	printf(", %" PRIu64 " client%s", clients, plural_s(clients));
	if (lost)
		printf(", %" PRIu64 " lost", lost);
	if (overruns)
		printf(", %" PRIu64 " overrun%s", overruns, plural_s(overruns));
	putchar('\n');
}

static void print_turned_away(const struct value *status)
{
	static const struct {
		const char *key, *text;
	} kinds[] = {
	    {"refused", "turned away: too many"},
	    {"refused_address", "turned away: too many from one address"},
	    {"unproven", "turned away: without a key"},
	    {"abused", "dropped: sent data"},
	    {"stuck", "dropped: took too little"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		const uint64_t count = value_natural(status, kinds[i].key);

		if (count)
			printf("%" PRIu64 " %s\n", count, kinds[i].text);
	}
}

static void print_missing(const struct value *missing)
{
	for (size_t i = 0; missing && i < missing->count; i++) {
		fputs("missing: ", stdout);
		missing_print(&missing->items[i]);
		putchar('\n');
	}
}

/* Without names: status is for everybody. */
static void print_last_heard(const struct value *heard)
{
	static const struct {
		const char *key, *text;
	} kinds[] = {
	    {"heard_all", "heard all of it"},
	    {"heard_partly", "heard a part"},
	    {"unheard", "heard nothing"},
	    {"unreported", "did not tell"},
	};
	const char *separator = ": ";

	printf("Page %" PRIu64, value_natural(heard, "id"));
	if (value_natural(heard, "total") == 0)
		printf(": no loudspeaker was on the air");
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		const uint64_t count = value_natural(heard, kinds[i].key);

		if (count == 0)
			continue;
		printf("%s%" PRIu64 " %s", separator, count, kinds[i].text);
		separator = ", ";
	}
	/* Others may have played it out of step, and say nothing. */
	print_sync(heard, "those in step ");
	putchar('\n');
}

static void print_status(const struct value *status)
{
	const struct value *heard = value_get(status, "last_heard");
	const struct value *pages = value_get(status, "pages");
	const struct value *zones = value_get(status, "zones");
	const uint64_t channels = value_natural(status, "channels");
	const uint64_t begun = value_natural(status, "pages_begun");
	const uint64_t accepted = value_natural(status, "accepted");
	const uint64_t clients = value_natural(status, "clients");

	printf("intercom-server %s, mode %s\n"
	       "Microphone '%s': %s, %" PRIu64 " Hz, %" PRIu64 " channel%s\n",
	       value_string(status, "version"), value_string(status, "mode"),
	       value_string(status, "device"), value_string(status, "format"),
	       value_natural(status, "rate"), channels, plural_s(channels));
	printf("%" PRIu64 " page%s and %" PRIu64
	       " connection%s so far; %" PRIu64 " client%s now\n",
	       begun, plural_s(begun), accepted, plural_s(accepted), clients,
	       plural_s(clients));
	print_missing(value_get(status, "missing"));
	print_turned_away(status);
	for (size_t i = 0; pages && i < pages->count; i++)
		print_page(&pages->items[i]);
	if (heard)
		print_last_heard(heard);
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
