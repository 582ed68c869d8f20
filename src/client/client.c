/* SPDX-License-Identifier: MIT
 * Owns the stations (one for each server) and the turn. Each pass of the loop
 * does all that can be done now; then the loop sleeps until a descriptor is
 * ready or a deadline is reached. */
#include "client/client.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <systemd/sd-daemon.h>

#include "base/ending.h"
#include "base/log.h"
#include "base/notify.h"
#include "base/util.h"
#include "client/pulse.h"
#include "client/station.h"
#include "client/turn.h"

enum {
	HOOK_WAIT_USEC = 1000 * 1000, /* for the hook, when the client ends */
	HOOK_TICK_MS = 20,
	WAIT_PAUSE_MS = 100,  /* after a wait that failed */
	LINES_A_MINUTE = 300, /* of each server */
	MINUTE_USEC = 60 * 1000 * 1000,
	STATUS_SIZE = 512,
};

struct client {
	const struct client_config *config;
	int signal_fd;
	struct turn turn;
	struct log_limit file_lines;
	char status[STATUS_SIZE];	 /* the text sent last .. */
	const struct station *told_page; /* .. when it was about this one */
	enum speaker_state told_state;	 /* .. in this state */
	uint64_t watchdog_usec, watchdog_next_usec; /* 0: none */
	int wait_error;				    /* that was logged last */
	bool again;				    /* another pass at once */
	bool stop;
	bool once_over;
	int once_result;
	unsigned station_count;
	struct station stations[]; /* in the order of the command line */
};

static void once(struct client *client, int result)
{
	if (!client->config->once)
		return;
	client->once_over = true;
	client->once_result = result;
}

/* --- the stations --- */

static struct log_limit log_limit(const char *about)
{
	return (struct log_limit){
	    .about = about,
	    .rate = {.burst = LINES_A_MINUTE, .interval_usec = MINUTE_USEC},
	};
}

static uint64_t target_usec(const struct speaker_config *speaker)
{
	return speaker->latency_ms * UINT64_C(1000) +
	       (uint64_t)fmax(0, speaker->delay_ms * 1000);
}

static void page_begins(struct client *client, struct station *station)
{
	station_begin_page(station, target_usec(&client->config->speaker));
	/* A page without samples needs no loudspeaker. */
	if (session_page(station->session)->data_size == 0) {
		log_info("Page from %s has no samples",
			 session_name(station->session));
		station->muted = true;
		station->receipt.result = RECEIPT_COMPLETE;
		once(client, 0);
	}
}

static bool is_discarded(const struct client *client,
			 const struct station *station)
{
	if (!station_has_page(station))
		return false;
	return station->muted ||
	       (client->turn.open && station > client->turn.station);
}

/* Of a page that has ended without a turn, or after its last one; a turn that
 * lasts gives the receipt itself. */
static void give_receipt(struct client *client, struct station *station)
{
	if (client->turn.station != station ||
	    client->turn.page.number != station->seen_page)
		session_give_receipt(station->session, station->seen_page,
				     &station->receipt);
}

static void run_station(struct client *client, struct station *station,
			uint64_t now)
{
	const struct session_page *page = session_page(station->session);

	log_set_limit(&station->lines);
	session_step(station->session, now);
	give_receipt(client, station);
	pulse_step(&client->turn.speaker, station->session, now);
	if (!station_has_page(station))
		return;
	if (page->number != station->seen_page)
		page_begins(client, station);
	if (is_discarded(client, station)) {
		if (now >= station->discard_usec)
			station_discard(station, now);
	} else if (client->turn.station != station || !client->turn.open) {
		/* The page waits for its turn. */
		session_hold_off(station->session, now);
		latency_arrived(&station->probe, now,
				session_queued(station->session) /
				    wav_frame_size(&page->format));
	}
}

/* --- whose turn it is --- */

/* Of the stations with a page that may sound the one listed first, or NULL. */
static struct station *first_with_page(struct client *client)
{
	for (unsigned i = 0; i < client->station_count; i++) {
		struct station *station = &client->stations[i];

		if (station_has_page(station) && !station->muted)
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
	log_set_limit(&first->lines);
	/* The array has the stations in the order of the command line. */
	if (turn->station && turn->open && first < turn->station)
		turn_give_way(turn, now);
	else if (turn->station && !turn->open)
		speaker_give_way(&turn->speaker, now);
	else if (!turn->station && !hook_running(&turn->hook, now))
		turn_begin(turn, first, now);
	if (first->muted) /* there is no memory to play it */
		once(client, -ECANCELED);
}

/* Whether its page was complete, and heard to its end. */
static bool was_heard(const struct turn *turn)
{
	return turn->result == RECEIPT_COMPLETE &&
	       turn->speaker.card.error == 0;
}

static void run_turn(struct client *client, uint64_t now)
{
	const struct turn *turn = &client->turn;

	log_set_limit(turn->station ? &turn->station->lines : NULL);
	client->again = turn_run(&client->turn, now);
	if (client->again && turn->result != RECEIPT_TAKEN_OVER)
		once(client, was_heard(turn) ? 0 : -ECANCELED);
}

/* --- telling --- */

/* A connection after a failure has yet to prove itself. */
static bool is_connected(const struct session *session)
{
	return session_state(session) >= SESSION_WAITING &&
	       !*session_problem(session);
}

static unsigned connected_count(const struct client *client)
{
	unsigned count = 0;

	for (unsigned i = 0; i < client->station_count; i++)
		count += is_connected(client->stations[i].session);
	return count;
}

/* The first server that there is something wrong with, or NULL. */
static const struct session *first_with_problem(const struct client *client)
{
	for (unsigned i = 0; i < client->station_count; i++)
		if (*session_problem(client->stations[i].session))
			return client->stations[i].session;
	return NULL;
}

static void describe(const struct client *client, char text[STATUS_SIZE])
{
	const struct turn *turn = &client->turn;
	const unsigned connected = connected_count(client);
	const struct session *bad = first_with_problem(client);
	int n;

	if (turn->station) {
		snprintf(text, STATUS_SIZE, "STATUS=Page from %.128s: %s",
			 session_name(turn->station->session),
			 speaker_state_name(&turn->speaker));
		return;
	}
	n = snprintf(text, STATUS_SIZE,
		     "STATUS=Connected to %u of %u servers%s", connected,
		     client->station_count,
		     connected ? ", waiting for a page" : "");
	if (bad)
		snprintf(text + n, STATUS_SIZE - (size_t)n, "; %.128s: %s",
			 session_name(bad), session_problem(bad));
}

static void tell_status(struct client *client)
{
	const struct station *page = client->turn.station;
	const enum speaker_state state = client->turn.speaker.state;
	char text[STATUS_SIZE];

	/* A page wakes the loop many times a second. */
	if (page && page == client->told_page && state == client->told_state)
		return;
	client->told_page = page;
	client->told_state = state;
	describe(client, text);
	if (strcmp(text, client->status) == 0)
		return;
	strcpy(client->status, text);
	(void)notify_if_read(text); /* a lost status does no harm */
}

static void feed_watchdog(struct client *client, uint64_t now)
{
	if (client->watchdog_usec == 0 || now < client->watchdog_next_usec)
		return;
	/* What systemd did not read is said again in time. */
	client->watchdog_next_usec =
	    now +
	    client->watchdog_usec / (notify_if_read("WATCHDOG=1") == 0 ? 2 : 8);
}

static void tell_all(const struct client *client)
{
	const struct turn *turn = &client->turn;
	const struct turn_totals *t = &turn->totals;

	log_notice("State: %s%s%s", speaker_state_name(&turn->speaker),
		   turn->station ? ", page from " : "",
		   turn->station ? session_name(turn->station->session) : "");
	for (unsigned i = 0; i < client->station_count; i++) {
		const struct session *session = client->stations[i].session;
		const struct session_counts counts = session_counts(session);

		log_notice("State: server %s: %s, connected %" PRIu64
			   " time%s, failed %" PRIu64 " time%s%s%s",
			   session_name(session), session_state_name(session),
			   counts.connected, plural_s(counts.connected),
			   counts.failed, plural_s(counts.failed),
			   *session_problem(session) ? ": " : "",
			   session_problem(session));
	}
	log_notice("State: card '%s' %s, %.0f ms buffered",
		   client->config->speaker.device,
		   turn->speaker.card.pcm ? "open" : "closed",
		   speaker_fill_ms(&turn->speaker));
	log_notice(
	    "Counters: %" PRIu64 " page%s, %" PRIu64 " complete, %" PRIu64
	    " frames, %" PRIu64 " xrun%s, %" PRIu64 " starvation%s (%" PRIu64
	    " ms), %" PRIu64 " ms dropped, %" PRIu64 " suspend%s, %" PRIu64
	    " card loss%s",
	    t->pages, plural_s(t->pages), t->complete, t->written_frames,
	    t->xruns, plural_s(t->xruns), t->starvations,
	    plural_s(t->starvations), t->starved_ms, t->dropped_ms, t->suspends,
	    plural_s(t->suspends), t->card_losses, plural_es(t->card_losses));
}

/* --- the loop --- */

/* With --once a page is missing, or the loop would have ended. */
static void stop(struct client *client)
{
	client->stop = true;
	ending_begin(client->config->once ? EXIT_FAILURE : EXIT_SUCCESS);
}

static void handle_signals(struct client *client)
{
	struct signalfd_siginfo info;

	while (read(client->signal_fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGUSR1)
			tell_all(client);
		else if (info.ssi_signo == SIGINT || info.ssi_signo == SIGTERM)
			stop(client);
		/* SIGCHLD only wakes the loop: each pass looks at the hook. */
	}
}

static void pass(struct client *client, uint64_t now)
{
	hook_running(&client->turn.hook, now);
	for (unsigned i = 0; i < client->station_count; i++)
		run_station(client, &client->stations[i], now);
	keeper_dispatch(client->turn.keeper);
	pick_turn(client, now);
	run_turn(client, now);
	tell_status(client);
	feed_watchdog(client, now);
	log_set_limit(&client->file_lines);
	recorder_dispatch(client->config->recorder);
	log_set_limit(NULL);
	if (client->once_over && !client->turn.station &&
	    recorder_is_idle(client->config->recorder))
		client->stop = true;
}

static uint64_t next_deadline(const struct client *client, uint64_t now)
{
	uint64_t next = turn_deadline(&client->turn, now);

	if (client->again)
		return now;
	for (unsigned i = 0; i < client->station_count; i++) {
		const struct station *station = &client->stations[i];

		/* A server that is silent for too long is noticed by reading,
		 * and a discarded page is read at its own pace. */
		next = MIN(next, is_discarded(client, station)
				     ? station->discard_usec
				     : session_deadline(station->session));
	}
	if (client->watchdog_usec)
		next = MIN(next, client->watchdog_next_usec);
	return next;
}

/* poll() refuses more entries than RLIMIT_NOFILE, which may be lowered at any
 * time: the loop goes on, without spinning. */
static void wait_failed(struct client *client, int error)
{
	if (error == EINTR)
		return;
	if (error != client->wait_error)
		log_warning("Cannot wait: %s; trying again", strerror(error));
	client->wait_error = error;
	handle_signals(client);
	(void)poll(NULL, 0, WAIT_PAUSE_MS);
}

static void wait_for_something(struct client *client, uint64_t now,
			       uint64_t next)
{
	struct pollfd fds[3 + 2 * CLIENT_SERVERS_MAX];
	struct timespec timeout = {0};
	nfds_t count = 0;

	fds[count++] =
	    (struct pollfd){.fd = client->signal_fd, .events = POLLIN};
	fds[count++] = (struct pollfd){.fd = keeper_fd(client->turn.keeper),
				       .events = POLLIN};
	if (client->config->recorder)
		fds[count++] =
		    (struct pollfd){.fd = recorder_fd(client->config->recorder),
				    .events = POLLIN};
	for (unsigned i = 0; i < client->station_count; i++) {
		const struct station *station = &client->stations[i];

		count += session_pollfds(station->session, &fds[count],
					 turn_wants(&client->turn, station));
	}
	if (next > now) {
		timeout.tv_sec = (time_t)((next - now) / USEC_PER_SEC);
		timeout.tv_nsec = (long)((next - now) % USEC_PER_SEC * 1000);
	}
	if (ppoll(fds, count, next == UINT64_MAX ? NULL : &timeout, NULL) < 0)
		wait_failed(client, errno);
	else if (fds[0].revents)
		handle_signals(client);
}

int client_run(struct client *client)
{
	uint64_t now = now_usec();

	pass(client, now);
	sd_notify(0, "READY=1");
	while (!client->stop) {
		const uint64_t due = next_deadline(client, now);

		wait_for_something(client, now, due);
		if (client->stop)
			break;
		now = now_usec();
		turn_woken(&client->turn, due, now);
		pass(client, now);
	}
	sd_notify(0, "STOPPING=1");
	if (!client->config->once)
		return 0;
	return client->once_over ? client->once_result : -ECANCELED;
}

/* --- life --- */

static int add_stations(struct client *client)
{
	for (unsigned i = 0; i < client->config->server_count; i++) {
		const struct client_server *server =
		    &client->config->servers[i];
		struct station *station = &client->stations[i];
		const int r =
		    session_new(&station->session, server->name,
				&server->endpoint, client->config->keys,
				target_usec(&client->config->speaker));

		if (r < 0)
			return r;
		station->lines = log_limit(server->name);
		station->recorder = client->config->recorder;
		station->save = client->config->save;
		station->name = client->config->name;
		reserve_init(&station->reserve,
			     client->config->speaker.latency_ms,
			     client->config->speaker.latency_max_ms);
		client->station_count++;
	}
	return 0;
}

int client_new(struct client **ret, const struct client_config *config,
	       int signal_fd)
{
	struct client *client =
	    calloc(1, sizeof(*client) +
			  config->server_count * sizeof(client->stations[0]));
	int r;

	if (!client)
		return -ENOMEM;
	client->config = config;
	client->signal_fd = signal_fd;
	client->file_lines = log_limit("--save");
	if (sd_watchdog_enabled(0, &client->watchdog_usec) <= 0)
		client->watchdog_usec = 0;
	r = turn_init(&client->turn, config);
	if (r == 0)
		r = add_stations(client);
	if (r < 0) {
		client_free(client);
		return r;
	}
	*ret = client;
	return 0;
}

/* Lets the --after hook of a stopped page run for a moment. */
static void wait_for_hook(struct client *client)
{
	const uint64_t limit = now_usec() + HOOK_WAIT_USEC;
	struct pollfd fd = {.fd = client->signal_fd, .events = POLLIN};
	struct signalfd_siginfo info;

	while (hook_running(&client->turn.hook, now_usec()) &&
	       now_usec() < limit) {
		if (poll(&fd, 1, HOOK_TICK_MS) < 0)
			(void)poll(NULL, 0, HOOK_TICK_MS);
		while (read(client->signal_fd, &info, sizeof(info)) > 0)
			;
	}
}

struct client *client_free(struct client *client)
{
	if (!client)
		return NULL;
	turn_close(&client->turn);
	for (unsigned i = 0; i < client->station_count; i++) {
		station_finish_file(&client->stations[i]);
		session_free(client->stations[i].session);
	}
	wait_for_hook(client);
	free(client);
	return NULL;
}
