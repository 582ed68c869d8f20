/* SPDX-License-Identifier: MIT
 * The WAV parser: the input at once, and in pieces whose sizes the last byte
 * chooses, so that any WAV file is an input. */
#include "audio/wav.h"

#include <assert.h>
#include <string.h>

#include "fuzz.h"

/* Returns the bytes consumed, or -EBADMSG. */
static ssize_t feed_in_pieces(struct wav_parser *parser, const uint8_t *data,
			      size_t size, uint32_t chance)
{
	size_t used = 0;

	while (used < size && !parser->done) {
		size_t piece = 1 + (chance >> 16) % 16 * (chance >> 28);
		ssize_t n;

		if (piece > size - used)
			piece = size - used;
		n = wav_parser_feed(parser, data + used, piece);
		if (n < 0)
			return n;
		assert((size_t)n == piece || parser->done);
		used += (size_t)n;
		chance = chance * 1664525 + 1013904223;
	}
	return (ssize_t)used;
}

static bool page_equal(const struct wav_parser *a, const struct wav_parser *b)
{
	return a->have_page == b->have_page && a->page.flags == b->page.flags &&
	       a->page.clock_error_us == b->page.clock_error_us &&
	       a->page.sound_ns == b->page.sound_ns &&
	       a->page.budget_us == b->page.budget_us &&
	       a->page.ahead_us == b->page.ahead_us;
}

static void check_sizes(const struct wav_parser *parser, size_t frame_size)
{
	const uint64_t behind = parser->data_size % 100000;

	for (enum wav_origin o = WAV_FILE; o <= WAV_SOCKET; o++) {
		const uint64_t size =
		    wav_parser_size(parser, o, parser->state.consumed + behind);

		assert(size == WAV_ENDLESS ? o != WAV_FILE
					   : size % frame_size == 0);
		assert(o != WAV_FILE || size <= behind);
		/* What is stated is never exceeded but by an unknown size. */
		assert(o == WAV_FILE || size == WAV_ENDLESS ||
		       size ==
			   parser->data_size - parser->data_size % frame_size);
	}
	if (wav_parser_may_be_empty(parser))
		assert(wav_parser_size(parser, WAV_SOCKET, 0) == WAV_ENDLESS);
}

static void check_result(const struct wav_parser *parser)
{
	const size_t frame_size = wav_frame_size(&parser->format);
	const struct wav_format plain = wav_plain(&parser->format);

	assert(parser->format.channels >= 1 &&
	       parser->format.channels <= WAV_CHANNELS_MAX);
	assert(parser->format.rate >= WAV_RATE_MIN &&
	       parser->format.rate <= WAV_RATE_MAX);
	assert(strcmp(wav_format_name(&parser->format), "unknown") != 0);
	assert(frame_size >= 1 && frame_size <= 2 * WAV_FRAME_SIZE_MAX);
	assert(wav_frame_size(&plain) <= WAV_FRAME_SIZE_MAX);
	assert(frame_size == wav_frame_size(&plain) ||
	       frame_size * 3 == wav_frame_size(&plain) * 4 ||
	       frame_size == wav_frame_size(&plain) * 2);
	check_sizes(parser, frame_size);
	assert(parser->page.budget_us <= WAV_PAGE_SPAN_US_MAX &&
	       parser->page.ahead_us <= WAV_PAGE_SPAN_US_MAX);
	assert(parser->have_page ||
	       page_equal(parser, &(struct wav_parser){0}));
}

/* A header that is written for this format must say the same. */
static void check_encoding(const struct wav_parser *parser)
{
	uint8_t header[WAV_HEADER_SIZE_MAX];
	const struct wav_format plain = wav_plain(&parser->format);
	const size_t size =
	    wav_encode(header, &plain, parser->data_size,
		       parser->have_page ? &parser->page : NULL);
	struct wav_parser again;

	assert(size <= sizeof(header));
	wav_parser_init(&again);
	assert(wav_parser_feed(&again, header, size) == (ssize_t)size);
	assert(again.done);
	assert(wav_format_equal(&again.format, &plain));
	assert(page_equal(&again, parser));
	assert(again.data_size == (parser->data_size > WAV_DATA_SIZE_MAX
				       ? WAV_ENDLESS
				       : parser->data_size));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct wav_parser whole, pieces;
	ssize_t a, b;

	if (size == 0)
		return 0;
	wav_parser_init(&whole);
	wav_parser_init(&pieces);
	a = wav_parser_feed(&whole, data, size);
	b = feed_in_pieces(&pieces, data, size, data[size - 1] * 0x01010101U);
	assert(a == b && whole.done == pieces.done);
	assert(strcmp(whole.error, pieces.error) == 0);
	assert((a < 0) == (*whole.error != '\0'));
	if (a < 0)
		assert(wav_parser_feed(&whole, data, size) == a);
	if (a < 0 || !whole.done)
		return 0;
	assert((size_t)a <= size);
	assert(wav_trailer(&whole, data + a, size - (size_t)a) <=
	       size - (size_t)a);
	assert(wav_format_equal(&whole.format, &pieces.format));
	assert(whole.data_size == pieces.data_size);
	assert(page_equal(&whole, &pieces));
	check_result(&whole);
	check_encoding(&whole);
	return 0;
}
