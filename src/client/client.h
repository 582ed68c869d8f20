/* SPDX-License-Identifier: MIT
 * A client: sessions with servers on one side, the loudspeaker on the other,
 * and which page sounds. One loop, which blocks nowhere but in ppoll(). */
#pragma once

#include "client/configuration.h"

struct client;

/* SIGNAL_FD is a signalfd for SIGINT, SIGTERM (both end the loop), SIGUSR1
 * (tells the state) and SIGCHLD; it stays the caller's. 0 or negative errno. */
int client_new(struct client **ret, const struct client_config *config,
	       int signal_fd);
/* Silences at once, puts volumes back, completes files. Takes NULL; returns
 * NULL. */
struct client *client_free(struct client *client);

/* Runs until a signal, or with ONCE until a page is over. Returns 0, -ECANCELED
 * when ONCE did not get one complete page, or another negative errno. */
int client_run(struct client *client);
