/* SPDX-License-Identifier: MIT
 * The sentence of who has heard a page says of those alike what they have in
 * common. */
#include "server/summary.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/util.h"

enum {
	/* Of those alike so many are named; a sentence is no list. */
	NAMES_MAX = 4,
	/* So many reasons are told. */
	GROUPS_MAX = 8,
};

void summary_print(char text[SUMMARY_SIZE], const struct page_info *page)
{
	snprintf(text, SUMMARY_SIZE,
		 "%" PRIu64 " frame%s (%.2f s), %u client%s reached, %u lost, "
		 "%" PRIu64 " skip%s, %" PRIu64 " overrun%s",
		 page->frames, plural_s(page->frames),
		 wav_seconds(&page->format, page->frames), page->reached,
		 plural_s(page->reached), page->lost, page->skips,
		 plural_s(page->skips), page->overruns,
		 plural_s(page->overruns));
}

/* --- who has heard it --- */

/* Some that have the same to say of them, all of one kind. */
struct group {
	const struct ledger_player *players;
	size_t count;
};

/* Predicates; other reasons follow a colon. */
static const struct predicate {
	const char *singular, *plural;
} predicates[] = {
    {LEDGER_GIVES_NONE, "give no receipts"},
    {LEDGER_HAS_NOT_ANSWERED, "have not answered"},
    {LEDGER_HAS_YET_TO_ANSWER, "have not answered yet"},
};

static struct group next_group(const struct ledger_list *list, size_t first)
{
	struct group group = {&list->players[first], 1};
	const struct ledger_player *player = group.players;

	for (size_t i = first + 1; i < list->player_count; i++) {
		const struct ledger_player *other = &list->players[i];

		if (other->heard != player->heard ||
		    strcmp(other->reason, player->reason) != 0 ||
		    other->anonymous != player->anonymous)
			break;
		group.count++;
	}
	return group;
}

/* "a", "a and b", "a, b and c", "a, b, c and 9 more". */
static void print_names(FILE *file, const struct group *group)
{
	const size_t named =
	    group->count > NAMES_MAX ? NAMES_MAX - 1 : group->count;

	for (size_t i = 0; i < named; i++) {
		if (i > 0)
			fputs(i + 1 == group->count ? " and " : ", ", file);
		fputs(group->players[i].label, file);
	}
	if (named < group->count)
		fprintf(file, " and %zu more", group->count - named);
}

static void print_all(FILE *file, const struct group *group)
{
	if (group->count > NAMES_MAX)
		fprintf(file, "%zu loudspeakers", group->count);
	else
		print_names(file, group);
	fputs(" heard all of it", file);
}

static void print_group(FILE *file, const struct group *group)
{
	const char *reason = group->players[0].reason;

	if (group->players[0].heard == LEDGER_ALL) {
		print_all(file, group);
		return;
	}
	if (group->players[0].heard == LEDGER_UNREPORTED &&
	    group->players[0].anonymous)
		fprintf(file, "%zu player%s", group->count,
			plural_s(group->count));
	else
		print_names(file, group);
	for (size_t i = 0; i < ARRAY_SIZE(predicates); i++) {
		if (strcmp(reason, predicates[i].singular) != 0)
			continue;
		fprintf(file, " %s",
			group->count == 1 ? reason : predicates[i].plural);
		return;
	}
	fprintf(file, ": %s", reason);
}

/* Prints the groups of one kind, and counts them in *groups. Returns how many
 * loudspeakers it has told of. */
static size_t print_kind(FILE *file, const struct ledger_list *list,
			 enum ledger_heard heard, unsigned *groups)
{
	size_t told = 0;

	for (size_t i = 0; i < list->player_count && *groups < GROUPS_MAX;) {
		const struct group group = next_group(list, i);

		i += group.count;
		if (group.players[0].heard != heard)
			continue;
		if ((*groups)++ > 0)
			fputs("; ", file);
		print_group(file, &group);
		told += group.count;
	}
	return told;
}

static void print_heard(FILE *file, const struct ledger_list *list)
{
	static const enum ledger_heard order[] = {
	    LEDGER_ALL, LEDGER_PARTLY, LEDGER_UNHEARD, LEDGER_UNREPORTED,
	    LEDGER_PENDING};
	unsigned groups = 0;
	size_t told = 0;

	if (list->total == 0) {
		fputs(list->counts[LEDGER_EXCUSED]
			  ? "no loudspeaker was to play it"
			  : "no loudspeaker was on the air",
		      file);
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(order); i++)
		told += print_kind(file, list, order[i], &groups);
	if (told < list->total)
		fprintf(file,
			"%s%zu more did not hear all of it, or did not tell",
			told > 0 ? "; " : "", list->total - told);
}

char *summary_heard(const struct ledger_list *list)
{
	char *text = NULL;
	size_t size;
	FILE *file = open_memstream(&text, &size);

	if (!file)
		return NULL;
	print_heard(file, list);
	if (fclose(file) == 0)
		return text;
	free(text);
	return NULL;
}
