/* SPDX-License-Identifier: MIT
 * intercomctl's options, and its commands: each is in a file of its own, but
 * talk and play are in page.c, and clients and zones in status.c. */
#pragma once

#include <stdbool.h>
#include <systemd/sd-bus.h>

#include "base/options.h"

/* Exit statuses, as in intercomctl(1). */
enum {
	CTL_DONE = 0,
	CTL_FAILED = 1,
	CTL_USAGE = 2,
	CTL_NO_SERVER = 3,
	CTL_REFUSED = 4, /* busy, too many, or not allowed */
	CTL_UNHEARD = 5, /* by as many loudspeakers as were required */
};

struct ctl {
	bool user; /* the user's bus instead of the system's */
	bool queue, json;
	bool live;		  /* play: somebody speaks into the pipe */
	struct option_list zones; /* none: all */
	double seconds;		  /* negative: not given */
	const char *chime;	  /* or NULL */
	double gain_db;
	const char *psk_path;	/* or NULL: keygen's default */
	int priority;		/* negative: not given */
	double require_percent; /* of loudspeakers; negative: not given */
	char **args;		/* what follows the command */
	unsigned arg_count;
	sd_bus *bus; /* connected, except for check and keygen */
};

/* Each returns an exit status, and logs what went wrong. */
int ctl_talk(struct ctl *ctl);
int ctl_play(struct ctl *ctl);
int ctl_stop(struct ctl *ctl);
int ctl_status(struct ctl *ctl);
int ctl_clients(struct ctl *ctl);
int ctl_zones(struct ctl *ctl);
/* Returns the exit status of a monitoring plug-in, not one of those above. */
int ctl_check(struct ctl *ctl);
int ctl_monitor(struct ctl *ctl);
int ctl_save(struct ctl *ctl);
/* Makes the server's key file or adds to it, and makes a file for each
 * loudspeaker: all or none. Never overwrites a key. */
int ctl_keygen(struct ctl *ctl);
