/* SPDX-License-Identifier: MIT
 * talk and play: asks for a page, shows its progress, and exits when its
 * loudspeakers have told how much of it they heard. Interrupting this program
 * ends the page. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#include "audio/chime.h"
#include "audio/filesource.h"
#include "audio/samples.h"
#include "base/log.h"
#include "base/screen.h"
#include "base/util.h"
#include "bus/names.h"
#include "ctl/bus.h"

enum {
	METER_COLUMNS = 13, /* of a short bar */
	METER_USEC = 100000,
	/* So long after the page is due to have been heard its loudspeakers
	 * are waited for. */
	ANSWER_USEC = 3000000,
	TIME_SIZE = 32,
};

struct following {
	struct ctl *ctl;
	sd_event *event;
	sd_event_source *meter, *input, *answer;
	bool plays; /* files, not the microphone */
	int fds[BUS_FILES_MAX];
	int chime_fd;	     /* or -1 */
	uint32_t id;	     /* 0 until the server has answered */
	bool started, ended; /* the page */
	bool stopped;	     /* by this program */
	bool gone;	     /* the server has left the bus */
	bool asked_again;    /* for receipts, as the time for them is over */
	struct value zones;  /* the page's, by name */
	double seconds;	     /* of the page, by the last reply of Meter */
	int status;	     /* the exit status, once the page has ended */
};

/* --- output --- */

/* "1:02.3" */
static void time_text(double seconds, char text[TIME_SIZE])
{
	uint64_t tenths = seconds > 0 ? (uint64_t)(seconds * 10) : 0;

	snprintf(text, TIME_SIZE, "%" PRIu64 ":%02" PRIu64 ".%" PRIu64,
		 tenths / 600, tenths / 10 % 60, tenths % 10);
}

static void draw(struct following *f, double peak, double planned,
		 uint32_t clients)
{
	const size_t columns = screen_columns();
	char now[TIME_SIZE], end[TIME_SIZE + 8] = "", heard[32],
					     meter[SAMPLES_METER_SIZE];
	size_t used;

	time_text(f->seconds, now);
	if (planned >= 0) {
		strcpy(end, " of ");
		time_text(planned, end + strlen(end));
	}
	snprintf(heard, sizeof(heard), "%" PRIu32 " client%s", clients,
		 plural_s(clients));
	used = strlen("  ") * 3 + strlen(now) + strlen(heard);
	if (used + strlen(end) + METER_COLUMNS > columns)
		*end = '\0';
	used += strlen(end);
	samples_meter(meter, columns > used ? columns - used : 0, peak);
	screen_draw("", "  %s%s  %s  %s", now, end, meter, heard);
}

/* --- the meter --- */

/* Calls METHOD for the page, without waiting. 0 or negative errno. */
static int call(struct following *f, const char *method,
		sd_bus_message_handler_t on_reply)
{
	return sd_bus_call_method_async(f->ctl->bus, NULL, BUS_NAME, BUS_PATH,
					BUS_INTERFACE, method, on_reply, f, "u",
					f->id);
}

static int on_meter(sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
	struct following *f = userdata;
	double peak, planned;
	uint32_t clients;

	if (f->ended || sd_bus_message_is_method_error(reply, NULL))
		return 0;
	if (sd_bus_message_read(reply, "dddu", &peak, &f->seconds, &planned,
				&clients) < 0)
		return 0;
	draw(f, peak, planned, clients);
	return 0;
}

static int on_meter_time(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct following *f = userdata;

	if (f->started && !f->ended)
		(void)call(f, "Meter", on_meter);
	/* Not from USEC on, which is 0 at first: every tick since the machine
	 * started would be caught up. */
	(void)sd_event_source_set_time(source, now_usec() + METER_USEC);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

/* --- who has heard it --- */

static bool must_be_heard(const struct following *f)
{
	return f->ctl->require_percent >= 0;
}

/* The exit status when the loudspeakers' answers are not waited for, or cannot
 * be had. */
static int unanswered(const struct following *f)
{
	return f->status == CTL_DONE && must_be_heard(f) ? CTL_UNHEARD
							 : f->status;
}

/* Names those that count as not having heard it, as far as they are told. */
static void log_unheard(const struct value *heard)
{
	const struct value *players = value_get(heard, "loudspeakers");
	const uint64_t total = value_natural(heard, "total");

	if (total == 0)
		log_error("Nobody heard the page: no loudspeaker was on the "
			  "air");
	else
		log_error("Only %" PRIu64 " of %" PRIu64
			  " loudspeaker%s heard all of the page",
			  value_natural(heard, "heard_all"), total,
			  plural_s(total));
	for (size_t i = 0; players && i < players->count; i++) {
		const struct value *player = &players->items[i];
		const char *how = value_string(player, "heard");

		if (strcmp(how, "all") != 0 && strcmp(how, "excused") != 0)
			log_error("%s: %s", value_string(player, "label"),
				  value_string(player, "reason"));
	}
}

static int judge(const struct following *f, const struct value *heard)
{
	const uint64_t total = value_natural(heard, "total");
	const uint64_t all = value_natural(heard, "heard_all");

	if (f->status != CTL_DONE || !must_be_heard(f))
		return f->status;
	if (total > 0 &&
	    (double)all * 100 >= (double)total * f->ctl->require_percent)
		return CTL_DONE;
	log_unheard(heard);
	return CTL_UNHEARD;
}

/* Says who has heard it, and exits. */
static void conclude(struct following *f, const struct value *heard)
{
	screen_say("Page %" PRIu32 ": %s", f->id, value_string(heard, "text"));
	(void)sd_event_exit(f->event, judge(f, heard));
}

static void on_heard(struct following *f, sd_bus_message *m)
{
	_cleanup_(value_clear) struct value heard = {0};

	if (f->ended && value_read(&heard, m) >= 0)
		conclude(f, &heard);
}

static void wait_for_answers(struct following *f, double due_seconds)
{
	const double due_usec = MIN(due_seconds, 1e6) * (double)USEC_PER_SEC;

	(void)sd_event_source_set_time(
	    f->answer, now_usec() + (uint64_t)due_usec + ANSWER_USEC);
	(void)sd_event_source_set_enabled(f->answer, SD_EVENT_ONESHOT);
}

/* A server that is older than this program knows no receipts. */
static int on_no_receipts(struct following *f, const sd_bus_error *failure)
{
	if (f->status == CTL_DONE && must_be_heard(f))
		log_error("Who heard the page is not known: %s",
			  failure->message ? failure->message : failure->name);
	return sd_event_exit(f->event, unanswered(f));
}

/* The first time only to learn whether all have answered; then because the time
 * is over, for those who do not insist. */
static int on_receipts(sd_bus_message *reply, void *userdata,
		       sd_bus_error *error)
{
	_cleanup_(value_clear) struct value heard = {0};
	struct following *f = userdata;
	const sd_bus_error *failure = sd_bus_message_get_error(reply);
	const bool waited = f->asked_again;
	int r;

	if (failure)
		return on_no_receipts(f, failure);
	r = value_read(&heard, reply);
	if (r < 0)
		return sd_event_exit(f->event,
				     ctl_failed("Cannot read the receipts", r));
	if (value_natural(&heard, "pending") == 0 ||
	    (waited && !must_be_heard(f)))
		conclude(f, &heard);
	else
		wait_for_answers(f, value_real(&heard, "due_seconds"));
	return 0;
}

static void ask_for_receipts(struct following *f)
{
	if (call(f, "Receipts", on_receipts) < 0)
		(void)sd_event_exit(f->event, unanswered(f));
}

static int on_answer_time(sd_event_source *source, uint64_t usec,
			  void *userdata)
{
	struct following *f = userdata;

	f->asked_again = true;
	ask_for_receipts(f);
	return 0;
}

/* --- ending it --- */

static int on_stopped(sd_bus_message *reply, void *userdata,
		      sd_bus_error *error)
{
	struct following *f = userdata;
	const sd_bus_error *failure = sd_bus_message_get_error(reply);

	/* NotFound: the page has ended by itself, and PageEnded follows. */
	if (failure && strcmp(failure->name, BUS_ERROR_NOT_FOUND) != 0)
		(void)sd_event_exit(f->event, ctl_refused(f->ctl, failure));
	return 0;
}

/* Before the server has answered it is enough to leave the bus: then the server
 * gives up the page. A second stop exits at once. */
static void stop(struct following *f)
{
	int r;

	if (f->ended) {
		(void)sd_event_exit(f->event, unanswered(f));
		return;
	}
	if (f->id == 0)
		log_error("Interrupted before the server had answered");
	if (f->id == 0 || f->stopped) {
		(void)sd_event_exit(f->event, CTL_FAILED);
		return;
	}
	f->stopped = true;
	r = call(f, "Stop", on_stopped);
	if (r < 0)
		(void)sd_event_exit(f->event,
				    ctl_failed("Cannot end the page", r));
}

static int on_interrupt(sd_event_source *source,
			const struct signalfd_siginfo *si, void *userdata)
{
	stop(userdata);
	return 0;
}

/* Enter or the end of input ends the page. */
static int on_input(sd_event_source *source, int fd, uint32_t revents,
		    void *userdata)
{
	struct following *f = userdata;
	char line[256];
	ssize_t n = read(fd, line, sizeof(line));

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (n <= 0)
		(void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
	if (n > 0)
		screen_entered();
	if (!f->stopped)
		stop(f);
	return 0;
}

/* --- the server's signals and answer --- */

static bool has_zone(const struct following *f, const char *name)
{
	for (size_t i = 0; i < f->zones.count; i++)
		if (strcmp(f->zones.items[i].u.string, name) == 0)
			return true;
	return false;
}

static int on_zones(sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
	_cleanup_(value_clear) struct value zones = {0};
	struct following *f = userdata;
	uint64_t clients = 0;

	if (f->ended || sd_bus_message_is_method_error(reply, NULL) ||
	    value_read(&zones, reply) < 0)
		return 0;
	for (size_t i = 0; i < zones.count; i++)
		if (has_zone(f, value_string(&zones.items[i], "name")))
			clients += value_natural(&zones.items[i], "clients");
	if (clients > 0)
		return 0;
	screen_say("%s",
		   "No loudspeaker is connected: nobody hears this page yet");
	return 0;
}

static void on_started(struct following *f, sd_bus_message *m)
{
	double chime;

	if (f->started || value_read(&f->zones, m) < 0 ||
	    sd_bus_message_read(m, "d", &chime) < 0)
		return;
	f->started = true;
	(void)sd_bus_call_method_async(f->ctl->bus, NULL, BUS_NAME, BUS_PATH,
				       "org.freedesktop.DBus.Properties", "Get",
				       on_zones, f, "ss", BUS_INTERFACE,
				       "Zones");
	if (chime > 0)
		screen_say("Page %" PRIu32 ": the chime plays%s (%.1f s)",
			   f->id, f->plays ? "" : ", wait for its end", chime);
}

static const char *file_name(const struct following *f, unsigned i)
{
	const char *path = f->ctl->args[i];

	return strcmp(path, "-") == 0 ? "standard input" : path;
}

static void on_speech(struct following *f)
{
	const unsigned more = f->ctl->arg_count - 1;
	char others[32] = "";

	if (f->plays && more > 0)
		snprintf(others, sizeof(others), " and %u more", more);
	if (f->plays)
		screen_say("Page %" PRIu32 " is on the air: '%s'%s play%s",
			   f->id, file_name(f, 0), others, more ? "" : "s");
	else
		screen_say("Page %" PRIu32 " is on the air: speak now%s", f->id,
			   f->input ? " (Enter ends it)" : "");
}

/* The exit status for the reason of PageEnded. */
static int status_of(const struct following *f, const char *reason)
{
	if (strcmp(reason, "complete") == 0)
		return CTL_DONE;
	if (strcmp(reason, "stopped") == 0)
		return f->started ? CTL_DONE : CTL_FAILED;
	if (strcmp(reason, "preempted") == 0)
		return CTL_REFUSED;
	return CTL_FAILED;
}

static void on_ended(struct following *f, sd_bus_message *m)
{
	uint64_t frames, overruns;
	uint32_t reached, lost;
	const char *reason;

	if (sd_bus_message_skip(m, "as") < 0 ||
	    sd_bus_message_read(m, "tuuts", &frames, &reached, &lost, &overruns,
				&reason) < 0)
		return;
	f->ended = true;
	f->status = status_of(f, reason);
	screen_clear();
	screen_say("Page %" PRIu32 " has ended (%s): %" PRIu64
		   " frame%s, %" PRIu32 " client%s reached, %" PRIu32
		   " lost, %" PRIu64 " overrun%s",
		   f->id, reason, frames, plural_s(frames), reached,
		   plural_s(reached), lost, overruns, plural_s(overruns));
	if (f->status != CTL_DONE)
		log_error("The page was not completed: %s%s", reason,
			  strcmp(reason, "failed") == 0
			      ? " (the server's log tells why)"
			      : "");
	if (f->started)
		ask_for_receipts(f);
	else
		(void)sd_event_exit(f->event, f->status);
}

static int on_signal(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct following *f = userdata;
	const char *member = sd_bus_message_get_member(m);
	uint32_t id;

	if (strcmp(sd_bus_message_get_interface(m), BUS_INTERFACE) != 0 ||
	    sd_bus_message_read(m, "u", &id) < 0 || f->id == 0 || id != f->id)
		return 0;
	if (strcmp(member, "PageStarted") == 0)
		on_started(f, m);
	else if (strcmp(member, "PageSpeech") == 0)
		on_speech(f);
	else if (strcmp(member, "PageEnded") == 0)
		on_ended(f, m);
	else if (strcmp(member, "PageHeard") == 0)
		on_heard(f, m);
	return 0;
}

/* A call that is not answered when the server leaves gets an error. */
static int on_gone(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct following *f = userdata;

	f->gone = true;
	if (f->id == 0)
		return 0;
	screen_clear();
	if (f->ended) {
		log_error("The server ended before all loudspeakers had "
			  "answered");
		return sd_event_exit(f->event, unanswered(f));
	}
	log_error("The server ended before the page did");
	return sd_event_exit(f->event, CTL_NO_SERVER);
}

/* The name of the file that *MESSAGE is about, which the server does not know,
 * or NULL. Takes its number from *MESSAGE. */
static const char *culprit(const struct following *f, const char **message)
{
	if (strncmp(*message, CHIME_ABOUT, strlen(CHIME_ABOUT)) == 0)
		return f->ctl->chime;
	for (unsigned i = 0; f->plays && i < f->ctl->arg_count; i++) {
		char about[sizeof(FILESOURCE_ABOUT) + 8];
		const int length =
		    snprintf(about, sizeof(about), FILESOURCE_ABOUT, i + 1);

		if (strncmp(*message, about, (size_t)length) != 0)
			continue;
		*message += length;
		return file_name(f, i);
	}
	return NULL;
}

static int refused(const struct following *f, const sd_bus_error *failure)
{
	const char *message = failure->message ? failure->message : "";
	const char *path = culprit(f, &message);

	if (!path && f->plays &&
	    strcmp(failure->name, BUS_ERROR_NOT_AUDIO) == 0)
		path = file_name(f, 0);
	if (!path)
		return ctl_refused(f->ctl, failure);
	log_error("'%s': %s", path, message);
	return CTL_FAILED;
}

static int ask(struct following *f);

/* A server that ends for want of use leaves the bus, and then refuses what came
 * meanwhile: another one is started by asking again. */
static bool is_for_the_next_server(const struct following *f,
				   const sd_bus_error *failure)
{
	return f->gone && strcmp(failure->name, BUS_ERROR_STOPPED) == 0;
}

static int on_answer(sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
	struct following *f = userdata;
	const sd_bus_error *failure = sd_bus_message_get_error(reply);
	int r;

	if (failure && is_for_the_next_server(f, failure)) {
		f->gone = false;
		r = ask(f);
		return r < 0 ? sd_event_exit(f->event, ctl_failed("No page", r))
			     : 0;
	}
	if (failure)
		return sd_event_exit(f->event, refused(f, failure));
	r = sd_bus_message_read(reply, "u", &f->id);
	if (r < 0)
		return sd_event_exit(f->event,
				     ctl_failed("Cannot read the answer", r));
	if (f->ctl->queue)
		screen_say("Page %" PRIu32 " begins when its turn comes",
			   f->id);
	return 0;
}

/* --- asking --- */

static int append_zones(const struct ctl *ctl, sd_bus_message *m)
{
	int r = sd_bus_message_open_container(m, 'a', "s");

	for (unsigned i = 0; r >= 0 && i < ctl->zones.count; i++)
		r = sd_bus_message_append(m, "s", ctl->zones.items[i]);
	return r < 0 ? r : sd_bus_message_close_container(m);
}

/* The files after the first one. */
static int append_next(const struct following *f, sd_bus_message *m)
{
	int r = sd_bus_message_open_container(m, 'e', "sv");

	if (r >= 0)
		r = sd_bus_message_append(m, "s", "next");
	if (r >= 0)
		r = sd_bus_message_open_container(m, 'v', "ah");
	if (r >= 0)
		r = sd_bus_message_open_container(m, 'a', "h");
	for (unsigned i = 1; r >= 0 && i < f->ctl->arg_count; i++)
		r = sd_bus_message_append(m, "h", f->fds[i]);
	for (unsigned i = 0; r >= 0 && i < 3; i++)
		r = sd_bus_message_close_container(m);
	return r;
}

static int append_options(const struct following *f, sd_bus_message *m)
{
	const struct ctl *ctl = f->ctl;
	int r = sd_bus_message_open_container(m, 'a', "{sv}");

	if (r >= 0 && ctl->priority >= 0)
		r = sd_bus_message_append(m, "{sv}", "priority", "i",
					  (int32_t)ctl->priority);
	if (r >= 0 && ctl->queue)
		r = sd_bus_message_append(m, "{sv}", "queue", "b", 1);
	if (r >= 0 && ctl->gain_db != 0)
		r = sd_bus_message_append(m, "{sv}", "gain", "d", ctl->gain_db);
	if (r >= 0 && ctl->live)
		r = sd_bus_message_append(m, "{sv}", "live", "b", 1);
	if (r >= 0 && f->chime_fd >= 0)
		r = sd_bus_message_append(m, "{sv}", "chime", "h", f->chime_fd);
	if (r >= 0 && f->plays && ctl->arg_count > 1)
		r = append_next(f, m);
	return r < 0 ? r : sd_bus_message_close_container(m);
}

/* With no terminal for Enter, the server's own duration (-1) is safe. */
static double talk_seconds(const struct following *f)
{
	if (f->ctl->seconds >= 0)
		return f->ctl->seconds;
	return f->input ? 0 : -1;
}

static int make_call(const struct following *f, sd_bus_message **ret)
{
	const struct ctl *ctl = f->ctl;
	int r;

	r = sd_bus_message_new_method_call(ctl->bus, ret, BUS_NAME, BUS_PATH,
					   BUS_INTERFACE,
					   f->plays ? "Play" : "Talk");
	if (r >= 0)
		r = append_zones(ctl, *ret);
	if (r >= 0)
		r = f->plays
			? sd_bus_message_append(*ret, "h", f->fds[0])
			: sd_bus_message_append(*ret, "d", talk_seconds(f));
	return r < 0 ? r : append_options(f, *ret);
}

/* Has no time limit: a device may take long to open, and a pipe to begin. */
static int ask(struct following *f)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
	int r = make_call(f, &m);

	return r < 0 ? r
		     : sd_bus_call_async(f->ctl->bus, NULL, m, on_answer, f,
					 UINT64_MAX);
}

/* --- the commands --- */

static int set_up(struct following *f)
{
	int r =
	    ctl_follow(f->ctl, &f->event, on_interrupt, on_signal, on_gone, f);

	if (r >= 0 && isatty(STDOUT_FILENO))
		r = sd_event_add_time(f->event, &f->meter, CLOCK_MONOTONIC, 0,
				      0, on_meter_time, f);
	if (r >= 0)
		r = sd_event_add_time(f->event, &f->answer, CLOCK_MONOTONIC, 0,
				      0, on_answer_time, f);
	if (r >= 0)
		r = sd_event_source_set_enabled(f->answer, SD_EVENT_OFF);
	if (r >= 0 && !f->plays && isatty(STDIN_FILENO))
		r = sd_event_add_io(f->event, &f->input, STDIN_FILENO, EPOLLIN,
				    on_input, f);
	return r;
}

static int run(struct following *f)
{
	int r = set_up(f);

	if (r >= 0)
		r = ask(f);
	if (r < 0)
		return ctl_failed("Cannot ask for a page", r);
	r = sd_event_loop(f->event);
	screen_clear();
	return r < 0 ? ctl_failed("Lost the bus", r) : r;
}

static int follow(struct following *f)
{
	int status = run(f);

	(void)sd_bus_detach_event(f->ctl->bus);
	sd_event_source_disable_unref(f->meter);
	sd_event_source_disable_unref(f->input);
	sd_event_source_disable_unref(f->answer);
	sd_event_unref(f->event);
	value_clear(&f->zones);
	return status;
}

static int open_file(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

	if (fd < 0)
		log_error("Cannot open '%s': %s", path, strerror(errno));
	return fd;
}

/* CTL_DONE, or an exit status after logging what is wrong. */
static int open_chime(struct following *f)
{
	f->chime_fd = f->ctl->chime ? open_file(f->ctl->chime) : -1;
	return f->ctl->chime && f->chime_fd < 0 ? CTL_FAILED : CTL_DONE;
}

int ctl_talk(struct ctl *ctl)
{
	struct following f = {.ctl = ctl};
	int status = open_chime(&f);

	if (status == CTL_DONE)
		status = follow(&f);
	fd_close(f.chime_fd);
	return status;
}

static int check_files(const struct ctl *ctl)
{
	unsigned inputs = 0;

	for (unsigned i = 0; i < ctl->arg_count; i++)
		inputs += strcmp(ctl->args[i], "-") == 0;
	if (ctl->live && (ctl->chime || ctl->arg_count > 1)) {
		log_error("--live is for one pipe, without --chime or other "
			  "files");
		return CTL_USAGE;
	}
	if (inputs > 1) {
		log_error("play -: standard input can be played once");
		return CTL_USAGE;
	}
	if (inputs > 0 && isatty(STDIN_FILENO)) {
		log_error("play -: standard input is a terminal; a WAV "
			  "file is needed");
		return CTL_USAGE;
	}
	return CTL_DONE;
}

/* Closes at most what it has opened: standard input is 0. */
static void close_files(const struct following *f, unsigned count)
{
	fd_close(f->chime_fd);
	for (unsigned i = 0; i < count; i++)
		if (f->fds[i] != STDIN_FILENO)
			fd_close(f->fds[i]);
}

int ctl_play(struct ctl *ctl)
{
	struct following f = {.ctl = ctl, .plays = true, .chime_fd = -1};
	int status = check_files(ctl);
	unsigned count = 0;

	if (status == CTL_DONE)
		status = open_chime(&f);
	for (; status == CTL_DONE && count < ctl->arg_count; count++) {
		const char *path = ctl->args[count];

		f.fds[count] =
		    strcmp(path, "-") == 0 ? STDIN_FILENO : open_file(path);
		if (f.fds[count] < 0)
			status = CTL_FAILED;
	}
	if (status == CTL_DONE)
		status = follow(&f);
	close_files(&f, count);
	return status;
}
