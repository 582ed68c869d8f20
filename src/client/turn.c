/* SPDX-License-Identifier: MIT
 * Owns the speaker, the mixer and the hook. A page is "open" while its samples
 * are read; its turn lasts until the speaker has played them. */
#include "client/turn.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/screen.h"
#include "base/util.h"
#include "base/wallclock.h"
#include "client/journal.h"
#include "client/meter.h"

enum {
	FEED_READS = 64, /* limits one pass, so that others are not delayed */
	METER_TICK_USEC = 100 * 1000,
	STOP_LEAST_USEC = 300 * 1000,	/* missing of a page that was stopped */
	LIMIT_GRACE_MS = 10000,		/* a hook may take half of it */
	KEEPER_WAIT_USEC = 1000 * 1000, /* when the client ends */
};

/* --- telling --- */

static struct journal_page describe(const struct turn *turn)
{
	const struct speaker_stats *stats = &turn->speaker.stats;
	const struct wav_format *format = &turn->page.format;
	const uint64_t error_us = speaker_error_us(&turn->speaker);

	return (struct journal_page){
	    .server = session_name(turn->station->session),
	    .format = *format,
	    .data_size = turn->page.data_size,
	    .result = receipt_result_name(turn->result),
	    .received_frames = turn->page.received / wav_frame_size(format),
	    .heard_frames = speaker_heard_frames(&turn->speaker),
	    .xruns = stats->xruns,
	    .starvations = stats->starvations,
	    .starved_ms = stats->starved_usec / 1000,
	    .dropped_ms =
		frames_to_usec(stats->dropped_frames, format->rate) / 1000,
	    .card_losses = stats->card_losses,
	    .latency_ms = speaker_behind_ms(&turn->speaker),
	    .sync_us = error_us == UINT64_MAX ? 0 : error_us,
	};
}

static void run_hook(struct turn *turn, const char *name, const char *command,
		     const char *result, uint64_t now_usec)
{
	const struct wav_format *format = &turn->page.format;
	const uint64_t size =
	    turn->before ? turn->page.data_size : turn->page.received;
	const uint64_t heard = speaker_heard_frames(&turn->speaker);
	char format_text[JOURNAL_FORMAT_SIZE], seconds[32] = "",
					       played[32] = "";
	const struct hook_facts facts = {
	    .server = session_name(turn->station->session),
	    .format = format_text,
	    .seconds = seconds,
	    .result = result,
	    .heard = played,
	};

	journal_format(format, format_text);
	/* Stays empty when the length is not known. */
	if (size != WAV_ENDLESS)
		snprintf(seconds, sizeof(seconds), "%.3f",
			 wav_seconds(format, size / wav_frame_size(format)));
	if (!turn->before)
		snprintf(played, sizeof(played), "%.3f",
			 wav_seconds(format, heard));
	hook_start(&turn->hook, name, command, &facts, now_usec);
}

static void draw_meter(struct turn *turn, uint64_t now_usec)
{
	const struct meter_reading reading = {
	    .what = speaker_state_name(&turn->speaker),
	    .peak = speaker_take_peak(&turn->speaker),
	    .fill_ms = speaker_fill_ms(&turn->speaker),
	    .error_us = speaker_error_us(&turn->speaker),
	    .latency_ms = speaker_behind_ms(&turn->speaker),
	    .seconds =
		(double)(now_usec - turn->begun_usec) / (double)USEC_PER_SEC,
	};

	turn->meter_usec = now_usec + METER_TICK_USEC;
	meter_draw(&reading);
}

/* --- its beginning --- */

int turn_init(struct turn *turn, const struct client_config *config)
{
	struct speaker_config speaker = config->speaker;

	*turn = (struct turn){
	    .config = config,
	    .asleep_ns = wallclock_asleep_ns(),
	};
	speaker.meter = config->meter;
	speaker_init(&turn->speaker, &speaker);
	return keeper_new(&turn->keeper, speaker.device, config->mixer,
			  config->volume);
}

/* What was read last of a page on schedule has arrived when the kernel says so,
 * or else by now: the loop's own time is too early. */
static void note_timed_arrival(struct turn *turn)
{
	const struct session *session = turn->station->session;
	const int64_t arrival_ns = session_arrival_ns(session);
	const uint64_t frames = session_page(session)->received /
				wav_frame_size(&turn->page.format);

	if (frames > 0)
		speaker_timed_arrival(
		    &turn->speaker,
		    arrival_ns ? arrival_ns : wallclock_monotonic_ns(), frames);
}

/* What has arrived of it is not due yet, and other loudspeakers play it when it
 * is. */
static void begin_recording(struct turn *turn, const struct session_page *page,
			    uint64_t now_usec)
{
	const uint64_t arrived_usec = frames_to_usec(
	    page->received / wav_frame_size(&page->format), page->format.rate);
	const uint64_t ahead_usec = page->announced.ahead_us;

	speaker_keep_all(&turn->speaker, ahead_usec);
	if (page->received > 0 && !turn->speaker.instep.on)
		speaker_wait_until(&turn->speaker,
				   MIN(page->begun_usec + arrived_usec,
				       now_usec + ahead_usec));
}

/* From here on it is kept, if it can be. */
static void begin_schedule(struct turn *turn, struct station *station)
{
	const struct session_page *page = session_page(station->session);
	struct speaker *speaker = &turn->speaker;
	int r;

	if (!(page->announced.flags & WAV_PAGE_SCHEDULE) ||
	    turn->config->no_sync)
		return;
	speaker->card_rate = keeper_card_rate(turn->keeper);
	r = speaker_schedule(speaker, &page->announced, page->begun_usec,
			     turn->first / wav_frame_size(&speaker->format),
			     station->doubt);
	if (r < 0)
		log_warning("The page is not in step with others: %s",
			    strerror(-r));
	if (!speaker->instep.on)
		return;
	session_time_arrivals(station->session);
	/* Frames that came with the header, if any. */
	note_timed_arrival(turn);
}

static int prepare_speaker(struct turn *turn, struct station *station,
			   enum speaker_begin begin, uint64_t begun_usec)
{
	const struct session_page *page = session_page(station->session);
	struct reserve *reserve = &station->reserve;
	int r;

	reserve_resume(reserve);
	turn->speaker.reserve =
	    reserve->most_ms > reserve->least_ms ? reserve : NULL;
	r = speaker_begin(&turn->speaker, &page->format, begin, begun_usec);
	if (r == 0)
		return 0;
	log_error("Cannot play the page from %s: %s",
		  session_name(station->session), strerror(-r));
	station->muted = true;
	station->receipt.result = RECEIPT_UNHEARD;
	return r;
}

static void take_page(struct turn *turn, struct station *station,
		      uint64_t now_usec)
{
	const struct session_page *page = session_page(station->session);
	const size_t frame_size = wav_frame_size(&page->format);

	station->turned_to = true;
	turn->station = station;
	turn->open = turn->before = true;
	turn->result = RECEIPT_COMPLETE;
	turn->page = *page;
	turn->receipt = station->receipt;
	/* The rest of a frame whose beginning was discarded does not sound. */
	turn->first = page->received + frame_size - 1;
	turn->first -= turn->first % frame_size;
	turn->late_frames = 0;
	turn->begun_usec = now_usec;
}

void turn_begin(struct turn *turn, struct station *station, uint64_t now_usec)
{
	const struct session_page *page = session_page(station->session);
	const bool resumed = station->turned_to || page->received > 0;
	struct journal_page told;

	/* The samples that have waited meanwhile are old. */
	if (resumed)
		station_discard(station, now_usec);
	if (!station_has_page(station) ||
	    prepare_speaker(turn, station,
			    resumed ? SPEAKER_RESUMED : SPEAKER_FRESH,
			    resumed ? now_usec : page->begun_usec) < 0)
		return;
	take_page(turn, station, now_usec);
	if (turn->config->meter)
		screen_clear();
	told = describe(turn);
	journal_begin(&told);
	begin_schedule(turn, station);
	if (session_page_is_played(page))
		begin_recording(turn, page, now_usec);
	else if (!resumed && station->probe.kind == LATENCY_STORED)
		turn->speaker.latency.kind = LATENCY_STORED;
	if (turn->config->before)
		run_hook(turn, "--before", turn->config->before, "begins",
			 now_usec);
}

static void let_sound(struct turn *turn, uint64_t now_usec)
{
	turn->before = false;
	speaker_allow(&turn->speaker, now_usec);
}

/* --- its end --- */

/* No more samples are read; those that were read may still sound. */
static void close_page(struct turn *turn, enum receipt_result result,
		       enum speaker_end end, uint64_t now_usec)
{
	turn->open = false;
	turn->result = result;
	turn->page = *session_page(turn->station->session);
	speaker_end(&turn->speaker, end, now_usec);
}

/* Looks at the ring anew: what is taken back of it must not have sounded. */
void turn_give_way(struct turn *turn, uint64_t now_usec)
{
	if (!turn->open)
		return;
	speaker_look(&turn->speaker, now_usec,
		     session_queued(turn->station->session));
	close_page(turn, RECEIPT_TAKEN_OVER, SPEAKER_TAKEN_OVER, now_usec);
}

static void count_page(struct turn *turn, const struct journal_page *page)
{
	const struct speaker_stats *stats = &turn->speaker.stats;
	struct turn_totals *totals = &turn->totals;

	totals->pages++;
	totals->complete += turn->result == RECEIPT_COMPLETE;
	totals->written_frames += stats->written_frames;
	totals->suspends += stats->suspends;
	totals->xruns += stats->xruns;
	totals->starvations += stats->starvations;
	totals->starved_ms += page->starved_ms;
	totals->dropped_ms += page->dropped_ms;
	totals->card_losses += stats->card_losses;
}

/* Adds up what became of the page in all of its turns, and gives the receipt if
 * the server has ended the page; otherwise there may be another turn. */
static void give_receipt(struct turn *turn)
{
	const struct speaker *speaker = &turn->speaker;
	struct station *station = turn->station;
	struct receipt *receipt = &turn->receipt;
	const uint64_t arrived =
	    turn->page.received / wav_frame_size(&turn->page.format);

	receipt->result = turn->result;
	receipt->heard_frames =
	    MIN(receipt->heard_frames + speaker_heard_frames(speaker), arrived);
	receipt->dropped_frames =
	    MIN(receipt->dropped_frames + speaker->stats.dropped_frames,
		arrived - receipt->heard_frames);
	receipt->sync_us = speaker_error_us(speaker);
	receipt->starved_ms += speaker->stats.starved_usec / 1000;
	receipt->card = speaker_card(speaker);
	if (station->seen_page == turn->page.number)
		station->receipt = *receipt;
	session_give_receipt(station->session, turn->page.number, receipt);
}

/* For the next page: the card's rate, and whether to believe the clocks. */
static void learn_of_schedule(struct turn *turn)
{
	const struct instep *instep = &turn->speaker.instep;
	const double rate = instep_card_rate(instep);

	if (instep->error_count == 0)
		return;
	turn->station->doubt = rendezvous_doubt(&instep->rendezvous);
	if (rate > 0)
		keeper_learn_card_rate(turn->keeper, rate);
}

static void end_page(struct turn *turn, uint64_t now_usec)
{
	struct journal_page told;

	if (turn->result == RECEIPT_COMPLETE &&
	    speaker_heard_frames(&turn->speaker) == 0 &&
	    turn->page.received > turn->first)
		turn->result = RECEIPT_UNHEARD;
	if (turn->config->meter)
		screen_clear();
	told = describe(turn);
	journal_end(&told);
	count_page(turn, &told);
	give_receipt(turn);
	learn_of_schedule(turn);
	speaker_finish(&turn->speaker);
	keeper_restore_volume(turn->keeper);
	turn->before = false;
	hook_kill(&turn->hook);
	if (turn->config->after)
		run_hook(turn, "--after", turn->config->after, told.result,
			 now_usec);
	turn->station = NULL;
}

void turn_close(struct turn *turn)
{
	if (turn->station) {
		hook_kill(&turn->hook);
		turn->result = RECEIPT_STOPPED;
		if (turn->open)
			turn->page = *session_page(turn->station->session);
		end_page(turn, now_usec());
	}
	speaker_close(&turn->speaker);
	turn->keeper = keeper_free(turn->keeper, now_usec() + KEEPER_WAIT_USEC);
}

/* --- its samples --- */

static uint64_t limit_bytes(const struct turn *turn)
{
	const double seconds = turn->config->max_seconds;
	const struct wav_format *format = &turn->page.format;

	if (seconds <= 0)
		return UINT64_MAX;
	return turn->first +
	       (uint64_t)(seconds * format->rate) * wav_frame_size(format);
}

/* Whether --max-duration ends the page: by its samples, or by the clock for a
 * page whose samples come too slowly. */
static bool limit_reached(const struct turn *turn, uint64_t now_usec)
{
	const struct client_config *config = turn->config;
	const struct session_page *page = session_page(turn->station->session);
	const uint32_t latency_ms =
	    MAX(config->speaker.latency_ms, config->speaker.latency_max_ms);
	const uint64_t budget_ms = page->announced.budget_us / 1000;
	const uint64_t grace_ms = LIMIT_GRACE_MS + MAX(latency_ms, budget_ms) +
				  (uint64_t)fmax(0, config->speaker.delay_ms) +
				  config->speaker.lead_in_ms;

	if (config->max_seconds <= 0)
		return false;
	if (page->received < page->data_size &&
	    page->received >= limit_bytes(turn))
		return true;
	return now_usec - turn->begun_usec >
	       (uint64_t)(config->max_seconds * USEC_PER_SEC) + grace_ms * 1000;
}

static void end_by_limit(struct turn *turn, uint64_t now_usec)
{
	struct station *station = turn->station;

	log_notice("Page from %s: ended by --max-duration; the rest of it is "
		   "not played",
		   session_name(station->session));
	station->muted = true;
	station_finish_file(station);
	close_page(turn, RECEIPT_LIMIT, SPEAKER_BROKEN_OFF, now_usec);
}

/* Whether a page that its server has stopped must fall silent. What has come of
 * a live page was spoken before that; and a file that only lacks its last bytes
 * was not stopped. */
static bool is_to_be_silenced(const struct turn *turn)
{
	const struct session_page *page = session_page(turn->station->session);
	const struct wav_format *format = &page->format;
	const uint64_t missing =
	    (page->data_size - page->received) / wav_frame_size(format);

	if (turn->speaker.latency.kind == LATENCY_PLAYED)
		return true;
	return turn->speaker.latency.kind == LATENCY_STORED &&
	       frames_to_usec(missing, format->rate) >= STOP_LEAST_USEC;
}

static void end_of_samples(struct turn *turn, uint64_t now_usec)
{
	const enum session_result result =
	    session_page(turn->station->session)->result;

	if (result == SESSION_COMPLETE)
		close_page(turn, RECEIPT_COMPLETE, SPEAKER_COMPLETE, now_usec);
	else if (result == SESSION_STOPPED && is_to_be_silenced(turn))
		close_page(turn, RECEIPT_CUT_SHORT, SPEAKER_STOPPED, now_usec);
	else
		close_page(turn, RECEIPT_CUT_SHORT, SPEAKER_BROKEN_OFF,
			   now_usec);
}

/* So much of a recording waits that it can no longer be kept. The page will be
 * joined again where it is by then. */
static void end_behind(struct turn *turn, uint64_t now_usec)
{
	log_warning("Page from %s: ended, since %.0f s of it wait for the "
		    "loudspeaker; joining it again",
		    session_name(turn->station->session),
		    speaker_fill_ms(&turn->speaker) / 1000);
	close_page(turn, RECEIPT_CUT_SHORT, SPEAKER_STOPPED, now_usec);
}

/* How many bytes to read now into a FIFO with room for SPACE; 0: none. */
static size_t feed_size(struct turn *turn, size_t space)
{
	struct station *station = turn->station;
	const uint64_t received = session_page(station->session)->received;
	const uint64_t limit = limit_bytes(turn);
	size_t size;

	if (limit > received && space > limit - received)
		space = (size_t)(limit - received);
	size = station_room(station, space);
	/* A slow disk holds reading up, but must not starve the sound. */
	if (size == 0 && space > 0 &&
	    fifo_frames(&turn->speaker.fifo) < turn->speaker.target_frames) {
		station_lose_file(station, -EAGAIN);
		size = space;
	}
	return size;
}

static void drop_late(struct turn *turn)
{
	const size_t frames =
	    MIN(turn->late_frames, fifo_frames(&turn->speaker.fifo));

	speaker_drop_late(&turn->speaker, frames);
	turn->late_frames -= frames;
}

static uint64_t arrived_bytes(const struct turn *turn)
{
	const struct session *session = turn->station->session;

	return surplus(session_page(session)->received +
			   session_queued(session),
		       turn->first);
}

void turn_woken(struct turn *turn, uint64_t due_usec, uint64_t now_usec)
{
	const uint64_t asleep_usec =
	    (uint64_t)wallclock_slept_ns(&turn->asleep_ns) / 1000;
	const uint64_t late_usec = surplus(now_usec, due_usec) + asleep_usec;
	struct speaker *speaker = &turn->speaker;
	uint64_t frame_size, age_frames, waiting;

	if (asleep_usec > 0)
		speaker_slept(speaker, asleep_usec);
	/* A page on schedule skips what is late by itself. */
	if (!turn->station || !turn->open || turn->speaker.instep.on)
		return;
	frame_size = wav_frame_size(&speaker->format);
	if (usec_to_frames(late_usec, speaker->format.rate) <=
		speaker->target_frames ||
	    latency_arrived(&speaker->latency, now_usec,
			    arrived_bytes(turn) / frame_size) != LATENCY_LIVE)
		return;
	age_frames = usec_to_frames(session_age_usec(turn->station->session) +
					asleep_usec,
				    speaker->format.rate);
	waiting = fifo_frames(&speaker->fifo) +
		  session_queued(turn->station->session) / frame_size;
	waiting += MIN(age_frames, speaker->target_frames);
	if (waiting > speaker->target_frames)
		turn->late_frames = waiting - speaker->target_frames;
	drop_late(turn);
}

/* This pass of the loop began at BEGUN_USEC. If the program was stopped since
 * then, what it reads is as old as that. */
static void notice_stop(struct turn *turn, uint64_t begun_usec)
{
	turn_woken(turn, begun_usec, now_usec());
}

static void feed(struct turn *turn, uint64_t now_usec)
{
	struct station *station = turn->station;
	struct session *session = station->session;
	const struct session_page *page = session_page(session);

	for (int i = 0; i < FEED_READS; i++) {
		uint8_t torn[WAV_FRAME_SIZE_MAX];
		void *space = torn;
		size_t size;
		ssize_t n;

		notice_stop(turn, now_usec);
		if (limit_reached(turn, now_usec)) {
			end_by_limit(turn, now_usec);
			return;
		}
		if (speaker_is_behind(&turn->speaker)) {
			end_behind(turn, now_usec);
			return;
		}
		size = (size_t)(turn->first - page->received);
		if (page->received >= turn->first)
			space = speaker_space(&turn->speaker, &size);
		size = feed_size(turn, size);
		if (size == 0) {
			session_hold_off(session, now_usec);
			break;
		}
		n = station_read(station, space, size, now_usec);
		if (n < 0)
			break;
		if (n == 0) {
			end_of_samples(turn, now_usec);
			return;
		}
		if (space != torn)
			speaker_put(&turn->speaker, (size_t)n);
		if (turn->speaker.instep.on)
			note_timed_arrival(turn);
		drop_late(turn);
	}
	if (page->received >= turn->first)
		speaker_arrived(&turn->speaker, now_usec, arrived_bytes(turn));
}

bool turn_run(struct turn *turn, uint64_t now_usec)
{
	if (!turn->station)
		return false;
	speaker_look(&turn->speaker, now_usec,
		     turn->open ? session_queued(turn->station->session) : 0);
	if (turn->open)
		feed(turn, now_usec);
	if (turn->before && !hook_running(&turn->hook, now_usec) &&
	    keeper_volume_is_set(turn->keeper, now_usec))
		let_sound(turn, now_usec);
	speaker_step(&turn->speaker, now_usec);
	if (turn->speaker.state == SPEAKER_DONE) {
		end_page(turn, now_usec);
		return true;
	}
	if (turn->config->meter && now_usec >= turn->meter_usec)
		draw_meter(turn, now_usec);
	return false;
}

uint64_t turn_deadline(const struct turn *turn, uint64_t now_usec)
{
	uint64_t next = hook_deadline(&turn->hook);

	if (!turn->station)
		return next;
	next = MIN(next, speaker_deadline(&turn->speaker, now_usec));
	if (turn->before)
		next = MIN(next, keeper_deadline(turn->keeper, now_usec));
	return turn->config->meter ? MIN(next, turn->meter_usec) : next;
}

enum session_wanted turn_wants(struct turn *turn, const struct station *station)
{
	size_t space;

	if (turn->station != station || !turn->open ||
	    turn->speaker.state == SPEAKER_OPENING)
		return SESSION_SAMPLES_UNWANTED;
	speaker_space(&turn->speaker, &space);
	return station_room(station, space) > 0 ? SESSION_SAMPLES_WANTED
						: SESSION_SAMPLES_UNWANTED;
}
