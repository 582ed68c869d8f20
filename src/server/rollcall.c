/* SPDX-License-Identifier: MIT
 * Owns the roll. What the connections are at the moment of a call is all that
 * it is told: there are no counters that could be wrong. */
#include "server/rollcall.h"

#include <errno.h>
#include <inttypes.h>

#include "base/log.h"
#include "base/ratelimit.h"
#include "server/timer.h"
#include "server/zone.h"
#include "wire/tls.h"

/* Between two calls at most: keys may be removed without a word. */
#define MAX_USEC (30 * USEC_PER_SEC)
/* After a page all loudspeakers come back: one call for all. */
#define SOON_USEC USEC_PER_SEC

struct rollcall {
	struct roll roll;
	struct zone *const *zones;
	struct tls_keys *keys; /* or NULL */
	sd_event_source *timer;
	uint64_t next_usec; /* of the timer; 0: not started */
	struct ratelimit limit;
	void (*on_change)(void *userdata, const struct roll_member *member);
	void *userdata;
};

/* --- what is logged --- */

static void tell_identity(const struct roll_member *member, uint64_t now)
{
	if (member->why != ROLL_THERE)
		log_warning("Loudspeaker '%s' is missing: %s", member->name,
			    roll_why_text(member->why));
	else if (member->wanted)
		log_notice("Loudspeaker '%s' is back after %" PRIu64 " s",
			   member->name,
			   (now - member->since_usec) / USEC_PER_SEC);
}

static void tell_zone(const struct roll_member *member)
{
	if (member->why != ROLL_THERE)
		log_warning("Zone %s: %u of %u loudspeakers missing: %s",
			    member->name, member->count, member->wanted,
			    roll_why_text(member->why));
	else
		log_notice("Zone %s: all %u loudspeaker%s back", member->name,
			   member->wanted,
			   member->wanted == 1 ? " is" : "s are");
}

/* A switch that fails takes many at once; one line says how many more. */
static void tell_rest(struct rollcall *rollcall)
{
	const uint64_t rest = ratelimit_take(&rollcall->limit, now_usec());

	if (rest > 0)
		log_notice("Loudspeakers that were missing or back, in the "
			   "last minute: %" PRIu64 " more",
			   rest);
}

static void tell(struct rollcall *rollcall, const struct roll_member *member)
{
	const uint64_t now = now_usec();

	if (!ratelimit_allows(&rollcall->limit, now))
		return;
	if (member->kind == ROLL_OF_ZONES)
		tell_zone(member);
	else
		tell_identity(member, now);
}

static void on_change(void *userdata, const struct roll_member *member)
{
	struct rollcall *rollcall = userdata;

	tell(rollcall, member);
	rollcall->on_change(rollcall->userdata, member);
}

/* --- a call --- */

static void expect(struct rollcall *rollcall, const char *name, unsigned count)
{
	if (roll_expect(&rollcall->roll, name, count) < 0)
		log_error("Loudspeaker '%s' is not supervised: %s", name,
			  strerror(ENOMEM));
}

static void expect_all(struct rollcall *rollcall)
{
	const char *identity;

	if (rollcall->keys) {
		for (size_t n = 0;
		     (identity = tls_keys_identity(rollcall->keys, n)); n++)
			expect(rollcall, identity, 1);
		return;
	}
	for (struct zone *const *zone = rollcall->zones; *zone; zone++)
		if ((*zone)->expected > 0)
			expect(rollcall, (*zone)->name, (*zone)->expected);
}

static void see(void *userdata, const char *zone,
		const struct connection *connection)
{
	struct rollcall *rollcall = userdata;
	const enum connection_state state = connection_state(connection);
	const struct vitals *vitals = connection_vitals(connection);
	struct roll_sighting sighting = {
	    .zone = zone,
	    .on_air = state == CONNECTION_ON_AIR,
	    .speaks = vitals != NULL,
	    .heard_usec = connection_since_usec(connection),
	};

	if (state != CONNECTION_WAITING && state != CONNECTION_ON_AIR)
		return;
	if (vitals && vitals->said_usec) {
		sighting.has_said = true;
		sighting.heard_usec = vitals->said_usec;
		sighting.card = vitals->said.card;
	}
	roll_see(&rollcall->roll,
		 rollcall->keys ? connection_identity(connection) : zone,
		 &sighting);
}

static void set_timer(struct rollcall *rollcall, uint64_t usec)
{
	rollcall->next_usec = usec;
	timer_set(rollcall->timer, usec);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct rollcall *rollcall = userdata;

	tell_rest(rollcall);
	/* First, since it may lock some out. */
	for (struct zone *const *zone = rollcall->zones; *zone; zone++)
		zone_check_keys(*zone);
	roll_begin(&rollcall->roll);
	expect_all(rollcall);
	for (struct zone *const *zone = rollcall->zones; *zone; zone++)
		zone_each_client(*zone, see, rollcall);
	roll_end(&rollcall->roll, now_usec(), MAX_USEC, on_change, rollcall);
	set_timer(rollcall, rollcall->roll.due_usec);
	return 0;
}

/* --- life --- */

int rollcall_new(struct rollcall **ret, sd_event *event,
		 struct zone *const *zones, struct tls_keys *keys,
		 void (*on_changed)(void *userdata,
				    const struct roll_member *member),
		 void *userdata)
{
	struct rollcall *rollcall = calloc(1, sizeof(*rollcall));
	int r;

	if (!rollcall)
		return -ENOMEM;
	roll_init(&rollcall->roll, keys ? ROLL_OF_IDENTITIES : ROLL_OF_ZONES);
	rollcall->zones = zones;
	rollcall->keys = keys;
	rollcall->limit = (struct ratelimit){
	    .burst = 60,
	    .interval_usec = 60 * USEC_PER_SEC,
	};
	rollcall->on_change = on_changed;
	rollcall->userdata = userdata;
	r = timer_new(&rollcall->timer, event, on_timer, rollcall);
	if (r < 0) {
		rollcall_free(rollcall);
		return r;
	}
	*ret = rollcall;
	return 0;
}

struct rollcall *rollcall_free(struct rollcall *rollcall)
{
	if (!rollcall)
		return NULL;
	sd_event_source_disable_unref(rollcall->timer);
	roll_clear(&rollcall->roll);
	free(rollcall);
	return NULL;
}

void rollcall_start(struct rollcall *rollcall)
{
	bool anybody = rollcall->keys != NULL;

	for (struct zone *const *zone = rollcall->zones; *zone; zone++)
		anybody = anybody || (*zone)->expected > 0;
	if (anybody)
		(void)on_timer(rollcall->timer, 0, rollcall);
}

bool rollcall_is_on(const struct rollcall *rollcall)
{
	return rollcall->next_usec > 0;
}

void rollcall_soon(struct rollcall *rollcall)
{
	const uint64_t soon = now_usec() + SOON_USEC;

	if (rollcall_is_on(rollcall) && soon < rollcall->next_usec)
		set_timer(rollcall, soon);
}

void rollcall_lock_out(struct rollcall *rollcall, const char *name)
{
	roll_lock_out(&rollcall->roll, name, now_usec());
}

const struct roll *rollcall_roll(const struct rollcall *rollcall)
{
	return &rollcall->roll;
}
