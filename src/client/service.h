/* SPDX-License-Identifier: MIT
 * What systemd is told by a client, without libsystemd: that costs a start
 * more than opening the card does. The server, which needs it, uses it. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Sends a state as in sd_notify(3), "READY=1"; nothing is done when nobody
 * wants to know. 0 or negative errno. */
int service_notify(const char *state);

/* Within which time the watchdog wants to be fed; 0: there is none. */
uint64_t service_watchdog_usec(void);

#define SERVICE_JOURNAL "/run/systemd/journal/socket"

/* Sends an event of COUNT fields "NAME=VALUE" (a line break in one becomes a
 * space) to the journal's socket at PATH. 0 or negative errno. */
int service_journal(const char *path, const char *const *fields, size_t count);
