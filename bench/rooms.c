/* SPDX-License-Identifier: MIT
 * The table of rooms in step in simulated time: bench/README.md. */
#include "rooms.h"

#include <stdio.h>
#include <stdlib.h>

enum { RUNS = 150 };

static struct rooms four(enum room_card card, double clock_us)
{
	return (struct rooms){
	    .count = 4,
	    .card = card,
	    .card_ppm = {100, -100, 35, -60},
	    .clocks = clock_us > 0,
	    .clock_us = clock_us,
	    .clock_ppm = 40,
	    .seconds = 7 * 86400,
	};
}

static void days(const char *name, struct rooms rooms, double count)
{
	struct rooms_skew skew;

	rooms.seconds = count * 86400;
	rooms_run(&rooms, &skew);
	printf("| %s | %.0f | %.0f | %.0f | %.0f | %.0f / %.0f | %.3f |\n",
	       name, skew.median, skew.p95, skew.p999, skew.max_after_60_s,
	       skew.clocks_median, skew.clocks_max, skew.latency_ms);
	fflush(stdout);
}

static int compare(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void quantiles(double values[RUNS])
{
	qsort(values, RUNS, sizeof(*values), compare);
	printf(" %.1f / %.1f / %.1f |", values[RUNS / 2],
	       values[RUNS * 95 / 100], values[RUNS - 1]);
}

static void beginnings(const char *name, struct rooms rooms)
{
	double first[RUNS], worst[RUNS], last[RUNS];

	rooms.seconds = 20;
	for (unsigned i = 0; i < RUNS; i++) {
		struct rooms_skew skew;

		rooms.seed = i + 1;
		rooms_run(&rooms, &skew);
		first[i] = skew.first;
		worst[i] = skew.worst_of_10_s;
		last[i] = skew.last_above_100;
	}
	printf("| %s |", name);
	quantiles(first);
	quantiles(worst);
	quantiles(last);
	printf("\n");
	fflush(stdout);
}

static void begin_row(const char *name, enum room_card card, double clock_us)
{
	char text[80];
	struct rooms rooms = four(card, clock_us);

	snprintf(text, sizeof(text), "%s, first page", name);
	beginnings(text, rooms);
	rooms.known = true;
	snprintf(text, sizeof(text), "%s, known", name);
	beginnings(text, rooms);
}

int main(int argc, char **argv)
{
	const double count = argc > 1 ? atof(argv[1]) : 7;
	struct rooms free_microphone = four(ROOM_CARD_MIXED, 0);

	printf("| first word | us | worst of 10 s | last above 100 us, s |\n");
	begin_row("clock, exact", ROOM_CARD_EXACT, 20);
	begin_row("clock, usb", ROOM_CARD_USB, 20);
	begin_row("clock, mixed", ROOM_CARD_MIXED, 20);
	begin_row("in band, exact", ROOM_CARD_EXACT, 0);
	begin_row("in band, usb", ROOM_CARD_USB, 0);
	begin_row("in band, mixed", ROOM_CARD_MIXED, 0);
	printf(
	    "\n| days | median | p95 | p99.9 | max after 60 s | clocks alone | "
	    "latency |\n");
	days("clock +-50 us, exact", four(ROOM_CARD_EXACT, 50), count);
	days("clock +-50 us, usb", four(ROOM_CARD_USB, 50), count);
	days("clock +-50 us, batch", four(ROOM_CARD_BATCH, 50), count);
	days("clock +-50 us, mixed", four(ROOM_CARD_MIXED, 50), count);
	days("clock +-20 us, exact", four(ROOM_CARD_EXACT, 20), count);
	days("clock +-20 us, usb", four(ROOM_CARD_USB, 20), count);
	days("clock +-20 us, mixed", four(ROOM_CARD_MIXED, 20), count);
	days("clock +-10 us, mixed", four(ROOM_CARD_MIXED, 10), count);
	days("in band, exact", four(ROOM_CARD_EXACT, 0), count);
	days("in band, usb", four(ROOM_CARD_USB, 0), count);
	days("in band, batch", four(ROOM_CARD_BATCH, 0), count);
	days("in band, mixed", four(ROOM_CARD_MIXED, 0), count);
	free_microphone.microphone_ppm = 100;
	days("in band, mixed, microphone +100 ppm", free_microphone, count);
	return 0;
}
