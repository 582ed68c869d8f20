/* SPDX-License-Identifier: MIT
 * The lines that a client says: any line is an input. */
#include "wire/heartbeat.h"

#include <assert.h>
#include <string.h>

#include "base/utf8.h"
#include "fuzz.h"

static const char *const heads[] = {"intercom-receipt 1", "intercom-status 1"};

/* Adds every field to another line, which must say the same. */
static void check_fields(struct line_reader *reader, const char *head)
{
	char line[LINE_SIZE_MAX];
	struct line_field field, again;
	struct line_writer writer;
	struct line_reader reader_again;
	uint64_t number = 0;

	while (line_next(reader, &field) > 0) {
		assert(strlen(field.key) > 0 &&
		       strlen(field.key) < LINE_KEY_SIZE);
		assert(strlen(field.value) < LINE_SIZE_MAX);
		(void)line_number(field.value, &number);
		line_begin(&writer, line, head);
		line_add(&writer, field.key, field.value);
		/* What need not be encoded may be, so there is room. */
		assert(line_open(&reader_again, line, line_finish(&writer),
				 head) == 0);
		assert(line_next(&reader_again, &again) == 1);
		assert(strcmp(field.key, again.key) == 0);
		assert(strcmp(field.value, again.value) == 0);
	}
}

/* What was read is written as a line that is read as the same. */
static void check_receipt(const struct receipt *receipt)
{
	char line[RECEIPT_SIZE_MAX], shown[RECEIPT_NAME_SIZE];
	struct receipt again;

	strcpy(shown, receipt->name);
	utf8_replace_controls(shown);
	assert(strcmp(shown, receipt->name) == 0);
	assert(receipt_parse(&again, line, receipt_format(line, receipt)) == 0);
	assert(strcmp(again.name, receipt->name) == 0);
	assert(again.result == receipt->result && again.card == receipt->card);
	assert(again.arrived_frames == receipt->arrived_frames);
	assert(again.heard_frames == receipt->heard_frames);
	assert(again.dropped_frames == receipt->dropped_frames);
	assert(again.starved_ms == receipt->starved_ms);
}

static void check_heartbeat(const struct heartbeat *heartbeat)
{
	char line[LINE_SIZE_MAX], shown[HEARTBEAT_VERSION_SIZE];
	struct heartbeat again;

	strcpy(shown, heartbeat->version);
	utf8_replace_controls(shown);
	assert(strcmp(shown, heartbeat->version) == 0);
	assert(heartbeat_parse(&again, line,
			       heartbeat_format(line, heartbeat)) == 0);
	assert(strcmp(again.version, heartbeat->version) == 0);
	assert(again.card == heartbeat->card);
	assert(again.latency_ms == heartbeat->latency_ms);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *line = (const char *)data;
	struct line_reader reader;
	struct heartbeat heartbeat;
	struct receipt receipt;

	for (size_t i = 0; i < sizeof(heads) / sizeof(*heads); i++)
		if (line_open(&reader, line, size, heads[i]) == 0)
			check_fields(&reader, heads[i]);
	if (receipt_parse(&receipt, line, size) == 0)
		check_receipt(&receipt);
	if (heartbeat_parse(&heartbeat, line, size) == 0)
		check_heartbeat(&heartbeat);
	return 0;
}
