/* SPDX-License-Identifier: MIT
 * The page of --test: two notes, served on loopback by a thread, so that they
 * take the very path of any page. */
#pragma once

#include "client/configuration.h"

struct soundtest;

/* Listens, and makes *SERVER the server that sends the notes to each client. 0,
 * or an error for net_strerror(). */
int soundtest_start(struct soundtest **ret, struct client_server *server);
/* Stops the thread and frees. Takes NULL; returns NULL. */
struct soundtest *soundtest_free(struct soundtest *test);
