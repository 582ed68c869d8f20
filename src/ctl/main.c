/* SPDX-License-Identifier: MIT
 * intercomctl: options and commands. intercomctl(1) lists the same in the same
 * order as the tables below; a test compares them. */
#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "audio/gain.h"
#include "base/io.h"
#include "base/log.h"
#include "base/options.h"
#include "base/util.h"
#include "bus/names.h"
#include "ctl/bus.h"

/* Bits for the options that were given, and for those that a command takes. */
enum {
	TAKES_DURATION = 1 << 0,
	TAKES_ZONE = 1 << 1,
	TAKES_CHIME = 1 << 2,
	TAKES_PRIORITY = 1 << 3,
	TAKES_QUEUE = 1 << 4,
	TAKES_JSON = 1 << 5,
	TAKES_PSK_FILE = 1 << 6,
	TAKES_REQUIRE = 1 << 7,
	TAKES_LIVE = 1 << 8,
	TAKES_GAIN = 1 << 9,

	TAKES_PAGE = TAKES_ZONE | TAKES_PRIORITY | TAKES_QUEUE | TAKES_REQUIRE |
		     TAKES_CHIME | TAKES_GAIN,
};

static const struct verb {
	const char *name, *args, *help;
	int (*run)(struct ctl *ctl);
	unsigned args_min, args_max;
	unsigned takes;
	bool alone; /* needs no server, or finds it by itself */
} verbs[] = {
    {"talk", "",
     "page from the microphone; on a terminal until\n"
     "Enter or Ctrl-C",
     ctl_talk, 0, 0, TAKES_PAGE | TAKES_DURATION, false},
    {"play", " FILE...",
     "page WAV files, one after the other; - is\n"
     "standard input",
     ctl_play, 1, BUS_FILES_MAX, TAKES_PAGE | TAKES_LIVE, false},
    {"stop", " [ID]...", "end these pages, or all", ctl_stop, 0, BUS_PAGES_MAX,
     0, false},
    {"status", "", "show the server, its zones and pages", ctl_status, 0, 0,
     TAKES_JSON, false},
    {"clients", "", "show the loudspeakers that are connected", ctl_clients, 0,
     0, TAKES_JSON, false},
    {"zones", "", "show the zones", ctl_zones, 0, 0, TAKES_JSON, false},
    {"check", "",
     "tell who is missing, as a plug-in for monitoring\n"
     "(exit status 0 to 3)",
     ctl_check, 0, 0, TAKES_ZONE, true},
    {"monitor", "", "show events, one a line", ctl_monitor, 0, 0, TAKES_JSON,
     false},
    {"save", " FILE",
     "save the last page as a WAV file; - is\n"
     "standard output",
     ctl_save, 1, 1, 0, false},
    {"keygen", " [IDENTITY]...",
     "make key files for loudspeakers of these names\n"
     "(default: loudspeaker)",
     ctl_keygen, 0, UINT_MAX, TAKES_PSK_FILE, true},
};

/* --- options --- */

static int add_zone(const struct option_row *row, const char *text,
		    void *config)
{
	const struct ctl *ctl = config;

	if (ctl->zones.count == OPTION_LIST_MAX) {
		log_error("--zone may be given %d times at most",
			  OPTION_LIST_MAX);
		return -EINVAL;
	}
	return option_add_string(row, text, config);
}

static int set_required(const struct option_row *row, const char *text,
			void *config)
{
	return option_set_number(row, text ? text : "100", config);
}

#define FIELD(field) OPTION_FIELD(struct ctl, field)

static const struct option_row rows[] = {
    {'d', "duration", "SECONDS", "talk: length of the page, 0 for no end",
     .parse = option_set_number, FIELD(seconds), .limits = {0, BUS_SECONDS_MAX},
     .tag = TAKES_DURATION},
    {0, "zone", "ZONE",
     "talk, play, check: this zone; repeatable (default:\n"
     "all)",
     .parse = add_zone, FIELD(zones), .tag = TAKES_ZONE},
    {0, "chime", "FILE", "talk, play: play this WAV file (or default) first",
     .parse = option_set_chime, FIELD(chime), .tag = TAKES_CHIME},
    {0, "gain", "DB",
     "talk, play: make speech or the files so much louder\n"
     "or quieter (-60 to 40; default: 0)",
     .parse = option_set_number, FIELD(gain_db),
     .limits = {GAIN_DB_MIN, GAIN_DB_MAX}, .tag = TAKES_GAIN},
    {0, "priority", "N",
     "talk, play: 0 (routine) to 9 (emergency)\n"
     "(default: 5)",
     .parse = option_set_integer, FIELD(priority),
     .limits = {BUS_PRIORITY_MIN, BUS_PRIORITY_MAX}, .tag = TAKES_PRIORITY},
    {0, "queue", NULL, "talk, play: wait for other pages to end",
     .parse = option_set_flag, FIELD(queue), .tag = TAKES_QUEUE},
    {0, "require-heard", "[=PERCENT]",
     "talk, play: fail unless so many of the loudspeakers\n"
     "heard all of it (default: 100)",
     .parse = set_required, FIELD(require_percent), .limits = {1, 100},
     .tag = TAKES_REQUIRE},
    {0, "live", NULL,
     "play: somebody speaks into this pipe; what is late\n"
     "is left out",
     .parse = option_set_flag, FIELD(live), .tag = TAKES_LIVE},
    {0, "json", NULL, "status, clients, zones, monitor: print JSON",
     .parse = option_set_flag, FIELD(json), .tag = TAKES_JSON},
    {0, "psk-file", "FILE",
     "keygen: the server's key file (default: server.psk)",
     .parse = option_set_string, FIELD(psk_path), .tag = TAKES_PSK_FILE},
    {0, "user", NULL, "use the user bus, not the system bus",
     .parse = option_set_flag, FIELD(user)},
};

static void print_verbs(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
		char syntax[64];

		snprintf(syntax, sizeof(syntax), "%s%s", verbs[i].name,
			 verbs[i].args);
		option_print_entry(syntax, verbs[i].help);
	}
	putchar('\n');
}

static const struct option_table table = {
    .usage = "Usage: intercomctl [--user] COMMAND [OPTION]...\n"
	     "Tell a running intercom-server what to do.\n"
	     "\n",
    .print_commands = print_verbs,
    .version = "intercomctl (" PACKAGE_NAME ") " PACKAGE_VERSION,
    .rows = rows,
    .count = ARRAY_SIZE(rows),
};

/* --- commands --- */

static const struct verb *find_verb(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		if (strcmp(verbs[i].name, name) == 0)
			return &verbs[i];
	return NULL;
}

/* Removes the command from the arguments. NULL after logging what is wrong. */
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
			  verb->takes & TAKES_ZONE && verb->args_max == 0
			      ? "no argument; --zone names a zone"
			  : verb->args_max == 0 ? "no argument"
			  : verb->args_max == 1 ? "one file"
			  : verb->args_max == BUS_FILES_MAX
			      ? "1 to 15 files"
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
	struct ctl ctl = {.seconds = -1, .priority = -1, .require_percent = -1};
	const struct verb *verb;
	unsigned given = 0;
	int r;

	if (standard_fds_open() < 0)
		return CTL_FAILED;
	r = options_parse(&table, argc, argv, &ctl, &given);
	if (r <= 0)
		return option_exit_status(r);
	ctl.args = argv + optind;
	ctl.arg_count = (unsigned)(argc - optind);
	verb = take_verb(&ctl, given);
	if (!verb)
		return CTL_USAGE;
	r = verb->alone ? CTL_DONE : ctl_connect(&ctl);
	if (r == CTL_DONE)
		r = verb->run(&ctl);
	sd_bus_flush_close_unref(ctl.bus);
	return r;
}
