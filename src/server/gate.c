/* SPDX-License-Identifier: MIT
 * Limits, counters, and a log that a stranger cannot fill. */
#include "server/gate.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/resource.h>

#include "base/log.h"
#include "base/ratelimit.h"
#include "base/util.h"
#include "wire/net.h"

#define INTERVAL_USEC (60 * USEC_PER_SEC)

enum {
	/* For the sound card, the page and its file. */
	SPARE_DESCRIPTORS = 32,
};

enum event {
	FULL,
	ADDRESS_FULL,
	UNPROVEN,
	ABUSED,
	STUCK,
	LOCKED_OUT,
	PAUSED,
	EVENT_COUNT,
};

/* How many of each are told in a minute, and how the rest is called. */
static const struct {
	unsigned burst;
	int level;
	const char *rest;
} events[EVENT_COUNT] = {
    [FULL] = {1, LOG_WARNING, "Refused for --max-clients"},
    [ADDRESS_FULL] = {3, LOG_WARNING, "Refused for --max-per-address"},
    [UNPROVEN] = {5, LOG_NOTICE, "Not let in"},
    [ABUSED] = {3, LOG_NOTICE, "Dropped for sending data"},
    [STUCK] = {10, LOG_NOTICE, "Dropped for taking too little"},
    [LOCKED_OUT] = {10, LOG_NOTICE, "Locked out"},
    [PAUSED] = {1, LOG_WARNING, "Pauses in accepting"},
};

struct gate {
	unsigned max_clients, max_per_address;
	struct gate_stats *stats;
	struct peers *peers;
	int fd_end; /* the first descriptor that no client gets */
	struct ratelimit limits[EVENT_COUNT];
};

static void tell_rest(struct gate *gate, enum event event, uint64_t now)
{
	uint64_t rest = ratelimit_take(&gate->limits[event], now);

	if (rest > 0)
		log_msg(events[event].level,
			"%s in the last minute: %" PRIu64 " more",
			events[event].rest, rest);
}

static bool may_tell(struct gate *gate, enum event event)
{
	uint64_t now = now_usec();

	tell_rest(gate, event, now);
	return ratelimit_allows(&gate->limits[event], now);
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

int gate_new(struct gate **ret, unsigned max_clients, unsigned max_per_address,
	     struct gate_stats *stats)
{
	struct gate *gate = calloc(1, sizeof(*gate));
	int r;

	if (!gate)
		return -ENOMEM;
	gate->max_clients = max_clients;
	gate->max_per_address = max_per_address;
	gate->stats = stats;
	gate->fd_end = first_spare_descriptor();
	for (int i = 0; i < EVENT_COUNT; i++)
		gate->limits[i] = (struct ratelimit){
		    .burst = events[i].burst,
		    .interval_usec = INTERVAL_USEC,
		};
	r = peers_new(&gate->peers, max_per_address);
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
	peers_free(gate->peers);
	free(gate);
	return NULL;
}

bool gate_has_room(struct gate *gate, unsigned clients)
{
	if (clients < gate->max_clients)
		return true;
	gate->stats->refused++;
	if (may_tell(gate, FULL))
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
	if (!may_tell(gate, ADDRESS_FULL))
		return;
	net_address_name(address, name);
	log_warning("Client %s was refused: %u connections come from there "
		    "already (--max-per-address)",
		    name, gate->max_per_address);
}

int gate_enter(struct gate *gate, int fd,
	       const struct sockaddr_storage *address, unsigned clients,
	       struct peer **ret)
{
	int r;

	if (fd >= gate->fd_end)
		return -EMFILE;
	if (!gate_has_room(gate, clients))
		return -EUSERS;
	r = peers_enter(gate->peers, address, ret);
	if (r == -EUSERS)
		note_address_full(gate, address);
	return r;
}

void gate_note_accepted(struct gate *gate)
{
	gate->stats->accepted++;
}

static void note_unproven(struct gate *gate, const char *peer,
			  const char *problem)
{
	gate->stats->unproven++;
	if (may_tell(gate, UNPROVEN))
		log_notice("Client %s was not let in: %s", peer, problem);
}

static void note_stuck(struct gate *gate, const char *peer, const char *what)
{
	gate->stats->stuck++;
	if (may_tell(gate, STUCK))
		log_notice("Client %s took %s and was dropped", peer, what);
}

static void note_abused(struct gate *gate, const char *peer)
{
	gate->stats->abused++;
	if (may_tell(gate, ABUSED))
		log_notice("Client %s sent data, which no client does, and was "
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
			      "no handshake in time (has it a --psk-file?)");
		break;
	case CONNECTION_STUCK:
		note_stuck(gate, peer, "nothing for 10 s");
		break;
	case CONNECTION_CRAWLED:
		note_stuck(gate, peer, "too little of a page");
		break;
	case CONNECTION_LOCKED_OUT:
		if (may_tell(gate, LOCKED_OUT))
			log_notice("Client %s ('%s') was locked out: its key "
				   "is no more",
				   peer, connection_identity(connection));
		break;
	case CONNECTION_DONE:
	case CONNECTION_LEFT:
	case CONNECTION_LOST:
	case CONNECTION_REFUSED:
		break;
	}
}

void gate_note_pause(struct gate *gate, unsigned clients, int error)
{
	if (may_tell(gate, PAUSED))
		log_warning("Accepting pauses at %u clients: %s; raise "
			    "LimitNOFILE= or ulimit -n",
			    clients, strerror(-error));
}

bool gate_tell(struct gate *gate)
{
	const uint64_t now = now_usec();
	bool more = false;

	for (int i = 0; i < EVENT_COUNT; i++) {
		tell_rest(gate, (enum event)i, now);
		more = more || gate->limits[i].held_back > 0;
	}
	return more;
}

void gate_tell_totals(const struct gate *gate)
{
	const struct gate_stats *s = gate->stats;

	if (s->refused + s->refused_address + s->unproven + s->abused +
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
