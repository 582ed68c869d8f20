/* SPDX-License-Identifier: MIT
 * The command lines of the programs: strings that end with zeros, after a byte
 * that chooses the program. Accepted values must be within their limits. */
#include <assert.h>
#include <getopt.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/util.h"
#include "client/options.h"
#include "fuzz.h"
#include "server/options.h"

enum { ARGUMENTS_MAX = 200 };

static void check_listen(const char *text)
{
	struct net_endpoint endpoint;
	char zone[NET_ZONE_SIZE];
	const char *problem = NULL;

	if (net_parse_listen(&endpoint, zone, text, &problem) < 0) {
		assert(problem);
		return;
	}
	assert(name_valid(zone));
	assert(strlen(endpoint.host) < sizeof(endpoint.host));
	assert(*endpoint.port && strlen(endpoint.port) < sizeof(endpoint.port));
}

static void try_server(int argc, char **argv)
{
	struct server_options o;
	const struct server_config *config = &o.config;
	int r = server_options_parse(&o, argc, argv);

	if (r <= 0)
		return;
	assert(config->page.microphone.format.channels >= 1 &&
	       config->page.microphone.format.channels <= WAV_CHANNELS_MAX);
	assert(config->page.microphone.format.rate >= WAV_RATE_MIN &&
	       config->page.microphone.format.rate <= WAV_RATE_MAX);
	assert(config->page.microphone.device);
	assert(config->page.microphone.period_frames > 0);
	assert(config->seconds >= 0 && config->seconds <= 86400.0 * 365);
	assert(config->max_clients > 0);
	assert(config->page.max_lag_seconds > 0);
	assert(o.listen.count <= OPTION_LIST_MAX);
	if (config->seconds > 0)
		assert(page_frames(config->page.microphone.format.rate,
				   config->page.microphone.period_frames,
				   config->seconds) > 0);
	for (unsigned i = 0; i < o.listen.count; i++)
		check_listen(o.listen.items[i]);
}

static void try_client(int argc, char **argv)
{
	struct client_config config;
	int r = client_options_parse(&config, argc, argv);

	if (r <= 0)
		return;
	assert(config.server_count >= 1);
	assert(config.server_count <= CLIENT_SERVERS_MAX);
	for (unsigned i = 0; i < config.server_count; i++)
		assert(*config.servers[i].endpoint.host &&
		       *config.servers[i].endpoint.port);
	assert(config.speaker.device);
	assert(config.volume >= -1 && config.volume <= 100);
	assert(config.max_seconds >= 0);
}

/* Splits TEXT at its zeros. Returns the number of arguments with argv[0]. */
static int split(char *text, size_t size, char *argv[ARGUMENTS_MAX + 1])
{
	static char name[] = "fuzz-options";
	int argc = 0;

	argv[argc++] = name;
	for (char *p = text; p < text + size && argc < ARGUMENTS_MAX;
	     p += strlen(p) + 1)
		argv[argc++] = p;
	argv[argc] = NULL;
	return argc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input input = {data, size};
	char *argv[ARGUMENTS_MAX + 1];
	const unsigned whose = fuzz_byte(&input);
	_cleanup_free_ char *text = calloc(1, input.size + 1);
	int argc;

	assert(text);
	if (input.size > 0)
		memcpy(text, input.data, input.size);
	argc = split(text, input.size, argv);
	log_set_level(LOG_INFO);
	optind = 0; /* begin anew, getopt(3) */
	if (whose % 2 == 0)
		try_server(argc, argv);
	else
		try_client(argc, argv);
	log_set_level(LOG_INFO);
	return 0;
}
