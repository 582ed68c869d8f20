/* SPDX-License-Identifier: MIT
 * How often the machine itself held up a processor: on each, a thread with
 * priority over all other programs sleeps for a millisecond at a time and
 * counts how often it woke more than MS too late. No program can do better.
 * Usage: bench-stalls MS; ends when its stdin does and prints "name value"
 * lines. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum {
	PROCESSORS_MAX = 256,
	PRIORITY = 90,
	SLEEP_NS = 1000000,
};

static atomic_bool over;
static int64_t limit_ns;

struct watch {
	pthread_t thread;
	int processor;
	uint64_t stalls;
	int64_t worst_ns;
};

static int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void sleep_until(int64_t ns)
{
	const struct timespec ts = {ns / 1000000000, ns % 1000000000};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) ==
	       EINTR)
		continue;
}

static void *run(void *userdata)
{
	const struct sched_param first = {.sched_priority = PRIORITY};
	struct watch *watch = userdata;
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(watch->processor, &set);
	if (sched_setaffinity(0, sizeof(set), &set) < 0 ||
	    pthread_setschedparam(pthread_self(), SCHED_FIFO, &first) != 0) {
		fprintf(stderr, "bench-stalls: no real-time priority\n");
		exit(1);
	}
	while (!over) {
		int64_t due = now_ns() + SLEEP_NS, late;

		sleep_until(due);
		late = now_ns() - due;
		if (late > limit_ns)
			watch->stalls++;
		if (late > watch->worst_ns)
			watch->worst_ns = late;
	}
	return NULL;
}

int main(int argc, char **argv)
{
	static struct watch watches[PROCESSORS_MAX];
	long count = sysconf(_SC_NPROCESSORS_ONLN);
	uint64_t stalls = 0;
	int64_t worst_ns = 0;
	char scratch[64];

	limit_ns = (int64_t)(argc > 1 ? atof(argv[1]) * 1e6 : 0);
	if (limit_ns <= 0) {
		fprintf(stderr, "bench-stalls: MS is needed\n");
		return 2;
	}
	if (count > PROCESSORS_MAX)
		count = PROCESSORS_MAX;
	(void)mlockall(MCL_CURRENT | MCL_FUTURE);
	for (int i = 0; i < count; i++) {
		watches[i].processor = i;
		if (pthread_create(&watches[i].thread, NULL, run,
				   &watches[i]) != 0)
			return 1;
	}
	while (read(STDIN_FILENO, scratch, sizeof(scratch)) > 0)
		continue;
	over = true;
	for (int i = 0; i < count; i++) {
		pthread_join(watches[i].thread, NULL);
		stalls += watches[i].stalls;
		if (watches[i].worst_ns > worst_ns)
			worst_ns = watches[i].worst_ns;
	}
	printf("stalls %llu\nworst_ms %.2f\n", (unsigned long long)stalls,
	       (double)worst_ns / 1e6);
	return 0;
}
