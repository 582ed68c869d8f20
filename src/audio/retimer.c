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

struct retimer {
	uint32_t rate;
	struct resample *resample;
	struct trend captured; /* frames over time */
	double read;	       /* frames, since the last loss */
	bool has_start;	       /* it is known when .. */
	int64_t start_ns;      /* .. frame 0 of the output was captured */
	uint64_t made;	       /* frames of the output, silence included */
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
 * output that was due before is silence. */
static uint64_t begin(struct retimer *r)
{
	const double late = wanted(r);
	uint64_t silence = 0;

	if (late < 0)
		silence = (uint64_t)ceil(-late);
	r->made += silence;
	resample_seek(r->resample, 0);
	return silence;
}

void retimer_start(struct retimer *r, int64_t ns)
{
	r->start_ns = ns;
	r->has_start = true;
}

uint64_t retimer_read(struct retimer *r, int64_t ns, size_t count,
		      uint64_t waiting)
{
	const bool begins = r->read == 0;

	r->read += (double)count;
	trend_add(&r->captured, ns, r->read + (double)waiting);
	if (!r->has_start)
		retimer_start(r, trend_time(&r->captured, 0));
	return begins ? begin(r) : 0;
}

void retimer_lost(struct retimer *r)
{
	r->read = 0;
	trend_restart(&r->captured);
}

size_t retimer_put(struct retimer *r, const void *data, size_t count)
{
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
