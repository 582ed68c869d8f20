/* SPDX-License-Identifier: MIT
 * Options, and nothing that they lead to. --help, intercom-client(1) and the
 * table below have the same content and order; a test compares them. */
#include "client/options.h"

#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <unistd.h>

#include "audio/pcm.h"
#include "base/log.h"
#include "base/options.h"
#include "base/util.h"

#define DEFAULT_SERVER "localhost"

static const char help[] =
    "Usage: intercom-client [OPTION]... [HOST[:PORT]]...\n"
    "Play the pages of intercom servers. Of several servers the first one "
    "listed wins.\n"
    "Default: localhost:2348.\n"
    "\n"
    "  -D, --device=NAME         playback device (default: default)\n"
    "  -q, --quiet               show nothing but warnings and errors\n"
    "  -v, --verbose             tell more\n"
    "  -V, --vumeter             show a level meter on a terminal\n"
    "  -L, --list-pcms           list the playback devices\n"
    "      --latency=MS          how long sound waits before it plays\n"
    "                            (default: 100)\n"
    "      --period-size=FRAMES  period of the card (default: a quarter of "
    "the\n"
    "                            latency)\n"
    "      --save=FILE|DIR       keep each page as a WAV file as well\n"
    "      --once                exit after one page: 0 if it was complete\n"
    "      --volume=PERCENT      set the card's volume during a page\n"
    "      --mixer=NAME          the control that --volume sets\n"
    "                            (default: Master, PCM or the like)\n"
    "      --before=CMD          run a command before a page, and wait for it\n"
    "                            (up to 5 s)\n"
    "      --after=CMD           run a command after a page\n"
    "      --max-duration=SECONDS\n"
    "                            no page sounds for longer (default: 0, no\n"
    "                            limit)\n"
    "      --hold                keep the card open between pages\n"
    "      --lead-in=MS          silence before a page (default: 0)\n"
    "      --delay=MS            sound so much later, to be in step with "
    "others\n"
    "                            (default: 0)\n"
    "      --psk-file=FILE       believe only a server that has the key in "
    "this\n"
    "                            file, with TLS\n"
    "  -h, --help                show this help\n"
    "      --version             show the version\n";

enum {
	OPTION_LATENCY = 256,
	OPTION_PERIOD_SIZE,
	OPTION_SAVE,
	OPTION_ONCE,
	OPTION_VOLUME,
	OPTION_MIXER,
	OPTION_BEFORE,
	OPTION_AFTER,
	OPTION_MAX_DURATION,
	OPTION_HOLD,
	OPTION_LEAD_IN,
	OPTION_DELAY,
	OPTION_PSK_FILE,
	OPTION_VERSION,
};

static const struct option long_options[] = {
    {"device", required_argument, NULL, 'D'},
    {"quiet", no_argument, NULL, 'q'},
    {"verbose", no_argument, NULL, 'v'},
    {"vumeter", no_argument, NULL, 'V'},
    {"list-pcms", no_argument, NULL, 'L'},
    {"latency", required_argument, NULL, OPTION_LATENCY},
    {"period-size", required_argument, NULL, OPTION_PERIOD_SIZE},
    {"save", required_argument, NULL, OPTION_SAVE},
    {"once", no_argument, NULL, OPTION_ONCE},
    {"volume", required_argument, NULL, OPTION_VOLUME},
    {"mixer", required_argument, NULL, OPTION_MIXER},
    {"before", required_argument, NULL, OPTION_BEFORE},
    {"after", required_argument, NULL, OPTION_AFTER},
    {"max-duration", required_argument, NULL, OPTION_MAX_DURATION},
    {"hold", no_argument, NULL, OPTION_HOLD},
    {"lead-in", required_argument, NULL, OPTION_LEAD_IN},
    {"delay", required_argument, NULL, OPTION_DELAY},
    {"psk-file", required_argument, NULL, OPTION_PSK_FILE},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, OPTION_VERSION},
    {0},
};

static int parse_uint32(const char *option, const char *text, uint32_t min,
			uint32_t max, uint32_t *ret)
{
	uint64_t value;
	const int r = option_integer(option, text, min, max, &value);

	if (r == 0)
		*ret = (uint32_t)value;
	return r;
}

/* The options of the loudspeaker. 1: it is none of these. */
static int parse_speaker_option(struct speaker_config *speaker, int option,
				const char *text)
{
	switch (option) {
	case 'D':
		speaker->device = text;
		return 0;
	case OPTION_LATENCY:
		return parse_uint32("--latency", text, 1, 5000,
				    &speaker->latency_ms);
	case OPTION_PERIOD_SIZE:
		return parse_uint32("--period-size", text, 8, 65536,
				    &speaker->period_frames);
	case OPTION_LEAD_IN:
		return parse_uint32("--lead-in", text, 0, 10000,
				    &speaker->lead_in_ms);
	case OPTION_DELAY:
		return parse_uint32("--delay", text, 0, 1000,
				    &speaker->delay_ms);
	case OPTION_HOLD:
		speaker->hold = true;
		return 0;
	default:
		return 1;
	}
}

static int parse_page_option(struct client_config *config, int option,
			     const char *text)
{
	uint32_t percent = 0;
	int r;

	switch (option) {
	case OPTION_SAVE:
		config->save = text;
		return 0;
	case OPTION_ONCE:
		config->once = true;
		return 0;
	case OPTION_VOLUME:
		r = parse_uint32("--volume", text, 0, 100, &percent);
		config->volume = (int)percent;
		return r;
	case OPTION_MIXER:
		config->mixer = text;
		return 0;
	case OPTION_BEFORE:
		config->before = text;
		return 0;
	case OPTION_AFTER:
		config->after = text;
		return 0;
	case OPTION_MAX_DURATION:
		return option_number("--max-duration", text, 0, 86400 * 365,
				     &config->max_seconds);
	default:
		return 1;
	}
}

static int parse_option(struct client_config *config, int option,
			const char *text)
{
	int r = parse_speaker_option(&config->speaker, option, text);

	if (r > 0)
		r = parse_page_option(config, option, text);
	if (r <= 0)
		return r;
	switch (option) {
	case 'q':
		log_set_level(LOG_WARNING);
		return 0;
	case 'v':
		log_set_level(LOG_DEBUG);
		return 0;
	case OPTION_PSK_FILE:
		config->psk_path = text;
		return 0;
	case 'V':
		config->meter = isatty(STDOUT_FILENO);
		return 0;
	default:
		return -EINVAL; /* getopt has said why */
	}
}

/* 0 when one of these was asked for and done. */
static int do_and_leave(int option)
{
	if (option == 'h')
		fputs(help, stdout);
	else if (option == OPTION_VERSION)
		puts("intercom-client (" PACKAGE_NAME ") " PACKAGE_VERSION);
	else if (option == 'L')
		return pcm_list(stdout, PCM_PLAYBACK) < 0 ? -EINVAL : 0;
	else
		return 1;
	return 0;
}

static int add_server(struct client_config *config, const char *name)
{
	struct client_server *server = &config->servers[config->server_count];
	const char *problem;

	if (config->server_count == CLIENT_SERVERS_MAX) {
		log_error("'%s': at most %d servers are possible", name,
			  CLIENT_SERVERS_MAX);
		return -EINVAL;
	}
	if (net_parse_endpoint(&server->endpoint, name, &problem) < 0) {
		log_error("'%s': %s; HOST, HOST:PORT or [V6]:PORT is needed",
			  name, problem);
		return -EINVAL;
	}
	server->name = name;
	config->server_count++;
	return 0;
}

static int add_servers(struct client_config *config, int count, char **names)
{
	int r = 0;

	for (int i = 0; i < count && r == 0; i++)
		r = add_server(config, names[i]);
	if (r == 0 && config->server_count == 0)
		r = add_server(config, DEFAULT_SERVER);
	return r;
}

static int check(const struct client_config *config)
{
	if (config->mixer && config->volume < 0) {
		log_error("--mixer goes with --volume PERCENT");
		return -EINVAL;
	}
	return 1;
}

int client_options_parse(struct client_config *ret, int argc, char **argv)
{
	int option, r;

	*ret = (struct client_config){
	    .speaker = {.device = "default", .latency_ms = 100},
	    .volume = -1,
	};
	while ((option = getopt_long(argc, argv, "D:qvVLh", long_options,
				     NULL)) != -1) {
		r = do_and_leave(option);
		if (r <= 0)
			return r;
		r = parse_option(ret, option, optarg);
		if (r < 0)
			return r;
	}
	r = add_servers(ret, argc - optind, argv + optind);
	return r < 0 ? r : check(ret);
}
