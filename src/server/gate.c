/* SPDX-License-Identifier: MIT
 * Limits, counters, and a log that a stranger cannot fill. */
#include "server/gate.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <search.h>
#include <string.h>
#include <sys/resource.h>

#include "base/log.h"
#include "base/util.h"
#include "server/peers.h"
#include "server/poller.h"
#include "server/timer.h"
#include "wire/net.h"

#define INTERVAL_USEC (60 * USEC_PER_SEC)
/* All receipts of a page come at once, and none is in a hurry. */
#define RECEIPTS_USEC (20 * 1000)

enum {
	/* For the sound card, the pages and their files. */
	SPARE_DESCRIPTORS = 32,
	/* Of those for clients: when only these are free, who comes takes the
	 * place of one that owes a receipt. */
	LAST_DESCRIPTORS = 64,
};

/* How many of each event are logged in a minute, and the words for the rest. */
static const struct {
	unsigned burst;
	int level;
	const char *rest;
} events[GATE_EVENTS] = {
    [GATE_FULL] = {1, LOG_WARNING, "Refused because of --max-clients"},
    [GATE_ADDRESS_FULL] = {3, LOG_WARNING,
			   "Refused because of --max-per-address"},
    [GATE_UNPROVEN] = {5, LOG_NOTICE, "Refused without a key"},
    [GATE_ABUSED] = {3, LOG_NOTICE, "Dropped because they sent data"},
    [GATE_STUCK] = {10, LOG_NOTICE, "Dropped because they took too little"},
    [GATE_LOCKED_OUT] = {10, LOG_NOTICE, "Locked out"},
    [GATE_PAUSED] = {1, LOG_WARNING, "Pauses in accepting"},
};

/* An address, and how many connections come from there. */
struct gate_address {
	struct in6_addr network;
	unsigned count; /* without those that owe */
	unsigned owing_count;
	TAILQ_HEAD(, gate_place)
	owing; /* the one that has owed longest first
		*/
};

/* --- what is told --- */

static void tell_rest(struct gate *gate, enum gate_event event, uint64_t now)
{
	uint64_t rest = ratelimit_take(&gate->limits[event], now);

	if (rest > 0)
		log_msg(events[event].level,
			"%s, in the last minute: %" PRIu64 " more",
			events[event].rest, rest);
}

/* Sets the timer for the first of the events that were held back. */
static void set_timer(struct gate *gate)
{
	uint64_t next = UINT64_MAX;

	for (int i = 0; i < GATE_EVENTS; i++) {
		const struct ratelimit *limit = &gate->limits[i];
		uint64_t end = limit->begin_usec + limit->interval_usec;

		if (limit->held_back > 0 && end < next)
			next = end;
	}
	if (next != UINT64_MAX)
		timer_set(gate->timer, next);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct gate *gate = userdata;
	uint64_t now = now_usec();

	for (int i = 0; i < GATE_EVENTS; i++)
		tell_rest(gate, (enum gate_event)i, now);
	set_timer(gate);
	return 0;
}

static bool may_tell(struct gate *gate, enum gate_event event)
{
	uint64_t now = now_usec();
	bool allowed;

	tell_rest(gate, event, now);
	allowed = ratelimit_allows(&gate->limits[event], now);
	if (!allowed && gate->limits[event].held_back == 1)
		set_timer(gate);
	return allowed;
}

static int first_spare_descriptor(void)
{
	struct rlimit limit;
	rlim_t spare = SPARE_DESCRIPTORS;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur > INT32_MAX)
		return INT32_MAX;
	if (spare > limit.rlim_cur / 4)
		spare = limit.rlim_cur / 4;
	return (int)(limit.rlim_cur - spare);
}

int gate_new(struct gate **ret, sd_event *event, unsigned max_clients,
	     unsigned max_per_address, struct gate_stats *stats)
{
	struct gate *gate = calloc(1, sizeof(*gate));
	int r;

	if (!gate)
		return -ENOMEM;
	gate->max_clients = max_clients;
	gate->max_per_address = max_per_address;
	gate->stats = stats;
	gate->fd_end = first_spare_descriptor();
	for (int i = 0; i < GATE_EVENTS; i++)
		gate->limits[i] = (struct ratelimit){
		    .burst = events[i].burst,
		    .interval_usec = INTERVAL_USEC,
		};
	r = peers_new(&gate->peers, max_clients);
	if (r == 0)
		r = poller_new(&gate->debts, event);
	if (r == 0)
		r = poller_slow_down(gate->debts, RECEIPTS_USEC);
	if (r >= 0)
		r = timer_new(&gate->timer, event, on_timer, gate);
	if (r < 0) {
		gate_free(gate);
		return r;
	}
	*ret = gate;
	return 0;
}

struct gate *gate_free(struct gate *gate)
{
	if (!gate)
		return NULL;
	tdestroy(gate->addresses, free);
	peers_free(gate->peers);
	poller_free(gate->debts);
	sd_event_source_disable_unref(gate->timer);
	free(gate);
	return NULL;
}

/* --- places --- */

static struct in6_addr network_of(const struct sockaddr_storage *address)
{
	struct in6_addr network;

	if (net_address_v6(address, &network) &&
	    !IN6_IS_ADDR_V4MAPPED(&network))
		memset(&network.s6_addr[8], 0, 8);
	return network;
}

static int compare(const void *a, const void *b)
{
	const struct gate_address *first = a, *second = b;

	return memcmp(&first->network, &second->network,
		      sizeof(first->network));
}

/* The entry of ADDRESS, created if it is new; NULL without memory. */
static struct gate_address *find_address(struct gate *gate,
					 const struct sockaddr_storage *address)
{
	const struct gate_address key = {.network = network_of(address)};
	struct gate_address **found = tsearch(&key, &gate->addresses, compare);

	struct gate_address *entry;

	if (!found || *found != &key)
		return found ? *found : NULL;
	entry = malloc(sizeof(*entry));
	if (!entry) {
		(void)tdelete(&key, &gate->addresses, compare);
		return NULL;
	}
	*entry = key;
	TAILQ_INIT(&entry->owing);
	*found = entry;
	return entry;
}

static bool has_room(struct gate *gate)
{
	if (gate->clients < gate->max_clients)
		return true;
	gate->stats->refused++;
	if (may_tell(gate, GATE_FULL))
		log_warning("A client was refused: there are %u already "
			    "(--max-clients)",
			    gate->max_clients);
	return false;
}

static void note_address_full(struct gate *gate,
			      const struct sockaddr_storage *address)
{
	char name[NET_ADDRESS_SIZE];

	gate->stats->refused_address++;
	if (!may_tell(gate, GATE_ADDRESS_FULL))
		return;
	net_address_name(address, name);
	log_warning("Client %s was refused: its address has %u connection%s "
		    "already (--max-per-address)",
		    name, gate->max_per_address,
		    plural_s(gate->max_per_address));
}

static void compare_debts(const void *node, VISIT visit, void *closure)
{
	const struct gate_address *entry = *(struct gate_address *const *)node;
	const struct gate_address **most = closure;

	if ((visit != postorder && visit != leaf) || entry->owing_count == 0)
		return;
	if (!*most || entry->owing_count > (*most)->owing_count ||
	    (entry->owing_count == (*most)->owing_count &&
	     TAILQ_FIRST(&entry->owing)->number <
		 TAILQ_FIRST(&(*most)->owing)->number))
		*most = entry;
}

/* Ends one connection that owes a receipt, if there is any. */
static void drop_debtor(struct gate *gate)
{
	const struct gate_address *most = NULL;

	if (gate->owing == 0)
		return;
	twalk_r(gate->addresses, compare_debts, &most);
	if (most)
		connection_drop(TAILQ_FIRST(&most->owing)->owing,
				CONNECTION_DONE);
}

int gate_enter(struct gate *gate, int fd,
	       const struct sockaddr_storage *address, struct gate_place *ret)
{
	struct gate_address *entry;

	if (fd >= gate->fd_end - MIN(LAST_DESCRIPTORS, gate->fd_end / 4))
		drop_debtor(gate);
	if (fd >= gate->fd_end)
		return -EMFILE;
	if (!has_room(gate))
		return -EUSERS;
	entry = find_address(gate, address);
	if (!entry)
		return -ENOMEM;
	if (entry->count >= gate->max_per_address) {
		note_address_full(gate, address);
		return -EUSERS;
	}
	entry->count++;
	*ret = (struct gate_place){.address = entry};
	return 0;
}

int gate_admit(struct gate *gate, struct gate_place *place)
{
	if (!has_room(gate))
		return -EUSERS;
	gate->clients++;
	gate->stats->accepted++;
	place->admitted = true;
	return 0;
}

static void leave_clients(struct gate *gate, struct gate_place *place)
{
	if (place->admitted)
		gate->clients--;
	place->admitted = false;
	place->address->count--;
}

static void settle_debt(struct gate *gate, struct gate_place *place)
{
	TAILQ_REMOVE(&place->address->owing, place, entry);
	place->address->owing_count--;
	gate->owing--;
}

void gate_owe(struct gate *gate, struct gate_place *place,
	      struct connection *connection)
{
	if (gate->owing >= gate->max_clients)
		drop_debtor(gate);
	leave_clients(gate, place);
	place->owing = connection;
	place->number = gate->owed++;
	TAILQ_INSERT_TAIL(&place->address->owing, place, entry);
	place->address->owing_count++;
	gate->owing++;
}

void gate_leave(struct gate *gate, struct gate_place *place)
{
	struct gate_address *entry = place->address;

	if (!entry)
		return;
	if (place->owing)
		settle_debt(gate, place);
	else
		leave_clients(gate, place);
	*place = (struct gate_place){0};
	if (entry->count + entry->owing_count > 0)
		return;
	(void)tdelete(entry, &gate->addresses, compare);
	free(entry);
}

/* --- what happens --- */

static void note_unproven(struct gate *gate, const char *peer,
			  const char *problem)
{
	gate->stats->unproven++;
	if (may_tell(gate, GATE_UNPROVEN))
		log_notice("Client %s was not let in: %s", peer, problem);
}

static void note_stuck(struct gate *gate, const char *peer, const char *what)
{
	gate->stats->stuck++;
	if (may_tell(gate, GATE_STUCK))
		log_notice("Client %s took %s and was dropped", peer, what);
}

static void note_abused(struct gate *gate, const char *peer)
{
	gate->stats->abused++;
	if (may_tell(gate, GATE_ABUSED))
		log_notice("Client %s sent data that no client sends, and was "
			   "dropped",
			   peer);
}

void gate_note_end(struct gate *gate, enum connection_end end,
		   const struct connection *connection)
{
	const char *peer = connection_peer(connection);

	switch (end) {
	case CONNECTION_ABUSED:
		note_abused(gate, peer);
		break;
	case CONNECTION_UNPROVEN:
		note_unproven(gate, peer, connection_problem(connection));
		break;
	case CONNECTION_TOO_SLOW:
		note_unproven(gate, peer,
			      "no handshake in time (does it use --psk-file?)");
		break;
	case CONNECTION_STUCK:
		note_stuck(gate, peer, "nothing for 10 s");
		break;
	case CONNECTION_CRAWLED:
		note_stuck(gate, peer, "too little of a page");
		break;
	case CONNECTION_LOCKED_OUT:
		if (may_tell(gate, GATE_LOCKED_OUT))
			log_notice("Client %s ('%s') was locked out: its key "
				   "was removed",
				   peer, connection_identity(connection));
		break;
	case CONNECTION_DONE:
	case CONNECTION_LEFT:
	case CONNECTION_LOST:
	case CONNECTION_REFUSED:
		break;
	}
}

void gate_note_pause(struct gate *gate, int error)
{
	if (may_tell(gate, GATE_PAUSED))
		log_warning("Accepting pauses at %u client%s: %s; raise "
			    "LimitNOFILE= or ulimit -n",
			    gate->clients, plural_s(gate->clients),
			    strerror(-error));
}

void gate_tell_totals(const struct gate *gate)
{
	const struct gate_stats *s = gate ? gate->stats : NULL;

	if (!s || s->refused + s->refused_address + s->unproven + s->abused +
			  s->stuck ==
		      0)
		return;
	log_notice(
	    "Turned away since the start: %" PRIu64
	    " beyond --max-clients, %" PRIu64
	    " beyond --max-per-address, %" PRIu64 " without a key, %" PRIu64
	    " that sent data, %" PRIu64 " that took too little",
	    s->refused, s->refused_address, s->unproven, s->abused, s->stuck);
}
