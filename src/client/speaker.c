/* SPDX-License-Identifier: MIT
 * Owns the playback PCM and the frames in the FIFO. A live page starts when its
 * first frames have waited for the target: whatever the chunks that it comes
 * in, so much is there when the next one is due. */
#include "client/speaker.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <string.h>

#include "audio/samples.h"
#include "base/log.h"
#include "base/util.h"

enum {
	RING_EXTRA_MS = 250,	    /* asked for beyond the target */
	HAND_MS = 2500,		    /* how much is collected at most .. */
	HAND_SIZE_MAX = 512 * 1024, /* .. within so many bytes .. */
	HAND_EXTRA_MS = 350,	    /* .. but beyond the target at least this */
	FADE_MS = 5,
	GUARD_MS_MAX = 5,
	STALL_MS = 2000,       /* a card without progress for so long is lost */
	CUT_PATIENCE_MS = 500, /* how long to wait for a pause in speech */
	RECOVER_PAUSE_MS = 50,
	RECOVER_LIMIT_MS = 5000,
	OPEN_LIMIT_MS = 5000, /* after its end a page no longer waits */
	CARDLESS_TICK_MS = 200,
	TICK_MS = 90,
};

/* -50 dBFS: a pause between words in a quiet room. */
#define QUIET_POWER 1e-5

static uint64_t ms_to_usec(uint64_t ms)
{
	return ms * 1000;
}

static uint32_t ms_to_frames(const struct speaker *speaker, uint64_t ms)
{
	return (uint32_t)(ms * speaker->format.rate / 1000);
}

static size_t fade_frames(const struct speaker *speaker)
{
	return ms_to_frames(speaker, FADE_MS);
}

static void note_drop(struct speaker *speaker, uint64_t frames)
{
	speaker->stats.dropped_frames += frames;
}

static uint64_t behind_frames(const struct speaker *speaker)
{
	return speaker->delay_frames + speaker->silence_frames +
	       fifo_frames(&speaker->fifo);
}

/* --- the card comes and goes --- */

static uint32_t wished_period(const struct speaker *speaker)
{
	const uint32_t quarter = speaker->target_frames / 4;

	if (speaker->config.period_frames)
		return speaker->config.period_frames;
	return quarter > 16 ? quarter : 16;
}

static void log_card_error(struct speaker *speaker, int error, const char *step)
{
	if (speaker->card_error == error)
		return;
	speaker->card_error = error;
	log_error("Cannot open the playback device '%s': %s%s%s; %s; trying "
		  "again",
		  speaker->config.device, pcm_strerror(error),
		  step ? " at " : "", step ? step : "",
		  pcm_remedy(PCM_PLAYBACK, error));
}

static int open_card(struct speaker *speaker)
{
	const struct pcm_config config = {
	    .device = speaker->config.device,
	    .format = speaker->format,
	    .period_frames = wished_period(speaker),
	    .buffer_frames =
		speaker->target_frames + ms_to_frames(speaker, RING_EXTRA_MS),
	};
	const char *step = NULL;
	int r;

	r = pcm_open(&speaker->pcm, PCM_PLAYBACK, &config, &step);
	if (r < 0) {
		speaker->pcm = NULL;
		log_card_error(speaker, r, step);
		return r;
	}
	speaker->pcm_format = speaker->format;
	if (speaker->card_error)
		log_notice("The playback device '%s' is back",
			   speaker->config.device);
	speaker->card_error = 0;
	log_debug("Opened '%s': %u frames a period, %u in the ring",
		  speaker->config.device, pcm_period_frames(speaker->pcm),
		  pcm_buffer_frames(speaker->pcm));
	return 0;
}

static void forget_ring(struct speaker *speaker)
{
	speaker->written = 0;
	speaker->last_written = 0;
	speaker->played = 0;
	speaker->delay_frames = 0;
}

static void begin_filling(struct speaker *speaker)
{
	speaker->state = SPEAKER_FILLING;
	speaker->excess_frames = 0;
	speaker->cut_limit_usec = 0;
	latency_restart(&speaker->latency);
}

/* What waited before the interruption does not count. */
static void fill_anew(struct speaker *speaker)
{
	speaker->collecting_usec = 0;
	begin_filling(speaker);
}

static void try_card(struct speaker *speaker, uint64_t now_usec)
{
	if (open_card(speaker) < 0) {
		speaker->state = SPEAKER_OPENING;
		speaker->retry_usec =
		    now_usec + backoff_next(&speaker->backoff);
		return;
	}
	forget_ring(speaker);
	speaker->latency.period_frames = pcm_period_frames(speaker->pcm);
	speaker->silence_frames =
	    ms_to_frames(speaker, speaker->config.lead_in_ms);
	begin_filling(speaker);
}

/* What of the page was in the ring of a lost card will not be heard. */
static void note_lost_ring(struct speaker *speaker)
{
	const uint64_t page_end = speaker->last_written;

	if (page_end > speaker->played)
		note_drop(speaker, page_end - speaker->played);
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
	speaker->card_error = error;
	log_warning("The playback device '%s' is lost: %s; trying again",
		    speaker->config.device, pcm_strerror(error));
	note_lost_ring(speaker);
	stop_starving(speaker, now_usec);
	speaker->pcm = pcm_close(speaker->pcm);
	forget_ring(speaker);
	speaker->collecting_usec = 0;
	speaker->fade_in = true;
	speaker->state = SPEAKER_OPENING;
	speaker->retry_usec = now_usec + backoff_next(&speaker->backoff);
}

/* Makes an empty or suspended ring writable again. Returns 0, -EAGAIN when that
 * takes a while (state RECOVERING), or another negative errno when the card
 * was lost over it (state OPENING). */
static int recover(struct speaker *speaker, uint64_t now_usec)
{
	const int r = pcm_recover(speaker->pcm);

	if (r == 0) {
		forget_ring(speaker);
		return 0;
	}
	if (speaker->state != SPEAKER_RECOVERING)
		speaker->recover_limit_usec =
		    now_usec + ms_to_usec(RECOVER_LIMIT_MS);
	if (r != -EAGAIN || now_usec >= speaker->recover_limit_usec) {
		lose_card(speaker, r == -EAGAIN ? -ETIMEDOUT : r, now_usec);
		return r == -EAGAIN ? -ETIMEDOUT : r;
	}
	speaker->state = SPEAKER_RECOVERING;
	speaker->retry_usec = now_usec + ms_to_usec(RECOVER_PAUSE_MS);
	return r;
}

/* The ring stands still with ERROR from the PCM: counts why, and goes on. */
static void handle_stop(struct speaker *speaker, int error, uint64_t now_usec)
{
	if (error == -EPIPE) {
		speaker->stats.xruns++;
	} else if (error == -ESTRPIPE) {
		speaker->stats.suspends++;
		note_lost_ring(speaker);
	} else {
		lose_card(speaker, error, now_usec);
		return;
	}
	speaker->fade_in = true;
	if (recover(speaker, now_usec) == 0)
		fill_anew(speaker);
}

/* --- writing --- */

static void note_written(struct speaker *speaker, size_t frames)
{
	speaker->written += frames;
	speaker->delay_frames += frames;
}

/* How many frames the ring may take now. A live page is in the ring as it
 * comes, unless much comes at once; but when some of it should go, that has to
 * be in fifo, where it can be dropped. */
static size_t ring_allowance(const struct speaker *speaker)
{
	const uint64_t target = speaker->target_frames;
	const uint64_t most = speaker->excess_frames ? target : 2 * target;
	uint64_t limit = pcm_buffer_frames(speaker->pcm);

	if (speaker->latency.kind != LATENCY_STORED && limit > most)
		limit = most;
	return limit > speaker->delay_frames
		   ? (size_t)(limit - speaker->delay_frames)
		   : 0;
}

/* Returns frames written, or a negative errno of pcm_write. */
static ssize_t write_silence(struct speaker *speaker, size_t frames)
{
	uint8_t silence[8192];
	const size_t frame_size = wav_frame_size(&speaker->format);
	size_t done = 0;

	memset(silence, wav_silence(&speaker->format), sizeof(silence));
	while (done < frames) {
		size_t count = sizeof(silence) / frame_size;
		ssize_t n;

		if (count > frames - done)
			count = frames - done;
		n = pcm_write(speaker->pcm, silence, count);
		if (n < 0)
			return n;
		note_written(speaker, (size_t)n);
		done += (size_t)n;
		if ((size_t)n < count)
			break;
	}
	return (ssize_t)done;
}

static ssize_t write_lead_in(struct speaker *speaker)
{
	size_t count = ring_allowance(speaker);
	ssize_t n;

	if (count > speaker->silence_frames)
		count = speaker->silence_frames;
	n = write_silence(speaker, count);
	if (n > 0)
		speaker->silence_frames -= (uint32_t)n;
	return n;
}

static void note_peak(struct speaker *speaker, size_t count)
{
	speaker->peak =
	    fmax(speaker->peak, samples_peak(&speaker->format,
					     fifo_data(&speaker->fifo), count));
}

/* Returns 0, or a negative errno of pcm_write. */
static int write_hand(struct speaker *speaker)
{
	size_t count;
	ssize_t n;

	if (speaker->silence_frames > 0) {
		n = write_lead_in(speaker);
		if (n < 0 || speaker->silence_frames > 0)
			return n < 0 ? (int)n : 0;
	}
	count = ring_allowance(speaker);
	if (count > fifo_frames(&speaker->fifo))
		count = fifo_frames(&speaker->fifo);
	if (count == 0)
		return 0;
	n = pcm_write(speaker->pcm, fifo_data(&speaker->fifo), count);
	if (n <= 0)
		return (int)n;
	if (speaker->config.meter)
		note_peak(speaker, (size_t)n);
	fifo_take(&speaker->fifo, (size_t)n);
	note_written(speaker, (size_t)n);
	speaker->last_written = speaker->written;
	speaker->stats.written_frames += (uint64_t)n;
	speaker->stats.heard = true;
	return 0;
}

/* --- a live page that is late --- */

/* Of a card that is not there nothing is late: only the newest count. */
static void drop_unheard(struct speaker *speaker)
{
	const size_t frames = fifo_frames(&speaker->fifo);

	if (speaker->latency.kind != LATENCY_LIVE ||
	    frames <= speaker->target_frames)
		return;
	note_drop(speaker, frames - speaker->target_frames);
	fifo_drop(&speaker->fifo, frames - speaker->target_frames);
	speaker->collecting_usec = 0;
	speaker->fade_in = true;
}

static void drop_excess(struct speaker *speaker, uint64_t now_usec)
{
	const uint64_t excess = speaker->excess_frames;
	size_t count = fifo_frames(&speaker->fifo);
	double power;
	size_t at;

	/* Between arrivals there is nothing new to look for. */
	if (!speaker->arriving)
		return;
	if (excess == 0) {
		speaker->cut_limit_usec = 0;
		return;
	}
	if (speaker->cut_limit_usec == 0)
		speaker->cut_limit_usec =
		    now_usec + ms_to_usec(CUT_PATIENCE_MS);
	if (count == 0 ||
	    (count < excess && now_usec < speaker->cut_limit_usec))
		return;
	if (count > excess)
		count = (size_t)excess;
	at = fifo_quietest(&speaker->fifo, count, &power);
	if (power > QUIET_POWER && now_usec < speaker->cut_limit_usec)
		return;
	fifo_cut(&speaker->fifo, at, count, fade_frames(speaker));
	note_drop(speaker, count);
	speaker->stats.drops++;
	speaker->excess_frames = 0;
	speaker->cut_limit_usec = 0;
	latency_restart(&speaker->latency);
}

/* --- the states --- */

static void drain_done(struct speaker *speaker)
{
	speaker->state = SPEAKER_DONE;
}

/* Silence up to a period boundary and a period more, since hardware may stop at
 * once when the ring is empty. Returns how much is still to be written. */
static uint64_t padding_frames(const struct speaker *speaker)
{
	const uint64_t period = pcm_period_frames(speaker->pcm);
	const uint64_t end = speaker->last_written;
	const uint64_t padded = (end + period - 1) / period * period + period;

	return padded > speaker->written ? padded - speaker->written : 0;
}

static void step_draining(struct speaker *speaker, uint64_t now_usec)
{
	const uint64_t padding = padding_frames(speaker);
	ssize_t n;

	if (padding > 0) {
		n = write_silence(speaker, (size_t)padding);
		if (n == -EPIPE) { /* empty: everything has sounded */
			drain_done(speaker);
			return;
		}
		if (n < 0) {
			handle_stop(speaker, (int)n, now_usec);
			return;
		}
	}
	if (speaker->played >= speaker->last_written)
		drain_done(speaker);
}

/* When what has come first will have waited long enough; the silence before a
 * page is a part of that. */
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
	if (behind_frames(speaker) < speaker->target_frames)
		return false;
	return speaker->latency.kind == LATENCY_STORED ||
	       (speaker->collecting_usec > 0 &&
		now_usec >= start_usec(speaker));
}

/* After an interruption of a live page what has come late is dropped while it
 * is silent: so there is no second seam. Whether it can go on now. */
static bool rejoin(struct speaker *speaker)
{
	const uint64_t target = speaker->target_frames;

	if (speaker->latency.kind != LATENCY_LIVE || !speaker->fade_in ||
	    !speaker->arriving || speaker->spare_frames < target)
		return false;
	note_drop(speaker, speaker->spare_frames - target);
	fifo_drop(&speaker->fifo, (size_t)(speaker->spare_frames - target));
	return true;
}

/* The ring may still hold the end of what was before (a starvation). */
static int ready_ring(struct speaker *speaker, uint64_t now_usec)
{
	const ssize_t delay = pcm_delay(speaker->pcm);

	if (delay >= 0) {
		speaker->delay_frames = (uint64_t)delay;
		return 0;
	}
	if (delay != -EPIPE && delay != -ESTRPIPE) {
		lose_card(speaker, (int)delay, now_usec);
		return (int)delay;
	}
	return recover(speaker, now_usec);
}

static void step_filling(struct speaker *speaker, uint64_t now_usec)
{
	int r;

	if (!rejoin(speaker) && !enough_to_start(speaker, now_usec))
		return;
	if (speaker->ended && fifo_frames(&speaker->fifo) == 0) {
		/* After a starvation the last frames may still sound. */
		speaker->silence_frames = 0;
		stop_starving(speaker, now_usec);
		speaker->state = SPEAKER_DRAINING;
		if (speaker->written == 0)
			drain_done(speaker);
		return;
	}
	if (ready_ring(speaker, now_usec) < 0)
		return;
	if (speaker->fade_in)
		fifo_fade_in(&speaker->fifo, fade_frames(speaker));
	speaker->fade_in = false;
	r = write_hand(speaker);
	if (r == 0)
		r = pcm_start(speaker->pcm);
	if (r < 0) {
		handle_stop(speaker, r, now_usec);
		return;
	}
	stop_starving(speaker, now_usec);
	speaker->progress_usec = now_usec;
	speaker->state = SPEAKER_PLAYING;
}

static void step_playing(struct speaker *speaker, uint64_t now_usec)
{
	int r;

	drop_excess(speaker, now_usec);
	r = write_hand(speaker);
	if (r < 0) {
		handle_stop(speaker, r, now_usec);
		return;
	}
	if (speaker->ended && fifo_frames(&speaker->fifo) == 0 &&
	    speaker->silence_frames == 0) {
		speaker->state = SPEAKER_DRAINING;
		step_draining(speaker, now_usec);
	}
}

/* Whether a page that has ended is too old to be begun. */
static bool too_late(const struct speaker *speaker, uint64_t now_usec)
{
	if (!speaker->ended)
		return false;
	return fifo_frames(&speaker->fifo) == 0 ||
	       speaker->latency.kind == LATENCY_LIVE ||
	       now_usec >= speaker->ended_usec + ms_to_usec(OPEN_LIMIT_MS);
}

static void give_up(struct speaker *speaker)
{
	note_drop(speaker, fifo_frames(&speaker->fifo));
	drain_done(speaker);
}

void speaker_give_way(struct speaker *speaker)
{
	if (speaker->ended && speaker->state == SPEAKER_OPENING &&
	    speaker->latency.kind != LATENCY_STORED)
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

/* How little may be left in the ring before the end of the sound is faded. */
static uint64_t guard_frames(const struct speaker *speaker)
{
	const uint64_t guard = speaker->target_frames / 16;
	const uint64_t most = ms_to_frames(speaker, GUARD_MS_MAX);

	return guard < most ? guard : most;
}

/* Nothing came in time: fades what is left, and collects anew. */
static void begin_starving(struct speaker *speaker, uint64_t now_usec)
{
	speaker->stats.starvations++;
	speaker->starving = true;
	speaker->starved_since_usec =
	    now_usec +
	    frames_to_usec(speaker->delay_frames, speaker->format.rate);
	speaker->fade_in = true;
	fill_anew(speaker);
}

static void fade_the_end(struct speaker *speaker)
{
	ssize_t n;

	fifo_fade_out(&speaker->fifo, fade_frames(speaker));
	n = pcm_write(speaker->pcm, fifo_data(&speaker->fifo),
		      fifo_frames(&speaker->fifo));
	if (n > 0)
		note_written(speaker, (size_t)n);
	/* Decoration: when it does not fit or the ring has just run empty,
	 * the sound ends without. */
	fifo_drop(&speaker->fifo, fifo_frames(&speaker->fifo));
}

static void note_progress(struct speaker *speaker, uint64_t delay,
			  uint64_t now_usec)
{
	const uint64_t played =
	    speaker->written > delay ? speaker->written - delay : 0;

	speaker->delay_frames = delay;
	if (played > speaker->played) {
		speaker->played = played;
		speaker->progress_usec = now_usec;
		backoff_reset(&speaker->backoff);
	} else if (now_usec >= speaker->progress_usec + ms_to_usec(STALL_MS)) {
		lose_card(speaker, -ETIMEDOUT, now_usec);
	}
}

static void ring_ran_empty(struct speaker *speaker, int error,
			   uint64_t now_usec, bool data_there)
{
	const bool over = speaker->state == SPEAKER_DRAINING ||
			  (speaker->ended && !data_there);

	if (over && error == -EPIPE) {
		drain_done(speaker);
	} else if (error == -EPIPE && !data_there) {
		speaker->delay_frames = 0;
		begin_starving(speaker, now_usec);
	} else {
		handle_stop(speaker, error, now_usec);
	}
}

void speaker_look(struct speaker *speaker, uint64_t now_usec,
		  size_t queued_bytes)
{
	const bool data_there = queued_bytes > 0 ||
				fifo_frames(&speaker->fifo) > 0 ||
				speaker->silence_frames > 0;
	ssize_t delay;

	speaker->arriving = queued_bytes > 0;
	speaker->spare_frames = fifo_frames(&speaker->fifo);
	if (speaker->state != SPEAKER_PLAYING &&
	    speaker->state != SPEAKER_DRAINING)
		return;
	delay = pcm_delay(speaker->pcm);
	if (delay < 0) {
		ring_ran_empty(speaker, (int)delay, now_usec, data_there);
		return;
	}
	note_progress(speaker, (uint64_t)delay, now_usec);
	if (speaker->state != SPEAKER_PLAYING)
		return;
	/* Nothing is late of a stored page: then how full the ring is. */
	speaker->stats.behind_sum += speaker->latency.kind == LATENCY_STORED
					 ? speaker->delay_frames
					 : behind_frames(speaker);
	speaker->stats.behind_count++;
	if (speaker->arriving)
		speaker->excess_frames = latency_excess(
		    &speaker->latency, now_usec, behind_frames(speaker));
	if (!data_there && !speaker->ended &&
	    (uint64_t)delay <= guard_frames(speaker)) {
		fade_the_end(speaker);
		begin_starving(speaker, now_usec);
	}
}

/* --- the life of a page --- */

void speaker_init(struct speaker *speaker, const struct speaker_config *config)
{
	*speaker = (struct speaker){.config = *config};
}

void speaker_close(struct speaker *speaker)
{
	speaker->pcm = pcm_close(speaker->pcm);
	fifo_free(&speaker->fifo);
	speaker->state = SPEAKER_IDLE;
}

static size_t hand_capacity(const struct speaker *speaker)
{
	const size_t frame_size = wav_frame_size(&speaker->format);
	/* Twice: a FIFO that was read from gives half its room at once. */
	const size_t least = 2 * ((size_t)speaker->target_frames +
				  ms_to_frames(speaker, HAND_EXTRA_MS));
	size_t capacity = ms_to_frames(speaker, HAND_MS);

	if (capacity > HAND_SIZE_MAX / frame_size)
		capacity = HAND_SIZE_MAX / frame_size;
	return capacity > least ? capacity : least;
}

int speaker_begin(struct speaker *speaker, const struct wav_format *format,
		  enum speaker_begin begin, uint64_t begun_usec)
{
	const uint32_t target_ms =
	    speaker->config.latency_ms + speaker->config.delay_ms;
	int r;

	assert(speaker->state == SPEAKER_IDLE);
	speaker->format = *format;
	speaker->target_frames = ms_to_frames(speaker, target_ms);
	if (speaker->target_frames == 0)
		speaker->target_frames = 1;
	r = fifo_init(&speaker->fifo, format, hand_capacity(speaker));
	if (r < 0)
		return r;
	latency_init(&speaker->latency, format->rate, speaker->target_frames,
		     wished_period(speaker), begun_usec);
	speaker->stats = (struct speaker_stats){0};
	speaker->ended = false;
	speaker->starving = false;
	speaker->fade_in = begin == SPEAKER_RESUMED;
	speaker->silence_frames = 0;
	speaker->collecting_usec = 0;
	speaker->peak = 0;
	forget_ring(speaker);
	speaker->state = SPEAKER_WAITING;
	return 0;
}

void speaker_allow(struct speaker *speaker, uint64_t now_usec)
{
	if (speaker->state != SPEAKER_WAITING)
		return;
	if (speaker->pcm &&
	    wav_format_equal(&speaker->pcm_format, &speaker->format)) {
		speaker->silence_frames =
		    ms_to_frames(speaker, speaker->config.lead_in_ms);
		begin_filling(speaker);
		return;
	}
	speaker->pcm = pcm_close(speaker->pcm);
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
	note_collecting(speaker, now_usec);
}

void speaker_end(struct speaker *speaker, enum speaker_end end,
		 uint64_t now_usec)
{
	if (speaker->ended || speaker->state == SPEAKER_IDLE)
		return;
	speaker->ended = true;
	speaker->ended_usec = now_usec;
	if (end == SPEAKER_TAKEN_OVER) {
		fifo_drop(&speaker->fifo, fifo_frames(&speaker->fifo));
		speaker->silence_frames = 0;
		if (speaker->state == SPEAKER_WAITING ||
		    speaker->state == SPEAKER_OPENING)
			speaker->state = SPEAKER_DONE;
	}
	/* A starvation has faded what came before it already. */
	if (end != SPEAKER_COMPLETE &&
	    (fifo_frames(&speaker->fifo) > 0 ||
	     (speaker->stats.heard && !speaker->starving)))
		fifo_fade_out(&speaker->fifo, fade_frames(speaker));
}

void speaker_finish(struct speaker *speaker)
{
	if (!speaker->config.hold)
		speaker->pcm = pcm_close(speaker->pcm);
	fifo_free(&speaker->fifo);
	speaker->state = SPEAKER_IDLE;
}

/* --- when, and for people --- */

static uint64_t playing_wait_usec(const struct speaker *speaker)
{
	const uint64_t guard = guard_frames(speaker);
	uint64_t frames =
	    speaker->delay_frames > guard ? speaker->delay_frames - guard : 1;

	/* More to write: come back when a period of it has room. */
	if (fifo_frames(&speaker->fifo) > 0 || speaker->silence_frames > 0 ||
	    speaker->state == SPEAKER_DRAINING) {
		if (frames > pcm_period_frames(speaker->pcm))
			frames = pcm_period_frames(speaker->pcm);
		if (frames > speaker->target_frames / 2 + 1)
			frames = speaker->target_frames / 2 + 1;
	}
	return frames_to_usec(frames, speaker->format.rate) + 100;
}

uint64_t speaker_deadline(const struct speaker *speaker, uint64_t now_usec)
{
	uint64_t wait_usec = ms_to_usec(TICK_MS);

	switch (speaker->state) {
	case SPEAKER_IDLE:
	case SPEAKER_WAITING:
		return UINT64_MAX;
	case SPEAKER_OPENING:
		wait_usec = ms_to_usec(CARDLESS_TICK_MS);
		if (speaker->retry_usec < now_usec + wait_usec)
			return speaker->retry_usec;
		break;
	case SPEAKER_RECOVERING:
		return speaker->retry_usec;
	case SPEAKER_FILLING:
		if (speaker->collecting_usec > 0 &&
		    start_usec(speaker) > now_usec &&
		    start_usec(speaker) < now_usec + wait_usec)
			return start_usec(speaker);
		break;
	case SPEAKER_PLAYING:
	case SPEAKER_DRAINING:
		if (playing_wait_usec(speaker) < wait_usec)
			wait_usec = playing_wait_usec(speaker);
		break;
	case SPEAKER_DONE:
		return now_usec;
	}
	return now_usec + wait_usec;
}

static double frames_to_ms(const struct speaker *speaker, double frames)
{
	return frames * 1000 / speaker->format.rate;
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
	return frames_to_ms(speaker, (double)behind_frames(speaker));
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
