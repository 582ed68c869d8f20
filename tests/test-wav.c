/* SPDX-License-Identifier: MIT
 * Our own headers, those of other programs, and headers that lie. */
#include "audio/wav.h"

#include "test.h"

enum { MIB = 1 << 20 };

static const struct wav_format cd = {WAV_PCM, 16, 2, 44100};

/* The stream that a test builds. */
static uint8_t stream[8192];
static size_t size;
static struct wav_parser parser;

static void add(const void *data, size_t count)
{
	ck_assert_uint_le(size + count, sizeof(stream));
	memcpy(stream + size, data, count);
	size += count;
}

static void add_number(uint32_t value, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		add(&(uint8_t){(uint8_t)(value >> (8 * i))}, 1);
}

static void add_chunk_header(const char *id, uint32_t chunk_size)
{
	add(id, 4);
	add_number(chunk_size, 4);
}

/* A chunk full of 'x', with its pad byte. */
static void add_chunk(const char *id, uint32_t chunk_size)
{
	add_chunk_header(id, chunk_size);
	for (uint32_t i = 0; i < chunk_size; i++)
		add("x", 1);
	if (chunk_size % 2)
		add("", 1);
}

static void begin(void)
{
	size = 0;
	add_chunk_header("RIFF", 0xffffffff);
	add("WAVE", 4);
}

/* The 16 bytes that every format has. */
static void add_format_fields(unsigned tag, const struct wav_format *format,
			      unsigned block_align)
{
	add_number(tag, 2);
	add_number(format->channels, 2);
	add_number(format->rate, 4);
	add_number(format->rate * block_align, 4);
	add_number(block_align, 2);
	add_number(format->bits, 2);
}

static void add_format(const struct wav_format *format)
{
	add_chunk_header("fmt ", 16);
	add_format_fields((unsigned)format->encoding, format,
			  (unsigned)wav_frame_size(format));
}

static void add_extensible(const struct wav_format *format, unsigned valid_bits,
			   unsigned tag, const void *guid_tail)
{
	add_chunk_header("fmt ", 40);
	add_format_fields(0xfffe, format, (unsigned)wav_frame_size(format));
	add_number(22, 2);
	add_number(valid_bits, 2);
	add_number(0, 4);
	add_number(tag, 2);
	add(guid_tail, 14);
}

static const uint8_t media_guid[14] = {0x00, 0x00, 0x00, 0x00, 0x10,
				       0x00, 0x80, 0x00, 0x00, 0xaa,
				       0x00, 0x38, 0x9b, 0x71};

/* Feeds the stream in pieces of PIECE bytes. Bytes consumed, or an error. */
static ssize_t feed(size_t piece)
{
	size_t used = 0;

	wav_parser_init(&parser);
	while (used < size && !parser.done) {
		size_t left = size - used;
		ssize_t n = wav_parser_feed(&parser, stream + used,
					    left < piece ? left : piece);

		if (n < 0)
			return n;
		used += (size_t)n;
	}
	return (ssize_t)used;
}

static const size_t pieces[] = {1, 2, 3, 7, 64, sizeof(stream)};

/* The stream must be one whole header, in whatever pieces it arrives. */
static void check_header(const struct wav_format *format, uint64_t data_size)
{
	for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
		ck_assert_int_eq(feed(pieces[i]), (ssize_t)size);
		ck_assert_str_eq(parser.error, "");
		ck_assert(parser.done && parser.have_format);
		ck_assert(wav_format_equal(&parser.format, format));
		ck_assert_uint_eq(parser.data_size, data_size);
	}
}

/* The stream must be refused with WORDS, and so must any more bytes. */
static void check_refused(const char *words)
{
	for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
		ck_assert_int_eq(feed(pieces[i]), -EBADMSG);
		ck_assert_msg(strstr(parser.error, words) != NULL,
			      "\"%s\" does not say \"%s\"", parser.error,
			      words);
		ck_assert(!parser.done);
		ck_assert_int_eq(wav_parser_feed(&parser, "data", 4), -EBADMSG);
		ck_assert_int_eq(wav_parser_feed(&parser, "", 0), -EBADMSG);
	}
}

/* --- formats --- */

static const struct {
	const char *name, *alias;
	enum wav_encoding encoding;
	uint16_t bits;
	uint8_t silence;
} kinds[] = {
    {"U8", "u8", WAV_PCM, 8, 0x80},
    {"S16_LE", "s16", WAV_PCM, 16, 0},
    {"S24_3LE", "S24_3", WAV_PCM, 24, 0},
    {"S24_LE", "s24", WAV_PADDED, 32, 0},
    {"S32_LE", "S32", WAV_PCM, 32, 0},
    {"FLOAT_LE", "Float", WAV_FLOAT, 32, 0},
    {"FLOAT64_LE", "float64", WAV_FLOAT, 64, 0},
    {"A_LAW", "alaw", WAV_ALAW, 8, 0xd5},
    {"MU_LAW", "MuLaw", WAV_MULAW, 8, 0xff},
};

TEST(every_format_has_its_name_and_silence)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct wav_format format = cd, alias = cd;

		ck_assert_int_eq(wav_format_parse_name(&format, kinds[i].name),
				 0);
		ck_assert_int_eq(wav_format_parse_name(&alias, kinds[i].alias),
				 0);
		ck_assert(wav_format_equal(&format, &alias));
		ck_assert_int_eq(format.encoding, kinds[i].encoding);
		ck_assert_uint_eq(format.bits, kinds[i].bits);
		ck_assert_uint_eq(format.rate, 44100);
		ck_assert_uint_eq(format.channels, 2);
		ck_assert_str_eq(wav_format_name(&format), kinds[i].name);
		ck_assert_uint_eq(wav_silence(&format), kinds[i].silence);
		ck_assert_uint_eq(wav_frame_size(&format), kinds[i].bits / 4);
	}
}

TEST(other_names_change_nothing)
{
	static const char *const names[] = {"", "S16_BE", "S16_LE ", "U16_LE",
					    "unknown"};
	struct wav_format format = cd;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		ck_assert_int_eq(wav_format_parse_name(&format, names[i]),
				 -EINVAL);
	ck_assert(wav_format_equal(&format, &cd));
	format.bits = 12;
	ck_assert_str_eq(wav_format_name(&format), "unknown");
}

TEST(formats_are_equal_when_all_of_them_is)
{
	const struct wav_format others[] = {{WAV_PCM, 16, 2, 44101},
					    {WAV_PCM, 16, 1, 44100},
					    {WAV_PCM, 24, 2, 44100},
					    {WAV_FLOAT, 16, 2, 44100}};

	ck_assert(
	    wav_format_equal(&cd, &(struct wav_format){WAV_PCM, 16, 2, 44100}));
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		ck_assert(!wav_format_equal(&cd, &others[i]));
}

/* --- encode --- */

TEST(fixed_page_has_the_canonical_header)
{
	static const uint8_t expected[44] = {
	    'R', 'I', 'F',  'F',  0x24, 0x70, 0x0d, 0,	  'W',	'A',  'V',
	    'E', 'f', 'm',  't',  ' ',	16,   0,    0,	  0,	1,    0,
	    2,	 0,   0x44, 0xac, 0,	0,    0x10, 0xb1, 2,	0,    4,
	    0,	 16,  0,    'd',  'a',	't',  'a',  0,	  0x70, 0x0d, 0};
	uint8_t header[WAV_HEADER_SIZE_MAX];

	ck_assert_uint_eq(wav_encode(header, &cd, 880640, NULL),
			  sizeof(expected));
	ck_assert_mem_eq(header, expected, sizeof(expected));
}

static uint32_t number_at(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
	       (uint32_t)p[3] << 24;
}

TEST(endless_page_has_sizes_of_all_ones)
{
	const struct wav_format law = {WAV_MULAW, 8, 1, 8000};
	const uint64_t sizes[] = {WAV_ENDLESS, (uint64_t)WAV_DATA_SIZE_MAX + 1};
	uint8_t header[WAV_HEADER_SIZE_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		ck_assert_uint_eq(wav_encode(header, &cd, sizes[i], NULL), 44);
		ck_assert_uint_eq(number_at(header + 4), 0xffffffff);
		ck_assert_uint_eq(number_at(header + 40), 0xffffffff);
		ck_assert_uint_eq(wav_encode(header, &law, sizes[i], NULL), 80);
		ck_assert_uint_eq(number_at(header + 4), 0xffffffff);
		ck_assert_mem_eq(header + 60, "fact", 4);
		ck_assert_uint_eq(number_at(header + 68), 0xffffffff);
		ck_assert_uint_eq(number_at(header + 76), 0xffffffff);
	}
}

TEST(largest_size_is_stated_and_does_not_wrap)
{
	uint8_t header[WAV_HEADER_SIZE_MAX];
	const struct wav_format law = {WAV_MULAW, 8, 1, 8000};

	ck_assert_uint_eq(wav_encode(header, &law, WAV_DATA_SIZE_MAX, NULL),
			  80);
	ck_assert_uint_eq(number_at(header + 76), WAV_DATA_SIZE_MAX);
	ck_assert_uint_eq(number_at(header + 4),
			  72 + (uint64_t)WAV_DATA_SIZE_MAX +
			      WAV_DATA_SIZE_MAX % 2);
}

TEST(pad_byte_counts_in_the_riff_size_only)
{
	const struct wav_format u8 = {WAV_PCM, 8, 1, 8000};
	uint8_t header[WAV_HEADER_SIZE_MAX];

	ck_assert_uint_eq(wav_encode(header, &u8, 7, NULL), 44);
	ck_assert_uint_eq(number_at(header + 4), 36 + 8);
	ck_assert_uint_eq(number_at(header + 40), 7);
}

/* What sox and ffmpeg write for these formats, too. */
TEST(what_is_not_canonical_is_extensible)
{
	static const uint8_t expected[68] = {
	    'R',  'I',	'F',  'F', 74,	 0,    0,  0,	 'W',  'A',
	    'V',  'E',	'f',  'm', 't',	 ' ',  40, 0,	 0,    0,
	    0xfe, 0xff, 6,    0,   0x44, 0xac, 0,  0,	 0xc8, 0x1c,
	    0x0c, 0,	18,   0,   24,	 0,    22, 0,	 24,   0,
	    0x3f, 0,	0,    0,   1,	 0,    0,  0,	 0,    0,
	    0x10, 0,	0x80, 0,   0,	 0xaa, 0,  0x38, 0x9b, 0x71,
	    'd',  'a',	't',  'a', 0,	 0,    0,  0};
	const struct wav_format format = {WAV_PCM, 24, 6, 44100};
	const struct wav_format floats = {WAV_FLOAT, 32, 2, 48000};
	uint8_t header[WAV_HEADER_SIZE_MAX];

	ck_assert_uint_eq(wav_encode(header, &format, 18, NULL),
			  sizeof(expected));
	ck_assert_uint_eq(number_at(header + 64), 18);
	ck_assert_uint_eq(number_at(header + 4), 60 + 18);
	memset(header + 64, 0, 4);
	header[4] = 74;
	ck_assert_mem_eq(header, expected, sizeof(expected));

	ck_assert_uint_eq(wav_encode(header, &floats, 800, NULL), 80);
	ck_assert_uint_eq(number_at(header + 44), 3);
	ck_assert_mem_eq(header + 60, "fact\4\0\0\0", 8);
	ck_assert_uint_eq(number_at(header + 68), 100); /* frames */
}

static void check_own_header(const struct wav_format *format, uint64_t given,
			     uint64_t expected)
{
	size = wav_encode(stream, format, given, NULL);
	ck_assert_uint_le(size, WAV_HEADER_SIZE_MAX);
	ck_assert_uint_eq(size == 44, format->encoding == WAV_PCM &&
					  format->bits <= 16 &&
					  format->channels <= 2);
	check_header(format, expected);
}

/* --- the RIFF chunk "page" --- */

static const struct wav_page page = {
    .flags = WAV_PAGE_PLAYED | WAV_PAGE_SCHEDULE | WAV_PAGE_CLOCK_TRUSTED |
	     WAV_PAGE_REAL_TIME,
    .clock_error_us = 0x01020304,
    .sound_ns = 0x1112131415161718,
    .budget_us = 120000,
    .ahead_us = 2000000,
};

static const uint8_t page_chunk[32] = {'p',  'a',  'g',	 'e',  24,   0,	   0,
				       0,    1,	   15,	 0,    0,    4,	   3,
				       2,    1,	   0x18, 0x17, 0x16, 0x15, 0x14,
				       0x13, 0x12, 0x11, /* sound_ns */
				       0xc0, 0xd4, 1,	 0,    0x80, 0x84, 0x1e,
				       0};

static void check_page(const struct wav_page *expected)
{
	ck_assert(parser.have_page);
	ck_assert_uint_eq(parser.page.flags, expected->flags);
	ck_assert_uint_eq(parser.page.clock_error_us, expected->clock_error_us);
	ck_assert_int_eq(parser.page.sound_ns, expected->sound_ns);
	ck_assert_uint_eq(parser.page.budget_us, expected->budget_us);
	ck_assert_uint_eq(parser.page.ahead_us, expected->ahead_us);
}

TEST(page_is_a_chunk_before_the_samples)
{
	const struct wav_format law = {WAV_MULAW, 8, 1, 8000};
	uint8_t plain[WAV_HEADER_SIZE_MAX];

	wav_encode(plain, &cd, 400, NULL);
	size = wav_encode(stream, &cd, 400, &page);
	ck_assert_uint_eq(size, 76);
	ck_assert_uint_eq(number_at(stream + 4), 68 + 400);
	ck_assert_mem_eq(stream + 8, plain + 8, 28);
	ck_assert_mem_eq(stream + 36, page_chunk, sizeof(page_chunk));
	ck_assert_mem_eq(stream + 68, plain + 36, 8);
	check_header(&cd, 400);
	check_page(&page);

	size = wav_encode(stream, &law, WAV_ENDLESS, &page);
	ck_assert_uint_eq(size, WAV_HEADER_SIZE_MAX);
	ck_assert_uint_eq(number_at(stream + 4), 0xffffffff);
	ck_assert_mem_eq(stream + 60, "fact", 4);
	ck_assert_mem_eq(stream + 72, page_chunk, sizeof(page_chunk));
	check_header(&law, WAV_ENDLESS);
	check_page(&page);

	size = wav_encode(stream, &law, WAV_DATA_SIZE_MAX, &page);
	ck_assert_uint_eq(number_at(stream + 4),
			  104 + (uint64_t)WAV_DATA_SIZE_MAX +
			      WAV_DATA_SIZE_MAX % 2);
	check_header(&law, WAV_DATA_SIZE_MAX);
}

TEST(page_of_another_kind_is_passed_over)
{
	static const uint32_t sizes[] = {0, 1, 23, 25, 32, 1000};

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		begin();
		add_format(&cd);
		add_chunk("page", sizes[i]);
		/* At most one is looked at. */
		add(page_chunk, sizeof(page_chunk));
		add_chunk_header("data", 8);
		check_header(&cd, 8);
		ck_assert(!parser.have_page);
	}
	for (unsigned version = 0; version < 256; version++) {
		begin();
		add(page_chunk, sizeof(page_chunk));
		stream[size - 24] = (uint8_t)version;
		add_format(&cd);
		add_chunk_header("data", 8);
		check_header(&cd, 8);
		ck_assert_int_eq(parser.have_page, version == 1);
	}
	size = wav_encode(stream, &cd, 400, NULL);
	check_header(&cd, 400);
	ck_assert(!parser.have_page);
}

TEST(first_page_counts)
{
	begin();
	add_format(&cd);
	add(page_chunk, sizeof(page_chunk));
	add(page_chunk, sizeof(page_chunk));
	stream[size - 23] = 0; /* the flags of the second */
	add_chunk_header("data", 8);
	check_header(&cd, 8);
	check_page(&page);
}

TEST(unknown_flags_of_a_page_are_not_told)
{
	struct wav_page odd = page;

	odd.flags = 0xff;
	size = wav_encode(stream, &cd, 400, &odd);
	check_header(&cd, 400);
	check_page(&page);
	odd.flags = 0xf0;
	size = wav_encode(stream, &cd, 400, &odd);
	check_header(&cd, 400);
	ck_assert(parser.have_page);
	ck_assert_uint_eq(parser.page.flags, 0);
}

TEST(impossible_schedule_is_ignored_and_the_page_stays_played)
{
	const struct wav_page played = {.flags = WAV_PAGE_PLAYED};
	static const uint32_t spans[] = {WAV_PAGE_SPAN_US_MAX + 1, UINT32_MAX};
	struct wav_page odd = page;

	odd.budget_us = odd.ahead_us = WAV_PAGE_SPAN_US_MAX;
	odd.sound_ns = INT64_MIN;
	size = wav_encode(stream, &cd, 400, &odd);
	check_header(&cd, 400);
	check_page(&odd);
	for (size_t i = 0; i < ARRAY_SIZE(spans); i++) {
		odd = page;
		odd.budget_us = spans[i];
		size = wav_encode(stream, &cd, 400, &odd);
		check_header(&cd, 400);
		check_page(&played);
		odd = page;
		odd.ahead_us = spans[i];
		size = wav_encode(stream, &cd, 400, &odd);
		check_header(&cd, 400);
		check_page(&played);
	}
}

TEST(own_header_parses_back_for_every_format)
{
	static const uint32_t rates[] = {WAV_RATE_MIN, 44100, WAV_RATE_MAX};

	for (size_t kind = 0; kind < ARRAY_SIZE(kinds); kind++)
		for (uint16_t c = 1; c <= WAV_CHANNELS_MAX &&
				     kinds[kind].encoding != WAV_PADDED;
		     c++)
			for (size_t r = 0; r < ARRAY_SIZE(rates); r++) {
				const struct wav_format f = {
				    kinds[kind].encoding, kinds[kind].bits, c,
				    rates[r]};
				const uint64_t frame = wav_frame_size(&f);
				const uint64_t most = WAV_DATA_SIZE_MAX -
						      WAV_DATA_SIZE_MAX % frame;

				check_own_header(&f, 0, 0);
				check_own_header(&f, 3 * frame, 3 * frame);
				check_own_header(&f, most, most);
				check_own_header(&f, most + 4 * frame,
						 most + 4 * frame >
							 WAV_DATA_SIZE_MAX
						     ? WAV_ENDLESS
						     : most + 4 * frame);
				check_own_header(&f, WAV_ENDLESS, WAV_ENDLESS);
			}
}

/* --- decode: what others write --- */

TEST(streams_of_other_programs_have_no_end)
{
	static const struct {
		struct wav_format format;
		size_t header_size;
		const char *bytes; /* at least header_size + 1 */
	} cases[] = {
	    /* sox -n -r 8000 -c 1 -b 16 -t wav - */
	    {{WAV_PCM, 16, 1, 8000},
	     44,
	     "RIFF\x24\xf0\xff\x7fWAVEfmt \x10\0\0\0\1\0\1\0\x40\x1f\0\0"
	     "\x80\x3e\0\0\2\0\x10\0data\0\xf0\xff\x7fx"},
	    /* sox -n -r 48000 -c 2 -b 24 -t wav - */
	    {{WAV_PCM, 24, 2, 48000},
	     80,
	     "RIFF\x44\xf0\xff\x7fWAVEfmt \x28\0\0\0\xfe\xff\2\0\x80\xbb\0\0"
	     "\0\x65\4\0\6\0\x18\0\x16\0\x18\0\3\0\0\0\1\0\0\0\0\0\x10\0\x80\0"
	     "\0\xaa\0\x38\x9b\x71"
	     "fact\4\0\0\0\xaaRU\x15"
	     "data\xfc\xef\xff\x7fx"},
	    /* sox -n -r 8000 -c 1 -e a-law -t wav - */
	    {{WAV_ALAW, 8, 1, 8000},
	     58,
	     "RIFF\x32\xf0\xff\x7fWAVEfmt \x12\0\0\0\6\0\1\0\x40\x1f\0\0"
	     "\x40\x1f\0\0\1\0\x08\0\0\0"
	     "fact\4\0\0\0\0\xf0\xff\x7f"
	     "data\0\xf0\xff\x7fx"},
	    /* arecord -f cd -t wav */
	    {{WAV_PCM, 16, 2, 44100},
	     44,
	     "RIFF\x24\0\0\x80WAVEfmt \x10\0\0\0\1\0\2\0\x44\xac\0\0"
	     "\x10\xb1\2\0\4\0\x10\0data\0\0\0\x80x"},
	    /* ffmpeg -c:a pcm_s16le -f wav - */
	    {{WAV_PCM, 16, 1, 44100},
	     78,
	     "RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\1\0\1\0\x44\xac\0\0"
	     "\x88\x58\1\0\2\0\x10\0"
	     "LIST\x1a\0\0\0INFOISFT\x0e\0\0\0Lavf59.27.100\0"
	     "data\xff\xff\xff\xffx"},
	    /* ffmpeg -c:a pcm_f32le -f wav - */
	    {{WAV_FLOAT, 32, 1, 44100},
	     102,
	     "RIFF\xff\xff\xff\xffWAVEfmt \x28\0\0\0\xfe\xff\1\0\x44\xac\0\0"
	     "\x10\xb1\2\0\4\0\x20\0\x16\0\x20\0\4\0\0\0\3\0\0\0\0\0\x10\0\x80"
	     "\0\0\xaa\0\x38\x9b\x71"
	     "LIST\x1a\0\0\0INFOISFT\x0e\0\0\0Lavf59.27.100\0"
	     "data\xff\xff\xff\xffx"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		size = 0;
		add(cases[i].bytes, cases[i].header_size);
		for (size_t p = 0; p < ARRAY_SIZE(pieces); p++) {
			ck_assert_int_eq(feed(pieces[p]), (ssize_t)size);
			ck_assert(
			    wav_format_equal(&parser.format, &cases[i].format));
			ck_assert_uint_eq(
			    wav_parser_size(&parser, WAV_SOCKET, 0),
			    WAV_ENDLESS);
		}
	}
}

TEST(samples_are_not_consumed)
{
	size = wav_encode(stream, &cd, 4000, NULL);
	for (size_t cut = 0; cut <= size; cut++) {
		wav_parser_init(&parser);
		ck_assert_int_eq(wav_parser_feed(&parser, stream, cut),
				 (ssize_t)cut);
		ck_assert(parser.done == (cut == size));
		memset(stream + size, 'R', 4000);
		ck_assert_int_eq(
		    wav_parser_feed(&parser, stream + cut, size + 4000 - cut),
		    (ssize_t)(size - cut));
		ck_assert(parser.done);
		ck_assert_int_eq(wav_parser_feed(&parser, "RIFF", 4), 0);
		ck_assert_str_eq(parser.error, "");
	}
}

TEST(unknown_chunks_are_passed_over)
{
	begin();
	add_chunk("JUNK", 28);
	add_chunk("bext", 602);
	add_chunk("data", 0);
	check_refused("before their format");

	begin();
	add_chunk("JUNK", 28);
	add_chunk("bext", 603);
	add_format(&cd);
	add_chunk("fact", 4);
	add_chunk("LIST", 1);
	add_chunk("PAD ", 0);
	add_chunk("cue ", 3);
	add_chunk("Data", 2); /* the case of letters counts */
	add_chunk("id3 ", 1111);
	add_chunk_header("data", 400);
	check_header(&cd, 400);
}

TEST(format_may_have_more_bytes_than_are_known)
{
	static const uint32_t sizes[] = {16, 17, 18, 39, 40, 41, 1001, 4096};

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		begin();
		add_chunk_header("fmt ", sizes[i]);
		add_format_fields(1, &cd, 4);
		for (uint32_t n = 16; n < sizes[i] + sizes[i] % 2; n++)
			add("\xff", 1);
		add_chunk_header("data", 8);
		check_header(&cd, 8);
	}
}

TEST(format_of_an_impossible_size_is_refused)
{
	static const uint32_t sizes[] = {
	    0, 1, 15, 4097, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff};

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		char words[64];

		begin();
		add_chunk_header("fmt ", sizes[i]);
		add_format_fields(1, &cd, 4);
		snprintf(words, sizeof(words), "format has %u bytes", sizes[i]);
		check_refused(words);
	}
}

TEST(byte_rate_and_riff_size_may_be_wrong)
{
	static const uint32_t wrong[] = {0, 1, 0x80000000, 0xffffffff};

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		size = wav_encode(stream, &cd, 400, NULL);
		for (unsigned b = 0; b < 4; b++)
			stream[4 + b] = stream[28 + b] =
			    (uint8_t)(wrong[i] >> (8 * b));
		check_header(&cd, 400);
	}
}

TEST(fewer_valid_bits_are_in_a_whole_container)
{
	const struct wav_format s32 = {WAV_PCM, 32, 2, 48000};
	const struct wav_format s24 = {WAV_PCM, 24, 2, 48000};

	begin();
	add_extensible(&s32, 24, WAV_PCM, media_guid);
	add_chunk_header("data", 80);
	check_header(&s32, 80);

	begin();
	add_extensible(&s24, 20, WAV_PCM, media_guid);
	add_chunk_header("data", 60);
	check_header(&s24, 60);
}

TEST(samples_of_odd_bits_fill_whole_bytes)
{
	static const struct {
		uint16_t bits, block_align, whole_bits;
	} cases[] = {
	    {7, 2, 8},	 {9, 4, 16},  {12, 4, 16}, {15, 4, 16},
	    {17, 6, 24}, {20, 6, 24}, {25, 8, 32}, {31, 8, 32},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct wav_format format = {WAV_PCM, cases[i].bits, 2, 48000};

		begin();
		add_chunk_header("fmt ", 16);
		add_format_fields(1, &format, cases[i].block_align);
		add_chunk_header("data", 48);
		format.bits = cases[i].whole_bits;
		check_header(&format, 48);
	}
}

/* arecord -f S24_LE of alsa-utils 1.2.8. */
TEST(samples_of_24_bits_in_4_bytes_are_alsas)
{
	for (uint16_t channels = 1; channels <= 8; channels++) {
		const struct wav_format stated = {WAV_PCM, 24, channels, 48000};
		const struct wav_format padded = {WAV_PADDED, 32, channels,
						  48000};
		struct wav_format plain;

		begin();
		add_chunk_header("fmt ", 16);
		add_format_fields(1, &stated, 4U * channels);
		add_chunk_header("data", 96 * channels);
		check_header(&padded, 96 * channels);
		plain = wav_plain(&parser.format);
		ck_assert(wav_format_equal(&plain, &stated));
	}
}

TEST(block_align_of_0_follows_from_bits_and_channels)
{
	const struct wav_format formats[] = {{WAV_PCM, 8, 1, 8000},
					     {WAV_PCM, 16, 2, 44100},
					     {WAV_PCM, 24, 2, 48000},
					     {WAV_FLOAT, 64, 6, 48000},
					     {WAV_MULAW, 8, 1, 8000}};

	for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
		begin();
		add_chunk_header("fmt ", 16);
		add_format_fields((unsigned)formats[i].encoding, &formats[i],
				  0);
		add_chunk_header("data", 48);
		check_header(&formats[i], 48);
	}
}

TEST(plain_formats_are_those_that_every_reader_knows)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		const struct wav_format format = {kinds[i].encoding,
						  kinds[i].bits, 2, 48000};
		const struct wav_format plain = wav_plain(&format);
		const struct wav_format again = wav_plain(&plain);

		ck_assert(wav_format_equal(&plain, &again));
		ck_assert_uint_le(wav_frame_size(&plain),
				  wav_frame_size(&format));
		ck_assert(wav_format_equal(&plain, &format) ==
			  (format.encoding != WAV_PADDED && format.bits != 64));
	}
}

TEST(extensible_formats_of_others_are_refused)
{
	uint8_t guid[14];

	for (size_t i = 0; i < sizeof(guid); i++) {
		memcpy(guid, media_guid, sizeof(guid));
		guid[i] ^= 1;
		begin();
		add_extensible(&cd, 16, WAV_PCM, guid);
		check_refused("extensible");
	}
	begin();
	add_extensible(&cd, 16, 0xfffe, media_guid);
	check_refused("format tag 0xfffe");
	begin();
	add_extensible(&cd, 16, 2, media_guid);
	check_refused("Microsoft ADPCM");
	/* The extension is cut short. */
	for (uint32_t n = 16; n < 40; n++) {
		begin();
		add_chunk_header("fmt ", n);
		add_format_fields(0xfffe, &cd, 4);
		add(media_guid, 14);
		add(media_guid, 14);
		check_refused("extensible");
	}
}

/* --- decode: how much follows --- */

/* The size of the samples behind a header that states these sizes. */
static uint64_t size_of(uint32_t riff_size, uint32_t data_size,
			enum wav_origin origin, uint64_t file_size)
{
	begin();
	add_format(&cd);
	add_chunk_header("data", data_size);
	for (unsigned b = 0; b < 4; b++)
		stream[4 + b] = (uint8_t)(riff_size >> (8 * b));
	ck_assert_int_eq(feed(sizeof(stream)), 44);
	return wav_parser_size(&parser, origin, file_size);
}

TEST(size_is_whole_frames)
{
	static const uint32_t sizes[] = {1, 3, 4, 880643, 0x6fffffff};

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
		for (enum wav_origin o = WAV_FILE; o <= WAV_SOCKET; o++)
			ck_assert_uint_eq(
			    size_of(sizes[i] + 36, sizes[i], o, 1U << 31),
			    sizes[i] / 4 * 4);
}

TEST(size_that_programs_state_for_want_of_one_is_unknown)
{
	static const uint32_t sizes[] = {
	    2000000000,		    /* the Python snippet */
	    0x7fff0000,		    /* GStreamer */
	    0x7ffff000,		    /* espeak-ng, sox */
	    0x7fffffff, 0x80000000, /* arecord */
	    0xffffffd8, 0xffffffff, /* ffmpeg, ours */
	};

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		const uint32_t n = sizes[i];

		ck_assert_uint_eq(size_of(n + 36, n, WAV_SOCKET, 0),
				  WAV_ENDLESS);
		ck_assert_uint_eq(size_of(n + 36, n, WAV_PIPE, 0), WAV_ENDLESS);
		/* A file has an end, wherever its header says it is. */
		ck_assert_uint_eq(size_of(n + 36, n, WAV_FILE, 1044), 1000);
		ck_assert_uint_eq(size_of(n + 36, n, WAV_FILE, 1ULL << 33),
				  (1ULL << 33) - 44);
	}
}

TEST(size_of_hours_is_believed_of_a_server_and_not_of_a_pipe)
{
	const uint32_t three_hours = 3 * 3600 * 44100 * 4U;
	const uint32_t limit = 0x7ff00000;

	ck_assert_uint_eq(size_of(0, three_hours, WAV_SOCKET, 0), three_hours);
	ck_assert_uint_eq(size_of(0, three_hours, WAV_PIPE, 0), WAV_ENDLESS);
	ck_assert_uint_eq(size_of(0, limit - 4, WAV_SOCKET, 0), limit - 4);
	ck_assert_uint_eq(size_of(0, limit, WAV_SOCKET, 0), WAV_ENDLESS);
	ck_assert_uint_eq(size_of(0, 0x90000000, WAV_SOCKET, 0), WAV_ENDLESS);
	ck_assert_uint_eq(size_of(0, 0x6ffffffc, WAV_PIPE, 0), 0x6ffffffc);
}

TEST(size_of_a_large_file_is_believed_where_the_file_has_it)
{
	const uint32_t sizes[] = {2000000000, 0x7ffff000, 0x80000000,
				  0xffffff00, 3000000000};

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		const uint32_t n = sizes[i];

		/* A chunk of 100 bytes is behind the samples. */
		ck_assert_uint_eq(
		    size_of(n + 136, n, WAV_FILE, (uint64_t)n + 144), n);
	}
	/* What is no placeholder needs no second witness. */
	ck_assert_uint_eq(size_of(0, 3000000000, WAV_FILE, 1ULL << 33),
			  3000000000);
}

TEST(size_of_0_is_unknown_unless_other_chunks_follow)
{
	static const uint32_t riff_sizes[] = {
	    0,		/* text2wave and others leave all at 0 */
	    36,		/* mpg123, faad */
	    44,		/* the whole header was counted */
	    2000000036, /* or stands for it */
	    0x80000024, 0xffffffff};

	for (size_t i = 0; i < ARRAY_SIZE(riff_sizes); i++) {
		const uint32_t riff = riff_sizes[i];

		ck_assert_uint_eq(size_of(riff, 0, WAV_SOCKET, 0), WAV_ENDLESS);
		ck_assert(wav_parser_may_be_empty(&parser));
		ck_assert_uint_eq(size_of(riff, 0, WAV_PIPE, 0), WAV_ENDLESS);
		ck_assert_uint_eq(size_of(riff, 0, WAV_FILE, 1044), 1000);
		ck_assert_uint_eq(size_of(riff, 0, WAV_FILE, 44), 0);
	}
	for (enum wav_origin o = WAV_FILE; o <= WAV_SOCKET; o++) {
		ck_assert_uint_eq(size_of(136, 0, o, 144), 0);
		ck_assert(!wav_parser_may_be_empty(&parser));
	}
	ck_assert_uint_eq(size_of(36, 4, WAV_PIPE, 0), 4);
	ck_assert(!wav_parser_may_be_empty(&parser));
}

/* --- decode: sizes of 64 bits --- */

static void add_u64(uint64_t value)
{
	add_number((uint32_t)value, 4);
	add_number((uint32_t)(value >> 32), 4);
}

static void begin_64(const char *id, uint64_t riff_size, uint64_t data_size)
{
	begin();
	memcpy(stream, id, 4);
	add_chunk_header("ds64", 28);
	add_u64(riff_size);
	add_u64(data_size);
	add_u64(0);
	add_number(0, 4);
	add_format(&cd);
}

TEST(sizes_of_64_bits_are_exact)
{
	const uint64_t sizes[] = {
	    4, 400, 2000000000, 0x80000000, 0xffffffff, 5000000000, 1ULL << 40};

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		const uint64_t n = sizes[i] / 4 * 4;

		begin_64(i % 2 ? "RF64" : "BW64", sizes[i] + 72, sizes[i]);
		add_chunk_header("data", 0xffffffff);
		check_header(&cd, sizes[i]);
		for (enum wav_origin o = WAV_FILE; o <= WAV_SOCKET; o++)
			ck_assert_uint_eq(
			    wav_parser_size(&parser, o, 1ULL << 41), n);
		ck_assert_uint_eq(wav_parser_size(&parser, WAV_FILE, 82), 0);
		ck_assert_uint_eq(wav_parser_size(&parser, WAV_FILE, 84), 4);
	}
}

TEST(sizes_of_64_bits_may_be_unknown)
{
	/* ffmpeg -rf64 always -f wav - leaves them at 0. */
	const uint64_t sizes[] = {0, UINT64_MAX, INT64_MAX};

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		begin_64("RF64", sizes[i], sizes[i]);
		add_chunk_header("data", 0xffffffff);
		check_header(&cd, sizes[i]);
		ck_assert_uint_eq(wav_parser_size(&parser, WAV_SOCKET, 0),
				  WAV_ENDLESS);
		ck_assert_uint_eq(wav_parser_size(&parser, WAV_FILE, 1080),
				  1000);
	}
}

TEST(sizes_of_64_bits_count_where_those_of_32_say_so)
{
	begin_64("RF64", 1 << 20, 1 << 20);
	add_chunk_header("data", 400);
	check_header(&cd, 400);
	/* RIFF has none: the chunk is one of many. */
	begin_64("RIFF", 1 << 20, 1 << 20);
	add_chunk_header("data", 0xffffffff);
	check_header(&cd, WAV_ENDLESS);
	/* Without them, or with too few bytes, the size is unknown. */
	begin();
	memcpy(stream, "RF64", 4);
	add_chunk("ds64", 24);
	add_format(&cd);
	add_chunk_header("data", 0xffffffff);
	check_header(&cd, WAV_ENDLESS);
	/* A table of other chunks may be part of it. */
	begin();
	memcpy(stream, "RF64", 4);
	add_chunk_header("ds64", 40);
	add_u64(5000000072);
	add_u64(5000000000);
	add("xxxxxxxxxxxx\1\0\0\0bigxxxxxxxxx", 24);
	add_format(&cd);
	add_chunk_header("data", 0xffffffff);
	check_header(&cd, 5000000000);
}

TEST(trailer_is_a_header_or_a_list_that_ends_with_the_stream)
{
	uint8_t end[400] = {0};
	const size_t header = wav_encode(stream, &cd, 0, NULL);

	size = header;
	ck_assert_int_eq(feed(7), (ssize_t)header);
	ck_assert_uint_eq(wav_trailer(&parser, end, sizeof(end)), 0);
	ck_assert_uint_eq(wav_trailer(&parser, end, 0), 0);
	memcpy(end + 400 - header, stream, header);
	ck_assert_uint_eq(wav_trailer(&parser, end, 400), header);
	ck_assert_uint_eq(wav_trailer(&parser, end, 399), 0);
	ck_assert_uint_eq(wav_trailer(&parser, end + 400 - header, header),
			  header);
	memset(end, 0, sizeof(end));
	memcpy(end + 400 - 28, "LIST\x14\0\0\0INFO", 12);
	ck_assert_uint_eq(wav_trailer(&parser, end, 400), 28);
	end[400 - 24]++;
	ck_assert_uint_eq(wav_trailer(&parser, end, 400), 0);
}

TEST(stream_that_breaks_off_is_neither_done_nor_bad)
{
	size_t whole;

	begin();
	add_chunk("LIST", 5);
	add_format(&cd);
	add_chunk("fact", 4);
	add_chunk_header("data", 4);
	whole = size;
	for (size = 0; size < whole; size++) {
		ck_assert_int_eq(feed(sizeof(stream)), (ssize_t)size);
		ck_assert(!parser.done);
		ck_assert_str_eq(parser.error, "");
	}
}

/* --- decode: lies --- */

TEST(other_kinds_of_sound_file_are_named)
{
	static const struct {
		const char *bytes, *words;
	} cases[] = {
	    {"RIFX\0\0\0\0WAVE", "it is a big-endian WAV file (RIFX)"},
	    {"RIFF\0\0\0\0AVI ", "it is an AVI file"},
	    {"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb", "it is a Wave64 file"},
	    {"ID3\3\0\0\0\0\0\0\0\0", "it is an MP3 file"},
	    {"\xff\xfb\x90\x64\0\0\0\0\0\0\0\0", "it is an MP3 file"},
	    {"\xff\xf3\x90\x64\0\0\0\0\0\0\0\0", "it is an MP3 file"},
	    {"\xff\xf1\x50\x80\0\0\0\0\0\0\0\0", "it is an AAC file"},
	    {"\xff\xf9\x50\x80\0\0\0\0\0\0\0\0", "it is an AAC file"},
	    {"OggS\0\2\0\0\0\0\0\0", "it is an Ogg file (Vorbis, Opus)"},
	    {"fLaC\0\0\0\x22\0\0\0\0", "it is a FLAC file"},
	    {"\0\0\0\x1c"
	     "ftypM4A ",
	     "it is an MP4 file (AAC, ALAC)"},
	    {"FORM\0\0\0\0AIFF", "it is an AIFF file"},
	    {".snd\0\0\0\x18\0\0\0\0", "it is a Sun audio file (AU)"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		size = 0;
		add(cases[i].bytes, 12);
		check_refused(cases[i].words);
		ck_assert(parser.foreign);
	}
}

TEST(what_is_no_riff_wave_is_refused)
{
	static const struct {
		const char *bytes, *words;
	} cases[] = {
	    {"RIFF\0\0\0\0WEBP", "does not begin with RIFF and WAVE"},
	    {"RF64\0\0\0\0WAVX", "does not begin with RIFF and WAVE"},
	    {"riff\0\0\0\0WAVE", "does not begin with RIFF and WAVE"},
	    {"GET / HTTP/1", "does not begin with RIFF and WAVE"},
	    {"\0\0\0\0\0\0\0\0\0\0\0\0", "does not begin with RIFF and WAVE"},
	    {"\x16\3\1\2\0\1\0\1\xfc\3\3x", "does not begin with RIFF"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		size = 0;
		add(cases[i].bytes, 12);
		check_refused(cases[i].words);
	}
}

TEST(formats_that_lie_are_refused)
{
	static const struct {
		unsigned tag;
		struct wav_format format;
		unsigned block_align;
		const char *words;
	} cases[] = {
	    {1, {0, 16, 0, 44100}, 0, "0 channels; 1 to 32 are"},
	    {1, {0, 16, 0, 44100}, 4, "0 channels; 1 to 32 are"},
	    {1, {0, 16, 33, 44100}, 66, "33 channels; 1 to 32 are"},
	    {1, {0, 16, 65535, 44100}, 65534, "65535 channels; 1 to 32 are"},
	    {1, {0, 16, 2, 0}, 4, "0 Hz; 4000 to 384000 are"},
	    {1, {0, 16, 2, 3999}, 4, "3999 Hz; 4000 to 384000 are"},
	    {1, {0, 16, 2, 384001}, 4, "384001 Hz; 4000 to 384000 are"},
	    {1, {0, 16, 2, 4000000000}, 4, "4000000000 Hz; 4000 to 384000"},
	    {1, {0, 16, 2, 0xffffffff}, 4, "4294967295 Hz; 4000 to 384000"},
	    {1, {0, 16, 2, 44100}, 3, "block align is 3"},
	    {1, {0, 16, 2, 44100}, 65535, "block align is 65535"},
	    {1, {0, 24, 2, 44100}, 4, "block align is 4"},
	    {1, {0, 20, 2, 44100}, 8, "block align is 8"},
	    {1, {0, 0, 2, 44100}, 0, "PCM of 0 bits; 8 to 32 are"},
	    {1, {0, 12, 2, 44100}, 2, "2 channels of 12 bits"},
	    {1, {0, 33, 2, 44100}, 16, "PCM of 33 bits"},
	    {1, {0, 64, 2, 44100}, 16, "PCM of 64 bits"},
	    {1, {0, 65528, 2, 44100}, 16382, "PCM of 65528 bits"},
	    {3,
	     {0, 16, 2, 44100},
	     4,
	     "floating-point samples have 16 bits; 32 and 64"},
	    {3, {0, 64, 2, 44100}, 8, "block align is 8"},
	    {6, {0, 16, 1, 8000}, 2, "A-law samples have 16 bits; 8 are"},
	    {7, {0, 0, 1, 8000}, 1, "mu-law samples have 0 bits"},
	    {0, {0, 8, 1, 8000}, 1, "encoding is unknown (format tag 0x0000)"},
	    {2, {0, 4, 1, 8000}, 256, "it is a WAV file of Microsoft ADPCM"},
	    {17, {0, 4, 1, 8000}, 256, "IMA ADPCM, which is compressed"},
	    {0x31, {0, 0, 1, 8000}, 65, "it is a WAV file of GSM 6.10"},
	    {0x55, {0, 0, 2, 44100}, 1, "it is a WAV file of MP3"},
	    {0xff, {0, 0, 2, 44100}, 1, "it is a WAV file of AAC"},
	    {0xffff, {0, 16, 2, 44100}, 4, "unknown (format tag 0xffff)"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		begin();
		add_chunk_header("fmt ", 16);
		add_format_fields(cases[i].tag, &cases[i].format,
				  cases[i].block_align);
		check_refused(cases[i].words);
	}
}

TEST(samples_before_or_between_formats_are_refused)
{
	begin();
	add_chunk_header("data", 400);
	check_refused("samples come before their format");
	begin();
	add_format(&cd);
	add_format(&cd);
	check_refused("two formats");
}

TEST(huge_chunk_before_the_samples_is_refused_at_once)
{
	static const uint32_t sizes[] = {16 * MIB + 1, 0x7fffffff, 0x80000000,
					 0xfffffffe, 0xffffffff};

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		char words[64];

		begin();
		add_format(&cd);
		add_chunk_header("LIST", sizes[i]);
		snprintf(words, sizeof(words), "a chunk of %u bytes", sizes[i]);
		check_refused(words);
	}
}

/* Feeds PIECE until the parser refuses; returns how many bytes it took. */
static uint64_t feed_for_ever(const void *piece, size_t piece_size)
{
	uint64_t taken = 0;
	ssize_t n;

	while ((n = wav_parser_feed(&parser, piece, piece_size)) > 0) {
		taken += (uint64_t)n;
		ck_assert_uint_le(taken, 17 * MIB);
	}
	ck_assert_int_eq(n, -EBADMSG);
	ck_assert_ptr_nonnull(strstr(parser.error, "do not begin within"));
	return taken;
}

TEST(endless_run_of_empty_chunks_ends)
{
	static uint8_t run[1 << 16];
	const size_t piece_sizes[] = {1, 8, 24, sizeof(run)};

	for (size_t i = 0; i < sizeof(run); i += 8)
		memcpy(run + i, "LIST\0\0\0\0", 8);
	for (size_t i = 1; i < ARRAY_SIZE(piece_sizes); i++) {
		begin();
		add_format(&cd);
		ck_assert_int_eq(feed(1), (ssize_t)size);
		ck_assert_uint_ge(feed_for_ever(run, piece_sizes[i]),
				  16 * MIB - size - sizeof(run));
	}
}

/* Zeros are empty chunks without a name. */
TEST(endless_zeros_end)
{
	static const uint8_t zeros[4096];
	begin();
	ck_assert_int_eq(feed(1), (ssize_t)size);
	feed_for_ever(zeros, sizeof(zeros));
}

/* An odd chunk whose pad byte is missing shifts all that follows. */
TEST(missing_pad_byte_ends_within_bounds)
{
	static const uint8_t zeros[4096];
	begin();
	add_format(&cd);
	add_chunk_header("LIST", 3);
	add("abc", 3);
	add_chunk_header("data", 880640);
	ck_assert_int_eq(feed(5), (ssize_t)size);
	ck_assert(!parser.done);
	feed_for_ever(zeros, sizeof(zeros));
}

/* Feeds a chunk of CHUNK_SIZE bytes and then "data"; whether it is accepted. */
static bool accepts_chunk_of(uint32_t chunk_size)
{
	static const uint8_t filling[65536];
	ssize_t n = 0;

	begin();
	add_format(&cd);
	add_chunk_header("LIST", chunk_size);
	ck_assert_int_eq(feed(sizeof(stream)), (ssize_t)size);
	while (chunk_size > 0 && n >= 0) {
		n = wav_parser_feed(&parser, filling,
				    chunk_size < sizeof(filling)
					? chunk_size
					: sizeof(filling));
		chunk_size -= n > 0 ? (uint32_t)n : 0;
	}
	if (n >= 0)
		n = wav_parser_feed(&parser, "data\4\0\0\0", 8);
	ck_assert(parser.done == (n == 8));
	return parser.done;
}

TEST(samples_may_begin_at_16_mib_and_not_later)
{
	/* RIFF, the format, and the heads of two chunks. */
	const uint32_t others = 12 + 24 + 8 + 8;

	ck_assert(accepts_chunk_of(16 * MIB - others));
	ck_assert(!accepts_chunk_of(16 * MIB - others + 2));
	ck_assert(!accepts_chunk_of(16 * MIB));
}
