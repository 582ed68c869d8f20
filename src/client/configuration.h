/* SPDX-License-Identifier: MIT
 * The configuration of the client, as its command line gives it. */
#pragma once

#include "client/speaker.h"
#include "wire/net.h"
#include "wire/receipt.h"

enum { CLIENT_SERVERS_MAX = 64 };

struct client_server {
	const char *name; /* as the user wrote it */
	struct net_endpoint endpoint;
};

/* The strings and the keys belong to others and must outlive the client. */
struct client_config {
	/* A page of an earlier server ends one of a later server. */
	struct client_server servers[CLIENT_SERVERS_MAX];
	unsigned server_count;
	struct speaker_config speaker;
	char name[RECEIPT_NAME_SIZE]; /* in receipts; "": none */
	const char *save;	      /* file or directory, or NULL */
	struct recorder *recorder;    /* of save, or NULL; belongs to others */
	const char *before, *after;   /* hooks, or NULL */
	const char *mixer;	      /* name of the control, or NULL: any */
	int volume;		      /* percent, or -1: leave it alone */
	double max_seconds;	      /* of a page; 0: no limit */
	const char *psk_path;	      /* or NULL */
	struct tls_keys *keys;	      /* from psk_path, or NULL: no TLS */
	bool once;
	bool no_sync; /* schedules are ignored */
	bool test;    /* one page, of the client's own: no servers, no keys */
	bool meter;   /* show a level meter: stdout is a terminal */
};
