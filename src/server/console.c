/* SPDX-License-Identifier: MIT
 * Owns standard input and the status line. Observes the server, and uses only
 * its public functions. */
#include "server/console.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "audio/samples.h"
#include "base/log.h"
#include "base/screen.h"
#include "base/utf8.h"
#include "base/util.h"
#include "server/summary.h"
#include "server/timer.h"

enum {
	LINE_SIZE = 4096,
	METER_COLUMNS = 14, /* of a short bar */
	REDRAW_USEC = 100000,
};

#define PROMPT "> "

struct console {
	sd_event *event;
	struct server *server;
	enum console_meter meter;
	sd_event_source *input, *redraw;
	char line[LINE_SIZE];
	size_t length;
	bool too_long; /* the line began before c->line, and is dropped */
	bool in_place; /* stdout is a terminal: redraw one line */
	bool leaving;  /* exit after the pages in progress */
	uint64_t drawn_usec;
};

/* Prints a line that stays, above the status line. */
__attribute__((format(printf, 2, 3))) static void say(struct console *c,
						      const char *format, ...)
{
	va_list ap;

	if (log_is_quiet())
		return;
	va_start(ap, format);
	screen_vsay(format, ap);
	va_end(ap);
}

/* --- the status line --- */

static bool page_on_air(const struct server *server, struct page_info *ret)
{
	for (unsigned n = 0; server_page_at(server, n, ret); n++)
		if (ret->state != PAGE_QUEUED && ret->state < PAGE_SENDING)
			return true;
	return false;
}

static double seconds_left(const struct page_info *page)
{
	return wav_seconds(&page->format, page->planned_frames - page->frames);
}

static void draw_page(struct console *c, const struct page_info *page)
{
	const unsigned clients = server_client_count(c->server);
	const char *what = page->state <= PAGE_OPENING ? "opening"
			   : page->state == PAGE_CHIME ? "CHIME"
						       : "ON AIR";
	const bool with_meter = c->meter == CONSOLE_METER;
	const size_t columns = screen_columns();
	char text[128], left[32] = "", meter[SAMPLES_METER_SIZE] = "";
	size_t used;

	snprintf(text, sizeof(text), "%u client%s, %s %.1f s", clients,
		 plural_s(clients), what,
		 wav_seconds(&page->format, page->frames));
	if (page->planned_frames != WAV_ENDLESS)
		snprintf(left, sizeof(left), ", %.1f s left",
			 seconds_left(page));
	used = strlen(text) + (with_meter ? METER_COLUMNS : 0);
	if (used + strlen(left) > columns)
		*left = '\0';
	used = strlen(text) + strlen(left) + 1;
	if (with_meter)
		samples_meter(meter, columns > used ? columns - used : 0,
			      server_take_peak(c->server, page->id));
	screen_draw(PROMPT, "%s%s%s%s", text, left, with_meter ? " " : "",
		    meter);
}

static void draw(struct console *c)
{
	const unsigned clients = server_client_count(c->server);
	struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
	struct page_info page;

	if (log_is_quiet())
		return;
	/* Enter has moved the cursor: on_input() says so, and draws. */
	if (poll(&input, 1, 0) > 0)
		return;
	if (page_on_air(c->server, &page))
		draw_page(c, &page);
	else
		screen_draw(PROMPT, "%u client%s, off air; Enter begins a page",
			    clients, plural_s(clients));
	c->drawn_usec = now_usec();
}

/* At most ten times a second, and not at all while nothing changes. */
static void draw_later(struct console *c)
{
	if (c->redraw)
		timer_set(c->redraw, c->drawn_usec + REDRAW_USEC);
}

static int on_redraw(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct console *c = userdata;
	struct page_info page;

	draw(c);
	if (page_on_air(c->server, &page))
		draw_later(c);
	return 0;
}

/* --- events of the server --- */

static void say_end(struct console *c, const struct page_info *page)
{
	char text[SUMMARY_SIZE];

	if (page->format.rate == 0)
		return;
	summary_print(text, page);
	say(c, "Page %u: %s", page->id, text);
}

static void say_if_alone(struct console *c, const struct page_info *page)
{
	unsigned clients = 0;

	for (unsigned z = 0; z < server_zone_count(c->server); z++)
		if (page->zones & UINT64_C(1) << z)
			clients += server_zone_clients(c->server, z);
	if (clients == 0)
		say(c,
		    "Page %u: no loudspeaker is connected, so nobody hears it "
		    "yet",
		    page->id);
}

static void leave_if_idle(struct console *c)
{
	if (c->leaving && server_page_count(c->server) == 0)
		(void)sd_event_exit(c->event, 0);
}

static void on_page(void *userdata, const struct page_info *page)
{
	struct console *c = userdata;

	switch (page->state) {
	case PAGE_QUEUED:
		say(c, "Page %u waits for its turn", page->id);
		break;
	case PAGE_CHIME:
		say_if_alone(c, page);
		if (page->chime_frames > 0)
			say(c, "Page %u: the chime plays%s", page->id,
			    page->is_file ? "" : ", wait for its end");
		break;
	case PAGE_SPEECH:
		say(c, "Page %u is on the air: %s", page->id,
		    page->is_file ? "the file plays" : "speak now");
		break;
	case PAGE_DONE:
		say_end(c, page);
		leave_if_idle(c);
		break;
	case PAGE_PREPARING:
	case PAGE_OPENING:
	case PAGE_SENDING:
		break;
	}
	draw_later(c);
}

static void on_clients(void *userdata)
{
	draw_later(userdata);
}

static void on_heard(void *userdata, const struct ledger_list *heard)
{
	struct console *c = userdata;
	_cleanup_free_ char *text = summary_heard(heard);

	if (text && heard->total > 0)
		say(c, "Page %u: %s", heard->page, text);
	draw_later(c);
}

static const struct server_observer observer = {
    .on_page = on_page,
    .on_clients = on_clients,
    .on_heard = on_heard,
};

/* --- commands --- */

static const char *refusal(int error)
{
	switch (error) {
	case -EBUSY:
		return "a page of the same or a higher priority is on the "
		       "air";
	case -ENOENT:
		return "there is no such zone";
	case -E2BIG:
		return "too many pages are running or waiting";
	case -ESHUTDOWN:
		return "the server is about to end";
	default:
		return strerror(-error);
	}
}

static void begin_page(struct console *c, uint64_t zones, int file_fd)
{
	const struct page_request request = {
	    .zones = zones,
	    .priority = BUS_PRIORITY_DEFAULT,
	    .when_busy = PAGE_REFUSE,
	    .seconds = server_config(c->server)->seconds,
	    .chime_fd = -1,
	    .file_fd = file_fd,
	};
	uint32_t id;
	int r = server_page(c->server, &request, &id);

	if (r < 0)
		say(c, "No page: %s", refusal(r));
}

static void toggle_page(struct console *c)
{
	struct page_info page;

	if (page_on_air(c->server, &page))
		server_stop(c->server, 0);
	else
		begin_page(c, 0, -1);
}

static void play_file(struct console *c, char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	if (fd >= 0) {
		begin_page(c, 0, fd);
		return;
	}
	utf8_replace_controls(path);
	say(c, "Cannot open '%s': %s", path, strerror(errno));
}

static void say_count(struct console *c, uint64_t count, const char *what)
{
	if (count > 0)
		say(c, "%" PRIu64 " %s", count, what);
}

static void say_status(struct console *c)
{
	const struct gate_stats *gate = &server_stats(c->server)->gate;
	struct page_info page;

	say(c, "%" PRIu64 " connection%s so far", gate->accepted,
	    plural_s(gate->accepted));
	say_count(c, gate->refused, "turned away: too many");
	say_count(c, gate->refused_address,
		  "turned away: too many from one address");
	say_count(c, gate->unproven, "turned away: without a key");
	say_count(c, gate->abused, "dropped: sent data");
	say_count(c, gate->stuck, "dropped: took too little");
	for (unsigned z = 0; z < server_zone_count(c->server); z++) {
		unsigned clients = server_zone_clients(c->server, z);

		say(c, "Zone %s: %u client%s", server_zone_name(c->server, z),
		    clients, plural_s(clients));
	}
	for (unsigned n = 0; server_page_at(c->server, n, &page); n++)
		say(c, "Page %u: %s, %.1f s, %u client%s", page.id,
		    page_state_name(page.state),
		    wav_seconds(&page.format, page.frames), page.clients,
		    plural_s(page.clients));
}

static void leave(struct console *c)
{
	c->leaving = true;
	server_close(c->server);
	leave_if_idle(c);
}

static void say_help(struct console *c)
{
	say(c, "Enter       begins a page in all zones, or ends it\n"
	       "ZONE ...    begins a page in these zones\n"
	       "play FILE   plays a WAV file in all zones\n"
	       "stop        ends every page\n"
	       "status      shows zones, clients and pages\n"
	       "help, ?     shows this list\n"
	       "quit        ends the server, after the page in progress");
}

/* "lobby yard" or "zone lobby yard" begins a page there; an empty line begins
 * or ends one. A zone may be called "zone". */
static void page_zones(struct console *c, char *line)
{
	uint64_t zones = 0;
	char *rest = NULL;

	for (char *word = strtok_r(line, " \t", &rest); word;
	     word = strtok_r(NULL, " \t", &rest)) {
		int z = server_find_zone(c->server, word);

		if (z < 0 && word == line && *rest && strcmp(word, "zone") == 0)
			continue;
		if (z < 0) {
			utf8_replace_controls(word);
			say(c,
			    "'%s' is neither a zone nor a command; try "
			    "help",
			    word);
			return;
		}
		zones |= UINT64_C(1) << z;
	}
	if (zones)
		begin_page(c, zones, -1);
	else
		toggle_page(c);
}

static void obey(struct console *c, char *line)
{
	if (strcmp(line, "help") == 0 || strcmp(line, "?") == 0)
		say_help(c);
	else if (strcmp(line, "status") == 0)
		say_status(c);
	else if (strcmp(line, "stop") == 0)
		server_stop(c->server, 0);
	else if (strcmp(line, "quit") == 0)
		leave(c);
	else if (strncmp(line, "play ", 5) == 0)
		play_file(c, line + 5);
	else
		page_zones(c, line);
}

static void obey_lines(struct console *c)
{
	char *newline;

	while ((newline = memchr(c->line, '\n', c->length))) {
		size_t used = (size_t)(newline - c->line) + 1;

		*newline = '\0';
		screen_entered();
		if (!c->too_long)
			obey(c, c->line);
		c->too_long = false;
		c->length -= used;
		memmove(c->line, c->line + used, c->length);
	}
	if (c->length == LINE_SIZE) {
		if (!c->too_long)
			say(c,
			    "A line of more than %d characters is not a "
			    "command",
			    LINE_SIZE);
		c->too_long = true;
		c->length = 0;
	}
}

static int on_input(sd_event_source *source, int fd, uint32_t revents,
		    void *userdata)
{
	struct console *c = userdata;
	ssize_t n = read(fd, c->line + c->length, LINE_SIZE - c->length);

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (n <= 0) {
		(void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
		leave(c);
		return 0;
	}
	c->length += (size_t)n;
	obey_lines(c);
	/* At once: what is typed next shall find its line. */
	if (c->in_place)
		draw(c);
	draw_later(c);
	return 0;
}

/* A regular file or /dev/null cannot be polled, and need not be. */
static int on_file_input(sd_event_source *source, void *userdata)
{
	struct console *c = userdata;

	return on_input(source, STDIN_FILENO, 0, c);
}

static int watch_input(struct console *c)
{
	int r = sd_event_add_io(c->event, &c->input, STDIN_FILENO, EPOLLIN,
				on_input, c);

	if (r != -EPERM)
		return r;
	r = sd_event_add_defer(c->event, &c->input, on_file_input, c);
	if (r < 0)
		return r;
	return sd_event_source_set_enabled(c->input, SD_EVENT_ON);
}

int console_new(struct console **ret, sd_event *event, struct server *server,
		enum console_meter meter)
{
	struct console *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return -ENOMEM;
	c->event = sd_event_ref(event);
	c->server = server;
	c->meter = meter;
	c->in_place = isatty(STDOUT_FILENO);
	r = watch_input(c);
	if (r >= 0)
		r = server_observe(server, &observer, c);
	if (r >= 0 && c->in_place)
		r = timer_new(&c->redraw, event, on_redraw, c);
	if (r < 0) {
		console_free(c);
		return r;
	}
	draw_later(c);
	*ret = c;
	return 0;
}

struct console *console_free(struct console *c)
{
	if (!c)
		return NULL;
	screen_clear();
	sd_event_source_disable_unref(c->input);
	sd_event_source_disable_unref(c->redraw);
	sd_event_unref(c->event);
	free(c);
	return NULL;
}
