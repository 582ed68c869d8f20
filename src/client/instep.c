/* SPDX-License-Identifier: MIT
 * The resampler's numbers of frames are those of the page, counted from its
 * header. It is given no more than it needs, so that what was not yet made can
 * be had back from the FIFO. */
#include "client/instep.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "audio/resample.h"
#include "base/backoff.h"
#include "base/log.h"
#include "base/util.h"

enum {
	BLOCK_FRAMES = 256,
	LEAD_MS_MIN = 5,
	LEAD_MS_MAX = 30,
	LATE_MS_MAX = 1000, /* all that arrives is late: no schedule then */
	OFF_MS_MAX = 1000,  /* a card's delay has changed for good */
	OFF_SLOTS = 4,	    /* before them, the line is no line */
	/* The card is looked at at random times, since it may tell its position
	 * in steps; first often, and after a while seldom. */
	LOOK_SOON_USEC = 300,
	LOOK_SOON_SPREAD_USEC = 1000,
	LOOK_USEC = 2000,
	LOOK_SPREAD_USEC = 6000,
	LOOK_SOON_MS = 200,
	LOOK_CALM_S = 60,
	LOOK_CALM_TIMES = 10,
};

/* Of the time between capture and sound, the card plays silence so long. */
#define LEAD_PART 0.4
/* A page that begins so much too late is late. */
#define LATE_S 0.001
/* A position so far ahead of the line, or behind it by so many times what is
 * usual of this card, within limits, is not on the same line. */
#define AHEAD_S 0.005
#define BEHIND_USUAL 20
#define BEHIND_S_MIN 0.002
#define BEHIND_S_MAX 0.020
/* A line that is younger tells too little of the card's rate. */
#define RATE_AGE_S 3

static void tell_way(struct instep *instep)
{
	const struct rendezvous *r = &instep->rendezvous;
	const char *why = r->why ? r->why : "";

	if (instep->told == why)
		return;
	instep->told = why;
	if (r->way == RENDEZVOUS_CLOCK)
		log_info(
		    "The page is timed by the wall clocks, which are within "
		    "%" PRIu32 " us",
		    r->error_us);
	else if (r->way == RENDEZVOUS_ARRIVAL)
		log_info("The page is timed by when it arrives: %s", why);
	else
		log_info("The page is not in step with others: %s", why);
}

static uint32_t lead_frames(const struct wav_page *page, uint32_t rate)
{
	const double part_s = page->budget_us * 1e-6 * LEAD_PART;

	return (uint32_t)(fmax(LEAD_MS_MIN, fmin(LEAD_MS_MAX, part_s * 1e3)) *
			  1e-3 * rate);
}

int instep_begin(struct instep *instep, const struct wav_format *format,
		 const struct wav_page *page, int64_t read_ns, uint64_t first,
		 int64_t delay_ns, double card_rate,
		 enum rendezvous_doubt doubt)
{
	struct wallclock here;

	*instep = (struct instep){
	    .format = *format,
	    .first = first,
	    .next = first,
	    .lead_frames = lead_frames(page, format->rate),
	};
	wallclock_read(&here);
	instep->asleep_ns = wallclock_asleep_ns();
	rendezvous_init(&instep->rendezvous, page, format->rate, delay_ns,
			&here, read_ns, doubt);
	tell_way(instep);
	if (instep->rendezvous.way == RENDEZVOUS_NONE)
		return 0;
	instep->made = malloc(BLOCK_FRAMES * wav_frame_size(format));
	if (!instep->made || resample_new(&instep->resample, format) < 0) {
		instep_end(instep);
		return -ENOMEM;
	}
	resample_seek(instep->resample, (double)first);
	follow_init(&instep->follow, format->rate, card_rate * format->rate);
	instep->follow.keeps_all = page->flags & WAV_PAGE_PLAYED;
	instep->on = true;
	return 0;
}

void instep_end(struct instep *instep)
{
	instep->on = false;
	instep->resample = resample_free(instep->resample);
	free(instep->made);
	instep->made = NULL;
	instep->made_frames = 0;
}

void instep_arrived(struct instep *instep, int64_t ns, uint64_t frames)
{
	rendezvous_arrived(&instep->rendezvous, ns, frames);
	tell_way(instep);
}

void instep_woke(struct instep *instep)
{
	const int64_t slept_ns = wallclock_slept_ns(&instep->asleep_ns);

	if (slept_ns > 0)
		rendezvous_slept(&instep->rendezvous, slept_ns);
}

/* --- the card --- */

static bool is_on_line(const struct instep *instep, double ahead)
{
	const struct trend *card = &instep->follow.card;
	const double rate = instep->format.rate;
	const double behind_max =
	    fmax(BEHIND_S_MIN * rate,
		 fmin(BEHIND_USUAL * card->usual_late, BEHIND_S_MAX * rate));

	return card->slots < OFF_SLOTS ||
	       (ahead <= AHEAD_S * rate && ahead >= -behind_max);
}

/* Whether the card has left its line. When that lasts, what lies behind its
 * ring has grown or shrunk: then the line is moved there. */
static bool is_off(struct instep *instep, int64_t ns, double sounded)
{
	struct follow *follow = &instep->follow;
	const double ahead = sounded - trend_position(&follow->card, ns);

	if (is_on_line(instep, ahead)) {
		instep->off_since_ns = 0;
		return false;
	}
	if (instep->off_since_ns == 0) {
		instep->off_since_ns = ns;
		instep->off = ahead;
	}
	instep->off = fmax(instep->off, ahead);
	if (ns - instep->off_since_ns <= OFF_MS_MAX * INT64_C(1000000))
		return true;
	follow_moved(follow, instep->off);
	instep->off_since_ns = 0;
	return false;
}

void instep_look(struct instep *instep, int64_t ns, uint64_t sounded)
{
	struct follow *follow = &instep->follow;

	/* Until it moves, it does not tell when it has begun. */
	if (sounded == 0 || (follow->card.begun && ns < follow->card.slot_ns))
		return;
	if (follow->card.begun && is_off(instep, ns, (double)sounded))
		return;
	follow_look(follow, ns, (double)sounded);
}

uint64_t instep_look_usec(const struct instep *instep, uint64_t sounded)
{
	const uint64_t sounded_ms =
	    frames_to_usec(sounded, instep->format.rate) / 1000;

	if (!instep->begun && sounded_ms < LOOK_SOON_MS)
		return LOOK_SOON_USEC + backoff_random(LOOK_SOON_SPREAD_USEC);
	return (LOOK_USEC + backoff_random(LOOK_SPREAD_USEC)) *
	       (sounded_ms > LOOK_CALM_S * 1000 ? LOOK_CALM_TIMES : 1);
}

/* What was taken from the FIFO and not made goes back. */
static void rewind_page(struct instep *instep, struct fifo *fifo)
{
	const double position = ceil(resample_position(instep->resample));
	size_t back = 0;

	instep->made_frames = 0;
	if (position < (double)instep->next)
		back = fifo_untake(fifo,
				   (size_t)((double)instep->next - position));
	instep->next -= back;
	resample_seek(instep->resample, (double)instep->next);
}

void instep_restart(struct instep *instep, struct fifo *fifo)
{
	rewind_page(instep, fifo);
	follow_restart(&instep->follow);
	instep->off_since_ns = 0;
}

void instep_starve(struct instep *instep, struct fifo *fifo)
{
	size_t frames;

	rewind_page(instep, fifo);
	frames = fifo_frames(fifo);
	instep->next += frames;
	instep->took += (double)frames;
	instep->written += frames;
	resample_seek(instep->resample, (double)instep->next);
	instep->follow.seeks = true;
}

void instep_tell_left(const struct instep *instep, double late_s,
		      const char *device)
{
	const struct rendezvous *r = &instep->rendezvous;
	const double budget_ms = (double)r->budget_ns / 1e6;

	if (late_s > 0)
		log_warning("The page cannot sound when it should: this "
			    "loudspeaker needs %.0f ms, --sync gives %.0f; it "
			    "plays out of step",
			    budget_ms + late_s * 1000, budget_ms);
	else if (!follow_has_clock(&instep->follow))
		log_warning("The playback device '%s' has no steady clock: the "
			    "page plays out of step",
			    device);
	else if (r->way != RENDEZVOUS_NONE) /* else the reason was logged */
		log_warning("It is not known in time when the page should "
			    "sound: it plays out of step");
}

void instep_leave(struct instep *instep, struct fifo *fifo)
{
	rewind_page(instep, fifo);
	instep_end(instep);
}

/* --- what to write --- */

static void silence(struct instep_order *ret, double count)
{
	ret->what = INSTEP_SILENCE;
	ret->count = (uint64_t)fmin(fmax(1, count), 1e9);
}

static void leave(struct instep *instep, double late_s,
		  struct instep_order *ret)
{
	/* What is yet to come is out of step, and so is the page. */
	instep->error_count = 0;
	ret->what = INSTEP_LEAVE;
	ret->late_s = late_s;
}

/* All that is here is late, and has been for long. */
static bool late_for_long(struct instep *instep, uint64_t written)
{
	if (!instep->late)
		instep->late_since = written;
	instep->late = true;
	return written - instep->late_since >
	       (uint64_t)LATE_MS_MAX * instep->format.rate / 1000;
}

static void seek(struct instep *instep, struct fifo *fifo, uint64_t written,
		 const struct follow_order *order, struct instep_order *ret)
{
	const double late_s = order->late / instep->format.rate;
	const double position = fmax(order->position, (double)instep->next);
	const double skipped = floor(position) - (double)instep->next;
	const size_t frames = fifo_frames(fifo);

	/* Nobody has missed the beginning of a page that began before. */
	if (!instep->begun && instep->first == 0 && late_s > LATE_S) {
		leave(instep, late_s, ret);
		return;
	}
	if (!instep->ended && skipped + RESAMPLE_AHEAD + 2 > (double)frames) {
		instep->follow.seeks = true;
		if (frames > RESAMPLE_AHEAD && late_for_long(instep, written))
			leave(instep, late_s, ret);
		else
			silence(ret, INFINITY);
		return;
	}
	instep->late = false;
	ret->what = INSTEP_BEGIN;
	ret->count = MIN((uint64_t)skipped, frames);
	instep->took += position - floor(position);
	resample_seek(instep->resample, position);
}

/* A page that begins inside a frame has no use for that. */
static void pass_first(struct instep *instep, struct fifo *fifo)
{
	const int64_t ahead =
	    resample_next(instep->resample) - (int64_t)instep->next;

	if (ahead <= 0 || fifo_frames(fifo) == 0)
		return;
	fifo_take(fifo, 1);
	instep->next++;
}

/* The frames that are needed to make COUNT, from the FIFO or of the silence
 * behind the page's end. */
static void put(struct instep *instep, struct fifo *fifo, size_t count,
		double step)
{
	const double end = resample_position(instep->resample) +
			   (double)count * step + RESAMPLE_AHEAD + 1;
	const double wanting =
	    fmax(0, end - (double)resample_next(instep->resample));
	const size_t wanted = (size_t)wanting;
	size_t n;

	pass_first(instep, fifo);
	n = resample_put(instep->resample, fifo_data(fifo),
			 MIN(wanted, fifo_frames(fifo)));
	fifo_take(fifo, n);
	instep->next += n;
	if (instep->ended && n < wanted && fifo_frames(fifo) == 0)
		resample_put_silence(instep->resample, wanted - n);
}

/* How many frames at most can be made before the page's end. */
static size_t frames_to_end(const struct instep *instep,
			    const struct fifo *fifo, double step)
{
	const double end = (double)(instep->next + fifo_frames(fifo));
	const double left = end - resample_position(instep->resample);

	return instep->ended ? (size_t)fmax(0, ceil(left / step)) : SIZE_MAX;
}

static void make(struct instep *instep, struct fifo *fifo, size_t room,
		 double step)
{
	const double begin = resample_position(instep->resample);
	size_t count = MIN(room, (size_t)BLOCK_FRAMES);

	count = MIN(count, frames_to_end(instep, fifo, step));
	put(instep, fifo, count, step);
	count = resample_take(instep->resample, instep->made, count, step);
	if (count == 0)
		return;
	instep->took += resample_position(instep->resample) - begin;
	instep->written += count;
	instep->made_begin = 0;
	instep->made_frames = count;
	instep->error_sum += fabs(instep->follow.error_s);
	instep->error_count++;
}

static void order_made(struct instep *instep, size_t room,
		       struct instep_order *ret)
{
	ret->what = INSTEP_FRAMES;
	ret->count = MIN(instep->made_frames, room);
	ret->data =
	    instep->made + instep->made_begin * wav_frame_size(&instep->format);
}

void instep_next(struct instep *instep, struct fifo *fifo, uint64_t written,
		 size_t room, struct instep_order *ret)
{
	struct follow_order order;

	*ret = (struct instep_order){.what = INSTEP_NOTHING};
	if (instep->rendezvous.way == RENDEZVOUS_NONE ||
	    !follow_has_clock(&instep->follow)) {
		leave(instep, 0, ret);
		return;
	}
	if (instep->made_frames > 0) {
		order_made(instep, room, ret);
		return;
	}
	if (!rendezvous_known(&instep->rendezvous) ||
	    !instep->follow.card.begun) {
		if (fifo_frames(fifo) > 0 && late_for_long(instep, written))
			leave(instep, 0, ret);
		else
			silence(ret, INFINITY);
		return;
	}
	follow_next(&instep->follow, &instep->rendezvous, written,
		    resample_position(instep->resample), &order);
	if (order.what == FOLLOW_SILENCE) {
		silence(ret, order.frames);
	} else if (order.what == FOLLOW_SEEK) {
		seek(instep, fifo, written, &order, ret);
	} else {
		make(instep, fifo, room, order.step);
		if (instep->made_frames > 0)
			order_made(instep, room, ret);
	}
}

void instep_written(struct instep *instep, size_t count)
{
	instep->begun = true;
	instep->made_begin += count;
	instep->made_frames -= count;
}

void instep_skipped(struct instep *instep, size_t count)
{
	instep->next += count;
}

void instep_put_back(struct instep *instep, size_t count)
{
	if (!instep->on)
		return;
	instep->next -= count;
	resample_seek(instep->resample, (double)instep->next);
}

bool instep_holds_frames(const struct instep *instep)
{
	return instep->on &&
	       (instep->made_frames > 0 ||
		resample_position(instep->resample) < (double)instep->next);
}

/* --- what became of it --- */

uint64_t instep_page_frames(const struct instep *instep, uint64_t count)
{
	if (instep->written == 0)
		return count;
	return (uint64_t)llround((double)count * instep->took /
				 (double)instep->written);
}

uint64_t instep_error_us(const struct instep *instep)
{
	const struct rendezvous *r = &instep->rendezvous;
	const struct trend *card = &instep->follow.card;
	double us;

	if (instep->error_count == 0)
		return UINT64_MAX;
	us = instep->error_sum / (double)instep->error_count * 1e6 +
	     card->usual_late / card->nominal * 1e6;
	if (r->way == RENDEZVOUS_CLOCK)
		us += r->error_us;
	else
		us += trend_doubt(&r->trend) * 1e6;
	return (uint64_t)us + 1;
}

double instep_card_rate(const struct instep *instep)
{
	const struct trend *card = &instep->follow.card;

	if (instep->error_count == 0 || card->age_s < RATE_AGE_S)
		return 0;
	return card->rate / instep->format.rate;
}
