/* SPDX-License-Identifier: MIT
 * A hash table with an entry for each address that is connected now. */
#include "server/peers.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/random.h>

#include "base/util.h"

/* Few enough to be small, enough for chains of some ten addresses. */
enum { BUCKETS = 2048 };

struct peer {
	LIST_ENTRY(peer) entry;
	uint64_t high, low; /* as of an IPv6 address */
	unsigned count;
};

struct peers {
	LIST_HEAD(, peer) buckets[BUCKETS];
	uint64_t seed[2]; /* so that nobody can choose one chain */
	unsigned max_per_address;
};

static void set_key(struct peer *key, const struct sockaddr_storage *address)
{
	const struct sockaddr_in *v4 = (const void *)address;
	const struct sockaddr_in6 *v6 = (const void *)address;
	struct in6_addr in6 = {.s6_addr = {[10] = 0xff, [11] = 0xff}};

	if (address->ss_family == AF_INET6) {
		in6 = v6->sin6_addr;
		if (!IN6_IS_ADDR_V4MAPPED(&in6))
			memset(&in6.s6_addr[8], 0, 8);
	} else if (address->ss_family == AF_INET) {
		memcpy(&in6.s6_addr[12], &v4->sin_addr, 4);
	} else {
		memset(&in6, 0xff, sizeof(in6)); /* nobody's address */
	}
	memcpy(&key->high, &in6.s6_addr[0], 8);
	memcpy(&key->low, &in6.s6_addr[8], 8);
}

static size_t bucket_of(const struct peers *peers, const struct peer *key)
{
	uint64_t hash = (key->high ^ peers->seed[0]) * 0x9e3779b97f4a7c15;

	hash ^= hash >> 32;
	hash = (hash + (key->low ^ peers->seed[1])) * 0xd6e8feb86659fd93;
	hash ^= hash >> 32;
	return (size_t)(hash % BUCKETS);
}

static struct peer *find(const struct peers *peers, const struct peer *key)
{
	struct peer *peer;

	LIST_FOREACH (peer, &peers->buckets[bucket_of(peers, key)], entry)
		if (peer->high == key->high && peer->low == key->low)
			return peer;
	return NULL;
}

int peers_new(struct peers **ret, unsigned max_per_address)
{
	struct peers *peers = calloc(1, sizeof(*peers));

	if (!peers)
		return -ENOMEM;
	/* Early at boot the clock must do: this is no secret. */
	if (getrandom(peers->seed, sizeof(peers->seed), GRND_NONBLOCK) < 0)
		peers->seed[0] = now_usec();
	peers->max_per_address = max_per_address;
	*ret = peers;
	return 0;
}

struct peers *peers_free(struct peers *peers)
{
	free(peers);
	return NULL;
}

int peers_enter(struct peers *peers, const struct sockaddr_storage *address,
		struct peer **ret)
{
	struct peer key = {0}, *peer;

	set_key(&key, address);
	peer = find(peers, &key);
	if (!peer) {
		peer = malloc(sizeof(*peer));
		if (!peer)
			return -ENOMEM;
		*peer = key;
		LIST_INSERT_HEAD(&peers->buckets[bucket_of(peers, peer)], peer,
				 entry);
	}
	if (peer->count >= peers->max_per_address)
		return -EUSERS;
	peer->count++;
	*ret = peer;
	return 0;
}

void peer_leave(struct peer *peer)
{
	if (!peer || --peer->count > 0)
		return;
	LIST_REMOVE(peer, entry);
	free(peer);
}
