/* SPDX-License-Identifier: MIT
 * Owns the sessions, the speaker, the hook, the mixer and the savers. A pass of
 * the loop does all that can be done; then it sleeps until something happens.
 */
#include "client/client.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/signalfd.h>

#include "base/log.h"
#include "base/util.h"
#include "client/hook.h"
#include "client/journal.h"
#include "client/meter.h"
#include "client/mixer.h"
#include "client/saver.h"
#include "client/service.h"
#include "feed/session.h"

enum {
	SAVERS_MAX = 16,      /* files that are being completed */
	SAVER_WAIT_MS = 2000, /* at the end of the client */
	HOOK_WAIT_MS = 1000,  /* at the end of the client */
	FEED_READS = 64,      /* in one pass */
	DISCARD_READS = 32,
	DISCARD_TICK_MS = 100,
	METER_TICK_MS = 100,
	LIMIT_GRACE_MS = 5000,
	STATUS_SIZE = 256,
};

/* A server and what becomes of its page. */
struct station {
	struct session *session;
	struct saver *saver;   /* of the page that is being received, or NULL */
	uint64_t seen_page;    /* its number */
	struct latency probe;  /* of a page that waits for its turn */
	bool muted;	       /* the rest of its page is not to be heard */
	bool turned_to;	       /* the page has been begun, maybe not for good */
	uint64_t discard_usec; /* when next to read what is not heard */
};

/* The page that has the loudspeaker. */
struct turn {
	struct station *station; /* NULL: nobody's turn */
	bool open;		 /* samples may still come */
	bool before;		 /* waits for the hook */
	enum report_result result;
	struct session_page page; /* its state when last looked at */
	uint64_t first;		  /* bytes that came before it was joined */
	uint64_t begun_usec;
};

struct totals {
	uint64_t pages, complete, written_frames, xruns, starvations;
	uint64_t starved_ms, dropped_ms, suspends, card_losses;
};

struct client {
	struct client_config config;
	int signal_fd;
	unsigned station_count;
	struct station stations[CLIENT_SERVERS_MAX];
	struct speaker speaker;
	struct mixer *mixer; /* NULL: not wanted */
	struct hook hook;
	struct turn turn;
	struct totals totals;
	struct saver *finishing[SAVERS_MAX];
	uint64_t status; /* of status_number(), when last told */
	uint64_t watchdog_usec, watchdog_next_usec; /* 0: none */
	uint64_t meter_usec;
	bool again; /* another pass at once */
	bool stop;
	bool once_over;
	int once_result;
};

/* --- files --- */

static void start_saver(struct client *client, struct station *station)
{
	int r;

	if (!client->config.save)
		return;
	r = saver_start(&station->saver, client->config.save,
			&session_page(station->session)->format);
	if (r < 0)
		log_warning("Cannot save the page as '%s': %s",
			    client->config.save, strerror(-r));
}

static void lose_saver(const struct client *client, struct station *station,
		       int error)
{
	/* The thread tells of its own errors, after which the pipe breaks. */
	if (error != -EPIPE)
		log_warning("Cannot save the page as '%s': %s",
			    client->config.save,
			    error == -EAGAIN ? "The disk is too slow"
					     : strerror(-error));
	station->saver = saver_free(station->saver, 0);
}

static void finish_saver(struct client *client, struct station *station)
{
	struct saver *saver = TAKE_PTR(station->saver);

	if (!saver)
		return;
	saver_finish(saver);
	for (unsigned i = 0; i < SAVERS_MAX; i++) {
		if (!client->finishing[i]) {
			client->finishing[i] = saver;
			return;
		}
	}
	/* So many at once: it completes by itself. */
	saver_free(saver, 0);
}

static bool reap_savers(struct client *client)
{
	bool busy = false;

	for (unsigned i = 0; i < SAVERS_MAX; i++) {
		struct saver *saver = client->finishing[i];

		if (saver && saver_done(saver))
			client->finishing[i] = saver_free(saver, 0);
		else if (saver)
			busy = true;
	}
	return busy;
}

/* --- pages as they are received --- */

static bool page_open(const struct station *station)
{
	return session_state(station->session) == SESSION_PAGE;
}

static void once(struct client *client, int result)
{
	if (!client->config.once)
		return;
	client->once_over = true;
	client->once_result = result;
}

static void describe(const struct client *client, const struct station *station,
		     const struct session_page *page, struct report *report)
{
	const struct speaker_stats *stats = &client->speaker.stats;
	const uint32_t rate = page->format.rate;

	*report = (struct report){
	    .server = session_name(station->session),
	    .format = page->format,
	    .data_size = page->data_size,
	    .result = client->turn.result,
	    .received_frames = page->received / wav_frame_size(&page->format),
	};
	if (client->turn.station != station)
		return;
	report->xruns = stats->xruns;
	report->starvations = stats->starvations;
	report->starved_ms = stats->starved_usec / 1000;
	report->dropped_ms = frames_to_usec(stats->dropped_frames, rate) / 1000;
	report->card_losses = stats->card_losses;
	report->latency_ms = speaker_behind_ms(&client->speaker);
}

static void page_begins(struct client *client, struct station *station,
			uint64_t now)
{
	const struct session_page *page = session_page(station->session);
	const struct speaker_config *speaker = &client->config.speaker;
	const uint64_t target_usec =
	    (uint64_t)(speaker->latency_ms + speaker->delay_ms) * 1000;

	station->seen_page = page->number;
	station->muted = station->turned_to = false;
	station->discard_usec = now;
	latency_init(&station->probe, page->format.rate,
		     usec_to_frames(target_usec, page->format.rate), 0,
		     page->begun_usec);
	/* A page of zero samples says nothing and so needs no loudspeaker. */
	if (page->data_size == 0) {
		log_info("Page from %s has no samples",
			 session_name(station->session));
		station->muted = true;
		once(client, 0);
	}
	start_saver(client, station);
}

/* How many bytes of a page may be read now: a saver never loses any unless the
 * sound needs them. */
static size_t saver_limit(struct client *client, struct station *station,
			  size_t size, bool urgent)
{
	const size_t room =
	    station->saver ? saver_room(station->saver) : SIZE_MAX;

	if (room == 0 && urgent) {
		lose_saver(client, station, -EAGAIN);
		return size;
	}
	return size < room ? size : room;
}

/* As session_read, with the file kept. */
static ssize_t read_page(struct client *client, struct station *station,
			 void *buffer, size_t size, uint64_t now)
{
	const ssize_t n = session_read(station->session, buffer, size, now);
	int r;

	if (n > 0 && station->saver) {
		r = saver_write(station->saver, buffer, (size_t)n);
		if (r < 0)
			lose_saver(client, station, r);
	} else if (n == 0) {
		finish_saver(client, station);
	}
	return n;
}

/* --- pages that do not sound --- */

static bool is_discarded(const struct client *client,
			 const struct station *station)
{
	if (!page_open(station))
		return false;
	if (station->muted)
		return true;
	return client->turn.open && station > client->turn.station;
}

static void discard(struct client *client, struct station *station,
		    uint64_t now)
{
	uint8_t scratch[16384];

	for (int i = 0; i < DISCARD_READS; i++) {
		const size_t size =
		    saver_limit(client, station, sizeof(scratch), false);
		ssize_t n;

		if (size == 0) {
			session_hold_off(station->session, now);
			break;
		}
		n = read_page(client, station, scratch, size, now);
		if (n == 0 && !station->turned_to && !station->muted)
			log_info("Page from %s was not heard: another server "
				 "comes first",
				 session_name(station->session));
		if (n <= 0)
			break;
	}
	station->discard_usec = now + DISCARD_TICK_MS * UINT64_C(1000);
}

/* --- whose turn it is --- */

static void run_hook(struct client *client, const char *name,
		     const char *command, const char *result, uint64_t now)
{
	const struct turn *turn = &client->turn;
	const struct wav_format *format = &turn->page.format;
	const size_t frame_size = wav_frame_size(format);
	const uint64_t size =
	    turn->before ? turn->page.data_size : turn->page.received;
	char format_text[REPORT_FORMAT_SIZE], seconds[32] = "";
	const struct hook_facts facts = {
	    .server = session_name(turn->station->session),
	    .format = format_text,
	    .seconds = seconds,
	    .result = result,
	};

	report_format(format, format_text);
	/* Empty: nobody knows. */
	if (size != WAV_ENDLESS) {
		const uint64_t frames = size / frame_size;

		snprintf(seconds, sizeof(seconds), "%.3f",
			 (double)frames / format->rate);
	}
	hook_start(&client->hook, name, command, &facts, now);
}

static void sound(struct client *client, uint64_t now)
{
	client->turn.before = false;
	if (client->mixer)
		mixer_set(client->mixer, (unsigned)client->config.volume);
	speaker_allow(&client->speaker, now);
	client->again = true;
}

static void begin_turn(struct client *client, struct station *station,
		       uint64_t now)
{
	const struct session_page *page = session_page(station->session);
	const bool resumed = station->turned_to || page->received > 0;
	struct report report;
	int r;

	/* What waited meanwhile is old: join at the newest frame. */
	if (resumed)
		discard(client, station, now);
	if (!page_open(station))
		return;
	r = speaker_begin(&client->speaker, &page->format,
			  resumed ? SPEAKER_RESUMED : SPEAKER_FRESH,
			  resumed ? now : page->begun_usec);
	if (r < 0) {
		log_error("Cannot play the page from %s: %s",
			  session_name(station->session), strerror(-r));
		station->muted = true;
		return;
	}
	if (!resumed && station->probe.kind == LATENCY_STORED)
		client->speaker.latency.kind = LATENCY_STORED;
	station->turned_to = true;
	client->turn = (struct turn){
	    .station = station,
	    .open = true,
	    .before = true,
	    .page = *page,
	    .first = page->received,
	    .begun_usec = now,
	};
	if (client->config.meter)
		meter_clear();
	describe(client, station, page, &report);
	report_begin(&report);
	if (client->config.before)
		run_hook(client, "--before", client->config.before, "begins",
			 now);
	client->again = true;
}

static void close_turn(struct client *client, enum report_result result,
		       enum speaker_end end, uint64_t now)
{
	client->turn.open = false;
	client->turn.result = result;
	client->turn.page = *session_page(client->turn.station->session);
	speaker_end(&client->speaker, end, now);
}

static void count_turn(struct client *client, const struct report *report)
{
	const struct speaker_stats *stats = &client->speaker.stats;
	struct totals *totals = &client->totals;

	totals->pages++;
	totals->complete += report->result == REPORT_COMPLETE;
	totals->written_frames += stats->written_frames;
	totals->suspends += stats->suspends;
	totals->xruns += report->xruns;
	totals->starvations += report->starvations;
	totals->starved_ms += report->starved_ms;
	totals->dropped_ms += report->dropped_ms;
	totals->card_losses += report->card_losses;
}

static void end_turn(struct client *client, uint64_t now)
{
	struct turn *turn = &client->turn;
	struct report report;

	if (turn->result == REPORT_COMPLETE && !client->speaker.stats.heard &&
	    turn->page.received > turn->first)
		turn->result = REPORT_UNHEARD;
	if (client->config.meter)
		meter_clear();
	describe(client, turn->station, &turn->page, &report);
	report_end(&report);
	count_turn(client, &report);
	speaker_finish(&client->speaker);
	if (client->mixer)
		mixer_restore(client->mixer);
	turn->before = false;
	hook_kill(&client->hook);
	if (client->config.after)
		run_hook(client, "--after", client->config.after,
			 report_result_name(turn->result), now);
	if (turn->result != REPORT_TAKEN_OVER)
		once(client, turn->result == REPORT_COMPLETE ? 0 : -ECANCELED);
	turn->station = NULL;
	client->again = true;
}

/* The first station listed with a page that may sound, or NULL. */
static struct station *first_with_page(struct client *client)
{
	for (unsigned i = 0; i < client->station_count; i++) {
		struct station *station = &client->stations[i];

		if (page_open(station) && !station->muted)
			return station;
	}
	return NULL;
}

static void pick_turn(struct client *client, uint64_t now)
{
	struct station *first = first_with_page(client);
	struct turn *turn = &client->turn;

	if (!first || client->once_over)
		return;
	if (turn->station) {
		/* By their order in the list, which is that of the array. */
		if (turn->open && first < turn->station) {
			close_turn(client, REPORT_TAKEN_OVER,
				   SPEAKER_TAKEN_OVER, now);
			client->again = true;
		} else if (!turn->open) {
			speaker_give_way(&client->speaker);
		}
		return;
	}
	if (hook_running(&client->hook, now))
		return;
	begin_turn(client, first, now);
}

/* --- the page that sounds --- */

static uint64_t limit_bytes(const struct client *client)
{
	const struct turn *turn = &client->turn;
	const double seconds = client->config.max_seconds;
	const struct wav_format *format = &turn->page.format;

	if (seconds <= 0)
		return UINT64_MAX;
	return turn->first +
	       (uint64_t)(seconds * format->rate) * wav_frame_size(format);
}

/* Whether --max-duration ends the page, by its samples or by the time. */
static bool limit_reached(const struct client *client, uint64_t now)
{
	const struct turn *turn = &client->turn;
	const struct session_page *page = session_page(turn->station->session);
	const struct speaker_config *speaker = &client->config.speaker;
	const uint64_t grace_ms =
	    LIMIT_GRACE_MS + speaker->latency_ms + speaker->delay_ms;

	if (client->config.max_seconds <= 0)
		return false;
	if (page->received < page->data_size &&
	    page->received >= limit_bytes(client))
		return true;
	return now - turn->begun_usec >
	       (uint64_t)(client->config.max_seconds * USEC_PER_SEC) +
		   grace_ms * 1000;
}

static void end_by_limit(struct client *client, uint64_t now)
{
	struct station *station = client->turn.station;

	log_notice("Page from %s: ended by --max-duration; silent until the "
		   "server ends it",
		   session_name(station->session));
	station->muted = true;
	finish_saver(client, station);
	close_turn(client, REPORT_LIMIT, SPEAKER_BROKEN_OFF, now);
}

/* Bytes to read next, 0 for none now. */
static size_t feed_size(struct client *client, size_t space)
{
	struct station *station = client->turn.station;
	const uint64_t received = session_page(station->session)->received;
	const uint64_t limit = limit_bytes(client);
	const bool urgent =
	    fifo_frames(&client->speaker.fifo) < client->speaker.target_frames;

	if (limit > received && space > limit - received)
		space = (size_t)(limit - received);
	return saver_limit(client, station, space, urgent);
}

static void feed_turn(struct client *client, uint64_t now)
{
	struct station *station = client->turn.station;
	struct session *session = station->session;

	for (int i = 0; i < FEED_READS; i++) {
		void *space;
		size_t size;
		ssize_t n;

		if (limit_reached(client, now)) {
			end_by_limit(client, now);
			return;
		}
		space = speaker_space(&client->speaker, &size);
		size = feed_size(client, size);
		if (size == 0) {
			session_hold_off(session, now);
			break;
		}
		n = read_page(client, station, space, size, now);
		if (n < 0)
			break;
		if (n == 0) {
			const bool complete =
			    session_page(session)->result == SESSION_COMPLETE;

			close_turn(
			    client,
			    complete ? REPORT_COMPLETE : REPORT_CUT_SHORT,
			    complete ? SPEAKER_COMPLETE : SPEAKER_BROKEN_OFF,
			    now);
			return;
		}
		speaker_put(&client->speaker, (size_t)n);
	}
	speaker_arrived(&client->speaker, now,
			session_page(session)->received - client->turn.first +
			    session_queued(session));
}

static void run_turn(struct client *client, uint64_t now)
{
	struct turn *turn = &client->turn;

	if (!turn->station)
		return;
	speaker_look(&client->speaker, now,
		     turn->open ? session_queued(turn->station->session) : 0);
	if (turn->open)
		feed_turn(client, now);
	if (turn->before && !hook_running(&client->hook, now))
		sound(client, now);
	speaker_step(&client->speaker, now);
	if (client->speaker.state == SPEAKER_DONE)
		end_turn(client, now);
}

/* --- every server --- */

static void run_station(struct client *client, struct station *station,
			uint64_t now)
{
	const struct session_page *page = session_page(station->session);

	session_step(station->session, now);
	if (!page_open(station))
		return;
	if (page->number != station->seen_page)
		page_begins(client, station, now);
	if (is_discarded(client, station)) {
		if (now >= station->discard_usec)
			discard(client, station, now);
	} else if (client->turn.station != station || !client->turn.open) {
		/* It waits for its turn. */
		session_hold_off(station->session, now);
		latency_arrived(&station->probe, now,
				session_queued(station->session) /
				    wav_frame_size(&page->format));
	}
}

/* --- telling --- */

static unsigned connected_count(const struct client *client)
{
	unsigned count = 0;

	for (unsigned i = 0; i < client->station_count; i++)
		count += session_state(client->stations[i].session) >=
			 SESSION_WAITING;
	return count;
}

/* What the status is about: another text, another number. */
static uint64_t status_number(const struct client *client)
{
	const struct turn *turn = &client->turn;

	if (!turn->station)
		return connected_count(client);
	return UINT64_C(1) << 32 |
	       (uint64_t)(turn->station - client->stations) << 16 |
	       (uint64_t)client->speaker.state;
}

static void tell_status(struct client *client)
{
	const struct turn *turn = &client->turn;
	char text[STATUS_SIZE];

	if (status_number(client) == client->status)
		return;
	client->status = status_number(client);
	if (turn->station)
		snprintf(text, sizeof(text), "STATUS=Page from %.128s: %s",
			 session_name(turn->station->session),
			 speaker_state_name(&client->speaker));
	else
		snprintf(text, sizeof(text),
			 "STATUS=Connected to %u of %u servers, waiting for a "
			 "page",
			 connected_count(client), client->station_count);
	(void)service_notify(text); /* it is a courtesy */
}

static void tell_all(const struct client *client)
{
	const struct totals *t = &client->totals;

	log_notice("State: %s%s%s", speaker_state_name(&client->speaker),
		   client->turn.station ? ", page from " : "",
		   client->turn.station
		       ? session_name(client->turn.station->session)
		       : "");
	for (unsigned i = 0; i < client->station_count; i++) {
		const struct session *session = client->stations[i].session;

		log_notice("State: server %s: %s, connected %" PRIu64
			   " times, failed %" PRIu64 " times",
			   session_name(session), session_state_name(session),
			   session_connected_count(session),
			   session_failed_count(session));
	}
	log_notice("State: card '%s' %s, in hand and ring %.0f ms",
		   client->config.speaker.device,
		   client->speaker.pcm ? "open" : "closed",
		   speaker_fill_ms(&client->speaker));
	log_notice("Counters: %" PRIu64 " pages, %" PRIu64 " complete, %" PRIu64
		   " frames, %" PRIu64 " xruns, %" PRIu64
		   " starvations (%" PRIu64 " ms), %" PRIu64
		   " ms dropped, %" PRIu64 " suspends, %" PRIu64 " card losses",
		   t->pages, t->complete, t->written_frames, t->xruns,
		   t->starvations, t->starved_ms, t->dropped_ms, t->suspends,
		   t->card_losses);
}

static void tell_meter(struct client *client, uint64_t now)
{
	struct meter_reading reading;

	if (!client->config.meter || !client->turn.station ||
	    now < client->meter_usec)
		return;
	client->meter_usec = now + METER_TICK_MS * UINT64_C(1000);
	reading = (struct meter_reading){
	    .what = speaker_state_name(&client->speaker),
	    .peak = speaker_take_peak(&client->speaker),
	    .fill_ms = speaker_fill_ms(&client->speaker),
	    .latency_ms = speaker_behind_ms(&client->speaker),
	    .seconds =
		(double)(now - client->turn.begun_usec) / (double)USEC_PER_SEC,
	};
	meter_draw(&reading);
}

static void feed_watchdog(struct client *client, uint64_t now)
{
	if (client->watchdog_usec == 0 || now < client->watchdog_next_usec)
		return;
	(void)service_notify("WATCHDOG=1");
	client->watchdog_next_usec = now + client->watchdog_usec / 2;
}

/* --- the loop --- */

static void handle_signals(struct client *client)
{
	struct signalfd_siginfo info;

	while (read(client->signal_fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGUSR1)
			tell_all(client);
		else if (info.ssi_signo == SIGINT || info.ssi_signo == SIGTERM)
			client->stop = true;
		/* SIGCHLD: the pass looks at the hook. */
	}
}

static void pass(struct client *client, uint64_t now)
{
	client->again = false;
	hook_running(&client->hook, now);
	for (unsigned i = 0; i < client->station_count; i++)
		run_station(client, &client->stations[i], now);
	pick_turn(client, now);
	run_turn(client, now);
	tell_status(client);
	tell_meter(client, now);
	feed_watchdog(client, now);
	if (!reap_savers(client) && client->once_over && !client->turn.station)
		client->stop = true;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t next_deadline(const struct client *client, uint64_t now)
{
	uint64_t next = UINT64_MAX;

	if (client->again)
		return now;
	for (unsigned i = 0; i < client->station_count; i++) {
		const struct station *station = &client->stations[i];

		/* Only reading notices that a server is silent for too long. */
		next = earlier(next, is_discarded(client, station)
					 ? station->discard_usec
					 : session_deadline(station->session));
	}
	next = earlier(next, hook_deadline(&client->hook));
	if (client->turn.station)
		next = earlier(next, speaker_deadline(&client->speaker, now));
	if (client->turn.station && client->config.meter)
		next = earlier(next, client->meter_usec);
	if (client->watchdog_usec)
		next = earlier(next, client->watchdog_next_usec);
	return next;
}

/* Whether samples of the station would be read if there were any. */
static enum session_wanted wanted(struct client *client,
				  struct station *station)
{
	size_t space;

	if (client->turn.station != station || !client->turn.open ||
	    client->speaker.state == SPEAKER_OPENING)
		return SESSION_SAMPLES_UNWANTED;
	speaker_space(&client->speaker, &space);
	if (space == 0 || (station->saver && saver_room(station->saver) == 0))
		return SESSION_SAMPLES_UNWANTED;
	return SESSION_SAMPLES_WANTED;
}

static void wait_for_something(struct client *client, uint64_t now)
{
	struct pollfd fds[1 + 2 * CLIENT_SERVERS_MAX + SAVERS_MAX];
	const uint64_t next = next_deadline(client, now);
	struct timespec timeout = {0};
	nfds_t count = 0;

	fds[count++] =
	    (struct pollfd){.fd = client->signal_fd, .events = POLLIN};
	for (unsigned i = 0; i < client->station_count; i++) {
		struct station *station = &client->stations[i];

		session_pollfds(station->session, &fds[count],
				wanted(client, station));
		count += 2;
	}
	for (unsigned i = 0; i < SAVERS_MAX; i++)
		if (client->finishing[i])
			fds[count++] = (struct pollfd){
			    .fd = saver_fd(client->finishing[i])};
	if (next > now) {
		timeout.tv_sec = (time_t)((next - now) / USEC_PER_SEC);
		timeout.tv_nsec = (long)((next - now) % USEC_PER_SEC * 1000);
	}
	/* EINTR and the like: the next pass finds out. */
	(void)ppoll(fds, count, next == UINT64_MAX ? NULL : &timeout, NULL);
	if (fds[0].revents)
		handle_signals(client);
}

int client_run(struct client *client)
{
	uint64_t now = now_usec();

	pass(client, now);
	(void)service_notify("READY=1");
	while (!client->stop) {
		wait_for_something(client, now);
		if (client->stop)
			break;
		now = now_usec();
		pass(client, now);
	}
	(void)service_notify("STOPPING=1");
	if (!client->config.once)
		return 0;
	return client->once_over ? client->once_result : -ECANCELED;
}

/* --- life --- */

static int add_stations(struct client *client)
{
	for (unsigned i = 0; i < client->config.server_count; i++) {
		const struct client_server *server = &client->config.servers[i];
		const int r =
		    session_new(&client->stations[i].session, server->name,
				&server->endpoint, client->config.keys);

		if (r < 0)
			return r;
		client->station_count++;
	}
	return 0;
}

int client_new(struct client **ret, const struct client_config *config,
	       int signal_fd)
{
	struct client *client = calloc(1, sizeof(*client));
	int r;

	if (!client)
		return -ENOMEM;
	client->config = *config;
	client->signal_fd = signal_fd;
	client->config.speaker.meter = config->meter;
	speaker_init(&client->speaker, &client->config.speaker);
	client->watchdog_usec = service_watchdog_usec();
	client->status = UINT64_MAX;
	r = add_stations(client);
	if (r == 0 && config->volume >= 0)
		r = mixer_new(&client->mixer, config->speaker.device,
			      config->mixer);
	if (r < 0) {
		client_free(client);
		return r;
	}
	*ret = client;
	return 0;
}

/* The hook of a page that was stopped is started, and given a moment. */
static void wait_for_hook(struct client *client)
{
	const uint64_t limit = now_usec() + HOOK_WAIT_MS * UINT64_C(1000);
	struct pollfd fd = {.fd = client->signal_fd, .events = POLLIN};
	struct signalfd_siginfo info;

	while (hook_running(&client->hook, now_usec()) && now_usec() < limit) {
		(void)poll(&fd, 1, 20);
		while (read(client->signal_fd, &info, sizeof(info)) > 0)
			;
	}
}

static void stop_turn(struct client *client)
{
	if (!client->turn.station)
		return;
	hook_kill(&client->hook);
	client->turn.result = REPORT_STOPPED;
	if (client->turn.open)
		client->turn.page =
		    *session_page(client->turn.station->session);
	end_turn(client, now_usec());
}

struct client *client_free(struct client *client)
{
	if (!client)
		return NULL;
	stop_turn(client);
	speaker_close(&client->speaker);
	for (unsigned i = 0; i < client->station_count; i++) {
		finish_saver(client, &client->stations[i]);
		session_free(client->stations[i].session);
	}
	wait_for_hook(client);
	for (unsigned i = 0; i < SAVERS_MAX; i++)
		saver_free(client->finishing[i], SAVER_WAIT_MS);
	mixer_free(client->mixer);
	free(client);
	return NULL;
}
