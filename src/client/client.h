/* SPDX-License-Identifier: MIT
 * A client: sessions with servers on one side, the loudspeaker on the other,
 * and which page sounds. One loop, which blocks nowhere but in ppoll(). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "client/speaker.h"
#include "wire/net.h"

enum { CLIENT_SERVERS_MAX = 64 };

struct client_server {
	const char *name; /* as the user wrote it */
	struct net_endpoint endpoint;
};

/* Strings and keys must stay as long as the client. */
struct client_config {
	struct client_server servers[CLIENT_SERVERS_MAX]; /* the first wins */
	unsigned server_count;
	struct speaker_config speaker;
	const char *save;	     /* or NULL */
	const char *before, *after;  /* hooks, or NULL */
	const char *mixer;	     /* or NULL: any */
	int volume;		     /* percent, or -1: as it is */
	double max_seconds;	     /* of a page; 0: no limit */
	const char *psk_path;	     /* or NULL */
	struct transport_keys *keys; /* what is in it, or NULL: plain */
	bool once;
	bool meter; /* stdout is a terminal and shall show one */
};

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
