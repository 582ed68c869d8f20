/* SPDX-License-Identifier: MIT
 * The table of options, and what it checks. intercom-server(8) has the same
 * content in the same order; a test compares them. */
#include "server/options.h"

#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "audio/pcm.h"
#include "audio/retimer.h"
#include "base/log.h"
#include "base/options.h"
#include "base/util.h"
#include "bus/names.h"
#include "server/schedule.h"
#include "wire/net.h"

enum {
	TEST_SECONDS_DEFAULT = 5,
	TEST_SECONDS_MAX = 86400,
	EXPECTED_MAX = 1000000,
};

/* The client collects 2.5 seconds. */
enum { AHEAD_SECONDS_MAX = 2 };
#define AHEAD_SECONDS_MIN 0.5

/* A client believes no moment that is 5 s away. */
enum { SYNC_MS_MIN = 10, SYNC_MS_MAX = 4000, SYNC_MS_DEFAULT = 100 };

static const char *const mode_names[] = {"live", "store", NULL};
static const char *const bus_names[] = {"none", "system", "user", NULL};

/* "500M" is a size, "30d" an age. */
static int parse_archive_limit(const struct option_row *row, const char *text,
			       void *config)
{
	struct server_options *o = config;
	struct archive_config *archive = &o->config.page.archive;
	static const struct {
		char unit;
		uint64_t bytes, seconds;
	} units[] = {
	    {'K', UINT64_C(1) << 10, 0},
	    {'M', UINT64_C(1) << 20, 0},
	    {'G', UINT64_C(1) << 30, 0},
	    {'T', UINT64_C(1) << 40, 0},
	    {'m', 0, 60},
	    {'h', 0, 3600},
	    {'d', 0, 86400},
	    {'w', 0, 604800},
	};
	char *unit;
	unsigned long value;

	errno = 0;
	value = strtoul(text, &unit, 10);
	if (*text >= '1' && *text <= '9' && !errno && value <= 1000000 &&
	    *unit && !unit[1]) {
		for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
			if (units[i].unit != *unit)
				continue;
			if (units[i].bytes)
				archive->limit_size = value * units[i].bytes;
			else
				archive->limit_seconds =
				    value * units[i].seconds;
			return 0;
		}
	}
	log_error("--archive-limit '%s': a size (500M, 20G; 1 to 1000000 K, M, "
		  "G or T) or an age (30d; 1 to 1000000 m, h, d or w) is "
		  "needed",
		  text);
	return -EINVAL;
}

/* As in arecord(1), "cd" is S16_LE, 44100 Hz, stereo; "dat" has 48000 Hz. */
static int parse_format(const struct option_row *row, const char *text,
			void *config)
{
	struct server_options *o = config;
	struct wav_format *format = &o->config.page.microphone.format;
	const bool is_cd = strcasecmp(text, "cd") == 0;

	if (is_cd || strcasecmp(text, "dat") == 0) {
		format->rate = is_cd ? 44100 : 48000;
		format->channels = 2;
		text = "S16_LE";
	}
	if (wav_format_parse_name(format, text) == 0)
		return 0;
	log_error("-f '%s': U8, S16_LE, S24_3LE, S24_LE, S32_LE, FLOAT_LE, "
		  "FLOAT64_LE, A_LAW, MU_LAW, cd or dat is needed",
		  text);
	return -EINVAL;
}

/* Less than half a second would hardly outlast a hook or a gap. */
static int parse_ahead(const struct option_row *row, const char *text,
		       void *config)
{
	struct server_options *o = config;
	double seconds;
	int r = option_number("--ahead", text, 0, AHEAD_SECONDS_MAX, &seconds);

	if (r < 0)
		return r;
	if (seconds > 0 && seconds < AHEAD_SECONDS_MIN) {
		log_error("--ahead '%s': 0 (not at all) or %g to %d seconds "
			  "are accepted",
			  text, AHEAD_SECONDS_MIN, AHEAD_SECONDS_MAX);
		return -EINVAL;
	}
	o->config.page.ahead_seconds = seconds;
	return 0;
}

/* Without a value: from the chunk, which is not known yet. */
static int parse_sync(const struct option_row *row, const char *text,
		      void *config)
{
	struct server_options *o = config;

	o->sync = true;
	o->config.page.sync_ms = 0;
	return text ? option_number("--sync", text, SYNC_MS_MIN, SYNC_MS_MAX,
				    &o->config.page.sync_ms)
		    : 0;
}

static int add_listener(const struct option_row *row, const char *text,
			void *config)
{
	struct net_endpoint endpoint;
	char zone[NET_ZONE_SIZE];
	const char *problem;

	if (net_parse_listen(&endpoint, zone, text, &problem) < 0) {
		log_error("-l '%s': %s", text, problem);
		return -EINVAL;
	}
	return option_add_string(row, text, config);
}

int server_options_expected(const char *text, char zone[NET_ZONE_SIZE],
			    unsigned *ret_count)
{
	const char *equals = strchr(text, '=');
	const char *number = equals ? equals + 1 : text;
	const size_t length = equals ? (size_t)(equals - text) : 0;
	unsigned long count;
	char *rest;

	if (length >= NET_ZONE_SIZE)
		return -EINVAL;
	memcpy(zone, text, length);
	zone[length] = '\0';
	if (equals && !name_valid(zone))
		return -EINVAL;
	errno = 0;
	count = strtoul(number, &rest, 10);
	if (*number < '1' || *number > '9' || errno || *rest ||
	    count > EXPECTED_MAX)
		return -EINVAL;
	*ret_count = (unsigned)count;
	return 0;
}

static int add_expected(const struct option_row *row, const char *text,
			void *config)
{
	char zone[NET_ZONE_SIZE];
	unsigned count;

	if (server_options_expected(text, zone, &count) < 0) {
		log_error("--expect '%s': [ZONE=]N is needed, with N from 1 to "
			  "%d",
			  text, EXPECTED_MAX);
		return -EINVAL;
	}
	return option_add_string(row, text, config);
}

static int list_pcms(const struct option_row *row, const char *text,
		     void *config)
{
	return pcm_list(stdout, PCM_CAPTURE) < 0 ? -EIO : OPTION_DONE;
}

static int set_test(const struct option_row *row, const char *text,
		    void *config)
{
	struct server_options *o = config;

	o->test_seconds = TEST_SECONDS_DEFAULT;
	return 0;
}

#define FIELD(field) OPTION_FIELD(struct server_options, field)

static const struct option_row rows[] = {
    {'D', "device", "NAME", "capture device (default: default)",
     .parse = option_set_string, FIELD(config.page.microphone.device)},
    {'f', "format", "FORMAT", "sample format (default: S16_LE)",
     .parse = parse_format},
    {'r', "rate", "HZ", "sample rate (default: 44100)",
     .parse = option_set_integer, FIELD(config.page.microphone.format.rate),
     .limits = {WAV_RATE_MIN, WAV_RATE_MAX}},
    {'c', "channels", "N", "channels (default: 2)", .parse = option_set_integer,
     FIELD(config.page.microphone.format.channels),
     .limits = {1, WAV_CHANNELS_MAX}},
    {0, "speech", NULL,
     "for bad networks: 16000 Hz, one channel, chunks\n"
     "of 10 ms; -r, -c and --period-size go before it",
     .parse = option_set_flag, FIELD(speech)},
    {'d', "duration", "SECONDS",
     "length of a page, 0: until stopped (default: 5)",
     .parse = option_set_number, FIELD(config.seconds),
     .limits = {0, BUS_SECONDS_MAX}},
    {0, "period-size", "FRAMES", "frames in a chunk (default: 1024)",
     .parse = option_set_integer, FIELD(config.page.microphone.period_frames),
     .limits = {8, 65536}},
    {0, "buffer-size", "FRAMES", "capture buffer (default: ALSA's choice)",
     .parse = option_set_integer, FIELD(config.page.microphone.buffer_frames),
     .limits = {16, 1 << 22}},
    {'V', "vumeter", NULL, "show a level meter on a terminal",
     .parse = option_set_flag, FIELD(meter)},
    {'q', "quiet", NULL, "show nothing but warnings and errors",
     .parse = option_set_level, .level = LOG_WARNING},
    {'v', "verbose", NULL, "log more", .parse = option_set_level,
     .level = LOG_DEBUG},
    {'L', "list-pcms", NULL, "list the capture devices", .parse = list_pcms},
    {0, "test", NULL,
     "show the microphone's level for 5 s, or so many\n"
     "seconds as follow, and exit: no page, no server",
     .parse = set_test},
    {'i', "interactive", NULL,
     "take commands from standard input\n"
     "(default when it is a terminal)",
     .parse = option_set_flag, FIELD(interactive)},
    {'l', "listen", "[ZONE=][ADDRESS:]PORT",
     "listen here for clients; repeatable\n"
     "(default: all=2348)",
     .parse = add_listener, FIELD(listen)},
    {0, "mode", "MODE", "live or store (default: live)",
     .parse = option_set_choice, FIELD(config.page.mode), .names = mode_names},
    {0, "chime", "FILE", "play this WAV file, or default, before speech",
     .parse = option_set_chime, FIELD(chime_path)},
    {0, "archive", "DIR", "keep every page as a WAV file",
     .parse = option_set_string, FIELD(config.page.archive.dir)},
    {0, "archive-limit", "LIMIT",
     "remove the oldest files above a total size\n"
     "(500M, 20G) or an age (30d, 12h)",
     .parse = parse_archive_limit},
    {0, "max-clients", "N", "how many clients may connect (default: 1000)",
     .parse = option_set_integer, FIELD(config.max_clients),
     .limits = {1, 1000000}},
    {0, "max-per-address", "N",
     "how many from one address (default: a quarter,\n"
     "at least 64)",
     .parse = option_set_integer, FIELD(config.max_per_address),
     .limits = {1, 1000000}},
    {0, "max-lag", "SECONDS",
     "how far a client may lag before it skips\n"
     "(default: 2)",
     .parse = option_set_number, FIELD(config.page.max_lag_seconds),
     .limits = {0.05, 3600}},
    {0, "ahead", "SECONDS",
     "how early a played page is sent, 0 or 0.5 to 2\n"
     "(default: 2)",
     .parse = parse_ahead},
    {0, "sync", "[=MS]",
     "all loudspeakers in step, so long after the\n"
     "microphone (default: not; MS: a chunk and 100)",
     .parse = parse_sync},
    {0, "psk-file", "FILE",
     "use TLS; accept only clients that have a key in\n"
     "this file",
     .parse = option_set_string, FIELD(psk_path)},
    {0, "expect", "[ZONE=]N",
     "without keys: miss a loudspeaker when fewer than\n"
     "N are connected to this zone, or to each",
     .parse = add_expected, FIELD(expect)},
    {0, "idle-exit", "SECONDS",
     "exit after this time without a client or a page\n"
     "(default: 0, never)",
     .parse = option_set_integer, FIELD(idle_exit_seconds),
     .limits = {0, 86400}},
    {0, "bus", "BUS", "D-Bus: none, system or user (default: none)",
     .parse = option_set_choice, FIELD(bus), .names = bus_names},
};

static const struct option_table table = {
    .usage = "Usage: intercom-server [OPTION]...\n"
	     "Page from a microphone to every loudspeaker that is "
	     "connected.\n"
	     "\n",
    .version = "intercom-server (" PACKAGE_NAME ") " PACKAGE_VERSION,
    .rows = rows,
    .count = ARRAY_SIZE(rows),
};

/* What the command line has left at 0. */
static void fill_in(struct microphone_config *microphone, bool speech)
{
	struct wav_format *format = &microphone->format;

	if (!format->rate)
		format->rate = speech ? 16000 : 44100;
	if (!format->channels)
		format->channels = speech ? 1 : 2;
	if (!microphone->period_frames)
		microphone->period_frames = speech ? format->rate / 100 : 1024;
}

static double frames_ms(const struct microphone_config *microphone,
			uint32_t frames)
{
	return 1000.0 * frames / microphone->format.rate;
}

static double chunk_ms(const struct microphone_config *microphone)
{
	return frames_ms(microphone, microphone->period_frames);
}

/* A stored page needs no other clock than the card's: it is recorded first. */
static void fill_in_sync(struct server_options *o)
{
	struct page_config *page = &o->config.page;

	if (!o->sync)
		return;
	if (page->sync_ms <= 0)
		page->sync_ms =
		    MIN(chunk_ms(&page->microphone) + SYNC_MS_DEFAULT,
			(double)SYNC_MS_MAX);
	if (page->mode == PAGE_LIVE)
		page->microphone.clock = MICROPHONE_MONOTONIC;
}

/* A chunk is captured whole before it is sent, and the resampler holds some
 * frames more; of a stored page that is over when it is sent. */
static int check_sync(const struct server_options *o)
{
	const struct page_config *page = &o->config.page;
	const double sent_ms =
	    page->mode == PAGE_LIVE
		? chunk_ms(&page->microphone) +
		      frames_ms(&page->microphone, RETIMER_AHEAD)
		: 0;
	const double least_ms =
	    (double)schedule_least_usec((uint64_t)(sent_ms * 1000)) / 1000;

	if (!o->sync || page->sync_ms >= least_ms)
		return 0;
	log_error("--sync '%g': a chunk of %u frames (--period-size) is %.1f "
		  "ms; %.1f or more are needed",
		  page->sync_ms, page->microphone.period_frames,
		  chunk_ms(&page->microphone), ceil(least_ms * 10) / 10);
	return -EINVAL;
}

static int check(const struct server_options *o)
{
	const struct microphone_config *microphone = &o->config.page.microphone;

	if (o->config.seconds > 0 &&
	    page_frames(microphone->format.rate, microphone->period_frames,
			o->config.seconds) == 0) {
		log_error("-d '%g': shorter than one chunk of %u frames "
			  "(--period-size)",
			  o->config.seconds, microphone->period_frames);
		return -EINVAL;
	}
	if (microphone->buffer_frames &&
	    microphone->buffer_frames < 2 * microphone->period_frames) {
		log_error("--buffer-size '%u': at least two chunks of %u "
			  "frames (--period-size) are needed",
			  microphone->buffer_frames, microphone->period_frames);
		return -EINVAL;
	}
	if (o->expect.count > 0 && o->psk_path) {
		log_error("--expect '%s': with --psk-file each loudspeaker of "
			  "that file is expected, so no number is needed",
			  o->expect.items[0]);
		return -EINVAL;
	}
	if ((o->config.page.archive.limit_size ||
	     o->config.page.archive.limit_seconds) &&
	    !o->config.page.archive.dir) {
		log_error("--archive-limit needs --archive DIR");
		return -EINVAL;
	}
	return check_sync(o) < 0 ? -EINVAL : 1;
}

int server_options_parse(struct server_options *ret, int argc, char **argv)
{
	int r;

	*ret = (struct server_options){
	    .config =
		{
		    .page =
			{
			    .microphone =
				{
				    .device = "default",
				    .format = {.encoding = WAV_PCM, .bits = 16},
				},
			    .mode = PAGE_LIVE,
			    .max_lag_seconds = 2,
			    .ahead_seconds = 2,
			},
		    .seconds = 5,
		    .chime_fd = -1,
		    .max_clients = 1000,
		},
	    .bus = SERVER_BUS_NONE,
	    .interactive = isatty(STDIN_FILENO),
	};
	r = options_parse(&table, argc, argv, ret, NULL);
	if (r <= 0)
		return r;
	fill_in(&ret->config.page.microphone, ret->speech);
	fill_in_sync(ret);
	if (ret->test_seconds > 0 && optind < argc) {
		if (option_number("--test", argv[optind], 0.1, TEST_SECONDS_MAX,
				  &ret->test_seconds) < 0)
			return -EINVAL;
		optind++;
	}
	if (optind < argc) {
		log_error("'%s' is not an option; intercom-server --help "
			  "lists them",
			  argv[optind]);
		return -EINVAL;
	}
	return check(ret);
}
