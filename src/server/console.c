/* SPDX-License-Identifier: MIT
 * Owns standard input and the status line. An observer of the server and a
 * user of its calls, nothing more. */
#include "server/console.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "audio/samples.h"
#include "base/util.h"
#include "server/summary.h"
#include "server/timer.h"

enum {
	LINE_SIZE = 4096,
	METER_WIDTH = 30,
	REDRAW_USEC = 100000,
};

struct console {
	sd_event *event;
	struct server *server;
	struct console_config config;
	sd_event_source *input, *redraw;
	char line[LINE_SIZE];
	size_t length;
	bool in_place; /* stdout is a terminal: redraw one line */
	bool drawn;    /* a status line stands there, without a newline */
	bool leaving;  /* exit after the pages in progress */
	uint64_t drawn_usec;
};

/* A line that stays, above the status line. */
__attribute__((format(printf, 2, 3))) static void say(struct console *t,
						      const char *format, ...)
{
	va_list ap;

	if (t->config.display == CONSOLE_QUIET)
		return;
	if (t->drawn)
		fputs("\r\033[K", stdout);
	t->drawn = false;
	va_start(ap, format);
	vprintf(format, ap);
	va_end(ap);
	putchar('\n');
	fflush(stdout);
}

/* --- the status line --- */

static bool page_on_air(const struct server *server, struct page_info *ret)
{
	for (unsigned n = 0; server_page_at(server, n, ret); n++)
		if (ret->state != PAGE_QUEUED && ret->state < PAGE_SENDING)
			return true;
	return false;
}

static int describe_page(const struct page_info *page, char *text, size_t size)
{
	double elapsed = wav_seconds(&page->format, page->frames);
	const char *what = page->state <= PAGE_OPENING ? "opening"
			   : page->state == PAGE_CHIME ? "CHIME"
						       : "ON AIR";

	if (page->planned_frames == WAV_ENDLESS)
		return snprintf(text, size, "%s %.1f s", what, elapsed);
	return snprintf(
	    text, size, "%s %.1f s, %.1f s left", what, elapsed,
	    wav_seconds(&page->format, page->planned_frames - page->frames));
}

static void describe(struct console *t, char *text, size_t size)
{
	unsigned clients = server_client_count(t->server);
	struct page_info page;
	int n;

	n = snprintf(text, size, "%u client%s, ", clients, plural_s(clients));
	text += n;
	size -= (size_t)n;
	if (!page_on_air(t->server, &page)) {
		snprintf(text, size, "off air; Enter begins a page");
		return;
	}
	n = describe_page(&page, text, size);
	if (t->config.meter == CONSOLE_METER) {
		char bar[METER_WIDTH + 1];
		double peak = server_take_peak(t->server, page.id);

		samples_bar(bar, METER_WIDTH, peak);
		snprintf(text + n, size - (size_t)n, " [%s] %3.0f dB", bar,
			 samples_dbfs(peak));
	}
}

static void draw(struct console *t)
{
	char text[256];

	if (t->config.display == CONSOLE_QUIET)
		return;
	describe(t, text, sizeof(text));
	printf("\r%s\033[K", text);
	fflush(stdout);
	t->drawn = true;
	t->drawn_usec = now_usec();
}

/* At most ten times a second, and not at all while nothing changes. */
static void draw_later(struct console *t)
{
	if (t->redraw)
		timer_set(t->redraw, t->drawn_usec + REDRAW_USEC);
}

static int on_redraw(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct console *t = userdata;
	struct page_info page;

	draw(t);
	if (page_on_air(t->server, &page))
		draw_later(t);
	return 0;
}

/* --- events of the server --- */

static void say_end(struct console *t, const struct page_info *page)
{
	char text[SUMMARY_SIZE];

	if (page->format.rate == 0)
		return;
	summary_print(text, page);
	say(t, "Page %u: %s", page->id, text);
}

static void leave_if_idle(struct console *t)
{
	if (t->leaving && server_page_count(t->server) == 0)
		(void)sd_event_exit(t->event, 0);
}

static void on_page(void *userdata, const struct page_info *page)
{
	struct console *t = userdata;

	switch (page->state) {
	case PAGE_QUEUED:
		say(t, "Page %u waits for its turn", page->id);
		break;
	case PAGE_CHIME:
		if (page->chime_frames > 0)
			say(t, "Page %u: the chime goes out, wait for it",
			    page->id);
		break;
	case PAGE_SPEECH:
		say(t, "Page %u is on the air: %s", page->id,
		    page->is_file ? "the file plays" : "speak now");
		break;
	case PAGE_DONE:
		say_end(t, page);
		leave_if_idle(t);
		break;
	case PAGE_PREPARING:
	case PAGE_OPENING:
	case PAGE_SENDING:
		break;
	}
	draw_later(t);
}

static void on_clients(void *userdata)
{
	draw_later(userdata);
}

static const struct server_observer observer = {
    .on_page = on_page,
    .on_clients = on_clients,
};

/* --- commands --- */

static const char *refusal(int error)
{
	switch (error) {
	case -EBUSY:
		return "another page of this or a higher priority is on the "
		       "air";
	case -ENOENT:
		return "there is no such zone";
	case -E2BIG:
		return "too many pages wait already";
	default:
		return strerror(-error);
	}
}

static void begin_page(struct console *t, uint64_t zones, int file_fd)
{
	const struct page_request request = {
	    .zones = zones,
	    .priority = BUS_PRIORITY_DEFAULT,
	    .when_busy = PAGE_REFUSE,
	    .seconds = server_config(t->server)->seconds,
	    .chime_fd = -1,
	    .file_fd = file_fd,
	};
	uint32_t id;
	int r = server_page(t->server, &request, &id);

	if (r < 0)
		say(t, "No page: %s", refusal(r));
}

static void toggle_page(struct console *t)
{
	struct page_info page;

	if (page_on_air(t->server, &page))
		server_stop(t->server, 0);
	else
		begin_page(t, 0, -1);
}

static void play_file(struct console *t, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	if (fd < 0)
		say(t, "Cannot open '%s': %s", path, strerror(errno));
	else
		begin_page(t, 0, fd);
}

static void say_status(struct console *t)
{
	const struct gate_stats *gate = &server_stats(t->server)->gate;
	struct page_info page;

	say(t,
	    "Clients: %" PRIu64 " came; turned away: %" PRIu64
	    " too many, %" PRIu64 " too many from one address, %" PRIu64
	    " without a key, %" PRIu64 " that sent data, %" PRIu64
	    " that took too little",
	    gate->accepted, gate->refused, gate->refused_address,
	    gate->unproven, gate->abused, gate->stuck);
	for (unsigned z = 0; z < server_zone_count(t->server); z++)
		say(t, "Zone %s: %u clients", server_zone_name(t->server, z),
		    server_zone_clients(t->server, z));
	for (unsigned n = 0; server_page_at(t->server, n, &page); n++)
		say(t, "Page %u: %s, %.1f s, %u clients", page.id,
		    page_state_name(page.state),
		    wav_seconds(&page.format, page.frames), page.clients);
}

static void leave(struct console *t)
{
	t->leaving = true;
	server_close(t->server);
	leave_if_idle(t);
}

static void say_help(struct console *t)
{
	say(t, "Enter       begins a page in all zones, or ends it\n"
	       "ZONE ...    begins a page in these zones\n"
	       "play FILE   plays a WAV file in all zones\n"
	       "stop        ends every page\n"
	       "status      shows zones, clients and pages\n"
	       "quit        ends the server, after the page in progress");
}

/* "lobby yard": a page there. */
static void page_zones(struct console *t, char *line)
{
	uint64_t zones = 0;
	char *rest = NULL;

	for (const char *word = strtok_r(line, " \t", &rest); word;
	     word = strtok_r(NULL, " \t", &rest)) {
		int z = server_find_zone(t->server, word);

		if (z < 0) {
			say(t,
			    "'%s' is neither a zone nor a command; try "
			    "help",
			    word);
			return;
		}
		zones |= UINT64_C(1) << z;
	}
	if (zones)
		begin_page(t, zones, -1);
	else
		toggle_page(t);
}

static void obey(struct console *t, char *line)
{
	if (strcmp(line, "help") == 0)
		say_help(t);
	else if (strcmp(line, "status") == 0)
		say_status(t);
	else if (strcmp(line, "stop") == 0)
		server_stop(t->server, 0);
	else if (strcmp(line, "quit") == 0)
		leave(t);
	else if (strncmp(line, "play ", 5) == 0)
		play_file(t, line + 5);
	else
		page_zones(t, line);
}

static void obey_lines(struct console *t)
{
	char *newline;

	while ((newline = memchr(t->line, '\n', t->length))) {
		size_t used = (size_t)(newline - t->line) + 1;

		*newline = '\0';
		/* The person's own newline has ended the status line. */
		t->drawn = false;
		obey(t, t->line);
		t->length -= used;
		memmove(t->line, t->line + used, t->length);
	}
	if (t->length == LINE_SIZE) {
		say(t, "A line of more than %d characters is no command",
		    LINE_SIZE);
		t->length = 0;
	}
}

static int on_input(sd_event_source *source, int fd, uint32_t revents,
		    void *userdata)
{
	struct console *t = userdata;
	ssize_t n = read(fd, t->line + t->length, LINE_SIZE - t->length);

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (n <= 0) {
		(void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
		leave(t);
		return 0;
	}
	t->length += (size_t)n;
	obey_lines(t);
	draw_later(t);
	return 0;
}

/* A regular file or /dev/null cannot be polled, and need not be. */
static int on_file_input(sd_event_source *source, void *userdata)
{
	struct console *t = userdata;

	return on_input(source, STDIN_FILENO, 0, t);
}

static int watch_input(struct console *t)
{
	int r = sd_event_add_io(t->event, &t->input, STDIN_FILENO, EPOLLIN,
				on_input, t);

	if (r != -EPERM)
		return r;
	r = sd_event_add_defer(t->event, &t->input, on_file_input, t);
	if (r < 0)
		return r;
	return sd_event_source_set_enabled(t->input, SD_EVENT_ON);
}

int console_new(struct console **ret, sd_event *event, struct server *server,
		const struct console_config *config)
{
	struct console *t = calloc(1, sizeof(*t));
	int r;

	if (!t)
		return -ENOMEM;
	t->event = sd_event_ref(event);
	t->server = server;
	t->config = *config;
	t->in_place = isatty(STDOUT_FILENO);
	r = watch_input(t);
	if (r >= 0)
		r = server_observe(server, &observer, t);
	if (r >= 0 && t->in_place)
		r = timer_new(&t->redraw, event, on_redraw, t);
	if (r < 0) {
		console_free(t);
		return r;
	}
	draw_later(t);
	*ret = t;
	return 0;
}

struct console *console_free(struct console *t)
{
	if (!t)
		return NULL;
	if (t->drawn)
		putchar('\n');
	fflush(stdout);
	sd_event_source_disable_unref(t->input);
	sd_event_source_disable_unref(t->redraw);
	sd_event_unref(t->event);
	free(t);
	return NULL;
}
