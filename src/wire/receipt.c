/* SPDX-License-Identifier: MIT
 * The words of a receipt. */
#include "wire/receipt.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "base/utf8.h"
#include "base/util.h"

#define HEAD "intercom-receipt 1"

static const char *const results[] = {
    [RECEIPT_RESULT_UNKNOWN] = "unknown", [RECEIPT_COMPLETE] = "complete",
    [RECEIPT_CUT_SHORT] = "cut-short",	  [RECEIPT_UNHEARD] = "unheard",
    [RECEIPT_TAKEN_OVER] = "taken-over",  [RECEIPT_LIMIT] = "limit",
    [RECEIPT_STOPPED] = "stopped",	  [RECEIPT_HUSHED] = "hushed",
    [RECEIPT_RELAYED] = "relayed",	  [RECEIPT_GROUP] = "group",
};

static const char *const cards[] = {
    [RECEIPT_CARD_UNKNOWN] = "unknown",
    [RECEIPT_CARD_READY] = "ready",
    [RECEIPT_CARD_BUSY] = "busy",
    [RECEIPT_CARD_MISSING] = "missing",
};

static const struct {
	const char *key;
	size_t offset;
} numbers[] = {
    {"arrived", offsetof(struct receipt, arrived_frames)},
    {"heard", offsetof(struct receipt, heard_frames)},
    {"dropped", offsetof(struct receipt, dropped_frames)},
    {"starved_ms", offsetof(struct receipt, starved_ms)},
    {"sync_us", offsetof(struct receipt, sync_us)},
};

const char *receipt_result_name(enum receipt_result result)
{
	return results[result];
}

const char *receipt_card_name(enum receipt_card card)
{
	return cards[card];
}

/* The index of NAME in the COUNT NAMES, or 0: "unknown". */
static unsigned find(const char *name, const char *const *names, size_t count)
{
	for (unsigned i = 1; i < count; i++)
		if (strcmp(names[i], name) == 0)
			return i;
	return 0;
}

enum receipt_card receipt_card_of(const char *name)
{
	return (enum receipt_card)find(name, cards, ARRAY_SIZE(cards));
}

size_t receipt_format(char line[RECEIPT_SIZE_MAX],
		      const struct receipt *receipt)
{
	struct line_writer writer;

	line_begin(&writer, line, HEAD);
	if (*receipt->name)
		line_add(&writer, "name", receipt->name);
	line_add(&writer, "result", receipt_result_name(receipt->result));
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		const uint64_t *number =
		    (const void *)((const char *)receipt + numbers[i].offset);

		if (*number != RECEIPT_UNKNOWN)
			line_add_number(&writer, numbers[i].key, *number);
	}
	line_add(&writer, "card", receipt_card_name(receipt->card));
	return line_finish(&writer);
}

static int take_name(struct receipt *receipt, const char *value)
{
	if (strlen(value) >= sizeof(receipt->name))
		return -EBADMSG;
	strcpy(receipt->name, value);
	utf8_replace_controls(receipt->name);
	return 0;
}

static int take_number(struct receipt *receipt, const struct line_field *field)
{
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		if (strcmp(field->key, numbers[i].key) == 0)
			return line_number(
			    field->value,
			    (void *)((char *)receipt + numbers[i].offset));
	return 0;
}

static int take(struct receipt *receipt, const struct line_field *field)
{
	if (strcmp(field->key, "name") == 0)
		return take_name(receipt, field->value);
	if (strcmp(field->key, "result") == 0)
		receipt->result = (enum receipt_result)find(
		    field->value, results, ARRAY_SIZE(results));
	else if (strcmp(field->key, "card") == 0)
		receipt->card = receipt_card_of(field->value);
	else
		return take_number(receipt, field);
	return 0;
}

/* Whether no more was heard and dropped than had arrived. */
static bool is_possible(const struct receipt *receipt)
{
	const uint64_t heard = receipt->heard_frames,
		       dropped = receipt->dropped_frames;
	uint64_t sum = heard;

	if (heard == RECEIPT_UNKNOWN)
		sum = 0;
	if (dropped != RECEIPT_UNKNOWN &&
	    __builtin_add_overflow(sum, dropped, &sum))
		return false;
	return sum <= receipt->arrived_frames;
}

int receipt_parse(struct receipt *ret, const char *line, size_t size)
{
	struct receipt receipt = {
	    .arrived_frames = RECEIPT_UNKNOWN,
	    .heard_frames = RECEIPT_UNKNOWN,
	    .dropped_frames = RECEIPT_UNKNOWN,
	    .starved_ms = RECEIPT_UNKNOWN,
	    .sync_us = RECEIPT_UNKNOWN,
	};
	struct line_reader reader;
	struct line_field field;
	int r = line_open(&reader, line, size, HEAD);

	if (r < 0)
		return r;
	while ((r = line_next(&reader, &field)) > 0)
		if (take(&receipt, &field) < 0)
			return -EBADMSG;
	if (r < 0 || !is_possible(&receipt))
		return -EBADMSG;
	*ret = receipt;
	return 0;
}
