/* SPDX-License-Identifier: MIT
 * What a client is told by its command line. */
#pragma once

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
