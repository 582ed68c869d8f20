/* SPDX-License-Identifier: MIT
 * sd_notify, the journal's page events, and the idle timer. */
#define SD_JOURNAL_SUPPRESS_LOCATION
#include "server/systemd.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/uio.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-journal.h>

#include "base/log.h"
#include "base/notify.h"
#include "base/util.h"
#include "server/summary.h"
#include "server/timer.h"

/* Limits STATUS=, since many clients may come at once. The kernel queues few
 * datagrams for systemd (net.unix.max_dgram_qlen), and those of the watchdog
 * must find room. */
#define STATUS_DELAY_USEC USEC_PER_SEC

enum {
	/* Of the loudspeakers of a page so many are in the journal, */
	LOUDSPEAKERS_MAX = 64,
	/* beside what is said of all of them. */
	FIELDS_MAX = LOUDSPEAKERS_MAX + 16,
};

struct fields {
	struct iovec items[FIELDS_MAX];
	int count;
};

struct systemd {
	struct server *server;
	struct systemd_config config;
	sd_event_source *status, *idle;
};

static void log_begin(const struct page_info *page)
{
	char text[160];

	snprintf(text, sizeof(text),
		 "Page %u begins: %s, %s %u Hz, %u channel%s, priority %d",
		 page->id, page->is_file ? "a file" : "the microphone",
		 wav_format_name(&page->format), page->format.rate,
		 page->format.channels, plural_s(page->format.channels),
		 page->priority);
	if (!log_takes_fields(LOG_INFO)) {
		log_info("%s", text);
		return;
	}
	sd_journal_send("MESSAGE=%s", text, "PRIORITY=%d", LOG_INFO,
			"INTERCOM_EVENT=page-begin", "INTERCOM_PAGE=%u",
			page->id, NULL);
}

static void log_end(const struct page_info *page)
{
	const char *reason = page_end_name(page->end);
	char summary[SUMMARY_SIZE], text[SUMMARY_SIZE + 64];

	summary_print(summary, page);
	snprintf(text, sizeof(text), "Page %u ended (%s): %s", page->id, reason,
		 summary);
	if (!log_takes_fields(LOG_INFO)) {
		log_info("%s", text);
		return;
	}
	sd_journal_send(
	    "MESSAGE=%s", text, "PRIORITY=%d", LOG_INFO,
	    "INTERCOM_EVENT=page-end", "INTERCOM_PAGE=%u", page->id,
	    "INTERCOM_REASON=%s", reason, "INTERCOM_FRAMES=%" PRIu64,
	    page->frames, "INTERCOM_SECONDS=%.3f",
	    wav_seconds(&page->format, page->frames), "INTERCOM_REACHED=%u",
	    page->reached, "INTERCOM_LOST=%u", page->lost,
	    "INTERCOM_SKIPS=%" PRIu64, page->skips,
	    "INTERCOM_OVERRUNS=%" PRIu64, page->overruns, NULL);
}

/* Does without a field that there is no memory for. */
__attribute__((format(printf, 2, 3))) static void
add_field(struct fields *fields, const char *format, ...)
{
	char *text;
	va_list ap;
	int length;

	va_start(ap, format);
	length = vasprintf(&text, format, ap);
	va_end(ap);
	if (length >= 0)
		fields->items[fields->count++] =
		    (struct iovec){text, (size_t)length};
}

static void add_loudspeakers(struct fields *fields,
			     const struct ledger_list *heard)
{
	for (size_t i = 0; i < MIN(heard->player_count, LOUDSPEAKERS_MAX);
	     i++) {
		const struct ledger_player *player = &heard->players[i];

		add_field(fields, "INTERCOM_LOUDSPEAKER=%s: %s%s%s",
			  player->label, ledger_heard_name(player->heard),
			  *player->reason ? ", " : "", player->reason);
	}
}

static void log_heard(const struct ledger_list *heard)
{
	_cleanup_free_ char *text = summary_heard(heard);
	struct fields fields = {.count = 0};

	if (!text)
		return;
	if (!log_takes_fields(LOG_INFO)) {
		log_info("Page %u: %s", heard->page, text);
		return;
	}
	add_field(&fields, "MESSAGE=Page %u: %s", heard->page, text);
	add_field(&fields, "PRIORITY=%d", LOG_INFO);
	add_field(&fields, "INTERCOM_EVENT=page-heard");
	add_field(&fields, "INTERCOM_PAGE=%u", heard->page);
	add_field(&fields, "INTERCOM_HEARD_ALL=%u", heard->counts[LEDGER_ALL]);
	add_field(&fields, "INTERCOM_HEARD_PARTLY=%u",
		  heard->counts[LEDGER_PARTLY]);
	add_field(&fields, "INTERCOM_UNHEARD=%u",
		  heard->counts[LEDGER_UNHEARD]);
	add_field(&fields, "INTERCOM_UNREPORTED=%u",
		  heard->counts[LEDGER_UNREPORTED]);
	add_loudspeakers(&fields, heard);
	sd_journal_sendv(fields.items, fields.count);
	while (fields.count > 0)
		free(fields.items[--fields.count].iov_base);
}

static bool is_idle(const struct systemd *s)
{
	return !server_supervises(s->server) &&
	       server_client_count(s->server) == 0 &&
	       server_page_count(s->server) == 0 &&
	       !server_awaits_receipts(s->server);
}

static void watch_idle(struct systemd *s)
{
	if (!s->idle)
		return;
	if (is_idle(s))
		timer_set(s->idle, now_usec() + s->config.idle_exit_seconds *
						    USEC_PER_SEC);
	else
		timer_stop(s->idle);
}

static void changed(struct systemd *s)
{
	watch_idle(s);
	timer_start(s->status, STATUS_DELAY_USEC);
}

static void on_page(void *userdata, const struct page_info *page)
{
	struct systemd *s = userdata;

	if (s->config.pages == SYSTEMD_LOG_PAGES) {
		if (page->state == PAGE_CHIME)
			log_begin(page);
		if (page->state == PAGE_DONE && page->format.rate != 0)
			log_end(page);
	}
	changed(s);
}

static void on_clients(void *userdata)
{
	changed(userdata);
}

static void on_heard(void *userdata, const struct ledger_list *heard)
{
	struct systemd *s = userdata;

	if (s->config.pages == SYSTEMD_LOG_PAGES)
		log_heard(heard);
	watch_idle(s);
}

static void on_roll(void *userdata, const struct roll_member *member)
{
	changed(userdata);
}

static const struct server_observer observer = {
    .on_page = on_page,
    .on_clients = on_clients,
    .on_heard = on_heard,
    .on_roll = on_roll,
};

static int on_status(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct systemd *s = userdata;
	unsigned clients = server_client_count(s->server);
	unsigned pages = server_page_count(s->server);
	const unsigned missing = server_roll(s->server)->missing;
	char message[96];
	int n;

	n = snprintf(message, sizeof(message), "STATUS=%u client%s, %u page%s",
		     clients, plural_s(clients), pages, plural_s(pages));
	if (missing > 0)
		snprintf(message + n, sizeof(message) - (size_t)n,
			 ", %u missing", missing);
	if (notify_if_read(message) == -EAGAIN)
		timer_start(s->status, STATUS_DELAY_USEC);
	return 0;
}

static int on_idle(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct systemd *s = userdata;

	if (is_idle(s)) {
		log_info("Nobody is connected: the server ends (--idle-exit)");
		s->config.on_idle(s->config.userdata);
	}
	return 0;
}

int systemd_new(struct systemd **ret, sd_event *event, struct server *server,
		const struct systemd_config *config)
{
	struct systemd *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	s->server = server;
	s->config = *config;
	r = timer_new(&s->status, event, on_status, s);
	if (r >= 0 && config->idle_exit_seconds > 0)
		r = timer_new(&s->idle, event, on_idle, s);
	if (r >= 0)
		r = server_observe(server, &observer, s);
	if (r < 0) {
		systemd_free(s);
		return r;
	}
	watch_idle(s);
	*ret = s;
	return 0;
}

void systemd_ready(struct systemd *s)
{
	sd_notify(0, "READY=1");
	changed(s);
}

struct systemd *systemd_free(struct systemd *s)
{
	if (!s)
		return NULL;
	sd_event_source_disable_unref(s->status);
	sd_event_source_disable_unref(s->idle);
	free(s);
	return NULL;
}
