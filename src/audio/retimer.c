/* SPDX-License-Identifier: MIT
 * Frame n of the output is what the card captured n / RATE after the start. How
 * far the card had got then, the line tells. */
#include "audio/retimer.h"

#include <errno.h>
#include <math.h>

#include "audio/resample.h"
#include "audio/trend.h"
#include "base/util.h"

enum { BLOCK = 64 }; /* frames at one step */

/* So far from its line, and for so long, no card is that is merely read late:
 * its clock has stood still, or has jumped. */
#define ASTRAY_S 0.005
#define ASTRAY_NS ((int64_t)NSEC_PER_SEC / 4)

struct retimer {
	uint32_t rate;
	struct resample *resample;
	struct trend captured; /* frames over time */
	double read;	       /* frames, since the last loss */
	bool has_start;	       /* it is known when .. */
	int64_t start_ns;      /* .. frame 0 of the output was captured */
	uint64_t made;	       /* frames of the output, silence included */
	uint64_t surplus;      /* frames to come that have no time left */
	int side;	       /* of the line, where it is astray; or 0 */
	int64_t side_ns;       /* since when */
	int64_t told_ns;       /* when the card was looked at last */
};

int retimer_new(struct retimer **ret, const struct wav_format *format)
{
	struct retimer *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	if (resample_new(&r->resample, format) < 0) {
		free(r);
		return -ENOMEM;
	}
	r->rate = format->rate;
	trend_init(&r->captured, &trend_of_card, r->rate, r->rate);
	*ret = r;
	return 0;
}

struct retimer *retimer_free(struct retimer *r)
{
	if (!r)
		return NULL;
	resample_free(r->resample);
	free(r);
	return NULL;
}

/* Where the card stood when the next frame of the output was due. */
static double wanted(const struct retimer *r)
{
	const int64_t due_ns = r->start_ns + llrint((double)r->made / r->rate *
						    (double)NSEC_PER_SEC);

	return trend_position(&r->captured, due_ns);
}

/* The first frames after a loss, or at all: at position 0 of the card, so the
 * output that was due before is silence, and what was due before the output is
 * dropped. */
static uint64_t begin(struct retimer *r)
{
	const double late = wanted(r);
	uint64_t silence = 0;

	if (late < 0)
		silence = (uint64_t)ceil(-late);
	r->made += silence;
	r->surplus = late > 0 ? (uint64_t)late : 0;
	resample_seek(r->resample, (double)r->surplus);
	return silence;
}

static int side_of(const struct retimer *r, double frames)
{
	if (fabs(frames) < ASTRAY_S * r->rate)
		return 0;
	return frames > 0 ? 1 : -1;
}

/* The card has told POSITION. The line may follow a jump at once, but not the
 * output. */
static void watch(struct retimer *r, int64_t ns, double position)
{
	int side = side_of(r, position - trend_position(&r->captured, ns));

	if (side == 0)
		side = side_of(r, wanted(r) - resample_position(r->resample));
	if (side == 0 || side != r->side)
		r->side_ns = ns;
	r->side = side;
	r->told_ns = ns;
}

void retimer_start(struct retimer *r, int64_t ns)
{
	r->start_ns = ns;
	r->has_start = true;
}

uint64_t retimer_await(struct retimer *r, int64_t ns)
{
	const double due =
	    floor((double)(ns - r->start_ns) / (double)NSEC_PER_SEC * r->rate);
	uint64_t silence = 0;

	if (due > (double)r->made)
		silence = (uint64_t)due - r->made;
	r->made += silence;
	return silence;
}

uint64_t retimer_read(struct retimer *r, int64_t ns, size_t count,
		      uint64_t waiting)
{
	const bool begins = r->read == 0;

	r->read += (double)count;
	if (!begins)
		watch(r, ns, r->read + (double)waiting);
	trend_add(&r->captured, ns, r->read + (double)waiting);
	if (!r->has_start)
		retimer_start(r, trend_time(&r->captured, 0));
	return begins ? begin(r) : 0;
}

void retimer_lost(struct retimer *r)
{
	r->read = 0;
	r->side = 0;
	trend_restart(&r->captured);
}

bool retimer_is_astray(const struct retimer *r)
{
	return r->side != 0 && r->told_ns - r->side_ns >= ASTRAY_NS;
}

size_t retimer_put(struct retimer *r, const void *data, size_t count)
{
	const size_t dropped = (size_t)MIN(r->surplus, (uint64_t)count);

	r->surplus -= dropped;
	if (dropped > 0)
		return dropped;
	return resample_put(r->resample, data, count);
}

size_t retimer_take(struct retimer *r, void *data, size_t count)
{
	const double error_s =
	    (wanted(r) - resample_position(r->resample)) / r->rate;
	const double step = r->captured.rate / r->rate *
			    (1 + trend_pull(error_s, r->captured.age_s));
	const size_t made =
	    resample_take(r->resample, data, MIN(count, (size_t)BLOCK), step);

	r->made += made;
	return made;
}
