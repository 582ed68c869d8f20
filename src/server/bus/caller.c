/* SPDX-License-Identifier: MIT
 * A record lives from the call until its page is DONE. */
#include "server/bus/caller.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "base/util.h"
#include "bus/names.h"
#include "bus/watch.h"
#include "server/bus/text.h"

#define BUSY_REASON                                                            \
	"A page of equal or higher priority is on the air in one of the zones"

enum {
	PEAK_USEC = 100000,
};

struct bus_page {
	TAILQ_ENTRY(bus_page) entry;
	struct bus_pages *pages;
	struct bus_request request;
	sd_bus_message *message; /* the call to be answered, or NULL */
	struct bus_watch *watch;
	bool caller_gone;
	uint32_t id;
	enum page_state state;
	double peak;
	uint64_t peak_usec;
};

static void bus_page_free(struct bus_page *p)
{
	TAILQ_REMOVE(&p->pages->list, p, entry);
	sd_bus_message_unref(p->message);
	bus_watch_free(p->watch);
	free(p);
}

/* --- answers --- */

static void answer(struct bus_page *p)
{
	int r;

	if (!p->message)
		return;
	r = sd_bus_reply_method_return(p->message, "u", p->id);
	if (r < 0)
		log_debug("Page %u: cannot answer its caller: %s", p->id,
			  strerror(-r));
	p->message = sd_bus_message_unref(p->message);
}

static void answer_error(struct bus_page *p, const sd_bus_error *error)
{
	int r;

	if (!p->message)
		return;
	r = sd_bus_reply_method_error(p->message, error);
	if (r < 0)
		log_debug("Cannot answer a caller: %s", strerror(-r));
	p->message = sd_bus_message_unref(p->message);
}

/* The error of a page that ended before its caller was answered. */
static const char *error_name(const struct page_info *info)
{
	switch (info->end) {
	case PAGE_NO_DEVICE:
		return BUS_ERROR_NO_DEVICE;
	case PAGE_NOT_AUDIO:
		return BUS_ERROR_NOT_AUDIO;
	case PAGE_PREEMPTED:
	case PAGE_BUSY:
		return BUS_ERROR_BUSY;
	case PAGE_FAILED:
		return BUS_ERROR_FAILED;
	case PAGE_COMPLETE:
	case PAGE_STOPPED:
		break;
	}
	return BUS_ERROR_STOPPED;
}

static const char *default_reason(const struct page_info *info)
{
	if (info->end == PAGE_BUSY)
		return BUSY_REASON;
	if (info->end == PAGE_PREEMPTED)
		return "A page of higher priority took its place";
	if (info->end == PAGE_STOPPED)
		return "The page was stopped before it began";
	return "The page could not begin; the server's log says why";
}

static void answer_failure(struct bus_page *p, const struct page_info *info)
{
	const char *name = error_name(info);
	const char *reason = bus_text(info->reason, "");

	if (!*reason)
		reason = default_reason(info);
	answer_error(p, &SD_BUS_ERROR_MAKE_CONST(name, reason));
}

static int set_refusal(sd_bus_error *error, int r)
{
	switch (r) {
	case -EBUSY:
		return sd_bus_error_set(error, BUS_ERROR_BUSY, BUSY_REASON);
	case -ENOENT:
		return sd_bus_error_set(error, BUS_ERROR_UNKNOWN_ZONE,
					"The server has no zones");
	case -E2BIG:
		return sd_bus_error_set(
		    error, BUS_ERROR_LIMIT,
		    "Too many pages are running or waiting");
	case -ESHUTDOWN:
		return sd_bus_error_set(error, BUS_ERROR_STOPPED,
					"The server is about to end");
	default:
		return sd_bus_error_set_errno(error, r);
	}
}

/* --- a caller that leaves --- */

static bool is_to_be_stopped(const struct bus_page *p)
{
	switch (p->request.orphan) {
	case BUS_REQUEST_KEEP:
		return false;
	case BUS_REQUEST_STOP_ALWAYS:
		return true;
	case BUS_REQUEST_STOP_WAITING:
		break;
	}
	return p->state == PAGE_QUEUED || p->message;
}

static void on_caller_gone(void *userdata)
{
	struct bus_page *p = userdata;
	bool stop = is_to_be_stopped(p);

	p->caller_gone = true;
	p->watch = bus_watch_free(p->watch);
	p->message = sd_bus_message_unref(p->message);
	if (!stop)
		return;
	log_notice("Page %u ends: the program that asked for it is gone",
		   p->id);
	/* Frees the record if the page is DONE at once. */
	(void)server_stop(p->pages->server, p->id);
}

/* --- beginning --- */

static int begin(struct bus_page *p, enum bus_request_kind kind,
		 sd_bus_error *error)
{
	sd_bus_message *m = p->message;
	const char *sender = sd_bus_message_get_sender(m);
	int r;

	if (!sender) /* a connection without a message broker */
		return sd_bus_error_set(error, SD_BUS_ERROR_INVALID_ARGS,
					"The message has no sender");
	r = bus_watch_new(&p->watch, sd_bus_message_get_bus(m), sender,
			  on_caller_gone, p);
	if (r >= 0)
		r = bus_request_read(&p->request, m, kind, p->pages->server,
				     error);
	if (r < 0)
		return r;
	/* dbus-send without --print-reply leaves at once: its page is not to
	 * be stopped for want of an answer. */
	if (!sd_bus_message_get_expect_reply(m))
		p->message = sd_bus_message_unref(p->message);
	r = server_page(p->pages->server, &p->request.page, &p->id);
	return r < 0 ? set_refusal(error, r) : 0;
}

int bus_pages_begin(struct bus_pages *pages, sd_bus_message *m,
		    enum bus_request_kind kind, sd_bus_error *error)
{
	struct bus_page *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return -ENOMEM;
	p->pages = pages;
	p->state = PAGE_PREPARING;
	p->message = sd_bus_message_ref(m);
	TAILQ_INSERT_TAIL(&pages->list, p, entry);
	r = begin(p, kind, error);
	if (r < 0) {
		bus_page_free(p);
		return r;
	}
	return 1;
}

/* --- what becomes of it --- */

static struct bus_page *find(const struct bus_pages *pages, uint32_t id)
{
	struct bus_page *p;

	TAILQ_FOREACH (p, &pages->list, entry)
		if (p->id == id)
			return p;
	return NULL;
}

void bus_pages_on_page(struct bus_pages *pages, const struct page_info *info)
{
	struct bus_page *p = find(pages, info->id);

	if (!p)
		return;
	p->state = info->state;
	switch (info->state) {
	case PAGE_CHIME:
	case PAGE_SPEECH:
		answer(p);
		break;
	case PAGE_SENDING:
		answer_failure(p, info);
		break;
	case PAGE_DONE:
		answer_failure(p, info);
		bus_page_free(p);
		break;
	case PAGE_QUEUED:
	case PAGE_OPENING:
		/* The turn of a caller that queues may be far off. */
		if (p->request.page.when_busy == PAGE_QUEUE)
			answer(p);
		break;
	case PAGE_PREPARING:
		break;
	}
}

void bus_pages_on_disconnected(struct bus_pages *pages)
{
	struct bus_page *p = TAILQ_FIRST(&pages->list);

	while (p) {
		bool gone = p->caller_gone;

		if (!gone)
			on_caller_gone(p);
		/* P may be freed: start again, past those whose caller is gone.
		 */
		p = gone ? TAILQ_NEXT(p, entry) : TAILQ_FIRST(&pages->list);
	}
}

double bus_pages_peak(struct bus_pages *pages, uint32_t id)
{
	struct bus_page *p = find(pages, id);
	double peak = server_take_peak(pages->server, id);
	uint64_t now = now_usec();

	if (!p)
		return peak;
	/* Several callers may watch one meter; none takes the peak from the
	 * others. */
	if (now - p->peak_usec < PEAK_USEC && p->peak > peak)
		return p->peak;
	p->peak = peak;
	p->peak_usec = now;
	return peak;
}

void bus_pages_init(struct bus_pages *pages, struct server *server)
{
	pages->server = server;
	TAILQ_INIT(&pages->list);
}

void bus_pages_clear(struct bus_pages *pages)
{
	while (!TAILQ_EMPTY(&pages->list))
		bus_page_free(TAILQ_FIRST(&pages->list));
}
