/* SPDX-License-Identifier: MIT
 * monitor: prints the server's events, one a line. */
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include "base/util.h"
#include "bus/names.h"
#include "ctl/bus.h"
#include "ctl/missing.h"

struct monitor {
	struct ctl *ctl;
	sd_event *event;
	char *zones; /* as last printed, to skip a change that shows nothing */
};

/* A signal, and the names of its arguments in JSON, in order. */
struct event_type {
	const char *member, *name;
	const char *fields[8]; /* NULL at the end */
};

static const struct event_type event_types[] = {
    {"PageStarted", "page_started", {"id", "zones", "chime_seconds", NULL}},
    {"PageSpeech", "page_speech", {"id", NULL}},
    {"PageEnded",
     "page_ended",
     {"id", "zones", "frames", "reached", "lost", "overruns", "reason", NULL}},
    {"PageHeard", "page_heard", {"id", "heard", NULL}},
    {"ClientMissing",
     "client_missing",
     {"identity", "zone", "count", "since", "why", NULL}},
    {"ClientBack", "client_back", {"identity", "zone", "since", NULL}},
};

/* --- a line --- */

static void print_time(const struct monitor *monitor)
{
	struct timespec now;
	struct tm tm;
	char text[64];

	clock_gettime(CLOCK_REALTIME, &now);
	if (monitor->ctl->json) {
		printf("{\"time\":%" PRId64 ".%06ld", (int64_t)now.tv_sec,
		       now.tv_nsec / 1000);
		return;
	}
	localtime_r(&now.tv_sec, &tm);
	strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm);
	printf("%s ", text);
}

static void end_line(struct monitor *monitor)
{
	int status;

	putchar('\n');
	status = ctl_flush();
	if (status != CTL_DONE)
		(void)sd_event_exit(monitor->event, status);
}

static void print_zones(const char *what, const struct value *event)
{
	const struct value *zones = value_get(event, "zones");

	printf("%s: zone%s", what, plural_s(zones ? zones->count : 0));
	value_print_words(zones);
}

static void print_roll(const char *name, const struct value *event)
{
	const bool back = strcmp(name, "client_back") == 0;

	if (!back) {
		fputs("missing: ", stdout);
		missing_print(event);
	} else if (*value_string(event, "identity")) {
		printf("back: %s", value_string(event, "identity"));
	} else {
		printf("back: all of zone %s", value_string(event, "zone"));
	}
}

static void print_plain(const char *name, const struct value *event)
{
	if (strncmp(name, "client_", 7) == 0) {
		print_roll(name, event);
		return;
	}
	printf("page %" PRIu64, value_natural(event, "id"));
	if (strcmp(name, "page_started") == 0) {
		print_zones(" started", event);
		if (value_real(event, "chime_seconds") > 0)
			printf(", chime %.1f s",
			       value_real(event, "chime_seconds"));
	} else if (strcmp(name, "page_speech") == 0) {
		printf(" on the air");
	} else if (strcmp(name, "page_heard") == 0) {
		const struct value *heard = value_get(event, "heard");

		printf(": %s", heard ? value_string(heard, "text") : "");
	} else {
		printf(" ended (%s)", value_string(event, "reason"));
		print_zones("", event);
		printf(", %" PRIu64 " frame%s, reached %" PRIu64 ", "
		       "lost %" PRIu64 ", overruns %" PRIu64,
		       value_natural(event, "frames"),
		       plural_s(value_natural(event, "frames")),
		       value_natural(event, "reached"),
		       value_natural(event, "lost"),
		       value_natural(event, "overruns"));
	}
}

/* --- the server's signals --- */

static int read_fields(struct value *ret, sd_bus_message *m,
		       const char *const *fields)
{
	int r = 0;

	for (size_t i = 0; fields[i] && r >= 0; i++)
		r = value_read_item(ret, m, fields[i]);
	return r;
}

static void print_page_event(struct monitor *monitor, sd_bus_message *m,
			     const struct event_type *type)
{
	_cleanup_(value_clear) struct value event = {0};

	if (read_fields(&event, m, type->fields) < 0)
		return;
	print_time(monitor);
	if (monitor->ctl->json) {
		printf(",\"event\":\"%s\",", type->name);
		value_print_members(stdout, &event);
		putchar('}');
	} else {
		print_plain(type->name, &event);
	}
	end_line(monitor);
}

/* ZONES as JSON, or as "lobby 3, yard 1". The caller frees it; NULL when out of
 * memory. */
static char *describe_zones(const struct monitor *monitor,
			    const struct value *zones)
{
	char *text = NULL;
	size_t size;
	FILE *file = open_memstream(&text, &size);

	if (!file)
		return NULL;
	if (monitor->ctl->json)
		value_print_json(file, zones);
	else
		for (size_t i = 0; i < zones->count; i++)
			fprintf(file, "%s%s %" PRIu64, i ? ", " : "",
				value_string(&zones->items[i], "name"),
				value_natural(&zones->items[i], "clients"));
	if (fclose(file) == 0)
		return text;
	free(text);
	return NULL;
}

/* ZONES may be NULL. */
static void print_zones_event(struct monitor *monitor,
			      const struct value *zones)
{
	_cleanup_free_ char *text =
	    zones ? describe_zones(monitor, zones) : NULL;

	if (!text || (monitor->zones && strcmp(text, monitor->zones) == 0))
		return;
	print_time(monitor);
	if (monitor->ctl->json)
		printf(",\"event\":\"clients\",\"zones\":%s}", text);
	else
		printf("clients: %s", text);
	end_line(monitor);
	free(monitor->zones);
	monitor->zones = TAKE_PTR(text);
}

static void print_properties(struct monitor *monitor, sd_bus_message *m)
{
	_cleanup_(value_clear) struct value changed = {0};
	const char *interface;

	if (sd_bus_message_read(m, "s", &interface) < 0 ||
	    strcmp(interface, BUS_INTERFACE) != 0)
		return;
	if (value_read(&changed, m) >= 0)
		print_zones_event(monitor, value_get(&changed, "Zones"));
}

static int on_signal(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct monitor *monitor = userdata;

	if (sd_bus_message_is_signal(m, "org.freedesktop.DBus.Properties",
				     "PropertiesChanged"))
		print_properties(monitor, m);
	for (size_t i = 0; i < ARRAY_SIZE(event_types); i++)
		if (sd_bus_message_is_signal(m, BUS_INTERFACE,
					     event_types[i].member))
			print_page_event(monitor, m, &event_types[i]);
	return 0;
}

/* Goes on, since the server may return: the matches are for its name. */
static int on_gone(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct monitor *monitor = userdata;

	print_time(monitor);
	fputs(monitor->ctl->json ? ",\"event\":\"server_gone\"}"
				 : "the server is gone",
	      stdout);
	end_line(monitor);
	return 0;
}

/* Not by the loop, which waits for whoever reads the lines. */
static void on_interrupt(int number)
{
	_exit(CTL_DONE);
}

/* --- the command --- */

static int set_up(struct monitor *monitor)
{
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
	sigset_t none;
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		signal(numbers[i], on_interrupt);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	r = ctl_follow(monitor->ctl, &monitor->event, NULL, on_signal, on_gone,
		       monitor);
	return r < 0 ? r : sd_bus_set_exit_on_disconnect(monitor->ctl->bus, 1);
}

/* Prints the present numbers of clients; fails when there is no server. */
static int print_present(struct monitor *monitor)
{
	_cleanup_(value_clear) struct value status = {0};
	int r = ctl_read(monitor->ctl, "Status", &status);

	if (r == CTL_DONE)
		print_zones_event(monitor, value_get(&status, "zones"));
	return r;
}

int ctl_monitor(struct ctl *ctl)
{
	struct monitor monitor = {.ctl = ctl};
	int r = set_up(&monitor), status;

	if (r < 0) {
		status = ctl_failed("Cannot follow the server", r);
	} else {
		status = print_present(&monitor);
		if (status == CTL_DONE)
			status = sd_event_loop(monitor.event);
		if (status < 0)
			status = ctl_failed("Lost the bus", status);
	}
	(void)sd_bus_detach_event(ctl->bus);
	sd_event_unref(monitor.event);
	free(monitor.zones);
	return status;
}
