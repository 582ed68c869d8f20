/* SPDX-License-Identifier: MIT */
#include "server/soundcheck.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <string.h>

#include "audio/samples.h"
#include "base/log.h"
#include "base/screen.h"
#include "base/util.h"

enum {
	METER_COLUMNS = 39,
	LINE_MS = 1000,
	REDRAW_MS = 100, /* on a terminal */
};

struct soundcheck {
	const struct microphone_config *config;
	struct wav_format format; /* of what the microphone sends */
	struct source *source;
	bool in_place; /* stdout is a terminal: redraw one line */
	uint64_t frames, wanted_frames, next_frames; /* when to print again */
	double peak;				     /* since the last line */
	double loudest, energy;			     /* of all */
};

static void print_level(struct soundcheck *s)
{
	const struct wav_format *format = &s->format;
	const double seconds = wav_seconds(format, s->frames);
	char meter[SAMPLES_METER_SIZE];

	s->next_frames +=
	    (uint64_t)format->rate * (s->in_place ? REDRAW_MS : LINE_MS) / 1000;
	samples_meter(meter, METER_COLUMNS, s->peak);
	if (!log_is_quiet() && s->in_place)
		screen_draw("", "%6.1f s %s", seconds, meter);
	else if (!log_is_quiet())
		screen_say("%6.1f s %s", seconds, meter);
	s->peak = 0;
}

static void note_samples(struct soundcheck *s, const void *data, size_t size)
{
	const struct wav_format *format = &s->format;
	const size_t count = size / wav_frame_size(format);

	s->peak = fmax(s->peak, samples_peak(format, data, count));
	s->loudest = fmax(s->loudest, s->peak);
	s->energy += samples_power(format, data, count, 1) * (double)count;
	s->frames += count;
	if (s->frames >= s->next_frames)
		print_level(s);
}

/* Reads the samples of one message. 0 or negative errno. */
static int read_samples(struct soundcheck *s, size_t size)
{
	_cleanup_free_ uint8_t *data = malloc(size);
	struct pollfd fd = {.fd = source_fd(s->source), .events = POLLIN};

	if (!data)
		return -ENOMEM;
	for (size_t have = 0; have < size;) {
		const ssize_t n =
		    source_read_samples(s->source, data + have, size - have);

		if (n == -EAGAIN)
			(void)poll(&fd, 1, -1);
		else if (n <= 0)
			return n < 0 ? (int)n : -EIO;
		else
			have += (size_t)n;
	}
	note_samples(s, data, size);
	return 0;
}

/* 0 or negative errno, logged. */
static int take(struct soundcheck *s, const struct source_message *message)
{
	switch (message->type) {
	case SOURCE_PREPARED:
		source_go(s->source);
		return 0;
	case SOURCE_SAMPLES:
		return read_samples(s, message->u.samples.size);
	case SOURCE_BUSY:
	case SOURCE_ENDED:
		log_error("%s", message->u.ended.reason);
		return message->u.ended.error;
	case SOURCE_OPENED:
	case SOURCE_GAP:
		break;
	}
	return 0;
}

static int capture(struct soundcheck *s)
{
	struct pollfd fd = {.fd = source_fd(s->source), .events = POLLIN};
	int r = 0;

	while (r >= 0 && s->frames < s->wanted_frames) {
		struct source_message message;

		r = source_next(s->source, &message);
		if (r == 1)
			r = take(s, &message);
		else if (r == -EAGAIN)
			r = poll(&fd, 1, -1) < 0 ? -errno : 0;
		else if (r == 0)
			r = -EIO;
	}
	return r < 0 ? r : 0;
}

/* As soundcheck_run(). */
static int judge(const struct soundcheck *s)
{
	const double mean = sqrt(s->energy / (double)s->frames);

	screen_clear();
	if (!log_is_quiet())
		screen_say("The capture device '%s': %.1f s, peak %.1f dBFS, "
			   "mean %.1f dBFS",
			   s->config->device,
			   wav_seconds(&s->config->format, s->frames),
			   samples_dbfs(s->loudest), samples_dbfs(mean));
	if (s->loudest == 0) {
		log_error("The capture device '%s' gives nothing but digital "
			  "silence; is it muted? alsamixer -V capture",
			  s->config->device);
		return -ENODATA;
	}
	if (samples_dbfs(s->loudest) > -0.1)
		log_warning("The capture device '%s' is overdriven; turn it "
			    "down: alsamixer -V capture",
			    s->config->device);
	return 0;
}

int soundcheck_run(const struct microphone_config *config, double seconds)
{
	struct soundcheck s = {
	    .config = config,
	    .format = wav_plain(&config->format),
	    .in_place = isatty(STDOUT_FILENO),
	    .wanted_frames = (uint64_t)(seconds * config->format.rate) + 1,
	    .next_frames = config->format.rate,
	};
	int r = microphone_start(&s.source, config, -1);

	if (r < 0) {
		log_error("Cannot start: %s", strerror(-r));
		return r;
	}
	r = capture(&s);
	source_free(s.source);
	return r < 0 ? r : judge(&s);
}
