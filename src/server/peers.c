/* SPDX-License-Identifier: MIT
 * A tree to find an address, and a list to forget the oldest. */
#include "server/peers.h"

#include <errno.h>
#include <search.h>
#include <string.h>
#include <sys/queue.h>

#include "base/util.h"
#include "wire/net.h"

struct peer {
	struct in6_addr address;
	TAILQ_ENTRY(peer) entry;
};

struct peers {
	void *tree;
	TAILQ_HEAD(, peer) list; /* the one added longest ago first */
	unsigned count, max;
};

static int compare(const void *a, const void *b)
{
	const struct peer *first = a, *second = b;

	return memcmp(&first->address, &second->address,
		      sizeof(first->address));
}

int peers_new(struct peers **ret, unsigned max)
{
	struct peers *peers = calloc(1, sizeof(*peers));

	if (!peers)
		return -ENOMEM;
	TAILQ_INIT(&peers->list);
	peers->max = max;
	*ret = peers;
	return 0;
}

static void forget(struct peers *peers, struct peer *peer)
{
	(void)tdelete(peer, &peers->tree, compare);
	TAILQ_REMOVE(&peers->list, peer, entry);
	peers->count--;
	free(peer);
}

struct peers *peers_free(struct peers *peers)
{
	if (!peers)
		return NULL;
	while (!TAILQ_EMPTY(&peers->list))
		forget(peers, TAILQ_FIRST(&peers->list));
	free(peers);
	return NULL;
}

static struct peer *find(const struct peers *peers,
			 const struct in6_addr *address)
{
	const struct peer key = {.address = *address};
	struct peer **found = tfind(&key, &peers->tree, compare);

	return found ? *found : NULL;
}

/* The entry of ADDRESS, which is new; NULL without memory. */
static struct peer *add(struct peers *peers, const struct in6_addr *address)
{
	struct peer *peer = malloc(sizeof(*peer));

	if (!peer)
		return NULL;
	peer->address = *address;
	if (!tsearch(peer, &peers->tree, compare)) {
		free(peer);
		return NULL;
	}
	peers->count++;
	return peer;
}

void peers_add(struct peers *peers, const struct in6_addr *address)
{
	struct peer *peer;

	if (IN6_IS_ADDR_MULTICAST(address))
		return;
	peer = find(peers, address);
	if (peer)
		TAILQ_REMOVE(&peers->list, peer, entry);
	else
		peer = add(peers, address);
	if (!peer)
		return;
	TAILQ_INSERT_TAIL(&peers->list, peer, entry);
	if (peers->count > peers->max)
		forget(peers, TAILQ_FIRST(&peers->list));
}

bool peers_know(const struct peers *peers, const struct in6_addr *address)
{
	return !IN6_IS_ADDR_MULTICAST(address) && find(peers, address) != NULL;
}
