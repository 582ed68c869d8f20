/* SPDX-License-Identifier: MIT
 * One verdict for each member, from what was seen in this call and in those
 * before. What cannot be told yet leaves the verdict as it is. */
#include "server/roll.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void roll_init(struct roll *roll, enum roll_kind kind)
{
	*roll = (struct roll){.kind = kind};
}

void roll_clear(struct roll *roll)
{
	free(roll->members);
	roll->members = NULL;
	roll->count = 0;
}

/* --- members --- */

/* The index of NAME, or of the place where it would be. */
static size_t place_of(const struct roll *roll, const char *name)
{
	size_t low = 0, high = roll->count;

	while (low < high) {
		const size_t middle = low + (high - low) / 2;

		if (strcmp(roll->members[middle].name, name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct roll_member *find(const struct roll *roll, const char *name)
{
	const size_t place = place_of(roll, name);

	if (place == roll->count ||
	    strcmp(roll->members[place].name, name) != 0)
		return NULL;
	return &roll->members[place];
}

/* NULL without memory. */
static struct roll_member *find_or_add(struct roll *roll, const char *name)
{
	const size_t place = place_of(roll, name);
	struct roll_member *member = find(roll, name);

	if (member)
		return member;
	member = reallocarray(roll->members, roll->count + 1, sizeof(*member));
	if (!member)
		return NULL;
	roll->members = member;
	member += place;
	memmove(member + 1, member, (roll->count - place) * sizeof(*member));
	roll->count++;
	*member = (struct roll_member){
	    .kind = roll->kind,
	    .zone = roll->kind == ROLL_OF_ZONES ? name : "",
	};
	strcpy(member->name, name);
	return member;
}

/* --- a call --- */

void roll_begin(struct roll *roll)
{
	for (size_t i = 0; i < roll->count; i++) {
		struct roll_member *member = &roll->members[i];

		member->wanted = member->present = 0;
		member->mute = member->on_air = 0;
		member->heard_usec = 0;
		member->has_said = false;
	}
}

int roll_expect(struct roll *roll, const char *name, unsigned count)
{
	struct roll_member *member = find_or_add(roll, name);

	if (!member)
		return -ENOMEM;
	member->wanted = count;
	return 0;
}

void roll_see(struct roll *roll, const char *name,
	      const struct roll_sighting *sighting)
{
	struct roll_member *member = find(roll, name);

	if (!member)
		return;
	member->present++;
	member->on_air += sighting->on_air;
	member->mute += !sighting->speaks;
	if (roll->kind == ROLL_OF_IDENTITIES)
		member->zone = sighting->zone;
	/* Of several, that which was heard last knows how the card is. */
	if (sighting->heard_usec < member->heard_usec)
		return;
	member->heard_usec = sighting->heard_usec;
	member->has_said = sighting->has_said;
	member->card = sighting->card;
}

/* Sets *SINCE to AT unless it is set, or resets it when IT is not so. */
static void note(uint64_t *since, bool it, uint64_t at)
{
	if (!it)
		*since = 0;
	else if (*since == 0)
		*since = at;
}

static unsigned shortage(const struct roll_member *member)
{
	return (unsigned)surplus(member->wanted, member->present);
}

/* How many it was told that are absent. */
static unsigned told(const struct roll_member *member)
{
	return member->why == ROLL_ABSENT ? member->count : 0;
}

/* After a page all connect again: what counts is how many are absent all the
 * time. */
static void note_absent(struct roll_member *member, uint64_t now)
{
	const unsigned absent = shortage(member);
	const unsigned more = (unsigned)surplus(absent, told(member));

	if (member->absent_usec == 0 || more < member->absent_more)
		member->absent_more = more;
	note(&member->absent_usec, more > 0, now);
}

static void note_all(struct roll_member *member, uint64_t now)
{
	note_absent(member, now);
	if (member->present > 0)
		member->locked_usec = 0;
	if (member->mute > 0)
		member->card_missing_usec = member->card_busy_usec = 0;
	if (!member->has_said)
		return;
	note(&member->card_missing_usec, member->card == RECEIPT_CARD_MISSING,
	     member->heard_usec);
	note(&member->card_busy_usec, member->card == RECEIPT_CARD_BUSY,
	     member->heard_usec);
}

/* Only while it waits, and only who has agreed to speak, has to. */
static bool has_to_speak(const struct roll_member *member)
{
	return member->present > 0 && member->mute == 0 && member->on_air == 0;
}

struct verdict {
	enum roll_why why;
	unsigned count;
	uint64_t since_usec;
};

static struct verdict judge_absent(const struct roll_member *member,
				   uint64_t now)
{
	const unsigned still = MIN(member->count, shortage(member));

	if (member->absent_usec &&
	    now >= member->absent_usec + ROLL_ABSENT_USEC)
		return (struct verdict){
		    ROLL_ABSENT,
		    told(member) + member->absent_more,
		    member->absent_usec,
		};
	if (member->why != ROLL_ABSENT)
		return (struct verdict){member->why, member->count, 0};
	return (struct verdict){ROLL_ABSENT, still, 0};
}

static struct verdict judge(const struct roll_member *member, uint64_t now)
{
	if (member->locked_usec)
		return (struct verdict){ROLL_LOCKED_OUT, 1,
					member->locked_usec};
	if (shortage(member) > 0)
		return judge_absent(member, now);
	if (member->kind == ROLL_OF_ZONES)
		return (struct verdict){ROLL_THERE, 0, 0};
	if (has_to_speak(member) &&
	    now >= member->heard_usec + ROLL_SILENT_USEC)
		return (struct verdict){ROLL_SILENT, 1, member->heard_usec};
	/* It has only just come. */
	if (member->mute == 0 && !member->has_said)
		return (struct verdict){member->why, member->count, 0};
	if (member->card_missing_usec)
		return (struct verdict){ROLL_CARD_MISSING, 1,
					member->card_missing_usec};
	if (member->card_busy_usec &&
	    now >= member->card_busy_usec + ROLL_BUSY_USEC)
		return (struct verdict){ROLL_CARD_BUSY, 1,
					member->card_busy_usec};
	return (struct verdict){ROLL_THERE, 0, 0};
}

/* Whether the verdict has changed. */
static bool decide(const struct roll *roll, struct roll_member *member,
		   uint64_t now)
{
	const struct verdict verdict = judge(member, now);

	if (member->why == ROLL_THERE && roll_is_quiet(roll, now))
		return false;
	if (verdict.why == member->why && verdict.count == member->count)
		return false;
	if (member->why == ROLL_THERE)
		member->since_usec = verdict.since_usec;
	member->why = verdict.why;
	member->count = verdict.count;
	member->absent_usec = 0; /* who was not told has its own 30 s */
	note_absent(member, now);
	return true;
}

/* When the verdict may change although nothing is seen; UINT64_MAX: never. */
static uint64_t next_change(const struct roll_member *member, uint64_t now)
{
	const uint64_t times[] = {
	    member->absent_usec ? member->absent_usec + ROLL_ABSENT_USEC : 0,
	    has_to_speak(member) ? member->heard_usec + ROLL_SILENT_USEC : 0,
	    member->card_busy_usec ? member->card_busy_usec + ROLL_BUSY_USEC
				   : 0,
	};
	uint64_t next = UINT64_MAX;

	for (size_t i = 0; i < ARRAY_SIZE(times); i++)
		if (times[i] > now)
			next = MIN(next, times[i]);
	return next;
}

static void drop(struct roll *roll, size_t place)
{
	struct roll_member *member = &roll->members[place];

	roll->count--;
	memmove(member, member + 1, (roll->count - place) * sizeof(*member));
}

static void count_all(struct roll *roll)
{
	roll->wanted = roll->present = roll->missing = 0;
	for (size_t i = 0; i < roll->count; i++) {
		const struct roll_member *member = &roll->members[i];

		roll->wanted += member->wanted;
		roll->present += MIN(member->present, member->wanted);
		if (member->why != ROLL_THERE)
			roll->missing += member->count;
	}
}

void roll_end(struct roll *roll, uint64_t now_usec, uint64_t max_usec,
	      void (*on_change)(void *userdata,
				const struct roll_member *member),
	      void *userdata)
{
	uint64_t next = now_usec + max_usec;

	if (roll->due_usec == 0 || now_usec > roll->due_usec + ROLL_LATE_USEC)
		roll->quiet_usec = now_usec + ROLL_START_USEC;
	if (roll_is_quiet(roll, now_usec))
		next = MIN(next, roll->quiet_usec);
	for (size_t i = 0; i < roll->count;) {
		struct roll_member *member = &roll->members[i];

		note_all(member, now_usec);
		if (member->wanted == 0 && member->locked_usec == 0) {
			const bool was_missing = member->why != ROLL_THERE;

			member->why = ROLL_THERE;
			if (was_missing)
				on_change(userdata, member);
			drop(roll, i);
			continue;
		}
		if (decide(roll, member, now_usec))
			on_change(userdata, member);
		next = MIN(next, next_change(member, now_usec));
		i++;
	}
	count_all(roll);
	roll->due_usec = next;
}

/* --- between calls --- */

void roll_lock_out(struct roll *roll, const char *name, uint64_t now_usec)
{
	struct roll_member *member = find(roll, name);

	if (member && member->locked_usec == 0)
		member->locked_usec = now_usec;
}

bool roll_is_quiet(const struct roll *roll, uint64_t now_usec)
{
	return now_usec < roll->quiet_usec;
}

/* --- words --- */

static const struct {
	const char *name, *text;
} words[] = {{"there", "back"},
#define ROLL_WORDS(why, word, text) {word, text},
	     BUS_MISSING_WHYS(ROLL_WORDS)
#undef ROLL_WORDS
};

const char *roll_why_name(enum roll_why why)
{
	return words[why].name;
}

const char *roll_why_text(enum roll_why why)
{
	return words[why].text;
}
