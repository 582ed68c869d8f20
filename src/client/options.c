/* SPDX-License-Identifier: MIT
 * Parses options and does not act on them, -L and the log level apart.
 * intercom-client(1) follows the table below in content and order; a test
 * compares them. */
#include "client/options.h"

#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "audio/pcm.h"
#include "base/log.h"
#include "base/options.h"
#include "base/utf8.h"
#include "base/util.h"

#define DEFAULT_SERVER "localhost"

/* A year, which is also the longest page that a server accepts. */
#define SECONDS_MAX (86400.0 * 365)

enum {
	LATENCY_MS_DEFAULT = 100,
	LATENCY_MS_MAX = 5000,
	LATENCY_AUTO_MS_MAX = 1000,
};

static int show_meter(const struct option_row *row, const char *text,
		      void *config)
{
	return isatty(STDOUT_FILENO) ? option_set_flag(row, text, config) : 0;
}

/* MS, or auto[:MAX]. */
static int parse_latency(const struct option_row *row, const char *text,
			 void *config)
{
	struct speaker_config *speaker =
	    &((struct client_config *)config)->speaker;
	static const char word[] = "auto";
	const size_t length = strlen(word);
	uint64_t ms = LATENCY_AUTO_MS_MAX;
	int r = 0;

	if (strncmp(text, word, length) != 0) {
		r = option_integer("--latency", text, (uint64_t)row->limits.min,
				   (uint64_t)row->limits.max, &ms);
		speaker->latency_ms = speaker->latency_max_ms = (uint32_t)ms;
		return r;
	}
	if (text[length] == ':')
		r = option_integer("--latency auto:", text + length + 1,
				   LATENCY_MS_DEFAULT, LATENCY_MS_MAX, &ms);
	else if (text[length]) {
		log_error("--latency '%s': milliseconds, auto or auto:MAX are "
			  "needed",
			  text);
		r = -EINVAL;
	}
	speaker->latency_ms = LATENCY_MS_DEFAULT;
	speaker->latency_max_ms = (uint32_t)ms;
	return r;
}

static int list_pcms(const struct option_row *row, const char *text,
		     void *config)
{
	return pcm_list(stdout, PCM_PLAYBACK) < 0 ? -EIO : OPTION_DONE;
}

static int set_name(const struct option_row *row, const char *text,
		    void *config)
{
	char *name = ((struct client_config *)config)->name;
	const int n = snprintf(name, RECEIPT_NAME_SIZE, "%s", text);

	utf8_replace_controls(name);
	if (n > 0 && n < RECEIPT_NAME_SIZE && strcmp(name, text) == 0)
		return 0;
	log_error("--%s '%s': 1 to %d bytes of text, without control "
		  "characters, are needed",
		  row->name, text, RECEIPT_NAME_SIZE - 1);
	return -EINVAL;
}

/* The host's name, if it is text. */
static void set_default_name(struct client_config *config)
{
	if (gethostname(config->name, sizeof(config->name)) < 0)
		*config->name = '\0';
	config->name[sizeof(config->name) - 1] = '\0';
	utf8_replace_controls(config->name);
}

#define FIELD(field) OPTION_FIELD(struct client_config, field)

static const struct option_row rows[] = {
    {'D', "device", "NAME", "playback device (default: default)",
     .parse = option_set_string, FIELD(speaker.device)},
    {'q', "quiet", NULL, "show nothing but warnings and errors",
     .parse = option_set_level, .level = LOG_WARNING},
    {'v', "verbose", NULL, "log more", .parse = option_set_level,
     .level = LOG_DEBUG},
    {'V', "vumeter", NULL, "show a level meter on a terminal",
     .parse = show_meter, FIELD(meter)},
    {'L', "list-pcms", NULL, "list the playback devices", .parse = list_pcms},
    {0, "latency", "MS|auto[:MAX]",
     "how long sound waits before it plays\n"
     "(default: 100); auto: 100, and up to MAX (default:\n"
     "1000) where the network needs it",
     .parse = parse_latency, .limits = {1, LATENCY_MS_MAX}},
    {0, "period-size", "FRAMES",
     "period of the card (default: a quarter of the\n"
     "latency)",
     .parse = option_set_integer, FIELD(speaker.period_frames),
     .limits = {8, 65536}},
    {0, "save", "FILE|DIR", "keep each page as a WAV file as well",
     .parse = option_set_string, FIELD(save)},
    {0, "name", "NAME",
     "what a server is to call this loudspeaker\n"
     "(default: the host's name)",
     .parse = set_name},
    {0, "once", NULL,
     "exit after one page, with 0 if it was complete\n"
     "and heard to its end",
     .parse = option_set_flag, FIELD(once)},
    {0, "test", NULL,
     "play two notes as a page now, and exit as\n"
     "with --once",
     .parse = option_set_flag, FIELD(test)},
    {0, "volume", "PERCENT", "set the card's volume during a page",
     .parse = option_set_integer, FIELD(volume), .limits = {0, 100}},
    {0, "mixer", "NAME",
     "the control that --volume sets\n"
     "(default: Master, PCM or the like)",
     .parse = option_set_string, FIELD(mixer)},
    {0, "before", "CMD",
     "run a command before a page, and wait for it\n"
     "(up to 5 s)",
     .parse = option_set_string, FIELD(before)},
    {0, "after", "CMD", "run a command after a page",
     .parse = option_set_string, FIELD(after)},
    {0, "max-duration", "SECONDS",
     "play at most this much of a page\n"
     "(default: 0, no limit)",
     .parse = option_set_number, FIELD(max_seconds),
     .limits = {0, SECONDS_MAX}},
    {0, "hold", NULL, "keep the card open between pages",
     .parse = option_set_flag, FIELD(speaker.hold)},
    {0, "lead-in", "MS", "play silence before a page (default: 0)",
     .parse = option_set_integer, FIELD(speaker.lead_in_ms),
     .limits = {0, 10000}},
    {0, "delay", "MS",
     "play later by this time, to be in step with\n"
     "other loudspeakers (default: 0; fractions, and with\n"
     "a server that has --sync also negative)",
     .parse = option_set_number, FIELD(speaker.delay_ms),
     .limits = {-1000, 1000}},
    {0, "no-sync", NULL,
     "play pages as they come, although their server\n"
     "has --sync",
     .parse = option_set_flag, FIELD(no_sync)},
    {0, "psk-file", "FILE",
     "use TLS; play only the pages of a server that\n"
     "has the key in this file",
     .parse = option_set_string, FIELD(psk_path)},
};

static const struct option_table table = {
    .usage = "Usage: intercom-client [OPTION]... [HOST[:PORT]]...\n"
	     "Play the pages of intercom servers. The server listed first has "
	     "priority.\n"
	     "Default: localhost:2348.\n"
	     "\n",
    .version = "intercom-client (" PACKAGE_NAME ") " PACKAGE_VERSION,
    .rows = rows,
    .count = ARRAY_SIZE(rows),
};

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
		log_error("--mixer needs --volume PERCENT");
		return -EINVAL;
	}
	return 1;
}

int client_options_parse(struct client_config *ret, int argc, char **argv)
{
	int r;

	*ret = (struct client_config){
	    .speaker = {.device = "default",
			.latency_ms = LATENCY_MS_DEFAULT,
			.latency_max_ms = LATENCY_MS_DEFAULT},
	    .volume = -1,
	};
	set_default_name(ret);
	r = options_parse(&table, argc, argv, ret, NULL);
	if (r <= 0)
		return r;
	r = add_servers(ret, argc - optind, argv + optind);
	return r < 0 ? r : check(ret);
}
