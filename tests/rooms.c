/* SPDX-License-Identifier: MIT
 * One server that sends a live page, and the clients. True time is the
 * server's; each client has its own. A network with a floor of 0.2 ms, jitter,
 * late chunks, and for each client a bad minute an hour. */
#include "rooms.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "client/follow.h"

enum {
	RATE = 48000,
	CHUNK = 1024,
	BUDGET_MS = 120,
	LEAD_MS = 30,
	WANDERS = 3,
	BATCH_MS = 20,
};

#define NS 1e9
#define BEGIN_S 1000.0
/* After so long they are looked at less often, to be done sooner. */
#define CALM_S 60.0
#define DAY_S 86400.0

static const double wander_periods_s[WANDERS] = {37, 611, 17000};

struct room {
	const struct rooms *rooms;
	unsigned index;
	enum room_card card;
	uint64_t random;
	double clock_phase[WANDERS], card_phase, clock_rate, floor_s;
	struct rendezvous rendezvous;
	struct follow follow;
	uint64_t chunks; /* that have arrived */
	double next_arrival_s;
	double card_begun_s;
	uint64_t written;
	double position; /* of the page */
	bool on;	 /* the page has begun */
	uint64_t sounds; /* that were written */
	double *times;	 /* when each sounded; of all rooms */
};

static double uniform(struct room *room)
{
	room->random ^= room->random << 13;
	room->random ^= room->random >> 7;
	room->random ^= room->random << 17;
	return (double)(room->random >> 11) / 9007199254740992.0;
}

/* This room's CLOCK_MONOTONIC at a true time. */
static double clock_error_s(const struct room *room, double t)
{
	const struct rooms *rooms = room->rooms;
	double sum = 0;

	if (!rooms->clocks)
		return room->clock_rate * t;
	for (int i = 0; i < WANDERS; i++)
		sum += sin(2 * M_PI *
			   (t / wander_periods_s[i] + room->clock_phase[i]));
	return sum / WANDERS * rooms->clock_us * 1e-6;
}

static int64_t local_ns(const struct room *room, double t)
{
	return llrint((t + clock_error_s(room, t)) * NS);
}

/* Frames that the card has played by then: it wanders by 2 ppm in a day. */
static double card_frames(const struct room *room, double t)
{
	const double passed = t - room->card_begun_s;
	const double turn = DAY_S / (2 * M_PI);
	const double phase = room->card_phase;
	const double wander =
	    1e-6 * turn * (cos(phase) - cos(passed / turn + phase));

	return RATE *
	       (passed * (1 + room->rooms->card_ppm[room->index] * 1e-6) +
		wander);
}

/* When a card will have played so many frames. */
static double card_time(const struct room *room, double frames, double near)
{
	for (int i = 0; i < 4; i++)
		near -= (card_frames(room, near) - frames) / RATE;
	return near;
}

/* How late the interrupt for the BOUNDARY is served: by 20 to 60 us, a few by
 * more. */
static double interrupt_s(const struct room *room, double boundary)
{
	uint64_t x = (uint64_t)boundary * 0x9e3779b97f4a7c15u + room->index;

	x ^= x >> 29;
	x *= 0xbf58476d1ce4e5b9u;
	x ^= x >> 32;
	return 20e-6 + (double)(x % 1000) * 40e-9 +
	       (x >> 40 & 127 ? 0 : 300e-6);
}

/* What ALSA tells: the time is that of the position's last change. */
static void look(struct room *room, double t)
{
	const enum room_card card = room->card;
	const double step =
	    card == ROOM_CARD_USB ? RATE / 1000.0 : RATE * BATCH_MS / 1000.0;
	double frames = card_frames(room, t);

	if (card == ROOM_CARD_EXACT) {
		follow_look(&room->follow, local_ns(room, t), frames);
		return;
	}
	frames = floor(frames / step) * step;
	if (card == ROOM_CARD_BATCH) {
		const double told =
		    card_time(room, frames, t) + interrupt_s(room, frames);

		if (told > t)
			return;
		t = told;
	}
	follow_look(&room->follow, local_ns(room, t), frames);
}

static double network_s(struct room *room, double t)
{
	double late = room->floor_s - 40e-6 * log(1 - uniform(room)) +
		      80e-6 * uniform(room);
	double bad_s;

	if (uniform(room) < 0.01)
		late += 5e-3 * uniform(room);
	bad_s = 600.0 * (room->index + 1);
	if (fmod(t, 3600) > bad_s && fmod(t, 3600) < bad_s + 60)
		late += 1.5e-3;
	return late;
}

static double captured_s(const struct room *room, double frames)
{
	return BEGIN_S +
	       frames / (RATE * (1 + room->rooms->microphone_ppm * 1e-6));
}

static void await_chunk(struct room *room)
{
	const double t = captured_s(room, (double)(room->chunks + 1) * CHUNK);
	const double arrival = t + network_s(room, t);

	/* TCP keeps the order. */
	room->next_arrival_s = fmax(arrival, room->next_arrival_s);
}

static void receive(struct room *room, double t)
{
	while (room->next_arrival_s <= t) {
		room->chunks++;
		rendezvous_arrived(&room->rendezvous,
				   local_ns(room, room->next_arrival_s),
				   room->chunks * CHUNK);
		await_chunk(room);
	}
}

/* Writes COUNT frames of the page, and notes which sounds are in them. */
static void write_page(struct room *room, uint64_t count, double step, double t)
{
	const double end = room->position + (double)count * step;

	while ((double)room->sounds * RATE + RATE * 0.3 < end) {
		const double at = ((double)room->sounds * RATE + RATE * 0.3 -
				   room->position) /
				  step;

		room->times[room->sounds++ * room->rooms->count + room->index] =
		    card_time(room, (double)room->written + at, t);
	}
	room->position = end;
	room->written += count;
}

/* Keeps the ring filled, as the speaker does. */
static void fill(struct room *room, double t)
{
	const double lead = LEAD_MS * 1e-3 * RATE;
	const double played = card_frames(room, t);
	struct follow_order order;
	double most;

	if (!rendezvous_known(&room->rendezvous)) {
		if (played + lead > (double)room->written)
			room->written = (uint64_t)(played + lead);
		return;
	}
	follow_next(&room->follow, &room->rendezvous, room->written,
		    room->position, &order);
	if (order.what == FOLLOW_SILENCE) {
		most = fmax(0, played + lead - (double)room->written);
		room->written += (uint64_t)fmin(order.frames, most);
		if (most < order.frames)
			return;
		follow_next(&room->follow, &room->rendezvous, room->written,
			    room->position, &order);
	}
	if (order.what == FOLLOW_SEEK)
		room->position = order.position;
	most =
	    ((double)(room->chunks * CHUNK) - room->position - 17) / order.step;
	if (order.what != FOLLOW_SILENCE && most > 0)
		write_page(room, (uint64_t)most, order.step, t);
}

static double pass(struct room *room, double t)
{
	const double since = t - BEGIN_S;

	receive(room, t);
	look(room, t);
	fill(room, t);
	if (since < 0.12)
		return t + 0.0003 + 0.001 * uniform(room);
	return t + (0.002 + 0.006 * uniform(room)) * (since > CALM_S ? 10 : 1);
}

static void begin(struct room *room, const struct rooms *rooms, unsigned index,
		  double *times)
{
	const struct wallclock here = {.trusted = rooms->clocks};
	const struct wav_page page = {
	    .flags =
		WAV_PAGE_SCHEDULE | WAV_PAGE_CLOCK_TRUSTED | WAV_PAGE_REAL_TIME,
	    .sound_ns = llrint((BEGIN_S + BUDGET_MS * 1e-3) * NS),
	    .budget_us = BUDGET_MS * 1000,
	};

	*room = (struct room){
	    .rooms = rooms,
	    .index = index,
	    .card = rooms->card == ROOM_CARD_MIXED ? index % ROOM_CARD_MIXED
						   : rooms->card,
	    .random = 0x9e3779b97f4a7c15u * (rooms->seed * 16 + index + 1),
	    .times = times,
	};
	for (int i = 0; i < 20; i++)
		(void)uniform(room);
	for (int i = 0; i < WANDERS; i++)
		room->clock_phase[i] = uniform(room);
	room->card_phase = 2 * M_PI * uniform(room);
	if (!rooms->clocks)
		room->clock_rate =
		    (2 * uniform(room) - 1) * rooms->clock_ppm * 1e-6;
	room->floor_s = 200e-6 + (2 * uniform(room) - 1) * 30e-6;
	room->card_begun_s = BEGIN_S + 0.002 + 0.002 * uniform(room);
	rendezvous_init(&room->rendezvous, &page, RATE, 0, &here,
			local_ns(room, BEGIN_S), RENDEZVOUS_BELIEVED);
	follow_init(&room->follow, RATE,
		    rooms->known ? RATE *
				       (1 + rooms->card_ppm[index] * 1e-6 +
					1e-6 * cos(room->card_phase)) /
				       (1 + room->clock_rate)
				 : 0);
	await_chunk(room);
}

static void run_room(const struct rooms *rooms, unsigned index, double *times,
		     uint64_t sounds, struct room *room)
{
	double t;

	begin(room, rooms, index, times);
	t = room->card_begun_s + 0.0005;
	while (room->sounds < sounds)
		t = pass(room, t);
}

static int compare(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double spread(const double *values, unsigned count)
{
	double low = values[0], high = values[0];

	for (unsigned i = 1; i < count; i++) {
		low = fmin(low, values[i]);
		high = fmax(high, values[i]);
	}
	return (high - low) * 1e6;
}

static double clock_spread(const struct room *rooms, unsigned count, double t)
{
	double errors[ROOMS_MAX] = {0};

	for (unsigned i = 0; i < count; i++)
		errors[i] = clock_error_s(&rooms[i], t);
	return spread(errors, count);
}

static double quantile(double *values, uint64_t count, double part)
{
	qsort(values, count, sizeof(*values), compare);
	return values[(uint64_t)((double)(count - 1) * part)];
}

void rooms_run(const struct rooms *rooms, struct rooms_skew *ret)
{
	const uint64_t sounds = (uint64_t)rooms->seconds;
	double *times =
	    calloc(sounds * rooms->count + 16 * ROOMS_MAX, sizeof(*times));
	double *skews = calloc(sounds, sizeof(*skews));
	double *clocks = calloc(sounds, sizeof(*clocks));
	struct room room[ROOMS_MAX];

	if (!times || !skews || !clocks)
		abort();
	*ret = (struct rooms_skew){0};
	for (unsigned i = 0; i < rooms->count; i++)
		run_room(rooms, i, times, sounds, &room[i]);
	for (uint64_t n = 0; n < sounds; n++) {
		skews[n] = spread(times + n * rooms->count, rooms->count);
		clocks[n] =
		    clock_spread(room, rooms->count, BEGIN_S + (double)n);
		if (n < 10)
			ret->worst_of_10_s = fmax(ret->worst_of_10_s, skews[n]);
		if (n >= 60)
			ret->max_after_60_s =
			    fmax(ret->max_after_60_s, skews[n]);
		if (skews[n] > 100)
			ret->last_above_100 = (double)n + 0.3;
	}
	ret->first = skews[0];
	ret->latency_ms =
	    (times[(sounds - 1) * rooms->count] -
	     captured_s(&room[0], (double)(sounds - 1) * RATE + RATE * 0.3)) *
	    1e3;
	ret->median = quantile(skews, sounds, 0.5);
	ret->p95 = quantile(skews, sounds, 0.95);
	ret->p999 = quantile(skews, sounds, 0.999);
	ret->clocks_median = quantile(clocks, sounds, 0.5);
	ret->clocks_max = quantile(clocks, sounds, 1);
	free(times);
	free(skews);
	free(clocks);
}
