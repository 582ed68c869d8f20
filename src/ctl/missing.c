/* SPDX-License-Identifier: MIT
 * The words that the server has, too. */
#include "ctl/missing.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/util.h"
#include "bus/names.h"

/* "its card is gone" for "card-missing"; a word that is new stays. */
static const char *why(const char *word)
{
	static const struct {
		const char *word, *text;
	} whys[] = {
#define MISSING_ROW(name, word, text) {word, text},
	    BUS_MISSING_WHYS(MISSING_ROW)
#undef MISSING_ROW
	};

	for (size_t i = 0; i < ARRAY_SIZE(whys); i++)
		if (strcmp(whys[i].word, word) == 0)
			return whys[i].text;
	return word;
}

/* "14:02" of today, else with its date. */
static void print_since(uint64_t seconds)
{
	const time_t since = (time_t)seconds, now = time(NULL);
	struct tm then, today;
	char text[64];

	localtime_r(&since, &then);
	localtime_r(&now, &today);
	strftime(text, sizeof(text),
		 then.tm_yday == today.tm_yday && then.tm_year == today.tm_year
		     ? "%H:%M"
		     : "%Y-%m-%d %H:%M",
		 &then);
	fputs(text, stdout);
}

void missing_print(const struct value *entry)
{
	const char *identity = value_string(entry, "identity");

	if (*identity)
		fputs(identity, stdout);
	else
		printf("%" PRIu64 " in zone %s", value_natural(entry, "count"),
		       value_string(entry, "zone"));
	fputs(" since ", stdout);
	print_since(value_natural(entry, "since"));
	printf(" (%s)", why(value_string(entry, "why")));
}
