/* SPDX-License-Identifier: MIT
 * The words of a heartbeat. */
#include "wire/heartbeat.h"

#include <errno.h>
#include <string.h>

#include "base/utf8.h"
#include "base/util.h"

#define HEAD "intercom-status 1"

bool heartbeat_may_begin(const char *text, size_t size)
{
	return memcmp(text, HEAD, MIN(size, strlen(HEAD))) == 0;
}

size_t heartbeat_format(char line[LINE_SIZE_MAX],
			const struct heartbeat *heartbeat)
{
	struct line_writer writer;

	line_begin(&writer, line, HEAD);
	line_add(&writer, "card", receipt_card_name(heartbeat->card));
	if (*heartbeat->version)
		line_add(&writer, "version", heartbeat->version);
	if (heartbeat->latency_ms != HEARTBEAT_LATENCY_UNKNOWN)
		line_add_number(&writer, "latency_ms", heartbeat->latency_ms);
	return line_finish(&writer);
}

static int take_version(struct heartbeat *heartbeat, const char *value)
{
	if (strlen(value) >= sizeof(heartbeat->version))
		return -EBADMSG;
	strcpy(heartbeat->version, value);
	utf8_replace_controls(heartbeat->version);
	return 0;
}

static int take_latency(struct heartbeat *heartbeat, const char *value)
{
	uint64_t number;

	if (line_number(value, &number) < 0 ||
	    number >= HEARTBEAT_LATENCY_UNKNOWN)
		return -EBADMSG;
	heartbeat->latency_ms = (uint32_t)number;
	return 0;
}

static int take(struct heartbeat *heartbeat, const struct line_field *field)
{
	if (strcmp(field->key, "version") == 0)
		return take_version(heartbeat, field->value);
	if (strcmp(field->key, "latency_ms") == 0)
		return take_latency(heartbeat, field->value);
	if (strcmp(field->key, "card") == 0)
		heartbeat->card = receipt_card_of(field->value);
	return 0;
}

int heartbeat_parse(struct heartbeat *ret, const char *line, size_t size)
{
	struct heartbeat heartbeat = {
	    .latency_ms = HEARTBEAT_LATENCY_UNKNOWN,
	};
	struct line_reader reader;
	struct line_field field;
	int r = line_open(&reader, line, size, HEAD);

	if (r < 0)
		return r;
	while ((r = line_next(&reader, &field)) > 0)
		if (take(&heartbeat, &field) < 0)
			return -EBADMSG;
	if (r < 0)
		return r;
	*ret = heartbeat;
	return 0;
}
