/* SPDX-License-Identifier: MIT
 * The connection to the bus, the methods and properties. The bus
 * decides who may call (dbus/org.alsaintercom1.conf), the server what happens
 * then. */
#include "server/bus/bus.h"

#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <systemd/sd-bus.h>

#include "base/backoff.h"
#include "base/log.h"
#include "base/util.h"
#include "bus/names.h"
#include "server/bus/caller.h"
#include "server/bus/signal.h"
#include "server/bus/status.h"
#include "server/tapecopy.h"
#include "server/timer.h"

enum {
	FETCHES_MAX = 4,
	/* Beyond so many messages that the bus has not taken yet, nobody is
	 * answered who only asks. */
	ANSWERS_MAX = 16,
	/* Callers that share one are unlucky; a user has 256 of them. */
	REFUSALS_MAX = 1024,
	/* What the kernel holds of them would delay the others. */
	SEND_BUFFER_SIZE = 16384,
	CHANGED_USEC = 200000, /* at most five PropertiesChanged a second */
	FLUSH_USEC = 500000,
};

/* The properties that change. With the clients, their zones do. */
enum { PROPERTY_ZONES, PROPERTY_PAGES, PROPERTY_MISSING };
static const struct {
	const char *name;
	int (*append)(sd_bus_message *m, const struct server *server);
} properties[] = {
    [PROPERTY_ZONES] = {"Zones", bus_status_append_zones},
    [PROPERTY_PAGES] = {"Pages", bus_status_append_pages},
    [PROPERTY_MISSING] = {"Missing", bus_status_append_missing},
};

/* A call of LastPage() that is yet to be answered. */
struct fetch {
	LIST_ENTRY(fetch) entry;
	struct server_bus *bus;
	struct tapecopy *copy;
	sd_bus_message *message;
};

struct server_bus {
	sd_event *event;
	struct server *server;
	enum server_bus_kind kind;
	sd_bus *bus; /* NULL while not connected */
	sd_event_source *retry, *tell;
	struct backoff backoff;
	bool owner; /* has the name, or is queued for it */
	/* Cookies of what callers were refused with; 0 is none. */
	uint64_t refusals[REFUSALS_MAX], newest_refusal;
	bool closing;	  /* only what is queued still goes out */
	bool warned;	  /* has warned; reset when it works again */
	unsigned changed; /* a bit for each property */
	uint64_t told_usec;
	struct bus_pages pages;
	LIST_HEAD(, fetch) fetches;
	unsigned fetch_count;
	bool released; /* the name was given back */
	void (*on_left)(void *userdata);
	void *left_userdata;
};

static const char *kind_name(const struct server_bus *b)
{
	return b->kind == SERVER_BUS_SYSTEM ? "system" : "user";
}

/* --- how much waits for the bus --- */

/* Whether the policy lets only the group call it: then an answer matters more
 * than the bound. */
static bool is_command(sd_bus_message *m)
{
	static const char *const names[] = {"Talk", "Play", "Stop"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (sd_bus_message_is_method_call(m, BUS_INTERFACE, names[i]))
			return true;
	return false;
}

/* Where the refusal of M's caller, ":1.42", is remembered. */
static uint64_t *refusal_of(struct server_bus *b, sd_bus_message *m)
{
	const char *sender = sd_bus_message_get_sender(m);
	const char *dot = sender ? strchr(sender, '.') : NULL;
	unsigned long number = dot ? strtoul(dot + 1, NULL, 10) : 0;

	return &b->refusals[number % REFUSALS_MAX];
}

/* Cookies count what is sent, in its order, so the newest and the length of the
 * queue tell what the bus has taken. */
static int refuse(struct server_bus *b, sd_bus_message *m, uint64_t count)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
	uint64_t *cookie = refusal_of(b, m);
	int r;

	if ((*cookie > 0 && *cookie + count > b->newest_refusal) ||
	    !sd_bus_message_get_expect_reply(m))
		return 1;
	r = sd_bus_message_new_method_errorf(m, &reply, BUS_ERROR_LIMIT,
					     "Too many ask at the same time");
	if (r >= 0)
		r = sd_bus_send(b->bus, reply, cookie);
	if (r < 0)
		return r;
	b->newest_refusal = *cookie;
	return 1;
}

/* Sees every message first, even those that sd-bus would answer by itself.
 * When callers ask faster than the bus takes the answers, these must not pile
 * up here: a caller is refused, and not answered at all as long as a refusal
 * for it waits, which it has not read then. */
static int on_message(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct server_bus *b = userdata;
	uint64_t count = bus_signal_queued(b->bus);

	if (b->closing)
		return 1;
	if (count < ANSWERS_MAX || is_command(m) ||
	    !sd_bus_message_is_method_call(m, NULL, NULL))
		return 0;
	return refuse(b, m, count);
}

/* --- commands --- */

static int on_talk(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct server_bus *b = userdata;

	return bus_pages_begin(&b->pages, m, BUS_REQUEST_TALK, error);
}

static int on_play(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct server_bus *b = userdata;

	return bus_pages_begin(&b->pages, m, BUS_REQUEST_PLAY, error);
}

static int no_such_page(sd_bus_error *error, uint32_t id)
{
	return sd_bus_error_setf(error, BUS_ERROR_NOT_FOUND,
				 "There is no page %u, or it has ended", id);
}

static int on_stop(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct server_bus *b = userdata;
	uint32_t id;
	int r = sd_bus_message_read(m, "u", &id);

	if (r < 0)
		return r;
	r = server_stop(b->server, id);
	if (r == -ENOENT)
		return no_such_page(error, id);
	return r < 0 ? r : sd_bus_reply_method_return(m, "u", (uint32_t)r);
}

/* --- the end --- */

static void leave_if_done(struct server_bus *b)
{
	void (*on_left)(void *) = b->on_left;

	if (!on_left || !b->released || !LIST_EMPTY(&b->fetches))
		return;
	b->on_left = NULL;
	on_left(b->left_userdata);
}

/* What came before this answer has had its own, but for the last page, which a
 * thread copies. */
static int on_released(sd_bus_message *reply, void *userdata,
		       sd_bus_error *error)
{
	struct server_bus *b = userdata;

	b->released = true;
	leave_if_done(b);
	return 0;
}

void server_bus_leave(struct server_bus *b, void (*on_left)(void *userdata),
		      void *userdata)
{
	int r = -ENOTCONN;

	if (b && b->bus && b->owner) {
		b->on_left = on_left;
		b->left_userdata = userdata;
		(void)sd_bus_set_method_call_timeout(b->bus, USEC_PER_SEC);
		r = sd_bus_release_name_async(b->bus, NULL, BUS_NAME,
					      on_released, b);
	}
	if (r < 0)
		on_left(userdata);
}

/* --- the last page --- */

static void fetch_free(struct fetch *fetch)
{
	struct server_bus *b = fetch->bus;

	LIST_REMOVE(fetch, entry);
	b->fetch_count--;
	tapecopy_free(fetch->copy);
	sd_bus_message_unref(fetch->message);
	free(fetch);
	leave_if_done(b);
}

static void on_copied(void *userdata, int fd)
{
	struct fetch *fetch = userdata;
	int r;

	if (fd < 0)
		r = sd_bus_reply_method_errno(fetch->message, fd, NULL);
	else
		r = sd_bus_reply_method_return(fetch->message, "h", fd);
	if (r < 0)
		log_debug("Cannot hand over the last page: %s", strerror(-r));
	fetch_free(fetch);
}

static int begin_fetch(struct server_bus *b, const struct tape *tape,
		       sd_bus_message *m)
{
	struct fetch *fetch = calloc(1, sizeof(*fetch));
	int r;

	if (!fetch)
		return -ENOMEM;
	fetch->bus = b;
	r = tapecopy_new(&fetch->copy, b->event, tape, on_copied, fetch);
	if (r < 0) {
		free(fetch);
		return r;
	}
	fetch->message = sd_bus_message_ref(m);
	LIST_INSERT_HEAD(&b->fetches, fetch, entry);
	b->fetch_count++;
	return 1;
}

static int on_last_page(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct server_bus *b = userdata;
	const struct tape *tape = server_last_tape(b->server);
	int r = -ENODATA;

	if (b->fetch_count >= FETCHES_MAX)
		return sd_bus_error_set(
		    error, BUS_ERROR_LIMIT,
		    "Too many programs are fetching the page; "
		    "try again later");
	if (tape)
		r = begin_fetch(b, tape, m);
	if (r == -ENODATA)
		return sd_bus_error_set(error, BUS_ERROR_NOT_FOUND,
					"No page is kept in memory");
	return r;
}

/* --- state --- */

static int reply_with(sd_bus_message *m, const struct server *server,
		      int (*append)(sd_bus_message *reply,
				    const struct server *server))
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
	int r = sd_bus_message_new_method_return(m, &reply);

	if (r >= 0)
		r = append(reply, server);
	return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

static int on_status(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	const struct server_bus *b = userdata;

	return reply_with(m, b->server, bus_status_append_all);
}

static int on_list_clients(sd_bus_message *m, void *userdata,
			   sd_bus_error *error)
{
	const struct server_bus *b = userdata;

	return reply_with(m, b->server, bus_status_append_clients);
}

static int find_page(const struct server *server, uint32_t id,
		     struct page_info *ret)
{
	for (unsigned n = 0; server_page_at(server, n, ret); n++)
		if (ret->id == id)
			return 0;
	return -ENOENT;
}

static int on_meter(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct server_bus *b = userdata;
	struct page_info page;
	uint32_t id;
	int r = sd_bus_message_read(m, "u", &id);

	if (r < 0)
		return r;
	if (find_page(b->server, id, &page) < 0)
		return no_such_page(error, id);
	return sd_bus_reply_method_return(
	    m, "dddu", bus_pages_peak(&b->pages, id),
	    wav_seconds(&page.format, page.frames),
	    page.planned_frames == WAV_ENDLESS
		? -1.0
		: wav_seconds(&page.format, page.planned_frames),
	    page.clients);
}

static int reply_with_heard(sd_bus_message *m, const struct ledger_list *heard)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
	int r = sd_bus_message_new_method_return(m, &reply);

	if (r >= 0)
		r = bus_status_append_heard(reply, heard, SIZE_MAX);
	return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

static int on_receipts(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	const struct server_bus *b = userdata;
	struct ledger_list heard;
	uint32_t id;
	int r = sd_bus_message_read(m, "u", &id);

	if (r < 0)
		return r;
	r = server_heard(b->server, id, &heard);
	if (r == -ENOENT)
		return sd_bus_error_setf(error, BUS_ERROR_NOT_FOUND,
					 "No receipts of a page %u are kept",
					 id);
	if (r < 0)
		return r;
	r = reply_with_heard(m, &heard);
	ledger_list_clear(&heard);
	return r;
}

static int get_list(sd_bus *bus, const char *path, const char *interface,
		    const char *property, sd_bus_message *reply, void *userdata,
		    sd_bus_error *error)
{
	const struct server_bus *b = userdata;
	size_t i = 0;

	while (strcmp(properties[i].name, property) != 0)
		i++;
	return properties[i].append(reply, b->server);
}

static int get_version(sd_bus *bus, const char *path, const char *interface,
		       const char *property, sd_bus_message *reply,
		       void *userdata, sd_bus_error *error)
{
	return sd_bus_message_append(reply, "s", PACKAGE_VERSION);
}

/* --- the interface --- */

/* Without SD_BUS_VTABLE_UNPRIVILEGED sd-bus lets in only root and the server's
 * own user, not the group that may command. The policy file refuses all others;
 * without that file the server cannot own its name on the system bus. */
static const sd_bus_vtable vtable[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_METHOD_WITH_ARGS(
	"Talk", SD_BUS_ARGS("as", zones, "d", seconds, "a{sv}", options),
	SD_BUS_RESULT("u", id), on_talk, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS(
	"Play", SD_BUS_ARGS("as", zones, "h", file, "a{sv}", options),
	SD_BUS_RESULT("u", id), on_play, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("Stop", SD_BUS_ARGS("u", id),
			    SD_BUS_RESULT("u", count), on_stop,
			    SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("LastPage", SD_BUS_NO_ARGS,
			    SD_BUS_RESULT("h", file), on_last_page,
			    SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("Status", SD_BUS_NO_ARGS,
			    SD_BUS_RESULT("a{sv}", status), on_status,
			    SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("Clients", SD_BUS_NO_ARGS,
			    SD_BUS_RESULT("aa{sv}", clients), on_list_clients,
			    SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("Meter", SD_BUS_ARGS("u", id),
			    SD_BUS_RESULT("d", peak, "d", seconds, "d",
					  planned_seconds, "u", clients),
			    on_meter, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("Receipts", SD_BUS_ARGS("u", id),
			    SD_BUS_RESULT("a{sv}", heard), on_receipts,
			    SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_PROPERTY("Version", "s", get_version, 0,
		    SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("Zones", "aa{sv}", get_list, 0,
		    SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_PROPERTY("Pages", "aa{sv}", get_list, 0,
		    SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_PROPERTY("Missing", "aa{sv}", get_list, 0,
		    SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_SIGNAL_WITH_ARGS(
	"PageStarted", SD_BUS_ARGS("u", id, "as", zones, "d", chime_seconds),
	0),
    SD_BUS_SIGNAL_WITH_ARGS("PageSpeech", SD_BUS_ARGS("u", id), 0),
    SD_BUS_SIGNAL_WITH_ARGS("PageEnded",
			    SD_BUS_ARGS("u", id, "as", zones, "t", frames, "u",
					reached, "u", lost, "t", overruns, "s",
					reason),
			    0),
    SD_BUS_SIGNAL_WITH_ARGS("PageHeard", SD_BUS_ARGS("u", id, "a{sv}", heard),
			    0),
    SD_BUS_SIGNAL_WITH_ARGS(
	"ClientMissing",
	SD_BUS_ARGS("s", identity, "s", zone, "u", count, "t", since, "s", why),
	0),
    SD_BUS_SIGNAL_WITH_ARGS(
	"ClientBack", SD_BUS_ARGS("s", identity, "s", zone, "t", since), 0),
    SD_BUS_VTABLE_END,
};

/* --- changed properties --- */

static int on_tell(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct server_bus *b = userdata;
	const char *names[ARRAY_SIZE(properties) + 1];
	unsigned n = 0;

	if (bus_signal_queued(b->bus) >= ANSWERS_MAX) {
		timer_start(b->tell, CHANGED_USEC);
		return 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(properties); i++)
		if (b->changed & 1U << i)
			names[n++] = properties[i].name;
	names[n] = NULL;
	b->changed = 0;
	b->told_usec = now_usec();
	/* Fails when the connection is lost: then nobody can be told. */
	if (n > 0 && b->owner)
		(void)sd_bus_emit_properties_changed_strv(
		    b->bus, BUS_PATH, BUS_INTERFACE, (char **)names);
	return 0;
}

static void tell_later(struct server_bus *b, unsigned property)
{
	if (!b->owner)
		return;
	if (b->changed == 0)
		timer_set(b->tell, b->told_usec + CHANGED_USEC);
	b->changed |= 1U << property;
}

/* --- what the server tells --- */

/* NULL: nobody can be told. */
static sd_bus *listener(const struct server_bus *b)
{
	return b->owner ? b->bus : NULL;
}

static void on_page(void *userdata, const struct page_info *page)
{
	struct server_bus *b = userdata;

	/* The answer first: it tells the caller the id in the signals. */
	bus_pages_on_page(&b->pages, page);
	bus_signal_page(listener(b), b->server, page);
	tell_later(b, PROPERTY_PAGES);
}

static void on_clients(void *userdata)
{
	tell_later(userdata, PROPERTY_ZONES);
}

static void on_heard(void *userdata, const struct ledger_list *heard)
{
	bus_signal_heard(listener(userdata), heard);
}

static void on_roll(void *userdata, const struct roll_member *member)
{
	tell_later(userdata, PROPERTY_MISSING);
	bus_signal_roll(listener(userdata), member);
}

static const struct server_observer observer = {
    .on_page = on_page,
    .on_clients = on_clients,
    .on_heard = on_heard,
    .on_roll = on_roll,
};

/* --- the connection --- */

/* Sends what is queued, such as how the last page ended; but who does not take
 * it cannot hold up the server's end. */
static void flush(struct server_bus *b)
{
	uint64_t now = now_usec(), end = now + FLUSH_USEC;

	b->closing = true;
	for (; b->bus && bus_signal_queued(b->bus) > 0 && now < end;
	     now = now_usec())
		if (sd_bus_process(b->bus, NULL) < 0 ||
		    sd_bus_wait(b->bus, end - now) < 0)
			break;
}

static void drop_connection(struct server_bus *b)
{
	b->owner = false;
	b->changed = 0;
	memset(b->refusals, 0, sizeof(b->refusals));
	while (!LIST_EMPTY(&b->fetches))
		fetch_free(LIST_FIRST(&b->fetches));
	if (!b->bus)
		return;
	(void)sd_bus_detach_event(b->bus);
	b->bus = sd_bus_close_unref(b->bus);
}

static void retry_later(struct server_bus *b)
{
	timer_set(b->retry, now_usec() + backoff_next(&b->backoff));
}

/* Drops the connection and tries again later. Warns once, until it works. */
static void give_up(struct server_bus *b, const char *what, const char *why)
{
	log_msg(
	    b->warned ? LOG_DEBUG : LOG_WARNING,
	    "%s %s bus: %s; intercomctl cannot reach this server, everything "
	    "else works; trying again",
	    what, kind_name(b), why);
	b->warned = true;
	drop_connection(b);
	retry_later(b);
}

static int on_disconnected(sd_bus_message *m, void *userdata,
			   sd_bus_error *error)
{
	struct server_bus *b = userdata;

	give_up(b, "Lost the", "the connection was closed");
	bus_pages_on_disconnected(&b->pages);
	return 0;
}

static int on_name(sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
	struct server_bus *b = userdata;
	const sd_bus_error *failure = sd_bus_message_get_error(reply);
	uint32_t answer = 0;

	if (failure) {
		give_up(b, "Cannot take the name " BUS_NAME " on the",
			failure->message ? failure->message : failure->name);
		return 0;
	}
	(void)sd_bus_message_read(reply, "u", &answer);
	b->owner = true;
	b->warned = false;
	backoff_reset(&b->backoff);
	if (answer == 2)
		log_warning(
		    "Another server has the name " BUS_NAME
		    " on the %s bus; this one takes it when that one ends",
		    kind_name(b));
	else
		log_info("Taking commands on the %s bus as " BUS_NAME,
			 kind_name(b));
	return 0;
}

static int set_up_connection(struct server_bus *b)
{
	static const int size = SEND_BUFFER_SIZE;
	int r;

	(void)setsockopt(sd_bus_get_fd(b->bus), SOL_SOCKET, SO_SNDBUF, &size,
			 sizeof(size));
	r = sd_bus_attach_event(b->bus, b->event, SD_EVENT_PRIORITY_NORMAL);
	/* It would wait for the bus, for as long as that takes. */
	if (r >= 0)
		r = sd_bus_set_close_on_exit(b->bus, 0);
	if (r >= 0)
		r = sd_bus_add_filter(b->bus, NULL, on_message, b);
	if (r >= 0)
		r = sd_bus_add_object_vtable(b->bus, NULL, BUS_PATH,
					     BUS_INTERFACE, vtable, b);
	if (r >= 0)
		r = sd_bus_match_signal(
		    b->bus, NULL, "org.freedesktop.DBus.Local",
		    "/org/freedesktop/DBus/Local", "org.freedesktop.DBus.Local",
		    "Disconnected", on_disconnected, b);
	if (r >= 0)
		r = sd_bus_request_name_async(b->bus, NULL, BUS_NAME,
					      SD_BUS_NAME_QUEUE, on_name, b);
	return r;
}

static void set_up(struct server_bus *b)
{
	int r = b->kind == SERVER_BUS_SYSTEM ? sd_bus_open_system(&b->bus)
					     : sd_bus_open_user(&b->bus);

	if (r >= 0)
		r = set_up_connection(b);
	if (r < 0)
		give_up(b, "Cannot connect to the", strerror(-r));
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata)
{
	set_up(userdata);
	return 0;
}

/* --- public --- */

int server_bus_new(struct server_bus **ret, sd_event *event,
		   struct server *server, enum server_bus_kind kind)
{
	struct server_bus *b;
	int r;

	*ret = NULL;
	if (kind == SERVER_BUS_NONE)
		return 0;
	b = calloc(1, sizeof(*b));
	if (!b)
		return -ENOMEM;
	b->event = sd_event_ref(event);
	b->server = server;
	b->kind = kind;
	LIST_INIT(&b->fetches);
	bus_pages_init(&b->pages, server);
	r = timer_new(&b->retry, event, on_retry, b);
	if (r >= 0)
		r = timer_new(&b->tell, event, on_tell, b);
	if (r >= 0)
		r = server_observe(server, &observer, b);
	if (r < 0) {
		server_bus_free(b);
		return r;
	}
	set_up(b);
	*ret = b;
	return 0;
}

struct server_bus *server_bus_free(struct server_bus *b)
{
	if (!b)
		return NULL;
	bus_pages_clear(&b->pages);
	b->on_left = NULL;
	flush(b);
	drop_connection(b);
	sd_event_source_disable_unref(b->retry);
	sd_event_source_disable_unref(b->tell);
	sd_event_unref(b->event);
	free(b);
	return NULL;
}
