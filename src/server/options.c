/* SPDX-License-Identifier: MIT
 * Options, and nothing that they lead to. --help, intercom-server(8) and the
 * table below have the same content and order; a test compares them. */
#include "server/options.h"

#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "audio/pcm.h"
#include "base/log.h"
#include "base/options.h"
#include "base/util.h"

static const char help[] =
    "Usage: intercom-server [OPTION]...\n"
    "Page what a microphone hears to every loudspeaker that is connected.\n"
    "\n"
    "  -D, --device=NAME         capture device (default: default)\n"
    "  -f, --format=FORMAT       sample format (default: S16_LE)\n"
    "  -r, --rate=HZ             sample rate (default: 44100)\n"
    "  -c, --channels=N          channels (default: 2)\n"
    "  -d, --duration=SECONDS    length of a page, 0: until stopped "
    "(default: 5)\n"
    "      --period-size=FRAMES  frames in a chunk (default: 1024)\n"
    "      --buffer-size=FRAMES  capture buffer (default: ALSA's choice)\n"
    "  -V, --vumeter             show a level meter\n"
    "  -q, --quiet               show nothing but errors\n"
    "  -v, --verbose             tell more\n"
    "  -L, --list-pcms           list the capture devices\n"
    "  -i, --interactive         take commands from standard input\n"
    "                            (default when it is a terminal)\n"
    "  -l, --listen=[ZONE=][ADDRESS:]PORT\n"
    "                            where clients connect; repeatable\n"
    "                            (default: all=2348)\n"
    "      --mode=MODE           live or store (default: live)\n"
    "      --chime=FILE          this WAV file, or default, before speech\n"
    "      --archive=DIR         keep every page as a WAV file\n"
    "      --archive-limit=LIMIT remove the oldest above a size (500M, 20G)\n"
    "                            or an age (30d, 12h)\n"
    "      --max-clients=N       connections at most (default: 1000)\n"
    "      --max-per-address=N   of these, from one address (default: a "
    "quarter,\n"
    "                            but not less than 64)\n"
    "      --max-lag=SECONDS     a client behind by more skips (default: 2)\n"
    "      --psk-file=FILE       let in only who has a key in this file, with "
    "TLS\n"
    "      --idle-exit=SECONDS   end when nobody is connected for so long\n"
    "                            (default: 0, never)\n"
    "      --bus=BUS             D-Bus: none, system or user "
    "(default: none)\n"
    "  -h, --help                show this help\n"
    "      --version             show the version\n";

enum {
	OPTION_PERIOD_SIZE = 256,
	OPTION_BUFFER_SIZE,
	OPTION_MODE,
	OPTION_CHIME,
	OPTION_ARCHIVE,
	OPTION_ARCHIVE_LIMIT,
	OPTION_MAX_CLIENTS,
	OPTION_MAX_PER_ADDRESS,
	OPTION_MAX_LAG,
	OPTION_PSK_FILE,
	OPTION_IDLE_EXIT,
	OPTION_BUS,
	OPTION_VERSION,
};

static const struct option long_options[] = {
    {"device", required_argument, NULL, 'D'},
    {"format", required_argument, NULL, 'f'},
    {"rate", required_argument, NULL, 'r'},
    {"channels", required_argument, NULL, 'c'},
    {"duration", required_argument, NULL, 'd'},
    {"period-size", required_argument, NULL, OPTION_PERIOD_SIZE},
    {"buffer-size", required_argument, NULL, OPTION_BUFFER_SIZE},
    {"vumeter", no_argument, NULL, 'V'},
    {"quiet", no_argument, NULL, 'q'},
    {"verbose", no_argument, NULL, 'v'},
    {"list-pcms", no_argument, NULL, 'L'},
    {"interactive", no_argument, NULL, 'i'},
    {"listen", required_argument, NULL, 'l'},
    {"mode", required_argument, NULL, OPTION_MODE},
    {"chime", required_argument, NULL, OPTION_CHIME},
    {"archive", required_argument, NULL, OPTION_ARCHIVE},
    {"archive-limit", required_argument, NULL, OPTION_ARCHIVE_LIMIT},
    {"max-clients", required_argument, NULL, OPTION_MAX_CLIENTS},
    {"max-per-address", required_argument, NULL, OPTION_MAX_PER_ADDRESS},
    {"max-lag", required_argument, NULL, OPTION_MAX_LAG},
    {"psk-file", required_argument, NULL, OPTION_PSK_FILE},
    {"idle-exit", required_argument, NULL, OPTION_IDLE_EXIT},
    {"bus", required_argument, NULL, OPTION_BUS},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, OPTION_VERSION},
    {0},
};

static const char *const mode_names[] = {"live", "store", NULL};
static const char *const bus_names[] = {"none", "system", "user", NULL};

/* "500M" is a size, "30d" an age. */
static int parse_archive_limit(const char *text, struct archive_config *ret)
{
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
				ret->limit_size = value * units[i].bytes;
			else
				ret->limit_seconds = value * units[i].seconds;
			return 0;
		}
	}
	log_error("--archive-limit '%s': a size (500M, 20G; 1 to 1000000 K, M, "
		  "G or T) or an age (30d; 1 to 1000000 m, h, d or w) is "
		  "needed",
		  text);
	return -EINVAL;
}

/* As arecord has it: "cd" is S16_LE, 44100 Hz, stereo, "dat" with 48000 Hz. */
static int parse_format(const char *text, struct wav_format *format)
{
	const bool is_cd = strcasecmp(text, "cd") == 0;

	if (is_cd || strcasecmp(text, "dat") == 0) {
		format->rate = is_cd ? 44100 : 48000;
		format->channels = 2;
		text = "S16_LE";
	}
	if (wav_format_parse_name(format, text) == 0)
		return 0;
	log_error("-f '%s': U8, S16_LE, S24_3LE, S32_LE, FLOAT_LE, A_LAW, "
		  "MU_LAW, cd or dat is needed",
		  text);
	return -EINVAL;
}

static int add_listen(struct server_options *o, const char *text)
{
	if (o->listen_count == SERVER_OPTIONS_LISTEN_MAX) {
		log_error("-l '%s': at most %d are possible", text,
			  SERVER_OPTIONS_LISTEN_MAX);
		return -EINVAL;
	}
	o->listen[o->listen_count++] = text;
	return 0;
}

/* The options that say what is captured, and how. */
static int parse_sound_option(struct server_options *o, int option,
			      const char *text)
{
	struct microphone_config *microphone = &o->config.page.microphone;
	uint64_t value = 0;
	int r;

	switch (option) {
	case 'D':
		microphone->device = text;
		return 0;
	case 'f':
		return parse_format(text, &microphone->format);
	case 'r':
		r = option_integer("-r", text, WAV_RATE_MIN, WAV_RATE_MAX,
				   &value);
		microphone->format.rate = (uint32_t)value;
		return r;
	case 'c':
		r = option_integer("-c", text, 1, WAV_CHANNELS_MAX, &value);
		microphone->format.channels = (uint16_t)value;
		return r;
	case OPTION_PERIOD_SIZE:
		r = option_integer("--period-size", text, 8, 65536, &value);
		microphone->period_frames = (uint32_t)value;
		return r;
	case OPTION_BUFFER_SIZE:
		r = option_integer("--buffer-size", text, 16, 1 << 22, &value);
		microphone->buffer_frames = (uint32_t)value;
		return r;
	default:
		return 1;
	}
}

static int parse_number_option(struct server_options *o, int option,
			       const char *text)
{
	uint64_t value = 0;
	int r;

	switch (option) {
	case 'd':
		return option_number("-d", text, 0, 86400 * 365,
				     &o->config.seconds);
	case OPTION_MAX_LAG:
		return option_number("--max-lag", text, 0.05, 3600,
				     &o->config.page.max_lag_seconds);
	case OPTION_MAX_CLIENTS:
		r = option_integer("--max-clients", text, 1, 1000000, &value);
		o->config.max_clients = (uint32_t)value;
		return r;
	case OPTION_MAX_PER_ADDRESS:
		r = option_integer("--max-per-address", text, 1, 1000000,
				   &value);
		o->config.max_per_address = (uint32_t)value;
		return r;
	case OPTION_IDLE_EXIT:
		r = option_integer("--idle-exit", text, 0, 86400, &value);
		o->idle_exit_seconds = (unsigned)value;
		return r;
	default:
		return 1;
	}
}

static int parse_other_option(struct server_options *o, int option,
			      const char *text)
{
	unsigned choice = 0;
	int r;

	switch (option) {
	case 'V':
		o->meter = true;
		return 0;
	case 'q':
		o->quiet = true;
		log_set_level(LOG_WARNING);
		return 0;
	case 'v':
		log_set_level(LOG_DEBUG);
		return 0;
	case 'i':
		o->interactive = true;
		return 0;
	case 'l':
		return add_listen(o, text);
	case OPTION_MODE:
		r = option_choice("--mode", text, mode_names, &choice);
		o->config.page.mode = choice == 0 ? PAGE_LIVE : PAGE_STORE;
		return r;
	case OPTION_CHIME:
		o->chime_path = option_chime(text);
		return 0;
	case OPTION_PSK_FILE:
		o->psk_path = text;
		return 0;
	case OPTION_ARCHIVE:
		o->config.page.archive.dir = text;
		return 0;
	case OPTION_ARCHIVE_LIMIT:
		return parse_archive_limit(text, &o->config.page.archive);
	case OPTION_BUS:
		r = option_choice("--bus", text, bus_names, &choice);
		o->bus = (enum server_bus_kind)choice;
		return r;
	default:
		return -EINVAL; /* getopt has said why */
	}
}

static int parse_option(struct server_options *o, int option, const char *text)
{
	int r = parse_sound_option(o, option, text);

	if (r > 0)
		r = parse_number_option(o, option, text);
	if (r > 0)
		r = parse_other_option(o, option, text);
	return r;
}

/* 0 when one of these was asked for and done. */
static int do_and_leave(int option)
{
	if (option == 'h')
		fputs(help, stdout);
	else if (option == OPTION_VERSION)
		puts("intercom-server (" PACKAGE_NAME ") " PACKAGE_VERSION);
	else if (option == 'L')
		return pcm_list(stdout, PCM_CAPTURE) < 0 ? -EINVAL : 0;
	else
		return 1;
	return 0;
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
	if ((o->config.page.archive.limit_size ||
	     o->config.page.archive.limit_seconds) &&
	    !o->config.page.archive.dir) {
		log_error("--archive-limit goes with --archive DIR");
		return -EINVAL;
	}
	return 1;
}

int server_options_parse(struct server_options *ret, int argc, char **argv)
{
	int option, r;

	*ret = (struct server_options){
	    .config =
		{
		    .page =
			{
			    .microphone =
				{
				    .device = "default",
				    .format = {WAV_PCM, 16, 2, 44100},
				    .period_frames = 1024,
				},
			    .mode = PAGE_LIVE,
			    .max_lag_seconds = 2,
			},
		    .seconds = 5,
		    .chime_fd = -1,
		    .max_clients = 1000,
		},
	    .bus = SERVER_BUS_NONE,
	    .interactive = isatty(STDIN_FILENO),
	};
	while ((option = getopt_long(argc, argv, "D:f:r:c:d:VqvLil:h",
				     long_options, NULL)) != -1) {
		r = do_and_leave(option);
		if (r > 0)
			r = parse_option(ret, option, optarg);
		else
			return r;
		if (r < 0)
			return r;
	}
	if (optind < argc) {
		log_error("'%s' is no option; intercom-server --help lists "
			  "them",
			  argv[optind]);
		return -EINVAL;
	}
	return check(ret);
}
