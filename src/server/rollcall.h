/* SPDX-License-Identifier: MIT
 * Calls the roll: looks who is there when somebody comes or goes, and when a
 * loudspeaker that is silent would be missing. Logs who is missing and who is
 * back. Runs in the loop; sets no timer where nobody is expected. */
#pragma once

#include <systemd/sd-event.h>

#include "server/roll.h"

struct rollcall;
struct tls_keys;
struct zone;

/* Expected are the loudspeakers that have a key in KEYS; without KEYS (NULL) as
 * many in each zone as zone->expected says. ZONES, which NULL ends, and KEYS
 * must outlive it. ON_CHANGE: see roll_end(). 0 or negative errno. */
int rollcall_new(struct rollcall **ret, sd_event *event,
		 struct zone *const *zones, struct tls_keys *keys,
		 void (*on_change)(void *userdata,
				   const struct roll_member *member),
		 void *userdata);
/* Takes NULL; returns NULL. */
struct rollcall *rollcall_free(struct rollcall *rollcall);

/* Begins, if anybody is expected. */
void rollcall_start(struct rollcall *rollcall);
bool rollcall_is_on(const struct rollcall *rollcall);
/* Somebody has come, has gone, or says that its card has changed. */
void rollcall_soon(struct rollcall *rollcall);
/* The key of the loudspeaker NAME is no longer accepted. */
void rollcall_lock_out(struct rollcall *rollcall, const char *name);

const struct roll *rollcall_roll(const struct rollcall *rollcall);
