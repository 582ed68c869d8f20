/* SPDX-License-Identifier: MIT
 * The client: listens to several servers and plays one page at a time on the
 * loudspeaker. One loop in one thread, which waits only in ppoll(); to open
 * the card, which a page needs once, can take longer. */
#pragma once

#include "client/configuration.h"

struct client;

/* CONFIG must outlive the client. SIGNAL_FD is a non-blocking
 * signalfd for SIGINT and SIGTERM (both end the loop), SIGUSR1 (logs the state)
 * and SIGCHLD (a hook ended); the caller closes it. 0 or negative errno. */
int client_new(struct client **ret, const struct client_config *config,
	       int signal_fd);
/* Silences the card at once, restores its volume, and waits up to 1 s for a
 * hook, then for files to be completed, up to 2 s for each. Takes NULL; returns
 * NULL. */
struct client *client_free(struct client *client);

/* Runs until SIGINT or SIGTERM, or with --once until one page is over. Returns
 * 0, or -ECANCELED when --once did not play one page to its end. */
int client_run(struct client *client);
