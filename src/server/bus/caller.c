/* SPDX-License-Identifier: MIT
 * A record lives from the call to the page's end, whoever ends it. */
#include "server/bus/caller.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "base/util.h"
#include "bus/names.h"
#include "bus/watch.h"
#include "server/bus/text.h"
#include "server/chime-loader.h"

enum {
	LOADING_MAX = 8,
	PEAK_USEC = 100000,
};

struct bus_page {
	TAILQ_ENTRY(bus_page) entry;
	struct bus_pages *pages;
	struct bus_request request;
	struct chime_loader *loader; /* the page waits for its chime */
	sd_bus_message *message;     /* to be answered, or NULL */
	struct bus_watch *watch;
	bool caller_gone;
	uint32_t id; /* 0 while the chime is loaded */
	enum server_page_state state;
	double peak;
	uint64_t peak_usec;
};

static void bus_page_free(struct bus_page *p)
{
	TAILQ_REMOVE(&p->pages->list, p, entry);
	if (p->loader)
		p->pages->loading--;
	chime_loader_free(p->loader);
	bus_request_close(&p->request);
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

/* Why a page that never began did not. */
static const char *error_name(const struct server_page_info *info)
{
	if (info->source.state != ANNOUNCEMENT_ENDED)
		return BUS_ERROR_STOPPED;
	switch (info->source.end) {
	case ANNOUNCEMENT_NO_DEVICE:
		return BUS_ERROR_NO_DEVICE;
	case ANNOUNCEMENT_NOT_AUDIO:
		return BUS_ERROR_NOT_AUDIO;
	case ANNOUNCEMENT_PREEMPTED:
		return BUS_ERROR_BUSY;
	case ANNOUNCEMENT_FAILED:
		return BUS_ERROR_FAILED;
	case ANNOUNCEMENT_COMPLETE:
	case ANNOUNCEMENT_STOPPED:
		break;
	}
	return BUS_ERROR_STOPPED;
}

static const char *default_reason(const char *error)
{
	if (strcmp(error, BUS_ERROR_BUSY) == 0)
		return "A page of higher priority took its place";
	if (strcmp(error, BUS_ERROR_STOPPED) == 0)
		return "The page was stopped before it began";
	return "The page could not begin; the server's log says why";
}

static void answer_failure(struct bus_page *p,
			   const struct server_page_info *info)
{
	const char *name = error_name(info);
	const char *reason = bus_text(info->source.reason, "");

	if (!*reason)
		reason = default_reason(name);
	answer_error(p, &SD_BUS_ERROR_MAKE_CONST(name, reason));
}

static int set_refusal(sd_bus_error *error, int r)
{
	switch (r) {
	case -EBUSY:
		return sd_bus_error_set(
		    error, BUS_ERROR_BUSY,
		    "A page of equal or higher priority is on the air there");
	case -ENOENT:
		return sd_bus_error_set(error, BUS_ERROR_UNKNOWN_ZONE,
					"The server has no zones");
	case -E2BIG:
		return sd_bus_error_set(error, BUS_ERROR_LIMIT,
					"Too many pages wait already");
	case -ESHUTDOWN:
		return sd_bus_error_set(error, BUS_ERROR_STOPPED,
					"The server is about to end");
	default:
		return sd_bus_error_set_errno(error, r);
	}
}

static int set_chime_refusal(sd_bus_error *error, int r, const char *problem)
{
	bool not_audio = r == -EBADMSG || r == -EFBIG || r == -EINVAL;

	return sd_bus_error_setf(
	    error, not_audio ? BUS_ERROR_NOT_AUDIO : BUS_ERROR_FAILED,
	    "The chime cannot be used: %s",
	    bus_text(problem, "it is no WAV file"));
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
	return p->state == SERVER_PAGE_QUEUED || p->message;
}

static void on_caller_gone(void *userdata)
{
	struct bus_page *p = userdata;
	bool stop = is_to_be_stopped(p);

	p->caller_gone = true;
	p->watch = bus_watch_free(p->watch);
	p->message = sd_bus_message_unref(p->message);
	if (!stop || p->loader)
		return;
	log_notice("Page %u ends: the program that asked for it is gone",
		   p->id);
	/* Frees the record, when the page ends at once. */
	(void)server_stop(p->pages->server, p->id);
}

/* --- beginning --- */

static int begin_page(struct bus_page *p, struct chime *chime,
		      sd_bus_error *error)
{
	int r;

	p->request.page.chime = chime;
	r = server_page(p->pages->server, &p->request.page, &p->id);
	p->request.page.file_fd = -1;
	p->request.page.chime = NULL;
	if (r < 0)
		return set_refusal(error, r);
	/* Its turn may come in an hour. */
	if (p->request.page.when_busy == SERVER_QUEUE)
		answer(p);
	return 0;
}

static void on_chime(void *userdata, int result, struct chime *chime,
		     const char *problem)
{
	struct bus_page *p = userdata;
	sd_bus_error error = SD_BUS_ERROR_NULL;
	int r = result;

	if (r < 0)
		r = set_chime_refusal(&error, r, problem);
	else if (p->caller_gone && p->request.orphan != BUS_REQUEST_KEEP)
		r = -ECANCELED;
	else
		r = begin_page(p, chime, &error);
	if (r < 0) {
		answer_error(p, &error);
		bus_page_free(p);
	} else {
		p->pages->loading--;
		p->loader = chime_loader_free(p->loader);
	}
	sd_bus_error_free(&error);
}

static int load_chime(struct bus_page *p, sd_bus_error *error)
{
	const struct server_config *config = server_config(p->pages->server);
	int r;

	if (p->pages->loading >= LOADING_MAX)
		return sd_bus_error_set(error, BUS_ERROR_LIMIT,
					"Too many chimes are being loaded");
	r = chime_loader_new(&p->loader, p->pages->event,
			     TAKE_FD(p->request.chime_fd),
			     &config->microphone.format, on_chime, p);
	if (r < 0)
		return sd_bus_error_set_errno(error, r);
	p->pages->loading++;
	return 0;
}

static int begin(struct bus_page *p, enum bus_request_kind kind,
		 sd_bus_error *error)
{
	sd_bus_message *m = p->message;
	const char *sender = sd_bus_message_get_sender(m);
	int r;

	if (!sender) /* no message broker is between */
		return sd_bus_error_set(error, SD_BUS_ERROR_INVALID_ARGS,
					"The message does not say from whom "
					"it is");
	r = bus_request_read(&p->request, m, kind, p->pages->server, error);
	if (r >= 0)
		r = bus_watch_new(&p->watch, sd_bus_message_get_bus(m), sender,
				  on_caller_gone, p);
	if (r < 0)
		return r;
	/* dbus-send without --print-reply leaves at once and means it. */
	if (!sd_bus_message_get_expect_reply(m))
		p->message = sd_bus_message_unref(p->message);
	if (p->request.chime_fd >= 0)
		return load_chime(p, error);
	return begin_page(p, NULL, error);
}

int bus_pages_begin(struct bus_pages *pages, sd_bus_message *m,
		    enum bus_request_kind kind, sd_bus_error *error)
{
	struct bus_page *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return -ENOMEM;
	p->pages = pages;
	p->state = SERVER_PAGE_QUEUED;
	p->message = sd_bus_message_ref(m);
	p->request.page.file_fd = p->request.chime_fd = -1;
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

	TAILQ_FOREACH (p, &pages->list, entry) {
		if (p->id == id && !p->loader)
			return p;
	}
	return NULL;
}

void bus_pages_on_page(struct bus_pages *pages,
		       const struct server_page_info *info)
{
	struct bus_page *p = find(pages, info->id);

	if (!p)
		return;
	p->state = info->state;
	switch (info->state) {
	case SERVER_PAGE_CHIME:
	case SERVER_PAGE_SPEECH:
		answer(p);
		break;
	case SERVER_PAGE_SENDING:
		answer_failure(p, info);
		break;
	case SERVER_PAGE_DONE:
		answer_failure(p, info);
		bus_page_free(p);
		break;
	case SERVER_PAGE_QUEUED:
	case SERVER_PAGE_OPENING:
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
		/* It may have been freed, and others are left as they were. */
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
	/* Several may watch one meter; none takes the peak from the others. */
	if (now - p->peak_usec < PEAK_USEC && p->peak > peak)
		return p->peak;
	p->peak = peak;
	p->peak_usec = now;
	return peak;
}

void bus_pages_init(struct bus_pages *pages, sd_event *event,
		    struct server *server)
{
	pages->event = event;
	pages->server = server;
	pages->loading = 0;
	TAILQ_INIT(&pages->list);
}

void bus_pages_clear(struct bus_pages *pages)
{
	while (!TAILQ_EMPTY(&pages->list))
		bus_page_free(TAILQ_FIRST(&pages->list));
}
