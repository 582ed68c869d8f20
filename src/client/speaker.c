/* SPDX-License-Identifier: MIT
 * Owns the card and the FIFO. A live page starts when its first frames
 * have waited for the target: so the target is there when the next chunk is
 * due, whatever the size of the chunks. */
#include "client/speaker.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <string.h>

#include "audio/samples.h"
#include "base/log.h"
#include "base/util.h"
#include "base/wallclock.h"

enum {
	RING_EXTRA_MS = 250,	    /* size of the ring beyond the target */
	FIFO_MS = 2500,		    /* size of the FIFO .. */
	FIFO_SIZE_MAX = 512 * 1024, /* .. limited to so many bytes .. */
	FIFO_EXTRA_MS = 350,	    /* .. but at least this beyond the target */
	KEPT_EXTRA_MS = 1000,	    /* of frames taken, beyond the target .. */
	LIVE_EXTRA_MS = 50,	    /* .. or the ring, if it is live, .. */
	KEPT_SIZE_MAX = 4 << 20,    /* .. limited to so many bytes */
	HELD_UP_MS_MAX = 500,	    /* of a live page, beyond the target */
	PLAYED_MS_MAX = 30000,	    /* of a recording that waits .. */
	PLAYED_SIZE_MAX = 64 << 20, /* .. and how many bytes */
	FADE_MS = 5,
	GUARD_MS_MAX = 5,
	RECOVER_PAUSE_USEC = 50 * 1000,
	OPEN_LIMIT_USEC = 5000 * 1000, /* how long an ended page waits for it */
	/* A recording has more time, but its talker waits for the receipt. */
	PLAYED_OPEN_LIMIT_USEC = 10000 * 1000,
	CARDLESS_TICK_USEC = 200 * 1000,
	TICK_USEC = 90 * 1000,
	IN_STEP_USEC_MIN = 10 * 1000, /* in the ring of a page on schedule */
	IN_STEP_PERIOD_MS_MAX = 10,
};

/* The time of a position that is older is none. */
#define LOOK_AGE_NS_MAX ((int64_t)NSEC_PER_SEC)

static uint32_t ms_to_frames(const struct speaker *speaker, uint64_t ms)
{
	return (uint32_t)(ms * speaker->format.rate / 1000);
}

static size_t fade_frames(const struct speaker *speaker)
{
	return ms_to_frames(speaker, FADE_MS);
}

/* Drops frames that are too late to be heard, and counts them. */
static void drop_oldest(struct speaker *speaker, size_t frames)
{
	speaker->stats.dropped_frames += frames;
	instep_skipped(&speaker->instep, frames);
	fifo_drop(&speaker->fifo, frames);
}

void speaker_drop_late(struct speaker *speaker, size_t frames)
{
	if (frames == 0)
		return;
	drop_oldest(speaker, frames);
	speaker->collecting_usec = 0;
	speaker->fade_in = true;
}

static bool is_played(const struct speaker *speaker)
{
	return speaker->latency.kind == LATENCY_PLAYED;
}

/* Whether frames wait in the FIFO because they are early, and not late. */
static bool is_early(const struct speaker *speaker)
{
	return speaker->latency.kind == LATENCY_STORED || is_played(speaker);
}

/* The reserve: what has yet to go through the ring. What lies behind the ring
 * is no part of it: it cannot be dropped, and does not help when frames come
 * late. */
static uint64_t waiting_frames(const struct speaker *speaker)
{
	return speaker->card.ring.fill_frames + speaker->silence_frames +
	       fifo_frames(&speaker->fifo);
}

/* Of a page without a schedule: nothing can sound before it has come. */
static uint64_t delay_usec(const struct speaker *speaker)
{
	return (uint64_t)fmax(0, speaker->config.delay_ms * 1000);
}

static void set_target(struct speaker *speaker)
{
	const uint32_t latency_ms = speaker->reserve
					? speaker->reserve->now_ms
					: speaker->config.latency_ms;
	const uint64_t step =
	    usec_to_frames(speaker->card.step_usec, speaker->format.rate);
	uint64_t usec = latency_ms * UINT64_C(1000) + delay_usec(speaker);

	if (speaker->instep.on)
		usec =
		    MAX((uint64_t)speaker->instep.rendezvous.budget_ns / 1000,
			IN_STEP_USEC_MIN);
	speaker->target_frames =
	    MAX((uint32_t)usec_to_frames(usec, speaker->format.rate), 1u) +
	    (uint32_t)step;
	speaker->latency.target_frames = speaker->target_frames;
}

/* --- what is heard --- */

uint64_t speaker_heard_frames(const struct speaker *speaker)
{
	return instep_page_frames(&speaker->instep,
				  speaker->stats.heard_frames +
				      card_heard_frames(&speaker->card));
}

/* COUNT frames that were written last will not be heard; back into the FIFO
 * with them, as many as are there: returns how many. */
static size_t unwrite(struct speaker *speaker, uint64_t count)
{
	const size_t back = fifo_untake(&speaker->fifo, (size_t)count);

	speaker->stats.written_frames -= count;
	speaker->stats.dropped_frames += count - back;
	return back;
}

static void end_ring(struct speaker *speaker)
{
	speaker->stats.heard_frames += card_heard_frames(&speaker->card);
	card_begin_ring(&speaker->card);
}

/* --- the card comes and goes --- */

static uint32_t wished_period(const struct speaker *speaker)
{
	uint32_t frames = speaker->target_frames / 4;

	if (speaker->config.period_frames)
		return speaker->config.period_frames;
	/* Many cards tell their position once a period. */
	if (speaker->instep.on)
		frames =
		    MIN(frames, ms_to_frames(speaker, IN_STEP_PERIOD_MS_MAX));
	return MAX(frames, 16u);
}

static int open_card(struct speaker *speaker)
{
	return card_open(
	    &speaker->card, &speaker->format, wished_period(speaker),
	    speaker->target_frames + ms_to_frames(speaker, RING_EXTRA_MS));
}

static void begin_filling(struct speaker *speaker)
{
	speaker->state = SPEAKER_FILLING;
	speaker->cut = (struct cut){0};
	latency_restart(&speaker->latency);
}

/* Frames from before the interruption do not count as waiting. */
static void fill_anew(struct speaker *speaker)
{
	if (speaker->instep.on)
		instep_restart(&speaker->instep, &speaker->fifo);
	speaker->collecting_usec = 0;
	begin_filling(speaker);
}

static void try_card(struct speaker *speaker, uint64_t now_usec)
{
	if (open_card(speaker) < 0) {
		speaker->state = SPEAKER_OPENING;
		speaker->retry_usec =
		    now_usec + backoff_next(&speaker->card.backoff);
		return;
	}
	end_ring(speaker);
	speaker->latency.period_frames = pcm_period_frames(speaker->card.pcm);
	speaker->silence_frames =
	    MAX(ms_to_frames(speaker, speaker->config.lead_in_ms),
		(uint32_t)usec_to_frames(surplus(speaker->sound_usec, now_usec),
					 speaker->format.rate));
	begin_filling(speaker);
}

/* Frames of the page in the ring of a lost card will not be heard there. */
static void note_lost_ring(struct speaker *speaker)
{
	const uint64_t lost =
	    speaker->card.ring.page_frames - card_heard_frames(&speaker->card);

	if (speaker->instep.on)
		instep_restart(&speaker->instep, &speaker->fifo);
	if (is_played(speaker))
		instep_put_back(&speaker->instep, unwrite(speaker, lost));
	else
		speaker->stats.dropped_frames += lost;
}

static void stop_starving(struct speaker *speaker, uint64_t now_usec)
{
	if (!speaker->starving)
		return;
	speaker->starving = false;
	if (now_usec > speaker->starved_since_usec)
		speaker->stats.starved_usec +=
		    now_usec - speaker->starved_since_usec;
}

static void lose_card(struct speaker *speaker, int error, uint64_t now_usec)
{
	speaker->stats.card_losses++;
	note_lost_ring(speaker);
	stop_starving(speaker, now_usec);
	card_lose(&speaker->card, error);
	end_ring(speaker);
	speaker->collecting_usec = 0;
	speaker->fade_in = true;
	speaker->state = SPEAKER_OPENING;
	speaker->retry_usec = now_usec + backoff_next(&speaker->card.backoff);
}

/* Makes an empty or suspended ring writable again. Returns 0, -EAGAIN while
 * that goes on (state RECOVERING), or another negative errno when the card is
 * lost (state OPENING). */
static int recover(struct speaker *speaker, uint64_t now_usec)
{
	bool forgotten;
	const int r = card_recover(&speaker->card, &forgotten, now_usec);

	if (r == 0) {
		if (forgotten)
			note_lost_ring(speaker);
		end_ring(speaker);
	} else if (r == -EAGAIN) {
		speaker->state = SPEAKER_RECOVERING;
		speaker->retry_usec = now_usec + RECOVER_PAUSE_USEC;
	} else {
		lose_card(speaker, r, now_usec);
	}
	return r;
}

static void learn_step(struct speaker *speaker, uint64_t now_usec)
{
	if (card_learn_step(&speaker->card, speaker->target_frames, now_usec))
		set_target(speaker);
}

/* The PCM has stopped with ERROR: counts the cause and recovers. */
static void handle_stop(struct speaker *speaker, int error, uint64_t now_usec)
{
	if (error == -EPIPE) {
		speaker->stats.xruns++;
		learn_step(speaker, now_usec);
		card_note_empty(&speaker->card, now_usec);
	} else if (error == -ESTRPIPE) {
		speaker->stats.suspends++;
		speaker->card.suspended = true;
	} else {
		lose_card(speaker, error, now_usec);
		return;
	}
	speaker->fade_in = true;
	if (recover(speaker, now_usec) == 0)
		fill_anew(speaker);
}

/* --- writing --- */

/* Counts COUNT frames of the page that were written, DATA. */
static void note_written(struct speaker *speaker, const void *data,
			 size_t count)
{
	if (speaker->config.meter)
		speaker->peak = fmax(
		    speaker->peak, samples_peak(&speaker->format, data, count));
	card_count_page(&speaker->card, count);
	speaker->stats.written_frames += count;
}

/* How many frames may be written now. Except for a stored page the ring gets no
 * more than twice the target, and only the target while there is an excess:
 * frames can be dropped from the FIFO but not from the ring. */
static size_t ring_allowance(const struct speaker *speaker)
{
	const uint64_t target = speaker->target_frames;
	uint64_t limit = pcm_buffer_frames(speaker->card.pcm);

	if (!is_early(speaker))
		limit = MIN(limit,
			    speaker->cut.excess_frames ? target : 2 * target);
	return (size_t)surplus(limit, speaker->card.ring.fill_frames);
}

/* Before the frames of a recording that goes on: rises from silence to the
 * first of them, and so alters none. If that does not fit, there is a click. */
static void write_ramp(struct speaker *speaker)
{
	uint8_t ramp[4096];
	const size_t frame_size = wav_frame_size(&speaker->format);
	const size_t total = fade_frames(speaker);
	const size_t most = sizeof(ramp) / frame_size;

	if (fifo_frames(&speaker->fifo) == 0)
		return;
	for (size_t done = 0; done < total;) {
		const size_t count = MIN(most, total - done);

		for (size_t i = 0; i < count; i++)
			memcpy(ramp + i * frame_size, fifo_data(&speaker->fifo),
			       frame_size);
		samples_fade(&speaker->format, ramp, count,
			     (double)done / (double)total,
			     (double)(done + count) / (double)total);
		if (card_write(&speaker->card, ramp, count) < (ssize_t)count)
			return;
		done += count;
	}
}

/* The next frames are no beginning of a page. */
static void begin_inside(struct speaker *speaker)
{
	if (is_played(speaker))
		write_ramp(speaker);
	else
		fifo_fade_in(&speaker->fifo, fade_frames(speaker));
	speaker->fade_in = false;
}

/* Writes what the ring may take: the silence before the page, then the page. 0,
 * or a negative errno of pcm_write(). */
static int write_fifo(struct speaker *speaker)
{
	const void *data = fifo_data(&speaker->fifo);
	size_t count = MIN(ring_allowance(speaker), speaker->silence_frames);
	ssize_t n = 0;

	if (count > 0)
		n = card_write_silence(&speaker->card, count);
	if (n > 0)
		speaker->silence_frames -= (uint32_t)n;
	count = MIN(ring_allowance(speaker), fifo_frames(&speaker->fifo));
	if (n < 0 || speaker->silence_frames > 0 || count == 0)
		return n < 0 ? (int)n : 0;
	if (speaker->fade_in)
		begin_inside(speaker);
	count = MIN(ring_allowance(speaker), fifo_frames(&speaker->fifo));
	n = count > 0 ? card_write(&speaker->card, data, count) : 0;
	if (n <= 0)
		return (int)n;
	note_written(speaker, data, (size_t)n);
	fifo_take(&speaker->fifo, (size_t)n);
	return 0;
}

/* --- a live page that is late --- */

/* While a hook or the silence before it holds a live page up, keeps only what
 * is not too late. */
static void drop_stale(struct speaker *speaker)
{
	const uint64_t most =
	    speaker->target_frames + ms_to_frames(speaker, HELD_UP_MS_MAX);
	const size_t frames = fifo_frames(&speaker->fifo);
	const uint64_t waiting = speaker->card.ring.fill_frames + frames;
	const bool waits =
	    speaker->state == SPEAKER_WAITING || speaker->silence_frames > 0;

	if (is_early(speaker) || !waits || waiting <= most)
		return;
	drop_oldest(speaker, (size_t)MIN(waiting - most, frames));
	speaker->fade_in = true;
}

/* While the card is missing, keeps only the newest frames of a live page. */
static void drop_unheard(struct speaker *speaker)
{
	const size_t frames = fifo_frames(&speaker->fifo);

	if (speaker->latency.kind != LATENCY_LIVE ||
	    frames <= speaker->target_frames)
		return;
	speaker_drop_late(speaker, frames - speaker->target_frames);
}

/* With --latency auto, a live page that is late can wait for a pause in speech
 * up to the most that it may be late. */
static enum cut_patience patience(const struct speaker *speaker)
{
	const struct speaker_config *config = &speaker->config;
	const uint64_t most_usec =
	    config->latency_max_ms * UINT64_C(1000) + delay_usec(speaker);
	const uint64_t most = usec_to_frames(most_usec, speaker->format.rate);

	return speaker->reserve && waiting_frames(speaker) <= most
		   ? CUT_PATIENT
		   : CUT_IN_TIME;
}

static void drop_excess(struct speaker *speaker, uint64_t now_usec)
{
	size_t count;

	/* Without new frames there is no new quiet place to find. */
	if (!speaker->arriving)
		return;
	count = cut_excess(&speaker->cut, &speaker->fifo, patience(speaker),
			   fade_frames(speaker), now_usec);
	if (count == 0)
		return;
	speaker->stats.dropped_frames += count;
	latency_restart(&speaker->latency);
}

/* --- a page on schedule --- */

/* The page goes on as one without a schedule: all of it is heard. */
static void leave_schedule(struct speaker *speaker, double late_s)
{
	instep_tell_left(&speaker->instep, late_s, speaker->config.device);
	instep_leave(&speaker->instep, &speaker->fifo);
	set_target(speaker);
	begin_filling(speaker);
}

/* As pcm_write(), of silence: at most COUNT frames, and so much as keeps the
 * card running. */
static ssize_t write_lead(struct speaker *speaker, uint64_t count)
{
	const uint64_t wanted =
	    MIN(count, surplus(speaker->instep.lead_frames,
			       speaker->card.ring.fill_frames));
	const ssize_t n =
	    wanted > 0 ? card_write_silence(&speaker->card, (size_t)wanted) : 0;

	if (n > 0)
		speaker->silence_frames -=
		    (uint32_t)MIN((uint64_t)n, speaker->silence_frames);
	return n;
}

/* One order's worth. Returns as pcm_write(); 0: that is all for now. */
static ssize_t write_ordered(struct speaker *speaker, uint64_t now_usec)
{
	struct instep *instep = &speaker->instep;
	const size_t room = ring_allowance(speaker);
	struct instep_order order;
	ssize_t n;

	if (speaker->silence_frames > 0)
		return write_lead(speaker, speaker->silence_frames);
	if (room == 0)
		return 0;
	instep_next(instep, &speaker->fifo, speaker->card.ring.written, room,
		    &order);
	switch (order.what) {
	case INSTEP_NOTHING:
		return 0;
	case INSTEP_SILENCE:
		n = write_lead(speaker, order.count);
		return n == (ssize_t)order.count ? n : MIN(n, 0);
	case INSTEP_BEGIN:
		drop_oldest(speaker, (size_t)order.count);
		stop_starving(speaker, now_usec);
		if (speaker->fade_in || order.count > 0)
			begin_inside(speaker);
		return 1;
	case INSTEP_FRAMES:
		n = card_write(&speaker->card, order.data, (size_t)order.count);
		if (n > 0) {
			note_written(speaker, order.data, (size_t)n);
			instep_written(instep, (size_t)n);
		}
		return n;
	case INSTEP_LEAVE:
		leave_schedule(speaker, order.late_s);
		return 0;
	}
	return 0;
}

/* As write_fifo(). */
static int write_in_step(struct speaker *speaker, uint64_t now_usec)
{
	ssize_t n;

	do
		n = write_ordered(speaker, now_usec);
	while (n > 0);
	return (int)n;
}

/* Whether all of the page is written. */
static bool all_written(const struct speaker *speaker)
{
	return speaker->ended && fifo_frames(&speaker->fifo) == 0 &&
	       speaker->silence_frames == 0 &&
	       !instep_holds_frames(&speaker->instep);
}

/* --- the states --- */

static void step_draining(struct speaker *speaker, uint64_t now_usec)
{
	const uint64_t padding =
	    card_padding_frames(&speaker->card, speaker->target_frames);
	const ssize_t n =
	    padding > 0 ? card_write_silence(&speaker->card, (size_t)padding)
			: 0;

	/* -EPIPE: the ring is empty, so everything has sounded. */
	if (n == -EPIPE)
		card_note_empty(&speaker->card, now_usec);
	if (n == -EPIPE ||
	    (n >= 0 && card_page_has_sounded(&speaker->card, now_usec)))
		speaker->state = SPEAKER_DONE;
	else if (n < 0)
		handle_stop(speaker, (int)n, now_usec);
}

/* When the first frames will have waited long enough. The silence before a page
 * is a part of the wait. */
static uint64_t start_usec(const struct speaker *speaker)
{
	const uint32_t target = speaker->target_frames;
	const uint32_t silence = speaker->silence_frames;

	return speaker->collecting_usec +
	       frames_to_usec(silence < target ? target - silence : 0,
			      speaker->format.rate);
}

static void note_collecting(struct speaker *speaker, uint64_t now_usec)
{
	if (speaker->collecting_usec == 0 && fifo_frames(&speaker->fifo) > 0)
		speaker->collecting_usec = now_usec;
}

static bool enough_to_start(struct speaker *speaker, uint64_t now_usec)
{
	if (speaker->ended)
		return true;
	note_collecting(speaker, now_usec);
	if (waiting_frames(speaker) < speaker->target_frames)
		return false;
	/* A recording begins in step with other loudspeakers; once it was
	 * interrupted, it goes on at once. */
	return speaker->latency.kind == LATENCY_STORED ||
	       (is_played(speaker) && speaker->fade_in) ||
	       (speaker->collecting_usec > 0 &&
		now_usec >= start_usec(speaker));
}

/* The first frames after a gap tell how long it was. */
static void learn_gap(struct speaker *speaker, uint64_t now_usec)
{
	const uint64_t gap_usec =
	    surplus(now_usec, speaker->starved_since_usec);

	if (!speaker->reserve || is_early(speaker) || !speaker->starving ||
	    speaker->gap_known || speaker->ended ||
	    (!speaker->arriving && fifo_frames(&speaker->fifo) == 0))
		return;
	speaker->gap_known = true;
	if (!reserve_starved(speaker->reserve,
			     (uint32_t)MIN(gap_usec / 1000, UINT32_MAX)))
		return;
	log_info("The network held the sound up for %u ms too long: the "
		 "latency is %u ms from now on",
		 (unsigned)(gap_usec / 1000), speaker->reserve->now_ms);
	set_target(speaker);
}

/* How much must wait before the sound goes on after an interruption. What has
 * piled up meanwhile is what the gap has shown to be needed, so --latency auto
 * waits for no more than it began with. */
static uint64_t rejoin_frames(const struct speaker *speaker)
{
	if (!speaker->reserve)
		return speaker->target_frames;
	return usec_to_frames(speaker->config.latency_ms * UINT64_C(1000) +
				  delay_usec(speaker),
			      speaker->format.rate);
}

/* After an interruption, drops the frames of a live page that are late while it
 * is silent anyway: so there is no second seam. Whether it can go on now. */
static bool rejoin(struct speaker *speaker)
{
	const bool is_live = speaker->latency.kind == LATENCY_LIVE;

	if (is_early(speaker) || !(is_live || speaker->reserve) ||
	    !speaker->fade_in || speaker->stats.written_frames == 0 ||
	    !speaker->arriving ||
	    speaker->spare_frames < rejoin_frames(speaker))
		return false;
	if (is_live)
		drop_oldest(speaker, (size_t)surplus(speaker->spare_frames,
						     speaker->target_frames));
	return true;
}

/* The ring may still hold frames from before a starvation. 0, or a negative
 * errno as recover(). */
static int ready_ring(struct speaker *speaker, uint64_t now_usec)
{
	const int r = card_look_first(&speaker->card);

	if (r == 0)
		return 0;
	if (r != -EPIPE && r != -ESTRPIPE) {
		lose_card(speaker, r, now_usec);
		return r;
	}
	if (r == -EPIPE)
		card_note_empty(&speaker->card, now_usec);
	return recover(speaker, now_usec);
}

/* As write_fifo(). */
static int begin_in_step(struct speaker *speaker)
{
	const ssize_t n = write_lead(speaker, UINT64_MAX);

	return (int)MIN(n, 0);
}

static void step_filling(struct speaker *speaker, uint64_t now_usec)
{
	int r;

	learn_gap(speaker, now_usec);
	/* A page on schedule has the card play silence until its moment. */
	if (!speaker->instep.on && !rejoin(speaker) &&
	    !enough_to_start(speaker, now_usec))
		return;
	if (speaker->ended && fifo_frames(&speaker->fifo) == 0 &&
	    !instep_holds_frames(&speaker->instep)) {
		/* After a starvation the last frames may still sound. */
		speaker->silence_frames = 0;
		stop_starving(speaker, now_usec);
		speaker->state = speaker->card.ring.written > 0
				     ? SPEAKER_DRAINING
				     : SPEAKER_DONE;
		return;
	}
	if (ready_ring(speaker, now_usec) < 0)
		return;
	r = speaker->instep.on ? begin_in_step(speaker) : write_fifo(speaker);
	if (r == 0)
		r = card_start(&speaker->card, now_usec);
	if (r < 0) {
		handle_stop(speaker, r, now_usec);
		return;
	}
	if (!speaker->instep.on)
		stop_starving(speaker, now_usec);
	speaker->state = SPEAKER_PLAYING;
}

static void step_playing(struct speaker *speaker, uint64_t now_usec)
{
	int r;

	if (speaker->instep.on) {
		r = write_in_step(speaker, now_usec);
	} else {
		drop_excess(speaker, now_usec);
		r = write_fifo(speaker);
	}
	if (r < 0) {
		handle_stop(speaker, r, now_usec);
		return;
	}
	if (speaker->state == SPEAKER_PLAYING && all_written(speaker)) {
		speaker->state = SPEAKER_DRAINING;
		step_draining(speaker, now_usec);
	}
}

/* Whether the page has ended and is too old to wait for the card. */
static bool too_late(const struct speaker *speaker, uint64_t now_usec)
{
	const uint64_t limit_usec =
	    is_played(speaker) ? PLAYED_OPEN_LIMIT_USEC : OPEN_LIMIT_USEC;

	if (!speaker->ended)
		return false;
	return fifo_frames(&speaker->fifo) == 0 ||
	       speaker->latency.kind == LATENCY_LIVE ||
	       now_usec >= speaker->ended_usec + limit_usec;
}

static void give_up(struct speaker *speaker)
{
	drop_oldest(speaker, fifo_frames(&speaker->fifo));
	speaker->state = SPEAKER_DONE;
}

void speaker_give_way(struct speaker *speaker, uint64_t now_usec)
{
	if (!speaker->ended || speaker->state != SPEAKER_OPENING ||
	    speaker->latency.kind == LATENCY_STORED)
		return;
	if (!is_played(speaker) ||
	    now_usec >= speaker->ended_usec + OPEN_LIMIT_USEC)
		give_up(speaker);
}

static void step_opening(struct speaker *speaker, uint64_t now_usec)
{
	drop_unheard(speaker);
	if (too_late(speaker, now_usec)) {
		give_up(speaker);
	} else if (now_usec >= speaker->retry_usec) {
		try_card(speaker, now_usec);
		if (speaker->state == SPEAKER_FILLING)
			step_filling(speaker, now_usec);
	}
}

static void step_recovering(struct speaker *speaker, uint64_t now_usec)
{
	if (now_usec < speaker->retry_usec)
		return;
	if (recover(speaker, now_usec) == 0)
		fill_anew(speaker);
}

void speaker_step(struct speaker *speaker, uint64_t now_usec)
{
	switch (speaker->state) {
	case SPEAKER_IDLE:
	case SPEAKER_WAITING:
	case SPEAKER_DONE:
		break;
	case SPEAKER_OPENING:
		step_opening(speaker, now_usec);
		break;
	case SPEAKER_RECOVERING:
		step_recovering(speaker, now_usec);
		break;
	case SPEAKER_FILLING:
		step_filling(speaker, now_usec);
		break;
	case SPEAKER_PLAYING:
		step_playing(speaker, now_usec);
		break;
	case SPEAKER_DRAINING:
		step_draining(speaker, now_usec);
		break;
	}
}

/* --- looking at the ring --- */

/* The sound is faded out when so little is left in the ring. */
static uint64_t guard_frames(const struct speaker *speaker)
{
	return MIN(speaker->target_frames / 16,
		   ms_to_frames(speaker, GUARD_MS_MAX));
}

static void note_starvation(struct speaker *speaker, uint64_t now_usec)
{
	speaker->stats.starvations++;
	speaker->starving = true;
	speaker->gap_known = false;
	speaker->starved_since_usec =
	    now_usec + frames_to_usec(speaker->card.ring.fill_frames,
				      speaker->format.rate);
	speaker->fade_in = true;
}

/* No frames came in time: begins to collect anew. */
static void begin_starving(struct speaker *speaker, uint64_t now_usec)
{
	note_starvation(speaker, now_usec);
	fill_anew(speaker);
}

static void fade_the_end(struct speaker *speaker)
{
	fifo_fade_out(&speaker->fifo, fade_frames(speaker));
	(void)card_write(&speaker->card, fifo_data(&speaker->fifo),
			 fifo_frames(&speaker->fifo));
	/* When the fade does not fit, or the ring has just run empty, the sound
	 * ends without it. */
	fifo_drop(&speaker->fifo, fifo_frames(&speaker->fifo));
}

static bool has_data(const struct speaker *speaker)
{
	return speaker->arriving || fifo_frames(&speaker->fifo) > 0 ||
	       speaker->silence_frames > 0;
}

static void ring_ran_empty(struct speaker *speaker, int error,
			   uint64_t now_usec)
{
	const bool over = speaker->state == SPEAKER_DRAINING ||
			  (speaker->ended && !has_data(speaker));

	if (over && error == -EPIPE) {
		card_note_empty(&speaker->card, now_usec);
		speaker->state = SPEAKER_DONE;
	} else if (error == -EPIPE && !has_data(speaker)) {
		learn_step(speaker, now_usec);
		card_note_empty(&speaker->card, now_usec);
		begin_starving(speaker, now_usec);
	} else {
		handle_stop(speaker, error, now_usec);
	}
}

/* Frames have come while others had yet to sound. */
static void note_arrival(struct speaker *speaker, uint64_t now_usec)
{
	const uint64_t spare = waiting_frames(speaker);
	const uint64_t spare_usec = frames_to_usec(spare, speaker->format.rate);

	if (speaker->reserve && !is_early(speaker) &&
	    reserve_arrived(speaker->reserve, now_usec,
			    (uint32_t)(spare_usec / 1000)))
		set_target(speaker);
	speaker->cut.excess_frames =
	    latency_excess(&speaker->latency, now_usec, spare);
}

static void look_in_step(struct speaker *speaker,
			 const struct pcm_position *position)
{
	const int64_t now_ns = wallclock_monotonic_ns();
	const bool told =
	    position->ns > now_ns - LOOK_AGE_NS_MAX && position->ns <= now_ns;

	instep_look(
	    &speaker->instep, told ? position->ns : now_ns,
	    surplus(speaker->card.ring.written, position->delay_frames));
}

/* The card goes on with silence, as before the page, and so keeps its line. */
static void starve_in_step(struct speaker *speaker, uint64_t now_usec)
{
	if (speaker->starving || !speaker->instep.begun)
		return;
	instep_starve(&speaker->instep, &speaker->fifo);
	note_written(speaker, fifo_data(&speaker->fifo),
		     fifo_frames(&speaker->fifo));
	fade_the_end(speaker);
	note_starvation(speaker, now_usec);
}

void speaker_look(struct speaker *speaker, uint64_t now_usec,
		  size_t queued_bytes)
{
	struct pcm_position position;
	int r;

	speaker->arriving = queued_bytes > 0;
	speaker->spare_frames = fifo_frames(&speaker->fifo);
	if (speaker->state != SPEAKER_PLAYING &&
	    speaker->state != SPEAKER_DRAINING)
		return;
	r = card_look(&speaker->card, &position, now_usec);
	if (r < 0) {
		ring_ran_empty(speaker, r, now_usec);
		return;
	}
	if (speaker->state != SPEAKER_PLAYING)
		return;
	if (speaker->instep.on)
		look_in_step(speaker, &position);
	/* A stored page waits in the FIFO because it is early, not late. */
	speaker->stats.behind_sum +=
	    is_early(speaker)
		? speaker->card.ring.delay_frames
		: waiting_frames(speaker) + card_behind_frames(&speaker->card);
	speaker->stats.behind_count++;
	if (speaker->arriving && !speaker->instep.on)
		note_arrival(speaker, now_usec);
	if (has_data(speaker) || speaker->ended ||
	    position.ring_frames > guard_frames(speaker))
		return;
	if (speaker->instep.on) {
		starve_in_step(speaker, now_usec);
	} else {
		fade_the_end(speaker);
		begin_starving(speaker, now_usec);
	}
}

/* --- the life of a page --- */

void speaker_init(struct speaker *speaker, const struct speaker_config *config)
{
	*speaker =
	    (struct speaker){.config = *config, .card.device = config->device};
}

void speaker_close(struct speaker *speaker)
{
	card_close(&speaker->card);
	instep_end(&speaker->instep);
	fifo_free(&speaker->fifo);
	speaker->state = SPEAKER_IDLE;
}

/* The most that the target can become. */
static size_t most_target(const struct speaker *speaker)
{
	return MAX(speaker->target_frames,
		   ms_to_frames(speaker, speaker->reserve
					     ? speaker->reserve->most_ms
					     : 0));
}

/* How many of the frames taken may be wanted back: those in the ring (see
 * ring_allowance()), and of a recording some that lie behind it. */
static size_t kept_frames(const struct speaker *speaker)
{
	const size_t most = KEPT_SIZE_MAX / wav_frame_size(&speaker->format);
	const size_t wanted =
	    is_early(speaker)
		? speaker->target_frames + ms_to_frames(speaker, KEPT_EXTRA_MS)
		: 2 * most_target(speaker) +
		      ms_to_frames(speaker, LIVE_EXTRA_MS);

	return MIN(wanted, most);
}

static size_t fifo_capacity(const struct speaker *speaker)
{
	const size_t frame_size = wav_frame_size(&speaker->format);
	/* Twice, since fifo_space() may give no room until half is taken. */
	const size_t least =
	    2 * (most_target(speaker) + ms_to_frames(speaker, FIFO_EXTRA_MS));
	const size_t wished =
	    MIN(ms_to_frames(speaker, FIFO_MS), FIFO_SIZE_MAX / frame_size);

	return MAX(wished, least);
}

/* Of a page as it is now. */
static void keep(struct speaker *speaker)
{
	const size_t kept = kept_frames(speaker);

	fifo_let_grow(&speaker->fifo,
		      MIN(fifo_capacity(speaker) + kept,
			  PLAYED_SIZE_MAX / wav_frame_size(&speaker->format)));
	fifo_keep(&speaker->fifo, kept);
}

void speaker_keep_all(struct speaker *speaker, uint64_t ahead_usec)
{
	const uint64_t wished = usec_to_frames(
	    PLAYED_MS_MAX * UINT64_C(1000) + ahead_usec, speaker->format.rate);
	const uint64_t most =
	    MIN(wished, PLAYED_SIZE_MAX / wav_frame_size(&speaker->format));

	speaker->latency.kind = LATENCY_PLAYED;
	fifo_keep(&speaker->fifo, kept_frames(speaker));
	speaker->most_frames = MAX((size_t)most, fifo_capacity(speaker));
	/* There must be room at any time: see fifo_space(). */
	fifo_let_grow(&speaker->fifo,
		      (speaker->most_frames + kept_frames(speaker)) * 3 / 2);
}

void speaker_wait_until(struct speaker *speaker, uint64_t due_usec)
{
	speaker->sound_usec = due_usec + frames_to_usec(speaker->target_frames,
							speaker->format.rate);
}

bool speaker_is_behind(const struct speaker *speaker)
{
	return is_played(speaker) &&
	       fifo_frames(&speaker->fifo) >= speaker->most_frames;
}

int speaker_begin(struct speaker *speaker, const struct wav_format *format,
		  enum speaker_begin begin, uint64_t begun_usec)
{
	int r;

	assert(speaker->state == SPEAKER_IDLE);
	speaker->format = *format;
	speaker->instep = (struct instep){0};
	set_target(speaker);
	r = fifo_init(&speaker->fifo, format,
		      fifo_capacity(speaker) + kept_frames(speaker));
	if (r < 0)
		return r;
	fifo_keep(&speaker->fifo, kept_frames(speaker));
	latency_init(&speaker->latency, format->rate, speaker->target_frames,
		     wished_period(speaker), begun_usec);
	speaker->stats = (struct speaker_stats){0};
	speaker->ended = false;
	speaker->starving = false;
	speaker->fade_in = begin == SPEAKER_RESUMED;
	speaker->sound_usec = 0;
	speaker->silence_frames = 0;
	speaker->collecting_usec = 0;
	speaker->peak = 0;
	card_begin_ring(&speaker->card);
	speaker->state = SPEAKER_WAITING;
	return 0;
}

int speaker_schedule(struct speaker *speaker, const struct wav_page *page,
		     uint64_t read_usec, uint64_t first,
		     enum rendezvous_doubt doubt)
{
	const int r = instep_begin(&speaker->instep, &speaker->format, page,
				   (int64_t)read_usec * 1000, first,
				   llround(speaker->config.delay_ms * 1e6),
				   speaker->card_rate, doubt);

	if (r < 0 || !speaker->instep.on)
		return r;
	set_target(speaker);
	keep(speaker);
	return 0;
}

void speaker_timed_arrival(struct speaker *speaker, int64_t ns, uint64_t frames)
{
	if (speaker->instep.on)
		instep_arrived(&speaker->instep, ns, frames);
}

void speaker_slept(struct speaker *speaker, uint64_t usec)
{
	latency_slept(&speaker->latency, usec);
	if (speaker->instep.on)
		instep_woke(&speaker->instep);
}

uint64_t speaker_error_us(const struct speaker *speaker)
{
	return instep_error_us(&speaker->instep);
}

void speaker_allow(struct speaker *speaker, uint64_t now_usec)
{
	if (speaker->state != SPEAKER_WAITING)
		return;
	if (!wav_format_equal(&speaker->card.format, &speaker->format))
		card_close(&speaker->card);
	try_card(speaker, now_usec);
}

void *speaker_space(struct speaker *speaker, size_t *ret_size)
{
	return fifo_space(&speaker->fifo, ret_size);
}

void speaker_put(struct speaker *speaker, size_t size)
{
	fifo_put(&speaker->fifo, size);
}

void speaker_arrived(struct speaker *speaker, uint64_t now_usec,
		     uint64_t arrived_bytes)
{
	latency_arrived(&speaker->latency, now_usec,
			arrived_bytes / wav_frame_size(&speaker->format));
	if (speaker->latency.kind == LATENCY_STORED)
		keep(speaker);
	drop_stale(speaker);
	note_collecting(speaker, now_usec);
}

static void forget_waiting(struct speaker *speaker)
{
	fifo_drop(&speaker->fifo, fifo_frames(&speaker->fifo));
	fifo_keep(&speaker->fifo, 0);
	speaker->silence_frames = 0;
	if (speaker->state == SPEAKER_WAITING ||
	    speaker->state == SPEAKER_OPENING)
		speaker->state = SPEAKER_DONE;
}

static bool take_ring_back(struct speaker *speaker)
{
	uint64_t pages;
	const bool taken = card_take_back(&speaker->card, &pages);

	unwrite(speaker, pages);
	return taken;
}

/* Whether the sound can end here with a fade. */
static bool can_stop_at_once(struct speaker *speaker)
{
	return speaker->state == SPEAKER_PLAYING && take_ring_back(speaker);
}

/* Whatever waits or is in the ring is not to be heard. Where the card gives the
 * ring back, the sound ends with a fade, otherwise abruptly. */
static void stop_at_once(struct speaker *speaker)
{
	const bool sounds = speaker->state == SPEAKER_PLAYING;
	const bool faded = sounds && take_ring_back(speaker);
	const size_t frames = fifo_frames(&speaker->fifo);
	size_t fade = 0;

	if (faded && speaker->card.ring.page_frames > 0)
		fade = MIN(fade_frames(speaker), frames);
	speaker->stats.dropped_frames += frames - fade;
	fifo_fade_away(&speaker->fifo, fade);
	fifo_keep(&speaker->fifo, 0);
	speaker->silence_frames = 0;
	if (sounds && !faded) {
		speaker->stats.dropped_frames +=
		    speaker->card.ring.page_frames -
		    card_heard_frames(&speaker->card);
		card_close(&speaker->card);
	}
	if ((sounds && !faded) || speaker->state == SPEAKER_WAITING ||
	    speaker->state == SPEAKER_OPENING)
		speaker->state = SPEAKER_DONE;
}

void speaker_end(struct speaker *speaker, enum speaker_end end,
		 uint64_t now_usec)
{
	if (speaker->ended || speaker->state == SPEAKER_IDLE)
		return;
	speaker->ended = speaker->instep.ended = true;
	speaker->ended_usec = now_usec;
	if (speaker->instep.on &&
	    (end == SPEAKER_STOPPED || end == SPEAKER_TAKEN_OVER))
		instep_leave(&speaker->instep, &speaker->fifo);
	/* One that is taken over makes room for a page that may be on schedule.
	 */
	if (end == SPEAKER_STOPPED ||
	    (end == SPEAKER_TAKEN_OVER && can_stop_at_once(speaker))) {
		stop_at_once(speaker);
		return;
	}
	if (end == SPEAKER_TAKEN_OVER)
		forget_waiting(speaker);
	/* A starvation has already faded the sound out. */
	if (end != SPEAKER_COMPLETE &&
	    (fifo_frames(&speaker->fifo) > 0 ||
	     (speaker->stats.written_frames > 0 && !speaker->starving)))
		fifo_fade_out(&speaker->fifo, fade_frames(speaker));
}

void speaker_finish(struct speaker *speaker)
{
	if (!speaker->config.hold)
		card_close(&speaker->card);
	instep_end(&speaker->instep);
	fifo_free(&speaker->fifo);
	speaker->state = SPEAKER_IDLE;
}

/* --- when, and for people --- */

static uint64_t playing_wait_usec(const struct speaker *speaker)
{
	const uint64_t guard = guard_frames(speaker);
	uint64_t frames =
	    MAX(surplus(speaker->card.ring.fill_frames, guard), 1u);
	uint64_t wait_usec;

	/* With more to write, come back when the ring has room for a period. */
	if (fifo_frames(&speaker->fifo) > 0 || speaker->silence_frames > 0 ||
	    speaker->state == SPEAKER_DRAINING) {
		frames = MIN(frames, pcm_period_frames(speaker->card.pcm));
		frames = MIN(frames, speaker->target_frames / 2 + 1);
	}
	wait_usec = frames_to_usec(frames, speaker->format.rate) + 100;
	if (speaker->instep.on)
		wait_usec =
		    MIN(wait_usec, instep_look_usec(&speaker->instep,
						    speaker->card.ring.played));
	return wait_usec;
}

uint64_t speaker_deadline(const struct speaker *speaker, uint64_t now_usec)
{
	const uint64_t tick_usec = now_usec + TICK_USEC;

	switch (speaker->state) {
	case SPEAKER_IDLE:
	case SPEAKER_WAITING:
		return UINT64_MAX;
	case SPEAKER_OPENING:
		return MIN(speaker->retry_usec, now_usec + CARDLESS_TICK_USEC);
	case SPEAKER_RECOVERING:
		return speaker->retry_usec;
	case SPEAKER_FILLING:
		if (speaker->collecting_usec > 0 &&
		    start_usec(speaker) > now_usec)
			return MIN(start_usec(speaker), tick_usec);
		return tick_usec;
	case SPEAKER_PLAYING:
	case SPEAKER_DRAINING:
		return MIN(now_usec + playing_wait_usec(speaker), tick_usec);
	case SPEAKER_DONE:
		return now_usec;
	}
	return tick_usec;
}

static double frames_to_ms(const struct speaker *speaker, double frames)
{
	return frames * 1000 / speaker->format.rate;
}

enum receipt_card speaker_card(const struct speaker *speaker)
{
	switch (speaker->card.pcm ? 0 : speaker->card.error) {
	case 0:
		return speaker_heard_frames(speaker) > 0 ? RECEIPT_CARD_READY
							 : RECEIPT_CARD_UNKNOWN;
	case -EINVAL: /* it is there, but not for this format */
		return RECEIPT_CARD_UNKNOWN;
	case -EBUSY:
		return RECEIPT_CARD_BUSY;
	default:
		return RECEIPT_CARD_MISSING;
	}
}

double speaker_behind_ms(const struct speaker *speaker)
{
	if (speaker->stats.behind_count == 0)
		return 0;
	return frames_to_ms(speaker, (double)speaker->stats.behind_sum /
					 (double)speaker->stats.behind_count);
}

double speaker_fill_ms(const struct speaker *speaker)
{
	if (speaker->state == SPEAKER_IDLE)
		return 0;
	return frames_to_ms(speaker, (double)waiting_frames(speaker));
}

double speaker_take_peak(struct speaker *speaker)
{
	const double peak = speaker->peak;

	speaker->peak = 0;
	return peak;
}

const char *speaker_state_name(const struct speaker *speaker)
{
	static const char *const names[] = {
	    [SPEAKER_IDLE] = "idle",
	    [SPEAKER_WAITING] = "waiting for the hook",
	    [SPEAKER_OPENING] = "waiting for the card",
	    [SPEAKER_RECOVERING] = "card resuming",
	    [SPEAKER_FILLING] = "buffering",
	    [SPEAKER_PLAYING] = "playing",
	    [SPEAKER_DRAINING] = "draining",
	    [SPEAKER_DONE] = "done",
	};

	return names[speaker->state];
}
