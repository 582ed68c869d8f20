/* SPDX-License-Identifier: MIT
 * intercomctl: options and commands. --help, intercomctl(1) and the tables
 * below have the same content and order; a test compares them. */
#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/options.h"
#include "base/util.h"
#include "bus/names.h"
#include "ctl/bus.h"

static const char help[] =
    "Usage: intercomctl [--user] COMMAND [OPTION]...\n"
    "Tell a running intercom-server what to do.\n"
    "\n"
    "  talk                      page what the microphone hears; on a "
    "terminal\n"
    "                            until Enter or Ctrl-C\n"
    "  play FILE                 page a WAV file, - is standard input\n"
    "  stop [ID]...              end every page, or these\n"
    "  status                    show the server, its zones and pages\n"
    "  clients                   show the loudspeakers that are connected\n"
    "  zones                     show the zones\n"
    "  monitor                   show what happens, a line an event\n"
    "  save FILE                 save the last page as a WAV file, - is\n"
    "                            standard output\n"
    "  keygen [IDENTITY]...      make keys for loudspeakers with these names\n"
    "                            (default: loudspeaker), in files\n"
    "\n"
    "  -d, --duration=SECONDS    talk: length of the page, 0: until stopped\n"
    "      --zone=ZONE           talk, play: where; repeatable (default: all)\n"
    "      --chime=FILE          talk: play this WAV file (or default) first\n"
    "      --priority=N          talk, play: 0 (routine) to 9 (emergency)\n"
    "                            (default: 5)\n"
    "      --queue               talk, play: wait for other pages to end\n"
    "      --json                status, clients, zones, monitor: for "
    "programs\n"
    "      --psk-file=FILE       keygen: the server's file (default: "
    "server.psk)\n"
    "      --user                use the user's bus, not the system's\n"
    "  -h, --help                show this help\n"
    "      --version             show the version\n";

enum {
	OPTION_ZONE = 256,
	OPTION_CHIME,
	OPTION_PRIORITY,
	OPTION_QUEUE,
	OPTION_JSON,
	OPTION_PSK_FILE,
	OPTION_USER,
	OPTION_VERSION,
};

static const struct option long_options[] = {
    {"duration", required_argument, NULL, 'd'},
    {"zone", required_argument, NULL, OPTION_ZONE},
    {"chime", required_argument, NULL, OPTION_CHIME},
    {"priority", required_argument, NULL, OPTION_PRIORITY},
    {"queue", no_argument, NULL, OPTION_QUEUE},
    {"json", no_argument, NULL, OPTION_JSON},
    {"psk-file", required_argument, NULL, OPTION_PSK_FILE},
    {"user", no_argument, NULL, OPTION_USER},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, OPTION_VERSION},
    {0},
};

/* Which of a command's options were given, and which it takes. */
enum {
	TAKES_DURATION = 1 << 0,
	TAKES_ZONE = 1 << 1,
	TAKES_CHIME = 1 << 2,
	TAKES_PRIORITY = 1 << 3,
	TAKES_QUEUE = 1 << 4,
	TAKES_JSON = 1 << 5,
	TAKES_PSK_FILE = 1 << 6,

	TAKES_PLACE = TAKES_ZONE | TAKES_PRIORITY | TAKES_QUEUE,
};

static const struct verb {
	const char *name;
	int (*run)(struct ctl *ctl);
	unsigned args_min, args_max;
	unsigned takes;
	bool alone; /* needs no server */
} verbs[] = {
    {"talk", ctl_talk, 0, 0, TAKES_PLACE | TAKES_DURATION | TAKES_CHIME, false},
    {"play", ctl_play, 1, 1, TAKES_PLACE, false},
    {"stop", ctl_stop, 0, BUS_PAGES_MAX, 0, false},
    {"status", ctl_status, 0, 0, TAKES_JSON, false},
    {"clients", ctl_clients, 0, 0, TAKES_JSON, false},
    {"zones", ctl_zones, 0, 0, TAKES_JSON, false},
    {"monitor", ctl_monitor, 0, 0, TAKES_JSON, false},
    {"save", ctl_save, 1, 1, 0, false},
    {"keygen", ctl_keygen, 0, UINT_MAX, TAKES_PSK_FILE, true},
};

/* --- options --- */

static int add_zone(struct ctl *ctl, const char *zone)
{
	if (ctl->zone_count == CTL_ZONES_MAX) {
		log_error("--zone may be given %d times at most",
			  CTL_ZONES_MAX);
		return -EINVAL;
	}
	ctl->zones[ctl->zone_count++] = zone;
	return 0;
}

static int parse_priority(struct ctl *ctl, const char *text)
{
	uint64_t priority;
	int r = option_integer("--priority", text, BUS_PRIORITY_MIN,
			       BUS_PRIORITY_MAX, &priority);

	if (r == 0)
		ctl->priority = (int)priority;
	return r;
}

/* 1 to go on, 0 when all is done, -EINVAL. Adds to *given. */
static int apply_option(struct ctl *ctl, int option, unsigned *given)
{
	switch (option) {
	case 'd':
		*given |= TAKES_DURATION;
		return option_number("-d", optarg, 0, BUS_SECONDS_MAX,
				     &ctl->seconds) < 0
			   ? -EINVAL
			   : 1;
	case OPTION_ZONE:
		*given |= TAKES_ZONE;
		return add_zone(ctl, optarg) < 0 ? -EINVAL : 1;
	case OPTION_CHIME:
		*given |= TAKES_CHIME;
		ctl->chime = option_chime(optarg);
		return 1;
	case OPTION_PRIORITY:
		*given |= TAKES_PRIORITY;
		return parse_priority(ctl, optarg) < 0 ? -EINVAL : 1;
	case OPTION_QUEUE:
		*given |= TAKES_QUEUE;
		ctl->queue = true;
		return 1;
	case OPTION_JSON:
		*given |= TAKES_JSON;
		ctl->json = true;
		return 1;
	case OPTION_PSK_FILE:
		*given |= TAKES_PSK_FILE;
		ctl->psk_path = optarg;
		return 1;
	case OPTION_USER:
		ctl->user = true;
		return 1;
	case 'h':
		fputs(help, stdout);
		return 0;
	case OPTION_VERSION:
		puts("intercomctl " PACKAGE_VERSION);
		return 0;
	default:
		return -EINVAL;
	}
}

static int parse_options(struct ctl *ctl, int argc, char **argv,
			 unsigned *given)
{
	int option;

	while ((option = getopt_long(argc, argv, "d:h", long_options, NULL)) !=
	       -1) {
		int r = apply_option(ctl, option, given);

		if (r <= 0)
			return r;
	}
	ctl->args = argv + optind;
	ctl->arg_count = (unsigned)(argc - optind);
	return 1;
}

/* --- commands --- */

static const struct verb *find_verb(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		if (strcmp(verbs[i].name, name) == 0)
			return &verbs[i];
	return NULL;
}

/* Takes the command off the arguments; NULL after saying what is wrong. */
static const struct verb *take_verb(struct ctl *ctl, unsigned given)
{
	const struct verb *verb;

	if (ctl->arg_count == 0) {
		log_error("A command is needed (intercomctl --help lists "
			  "them)");
		return NULL;
	}
	verb = find_verb(ctl->args[0]);
	if (!verb) {
		log_error("There is no command '%s' (intercomctl --help lists "
			  "them)",
			  ctl->args[0]);
		return NULL;
	}
	ctl->args++;
	ctl->arg_count--;
	if (ctl->arg_count < verb->args_min ||
	    ctl->arg_count > verb->args_max) {
		log_error("'%s' takes %s (see intercomctl --help)", verb->name,
			  verb->args_max == 0	? "no argument"
			  : verb->args_max == 1 ? "one file"
						: "at most 64 page numbers");
		return NULL;
	}
	if (given & ~verb->takes) {
		log_error("'%s' does not take all of these options (see "
			  "intercomctl --help)",
			  verb->name);
		return NULL;
	}
	return verb;
}

int main(int argc, char **argv)
{
	struct ctl ctl = {.seconds = -1, .priority = -1};
	const struct verb *verb;
	unsigned given = 0;
	int r = parse_options(&ctl, argc, argv, &given);

	if (r <= 0)
		return r < 0 ? CTL_USAGE : CTL_DONE;
	verb = take_verb(&ctl, given);
	if (!verb)
		return CTL_USAGE;
	r = verb->alone ? CTL_DONE : ctl_connect(&ctl);
	if (r == CTL_DONE)
		r = verb->run(&ctl);
	sd_bus_flush_close_unref(ctl.bus);
	return r;
}
