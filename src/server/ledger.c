/* SPDX-License-Identifier: MIT
 * An entry for each connection. Those of a loudspeaker that was cut off become
 * one as soon as that is known, so that one that comes and goes fills nothing.
 */
#include "server/ledger.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "server/verdict.h"

enum {
	NAME_SIZE = 144, /* with an address */
};

const char *ledger_heard_name(enum ledger_heard heard)
{
	static const char *const names[] = {
	    [LEDGER_UNHEARD] = "unheard",
	    [LEDGER_PARTLY] = "partly",
	    [LEDGER_UNREPORTED] = "unreported",
	    [LEDGER_PENDING] = "pending",
	    [LEDGER_ALL] = "all",
	    [LEDGER_EXCUSED] = "excused",
	};

	return names[heard];
}

/* --- entries --- */

int ledger_new(struct ledger **ret, uint32_t page_id, size_t max)
{
	struct ledger *ledger = calloc(1, sizeof(*ledger));

	if (!ledger)
		return -ENOMEM;
	ledger->page = page_id;
	ledger->max = max;
	ledger->size = sizeof(*ledger);
	TAILQ_INIT(&ledger->entries);
	TAILQ_INIT(&ledger->lost);
	*ret = ledger;
	return 0;
}

static size_t entry_size(const char *identity, size_t address_length)
{
	return sizeof(struct ledger_entry) + strlen(identity) + 1 +
	       address_length + 1;
}

/* Takes ENTRY out of QUEUE, and of the ledger. */
static void forget(struct ledger *ledger, struct ledger_queue *queue,
		   struct ledger_entry *entry)
{
	TAILQ_REMOVE(queue, entry, in_state);
	LIST_REMOVE(entry, in_bucket);
	ledger->count--;
	ledger->size -= entry_size(entry->identity, strlen(entry->address));
	free(entry);
}

struct ledger *ledger_free(struct ledger *ledger)
{
	struct ledger_entry *entry;

	if (!ledger)
		return NULL;
	while ((entry = TAILQ_FIRST(&ledger->entries)))
		forget(ledger, &ledger->entries, entry);
	while ((entry = TAILQ_FIRST(&ledger->lost)))
		forget(ledger, &ledger->lost, entry);
	free(ledger);
	return NULL;
}

/* Where the address in PEER begins: "[2001:db8::1]:40000" has brackets. */
static const char *address_of(const char *peer, size_t *ret_length)
{
	const char *colon = strrchr(peer, ':');
	size_t length = colon ? (size_t)(colon - peer) : strlen(peer);

	if (length > 1 && peer[0] == '[' && peer[length - 1] == ']') {
		*ret_length = length - 2;
		return peer + 1;
	}
	*ret_length = length;
	return peer;
}

static struct ledger_entry *new_entry(const char *identity, const char *peer)
{
	struct ledger_entry *entry;
	const char *address;
	size_t length;

	address = address_of(peer, &length);
	entry = calloc(1, entry_size(identity, length));
	if (!entry)
		return NULL;
	strcpy(entry->identity, identity);
	entry->address = entry->identity + strlen(identity) + 1;
	memcpy(entry->address, address, length);
	return entry;
}

/* What tells loudspeakers apart before they say a name. */
static const char *key_of(const struct ledger_entry *entry)
{
	return *entry->identity ? entry->identity : entry->address;
}

/* FNV-1a. */
static size_t bucket_of(const struct ledger_entry *entry)
{
	uint32_t hash = 2166136261u;

	for (const char *c = key_of(entry); *c; c++)
		hash = (hash ^ (uint8_t)*c) * 16777619u;
	return hash % LEDGER_BUCKETS;
}

static bool same_key(const struct ledger_entry *a, const struct ledger_entry *b)
{
	return !*a->identity == !*b->identity &&
	       strcmp(key_of(a), key_of(b)) == 0;
}

/* --- who was cut off and came back --- */

/* ENTRY is the return of LOST, whose address is better the same: a key
 * may be on many machines. */
static void continue_lost(struct ledger *ledger, struct ledger_entry *entry,
			  struct ledger_entry *lost)
{
	entry->returned = true;
	entry->vacancies += lost->vacancies;
	entry->vacancies--;
	forget(ledger, &ledger->lost, lost);
}

static bool is_lost(const struct ledger_entry *entry)
{
	return entry->state == ENTRY_LOST;
}

static bool is_shed(const struct ledger_entry *entry)
{
	return entry->shed;
}

/* The one that ENTRY may be the return of. */
static struct ledger_entry *
find_gone(const struct ledger *ledger, const struct ledger_entry *entry,
	  bool (*is_gone)(const struct ledger_entry *))
{
	struct ledger_entry *other, *found = NULL;

	LIST_FOREACH (other, &ledger->buckets[bucket_of(entry)], in_bucket) {
		if (!is_gone(other) || !same_key(entry, other))
			continue;
		if (strcmp(entry->address, other->address) == 0)
			return other;
		found = other;
	}
	return found;
}

/* The first that joined after LOST, and may be its return: a loudspeaker
 * often notices a break before the server does. */
static struct ledger_entry *find_return(const struct ledger *ledger,
					const struct ledger_entry *lost)
{
	struct ledger_entry *other, *found = NULL;

	LIST_FOREACH (other, &ledger->buckets[bucket_of(lost)], in_bucket)
		if (other->state != ENTRY_LOST && other->vacancies > 0 &&
		    other->joined > lost->joined && same_key(lost, other) &&
		    (!found || other->joined < found->joined))
			found = other;
	return found;
}

static bool make_room(struct ledger *ledger)
{
	struct ledger_entry *oldest = TAILQ_FIRST(&ledger->lost);

	if (ledger->count < ledger->max)
		return true;
	if (!oldest)
		return false;
	forget(ledger, &ledger->lost, oldest);
	ledger->forgotten++;
	return true;
}

/* The entry of a loudspeaker that was shed, and is back from FRAME on; or NULL.
 */
static struct ledger_entry *resume(struct ledger *ledger, const char *identity,
				   const char *peer, uint64_t frame)
{
	_cleanup_free_ struct ledger_entry *wanted = new_entry(identity, peer);
	struct ledger_entry *entry =
	    wanted ? find_gone(ledger, wanted, is_shed) : NULL;

	if (!entry)
		return NULL;
	entry->shed = false;
	entry->state = ENTRY_ON_AIR;
	entry->connections++;
	entry->skipped += frame - MIN(frame, entry->end);
	return entry;
}

struct ledger_entry *ledger_join(struct ledger *ledger, const char *zone,
				 const char *identity, const char *peer,
				 uint64_t frame)
{
	struct ledger_entry *entry, *lost;

	ledger->open++;
	entry = resume(ledger, identity ? identity : "", peer, frame);
	if (entry)
		return entry;
	entry = make_room(ledger) ? new_entry(identity ? identity : "", peer)
				  : NULL;
	if (!entry) {
		ledger->unlisted++;
		return NULL;
	}
	entry->zone = zone;
	entry->joined = frame;
	entry->connections = 1;
	entry->vacancies = frame > 0;
	lost = frame > 0 ? find_gone(ledger, entry, is_lost) : NULL;
	if (lost)
		continue_lost(ledger, entry, lost);
	TAILQ_INSERT_TAIL(&ledger->entries, entry, in_state);
	LIST_INSERT_HEAD(&ledger->buckets[bucket_of(entry)], entry, in_bucket);
	ledger->count++;
	ledger->size += entry_size(entry->identity, strlen(entry->address));
	return entry;
}

static void note_lost(struct ledger *ledger, struct ledger_entry *entry)
{
	struct ledger_entry *again = find_return(ledger, entry);

	entry->state = ENTRY_LOST;
	TAILQ_REMOVE(&ledger->entries, entry, in_state);
	TAILQ_INSERT_TAIL(&ledger->lost, entry, in_state);
	if (again)
		continue_lost(ledger, again, entry);
}

void ledger_end(struct ledger *ledger, struct ledger_entry *entry,
		enum ledger_end end, uint64_t frame, uint64_t skipped_frames)
{
	if (end == LEDGER_LOST)
		ledger->open--;
	if (!entry && end == LEDGER_LOST) {
		ledger->unlisted--;
		ledger->forgotten++;
	}
	if (!entry)
		return;
	entry->end = MAX(frame, entry->joined);
	entry->skipped =
	    MIN(entry->skipped + skipped_frames, entry->end - entry->joined);
	if (end == LEDGER_LOST)
		entry->connections--;
	/* What was shed before may still answer. */
	if (end == LEDGER_LOST && entry->connections == 0)
		note_lost(ledger, entry);
	else
		entry->state = ENTRY_OWES;
}

void ledger_shed(struct ledger *ledger, struct ledger_entry *entry,
		 uint64_t frame)
{
	ledger_end(ledger, entry, LEDGER_SENT, frame, 0);
	if (entry)
		entry->shed = true;
}

static uint64_t sum(uint64_t a, uint64_t b)
{
	return a == RECEIPT_UNKNOWN || b == RECEIPT_UNKNOWN ? RECEIPT_UNKNOWN
							    : a + b;
}

/* The greater of those that are known. */
static uint64_t greater(uint64_t a, uint64_t b)
{
	if (a == RECEIPT_UNKNOWN || b == RECEIPT_UNKNOWN)
		return MIN(a, b);
	return MAX(a, b);
}

/* What the connections before that of RECEIPT have said. */
static void add_receipt(struct receipt *receipt, const struct receipt *before)
{
	receipt->arrived_frames =
	    sum(receipt->arrived_frames, before->arrived_frames);
	receipt->heard_frames =
	    sum(receipt->heard_frames, before->heard_frames);
	receipt->dropped_frames =
	    sum(receipt->dropped_frames, before->dropped_frames);
	receipt->starved_ms = sum(receipt->starved_ms, before->starved_ms);
	receipt->sync_us = greater(receipt->sync_us, before->sync_us);
}

/* One of its connections owes no more: STATE if it was the last. */
static void settle(struct ledger_entry *entry, enum ledger_entry_state state)
{
	entry->connections--;
	if (entry->connections == 0)
		entry->state = entry->has_receipt ? ENTRY_TOLD : state;
}

void ledger_receipt(struct ledger *ledger, struct ledger_entry *entry,
		    const struct receipt *receipt)
{
	struct receipt before;

	ledger->open--;
	if (!entry)
		return;
	before = entry->receipt;
	entry->receipt = *receipt;
	if (entry->has_receipt)
		add_receipt(&entry->receipt, &before);
	entry->has_receipt = true;
	settle(entry, ENTRY_TOLD);
}

void ledger_silent(struct ledger *ledger, struct ledger_entry *entry,
		   enum ledger_silence why)
{
	static const enum ledger_entry_state states[] = {
	    [LEDGER_NO_RECEIPT] = ENTRY_NO_RECEIPT,
	    [LEDGER_TIMED_OUT] = ENTRY_TIMED_OUT,
	    [LEDGER_REFUSED] = ENTRY_REFUSED,
	};

	ledger->open--;
	if (entry)
		settle(entry, states[why]);
}

void ledger_set_length(struct ledger *ledger, uint32_t rate, uint64_t frames,
		       uint64_t due_usec)
{
	ledger->rate = rate;
	ledger->frames = frames;
	ledger->due_usec = due_usec;
}

size_t ledger_open_count(const struct ledger *ledger)
{
	return ledger->open;
}

size_t ledger_size(const struct ledger *ledger)
{
	return ledger->size;
}

/* --- the list --- */

/* Of several connections of one loudspeaker the best counts: it is the one that
 * had the card. */
static int goodness(const struct ledger_player *player)
{
	static const int goodness[] = {
	    [LEDGER_ALL] = 5,	     [LEDGER_EXCUSED] = 4, [LEDGER_PARTLY] = 3,
	    [LEDGER_UNREPORTED] = 2, [LEDGER_UNHEARD] = 1, [LEDGER_PENDING] = 0,
	};

	return goodness[player->heard];
}

static int compare_who(const struct ledger_player *a,
		       const struct ledger_player *b)
{
	int r = strcmp(a->identity, b->identity);

	if (r == 0)
		r = strcmp(a->name, b->name);
	return r != 0 ? r : strcmp(a->address, b->address);
}

/* The best of each zone first. */
static int compare_to_rank(const void *one, const void *other)
{
	const struct ledger_player *a = one, *b = other;
	int r = compare_who(a, b);

	if (r == 0)
		r = strcmp(a->zone, b->zone);
	return r != 0 ? r : goodness(b) - goodness(a);
}

/* The best of one loudspeaker first. */
static int compare_to_merge(const void *one, const void *other)
{
	const struct ledger_player *a = one, *b = other;
	int r = compare_who(a, b);

	if (r == 0)
		r = (a->rank > b->rank) - (a->rank < b->rank);
	return r != 0 ? r : goodness(b) - goodness(a);
}

static int compare_to_show(const void *one, const void *other)
{
	const struct ledger_player *a = one, *b = other;

	int r = (int)a->heard - (int)b->heard;

	if (r == 0)
		r = strcmp(a->reason, b->reason);
	if (r == 0)
		r = (int)a->anonymous - (int)b->anonymous;
	return r != 0 ? r : strcmp(a->label, b->label);
}

/* Only who has said a name is known to be the same. */
static bool is_same(const struct ledger_player *a,
		    const struct ledger_player *b)
{
	return *a->name && compare_who(a, b) == 0 && a->rank == b->rank;
}

/* A loudspeaker connects to a zone once: two of a name in one zone are two,
 * such as two cards of a machine. */
static void rank(struct ledger_list *list)
{
	struct ledger_player *players = list->players;

	qsort(players, list->player_count, sizeof(*players), compare_to_rank);
	for (size_t i = 1; i < list->player_count; i++)
		if (compare_who(&players[i - 1], &players[i]) == 0 &&
		    strcmp(players[i - 1].zone, players[i].zone) == 0)
			players[i].rank = players[i - 1].rank + 1;
}

static void merge(struct ledger_list *list)
{
	size_t kept = 0;

	rank(list);
	qsort(list->players, list->player_count, sizeof(*list->players),
	      compare_to_merge);
	for (size_t i = 0; i < list->player_count; i++)
		if (kept == 0 ||
		    !is_same(&list->players[kept - 1], &list->players[i]))
			list->players[kept++] = list->players[i];
	list->player_count = kept;
}

/* "hall (192.0.2.1)", or the address alone. A name that could be taken for more
 * than a name is put in quotes. */
static void name_text(const struct ledger_player *player, char text[NAME_SIZE])
{
	char name[RECEIPT_NAME_SIZE];

	snprintf(name, sizeof(name), "%s", player->name);
	for (char *c = name; (c = strchr(c, '"'));)
		*c = '\'';
	if (!*name)
		snprintf(text, NAME_SIZE, "%s", player->address);
	else if (name_valid(name))
		snprintf(text, NAME_SIZE, "%s (%s)", name, player->address);
	else
		snprintf(text, NAME_SIZE, "\"%s\" (%s)", name, player->address);
}

/* A key that several have tells them apart only together with the rest. */
static void label(struct ledger_player *player, bool shared)
{
	char name[NAME_SIZE];

	player->anonymous = !*player->identity && !*player->name;
	name_text(player, name);
	if (!*player->identity)
		snprintf(player->label, LEDGER_LABEL_SIZE, "%s", name);
	else if (!shared)
		snprintf(player->label, LEDGER_LABEL_SIZE, "%.80s",
			 player->identity);
	else
		snprintf(player->label, LEDGER_LABEL_SIZE, "%.80s/%s",
			 player->identity, name);
}

static bool same_identity(const struct ledger_list *list, size_t i, size_t j)
{
	return j < list->player_count && strcmp(list->players[i].identity,
						list->players[j].identity) == 0;
}

/* The list is in the order of identities. */
static void label_all(struct ledger_list *list)
{
	for (size_t i = 0; i < list->player_count; i++)
		label(&list->players[i],
		      (i > 0 && same_identity(list, i, i - 1)) ||
			  same_identity(list, i, i + 1));
}

static void count(const struct ledger *ledger, struct ledger_list *list)
{
	list->counts[LEDGER_UNHEARD] = ledger->forgotten;
	list->counts[LEDGER_UNREPORTED] = ledger->unlisted;
	list->sync_us = RECEIPT_UNKNOWN;
	for (size_t i = 0; i < list->player_count; i++) {
		const struct ledger_player *player = &list->players[i];

		list->counts[player->heard]++;
		list->sync_us = greater(list->sync_us, player->sync_us);
	}
	for (size_t i = 0; i < LEDGER_HEARD_COUNT; i++)
		if (i != LEDGER_EXCUSED)
			list->total += list->counts[i];
}

int ledger_list(const struct ledger *ledger, struct ledger_list *ret)
{
	const struct ledger_queue *const queues[] = {&ledger->entries,
						     &ledger->lost};
	struct ledger_list list = {.page = ledger->page,
				   .rate = ledger->rate,
				   .due_usec = ledger->due_usec};
	const struct ledger_entry *entry;

	list.players = calloc(ledger->count + 1, sizeof(*list.players));
	if (!list.players)
		return -ENOMEM;
	for (size_t i = 0; i < ARRAY_SIZE(queues); i++)
		TAILQ_FOREACH (entry, queues[i], in_state)
			verdict_judge(ledger, entry,
				      &list.players[list.player_count++]);
	merge(&list);
	label_all(&list);
	qsort(list.players, list.player_count, sizeof(*list.players),
	      compare_to_show);
	count(ledger, &list);
	*ret = list;
	return 0;
}

void ledger_list_clear(struct ledger_list *list)
{
	free(list->players);
	*list = (struct ledger_list){0};
}

static bool is_of(const struct ledger_entry *entry,
		  const struct ledger_entry *wanted)
{
	return same_key(entry, wanted) &&
	       strcmp(entry->address, wanted->address) == 0;
}

/* Of several connections of the loudspeaker that *PLAYER is, the best. */
static void find_better(const struct ledger *ledger,
			const struct ledger_entry *wanted,
			struct ledger_player *player)
{
	const struct ledger_entry *entry;
	struct ledger_player other;

	LIST_FOREACH (entry, &ledger->buckets[bucket_of(wanted)], in_bucket) {
		if (!is_of(entry, wanted))
			continue;
		verdict_judge(ledger, entry, &other);
		if (is_same(&other, player) &&
		    goodness(&other) > goodness(player))
			*player = other;
	}
}

enum ledger_found ledger_find(const struct ledger *ledger, const char *zone,
			      const char *identity, const char *peer,
			      struct ledger_player *ret)
{
	_cleanup_free_ struct ledger_entry *wanted =
	    new_entry(identity ? identity : "", peer);
	const struct ledger_entry *entry, *own = NULL;
	struct ledger_player found;

	if (!wanted)
		return LEDGER_NONE;
	LIST_FOREACH (entry, &ledger->buckets[bucket_of(wanted)], in_bucket) {
		if (!is_of(entry, wanted) || strcmp(entry->zone, zone) != 0)
			continue;
		if (own)
			return LEDGER_SEVERAL;
		own = entry;
	}
	if (!own)
		return LEDGER_NONE;
	verdict_judge(ledger, own, &found);
	find_better(ledger, wanted, &found);
	if (found.heard == LEDGER_PENDING)
		return LEDGER_NONE;
	label(&found, false);
	*ret = found;
	return LEDGER_ONE;
}
