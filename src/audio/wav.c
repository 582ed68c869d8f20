/* SPDX-License-Identifier: MIT
 * RIFF/WAVE headers, after Microsoft's "Multimedia Programming Interface and
 * Data Specifications 1.0" and the WAVE_FORMAT_EXTENSIBLE notes. */
#include "audio/wav.h"

#include <endian.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/util.h"

#define FORMAT_EXTENSIBLE 0xfffe

enum step {
	STEP_RIFF,
	STEP_CHUNK,
	STEP_SKIP,
	STEP_FORMAT,
	STEP_PAGE,
	STEP_DS64
};

enum {
	RIFF_SIZE = 12,
	CHUNK_HEADER_SIZE = 8,
	FORMAT_SIZE_MIN = 16,
	FORMAT_SIZE_USED = 40,
	FORMAT_SIZE_MAX = 4096,
	DS64_SIZE_MIN = 28,
	DS64_SIZE_USED = 16,
	PAGE_SIZE = 24,
	PAGE_VERSION = 1,
	PAGE_FLAGS = WAV_PAGE_PLAYED | WAV_PAGE_SCHEDULE |
		     WAV_PAGE_CLOCK_TRUSTED | WAV_PAGE_REAL_TIME,
};

static const uint8_t guid_tail[14] = {0x00, 0x00, 0x00, 0x00, 0x10, 0x00, 0x80,
				      0x00, 0x00, 0xaa, 0x00, 0x38, 0x9b, 0x71};

static const struct {
	const char *name, *alias;
	enum wav_encoding encoding;
	uint16_t bits;
} names[] = {
    {"U8", "U8", WAV_PCM, 8},
    {"S16_LE", "S16", WAV_PCM, 16},
    {"S24_3LE", "S24_3", WAV_PCM, 24},
    {"S24_LE", "S24", WAV_PADDED, 32},
    {"S32_LE", "S32", WAV_PCM, 32},
    {"FLOAT_LE", "FLOAT", WAV_FLOAT, 32},
    {"FLOAT64_LE", "FLOAT64", WAV_FLOAT, 64},
    {"A_LAW", "ALAW", WAV_ALAW, 8},
    {"MU_LAW", "MULAW", WAV_MULAW, 8},
};

const char *wav_format_name(const struct wav_format *format)
{
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (names[i].encoding == format->encoding &&
		    names[i].bits == format->bits)
			return names[i].name;
	return "unknown";
}

int wav_format_parse_name(struct wav_format *format, const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (strcasecmp(name, names[i].name) != 0 &&
		    strcasecmp(name, names[i].alias) != 0)
			continue;
		format->encoding = names[i].encoding;
		format->bits = names[i].bits;
		return 0;
	}
	return -EINVAL;
}

static bool known_encoding(enum wav_encoding encoding, unsigned bits)
{
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (names[i].encoding == encoding && names[i].bits == bits)
			return true;
	return false;
}

bool wav_format_equal(const struct wav_format *a, const struct wav_format *b)
{
	return a->encoding == b->encoding && a->bits == b->bits &&
	       a->channels == b->channels && a->rate == b->rate;
}

struct wav_format wav_plain(const struct wav_format *format)
{
	struct wav_format plain = *format;

	if (format->encoding == WAV_PADDED) {
		plain.encoding = WAV_PCM;
		plain.bits = 24;
	} else if (format->encoding == WAV_FLOAT) {
		plain.bits = 32;
	}
	return plain;
}

size_t wav_frame_size(const struct wav_format *format)
{
	return (size_t)format->channels * (format->bits / 8);
}

double wav_seconds(const struct wav_format *format, uint64_t frames)
{
	return frames_to_seconds(frames, format->rate);
}

uint8_t wav_silence(const struct wav_format *format)
{
	if (format->encoding == WAV_ALAW)
		return 0xd5;
	if (format->encoding == WAV_MULAW)
		return 0xff;
	return format->bits == 8 ? 0x80 : 0;
}

/* --- encode --- */

static uint8_t *put_id(uint8_t *p, const char *id)
{
	memcpy(p, id, 4);
	return p + 4;
}

static uint8_t *put_u16(uint8_t *p, uint16_t value)
{
	value = htole16(value);
	memcpy(p, &value, sizeof(value));
	return p + sizeof(value);
}

static uint8_t *put_u32(uint8_t *p, uint32_t value)
{
	value = htole32(value);
	memcpy(p, &value, sizeof(value));
	return p + sizeof(value);
}

static uint8_t *put_u64(uint8_t *p, uint64_t value)
{
	p = put_u32(p, (uint32_t)value);
	return put_u32(p, (uint32_t)(value >> 32));
}

static bool canonical(const struct wav_format *format)
{
	return format->encoding == WAV_PCM && format->bits <= 16 &&
	       format->channels <= 2;
}

/* For 1, 2, 4, 6 and 8 channels the KSAUDIO_SPEAKER_MONO, STEREO, QUAD, 5POINT1
 * and 7POINT1_SURROUND of Microsoft's ksmedia.h. 0 assigns no speakers. */
static uint32_t channel_mask(unsigned channels)
{
	static const uint32_t masks[] = {0,    0x4,  0x3,   0x7,  0x33,
					 0x37, 0x3f, 0x13f, 0x63f};

	return channels < ARRAY_SIZE(masks) ? masks[channels] : 0;
}

static uint8_t *put_format(uint8_t *p, const struct wav_format *format)
{
	size_t frame_size = wav_frame_size(format);
	bool plain = canonical(format);

	p = put_id(p, "fmt ");
	p = put_u32(p, plain ? FORMAT_SIZE_MIN : FORMAT_SIZE_USED);
	p = put_u16(p, plain ? (uint16_t)format->encoding : FORMAT_EXTENSIBLE);
	p = put_u16(p, format->channels);
	p = put_u32(p, format->rate);
	p = put_u32(p, (uint32_t)(format->rate * frame_size));
	p = put_u16(p, (uint16_t)frame_size);
	p = put_u16(p, format->bits);
	if (plain)
		return p;
	p = put_u16(p, 22);
	p = put_u16(p, format->bits);
	p = put_u32(p, channel_mask(format->channels));
	p = put_u16(p, (uint16_t)format->encoding);
	memcpy(p, guid_tail, sizeof(guid_tail));
	return p + sizeof(guid_tail);
}

static uint8_t *put_page(uint8_t *p, const struct wav_page *page)
{
	p = put_id(p, "page");
	p = put_u32(p, PAGE_SIZE);
	*p++ = PAGE_VERSION;
	*p++ = page->flags;
	p = put_u16(p, 0);
	p = put_u32(p, page->clock_error_us);
	p = put_u64(p, (uint64_t)page->sound_ns);
	p = put_u32(p, page->budget_us);
	return put_u32(p, page->ahead_us);
}

size_t wav_encode(uint8_t header[WAV_HEADER_SIZE_MAX],
		  const struct wav_format *format, uint64_t data_size,
		  const struct wav_page *page)
{
	bool endless = data_size > WAV_DATA_SIZE_MAX;
	uint8_t *p = put_id(header, "RIFF"), *riff_size = p;
	uint64_t size;

	p = put_id(p + 4, "WAVE");
	p = put_format(p, format);
	if (format->encoding != WAV_PCM) {
		p = put_id(p, "fact");
		p = put_u32(p, 4);
		p = put_u32(p, endless ? UINT32_MAX
				       : (uint32_t)(data_size /
						    wav_frame_size(format)));
	}
	if (page)
		p = put_page(p, page);
	p = put_id(p, "data");
	p = put_u32(p, endless ? UINT32_MAX : (uint32_t)data_size);
	size = (uint64_t)(p - header) - 8 + data_size + data_size % 2;
	put_u32(riff_size, endless ? UINT32_MAX : (uint32_t)size);
	return (size_t)(p - header);
}

/* --- decode --- */

static uint16_t get_u16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

static uint32_t get_u32(const uint8_t *p)
{
	return get_u16(p) | (uint32_t)get_u16(p + 2) << 16;
}

static uint64_t get_u64(const uint8_t *p)
{
	return get_u32(p) | (uint64_t)get_u32(p + 4) << 32;
}

static int bad(struct wav_parser *parser, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static int bad(struct wav_parser *parser, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(parser->error, sizeof(parser->error), format, ap);
	va_end(ap);
	return -EBADMSG;
}

static void expect(struct wav_parser *parser, enum step step, size_t size)
{
	parser->state.step = (int)step;
	parser->state.have = 0;
	parser->state.need = size;
}

void wav_parser_init(struct wav_parser *parser)
{
	*parser = (struct wav_parser){.data_size = WAV_ENDLESS};
	expect(parser, STEP_RIFF, RIFF_SIZE);
}

static int foreign(struct wav_parser *parser, const char *name)
{
	parser->foreign = true;
	return bad(parser, "it is %s", name);
}

static bool is_mpeg_audio(const uint8_t *p)
{
	return p[0] == 0xff && (p[1] & 0xe0) == 0xe0;
}

/* The name of a sound file that is none of RIFF's, or NULL. */
static const char *foreign_file(const uint8_t *p)
{
	static const struct {
		size_t offset;
		const char *magic, *name;
	} kinds[] = {
	    {0, "RIFX", "a big-endian WAV file (RIFX)"},
	    {0, "ID3", "an MP3 file"},
	    {0, "OggS", "an Ogg file (Vorbis, Opus)"},
	    {0, "fLaC", "a FLAC file"},
	    {0, "ADIF", "an AAC file"},
	    {0, "FORM", "an AIFF file"},
	    {0, "caff", "a CAF file"},
	    {0, ".snd", "a Sun audio file (AU)"},
	    {0, "riff\x2e\x91\xcf\x11", "a Wave64 file"},
	    {0, "#!AMR", "an AMR file"},
	    {0, "wvpk", "a WavPack file"},
	    {0, "MAC ", "a Monkey's Audio file"},
	    {0, "Creative Voi", "a VOC file"},
	    {0, "\x1a\x45\xdf\xa3", "a Matroska or WebM file"},
	    {0, "\x30\x26\xb2\x75", "a WMA file"},
	    {4, "ftyp", "an MP4 file (AAC, ALAC)"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (memcmp(p + kinds[i].offset, kinds[i].magic,
			   strlen(kinds[i].magic)) == 0)
			return kinds[i].name;
	if (is_mpeg_audio(p))
		return p[1] & 6 ? "an MP3 file" : "an AAC file";
	return NULL;
}

static bool is_64_bit(const uint8_t *p)
{
	return memcmp(p, "RF64", 4) == 0 || memcmp(p, "BW64", 4) == 0;
}

static int parse_riff(struct wav_parser *parser)
{
	const uint8_t *p = parser->state.buffer;
	const char *name = foreign_file(p);

	if (name)
		return foreign(parser, name);
	parser->state.is_64_bit = is_64_bit(p);
	if (!parser->state.is_64_bit && memcmp(p, "RIFF", 4) != 0)
		return bad(parser, "it does not begin with RIFF and WAVE");
	if (memcmp(p + 8, "AVI ", 4) == 0)
		return foreign(parser, "an AVI file");
	if (memcmp(p + 8, "WAVE", 4) != 0)
		return bad(parser, "it does not begin with RIFF and WAVE");
	parser->riff_size = get_u32(p + 4);
	expect(parser, STEP_CHUNK, CHUNK_HEADER_SIZE);
	return 0;
}

/* The sizes that RF64 and BW64 state here, since 32 bits do not hold them: EBU
 * Tech 3306, ITU-R BS.2088. */
static void parse_ds64(struct wav_parser *parser)
{
	const uint8_t *p = parser->state.buffer;

	parser->state.have_ds64 = true;
	parser->state.ds64_riff = get_u64(p);
	parser->state.ds64_data = get_u64(p + 8);
}

/* Of tags that are no encoding of ours; from mmreg.h. */
static const struct {
	unsigned tag;
	const char *name;
} encodings[] = {
    {0x0002, "Microsoft ADPCM"},
    {0x0008, "DTS"},
    {0x0010, "OKI ADPCM"},
    {0x0011, "IMA ADPCM"},
    {0x0014, "G.723 ADPCM"},
    {0x0020, "Yamaha ADPCM"},
    {0x0022, "TrueSpeech"},
    {0x0031, "GSM 6.10"},
    {0x0040, "G.721 ADPCM"},
    {0x0042, "G.723.1"},
    {0x0045, "G.726 ADPCM"},
    {0x0050, "MPEG audio"},
    {0x0055, "MP3"},
    {0x0061, "Duck ADPCM"},
    {0x0062, "Duck ADPCM"},
    {0x0064, "G.726 ADPCM"},
    {0x0065, "G.722"},
    {0x0069, "Xbox ADPCM"},
    {0x0083, "G.729"},
    {0x0092, "AC-3"},
    {0x00ff, "AAC"},
    {0x0160, "WMA"},
    {0x0161, "WMA"},
    {0x0162, "WMA"},
    {0x0163, "WMA"},
    {0x0200, "Creative ADPCM"},
    {0x0270, "ATRAC3"},
    {0x028f, "G.722"},
    {0x1600, "AAC"},
    {0x1610, "AAC"},
    {0x2000, "AC-3"},
    {0x2001, "DTS"},
    {0x674f, "Vorbis"},
    {0x6750, "Vorbis"},
    {0x6751, "Vorbis"},
    {0x704f, "Opus"},
    {0xa109, "Speex"},
    {0xf1ac, "FLAC"},
};

/* Or NULL. */
static const char *encoding_name(unsigned tag)
{
	for (size_t i = 0; i < ARRAY_SIZE(encodings); i++)
		if (encodings[i].tag == tag)
			return encodings[i].name;
	return NULL;
}

static int refuse_encoding(struct wav_parser *parser, unsigned tag,
			   unsigned bits)
{
	const char *name = encoding_name(tag);

	parser->foreign = true;
	switch (tag) {
	case WAV_PCM:
		return bad(parser, "it is PCM of %u bits; 8 to 32 are possible",
			   bits);
	case WAV_FLOAT:
		return bad(parser,
			   "its floating-point samples have %u bits; 32 and 64 "
			   "are possible",
			   bits);
	case WAV_ALAW:
	case WAV_MULAW:
		return bad(parser,
			   "its %s samples have %u bits; 8 are possible",
			   tag == WAV_ALAW ? "A-law" : "mu-law", bits);
	default:
		break;
	}
	if (name)
		return bad(parser,
			   "it is a WAV file of %s, which is compressed", name);
	return bad(parser, "its encoding is unknown (format tag 0x%04x)", tag);
}

/* Samples of 9 to 15 bits fill 2 bytes, and so on: their low bits are 0. 24
 * bits in 4 bytes are the exception: programs put them where ALSA has them. */
static void fill_container(struct wav_format *format, unsigned block_align)
{
	if (format->encoding != WAV_PCM || format->bits > 32)
		return;
	if (format->bits == 24 && block_align == 4U * format->channels) {
		format->encoding = WAV_PADDED;
		format->bits = 32;
	}
	format->bits = (uint16_t)((format->bits + 7) / 8 * 8);
}

static int check_format(struct wav_parser *parser, unsigned tag, unsigned bits,
			unsigned block_align)
{
	const struct wav_format *format = &parser->format;

	if (!known_encoding(format->encoding, format->bits))
		return refuse_encoding(parser, tag, bits);
	if (format->channels < 1 || format->channels > WAV_CHANNELS_MAX)
		return bad(parser,
			   "it names %u channels; 1 to %d are supported",
			   format->channels, WAV_CHANNELS_MAX);
	if (format->rate < WAV_RATE_MIN || format->rate > WAV_RATE_MAX)
		return bad(parser, "it names %u Hz; %d to %d are supported",
			   format->rate, WAV_RATE_MIN, WAV_RATE_MAX);
	/* 0: the writer has left it to the reader. */
	if (block_align != 0 && block_align != wav_frame_size(format))
		return bad(parser,
			   "its block align is %u, which does not fit %u "
			   "channels of %u bits",
			   block_align, format->channels, bits);
	return 0;
}

/* Ignores the byte rate, since many programs write a wrong one. */
static int parse_format(struct wav_parser *parser)
{
	const uint8_t *p = parser->state.buffer;
	unsigned tag = get_u16(p), bits = get_u16(p + 14);
	unsigned block_align = get_u16(p + 12);

	if (tag == FORMAT_EXTENSIBLE) {
		if (parser->state.need < FORMAT_SIZE_USED)
			return bad(parser, "its extensible format is cut off");
		if (memcmp(p + 26, guid_tail, sizeof(guid_tail)) != 0) {
			parser->foreign = true;
			return bad(parser,
				   "its extensible format is of an unknown "
				   "kind");
		}
		tag = get_u16(p + 24);
	}
	parser->format = (struct wav_format){
	    .encoding = (enum wav_encoding)tag,
	    .channels = get_u16(p + 2),
	    .rate = get_u32(p + 4),
	    .bits = (uint16_t)bits,
	};
	parser->have_format = true;
	fill_container(&parser->format, block_align);
	return check_format(parser, tag, bits, block_align);
}

/* The sizes as they are stated, of 64 bits where the ones of 32 say so. */
static void take_sizes(struct wav_parser *parser, uint32_t data_size)
{
	const bool have_ds64 = parser->state.have_ds64;

	parser->data_size = data_size;
	parser->sizes_are_exact = have_ds64 && data_size == UINT32_MAX;
	if (parser->sizes_are_exact)
		parser->data_size = parser->state.ds64_data;
	else if (data_size == UINT32_MAX)
		parser->data_size = WAV_ENDLESS;
	if (have_ds64 && parser->riff_size == UINT32_MAX)
		parser->riff_size = parser->state.ds64_riff;
}

static void parse_page(struct wav_parser *parser)
{
	const uint8_t *p = parser->state.buffer;
	struct wav_page *page = &parser->page;

	if (p[0] != PAGE_VERSION)
		return;
	parser->have_page = true;
	*page = (struct wav_page){
	    .flags = p[1] & PAGE_FLAGS,
	    .clock_error_us = get_u32(p + 4),
	    .sound_ns = (int64_t)get_u64(p + 8),
	    .budget_us = get_u32(p + 16),
	    .ahead_us = get_u32(p + 20),
	};
	if (page->budget_us > WAV_PAGE_SPAN_US_MAX ||
	    page->ahead_us > WAV_PAGE_SPAN_US_MAX)
		*page = (struct wav_page){
		    .flags = page->flags & WAV_PAGE_PLAYED,
		};
}

/* A RIFF chunk of SIZE bytes, yet to be skipped, is the format. */
static int expect_format(struct wav_parser *parser, uint32_t size)
{
	const size_t used = MIN(size, (uint32_t)FORMAT_SIZE_USED);

	if (parser->have_format)
		return bad(parser, "it has two formats");
	if (size < FORMAT_SIZE_MIN || size > FORMAT_SIZE_MAX)
		return bad(parser,
			   "its format has %u bytes; %d to %d are possible",
			   size, FORMAT_SIZE_MIN, FORMAT_SIZE_MAX);
	parser->state.skip -= used;
	expect(parser, STEP_FORMAT, used);
	return 0;
}

static int parse_chunk(struct wav_parser *parser)
{
	const uint8_t *p = parser->state.buffer;
	uint32_t size = get_u32(p + 4);

	if (memcmp(p, "data", 4) == 0) {
		if (!parser->have_format)
			return bad(parser, "its samples come before their "
					   "format");
		take_sizes(parser, size);
		parser->done = true;
		return 0;
	}
	parser->state.skip = (uint64_t)size + size % 2;
	if (memcmp(p, "fmt ", 4) == 0)
		return expect_format(parser, size);
	if (parser->state.skip > WAV_FOREIGN_HEADER_SIZE_MAX)
		return bad(parser,
			   "a chunk of %u bytes comes before the "
			   "samples; %d are possible",
			   size, WAV_FOREIGN_HEADER_SIZE_MAX);
	if (parser->state.is_64_bit && memcmp(p, "ds64", 4) == 0 &&
	    size >= DS64_SIZE_MIN) {
		parser->state.skip -= DS64_SIZE_USED;
		expect(parser, STEP_DS64, DS64_SIZE_USED);
		return 0;
	}
	if (memcmp(p, "page", 4) == 0 && !parser->state.seen_page) {
		parser->state.seen_page = true;
		if (size == PAGE_SIZE) {
			parser->state.skip = 0;
			expect(parser, STEP_PAGE, PAGE_SIZE);
			return 0;
		}
	}
	expect(parser, STEP_SKIP, 0);
	return 0;
}

static int parse(struct wav_parser *parser)
{
	int r;

	switch ((enum step)parser->state.step) {
	case STEP_RIFF:
		return parse_riff(parser);
	case STEP_CHUNK:
		return parse_chunk(parser);
	case STEP_FORMAT:
		r = parse_format(parser);
		expect(parser, STEP_SKIP, 0);
		return r;
	case STEP_PAGE:
		parse_page(parser);
		expect(parser, STEP_CHUNK, CHUNK_HEADER_SIZE);
		return 0;
	case STEP_DS64:
		parse_ds64(parser);
		expect(parser, STEP_SKIP, 0);
		return 0;
	case STEP_SKIP:
		break;
	}
	return 0;
}

/* Takes the bytes that the current step needs; returns how many. */
static size_t take(struct wav_parser *parser, const uint8_t *data, size_t size)
{
	size_t left = parser->state.need - parser->state.have;

	if (parser->state.step == STEP_SKIP) {
		if (size > parser->state.skip)
			size = (size_t)parser->state.skip;
		parser->state.skip -= size;
		if (parser->state.skip == 0)
			expect(parser, STEP_CHUNK, CHUNK_HEADER_SIZE);
		return size;
	}
	if (size > left)
		size = left;
	memcpy(parser->state.buffer + parser->state.have, data, size);
	parser->state.have += size;
	return size;
}

ssize_t wav_parser_feed(struct wav_parser *parser, const void *data,
			size_t size)
{
	const uint8_t *p = data;
	size_t used = 0;

	if (*parser->error)
		return -EBADMSG;
	while (used < size && !parser->done) {
		size_t n = take(parser, p + used, size - used);

		used += n;
		parser->state.consumed += n;
		if (parser->state.consumed > WAV_FOREIGN_HEADER_SIZE_MAX)
			return bad(parser,
				   "its samples do not begin within "
				   "the first %d bytes",
				   WAV_FOREIGN_HEADER_SIZE_MAX);
		if (parser->state.step != STEP_SKIP &&
		    parser->state.have == parser->state.need) {
			int r = parse(parser);

			if (r < 0)
				return r;
		}
	}
	return (ssize_t)used;
}

/* --- how much follows --- */

/* Larger ones are not believed: of a server, whose pages of three hours are
 * true, and of a program that writes a pipe. */
#define SOCKET_SIZE_MAX UINT64_C(0x7ff00000)
#define PIPE_SIZE_MAX UINT64_C(0x70000000)
/* What a snippet of Python states that many have copied. */
#define SNIPPET_SIZE UINT64_C(2000000000)
#define DS64_SIZE_MAX (UINT64_C(1) << 62)

/* GStreamer 0x7fff0000, espeak-ng 0x7ffff000, sox a little less than 2^31,
 * arecord 2^31; ffmpeg 2^32 - 1, and others that less a header. */
static bool is_placeholder(uint64_t size)
{
	return size == SNIPPET_SIZE ||
	       (size >= 0x7fff0000 && size <= UINT32_C(0x80000000)) ||
	       size >= UINT32_C(0xffff0000);
}

/* Whether the RIFF chunk has no room for another chunk behind the samples. Some
 * count the whole header, not what follows its size. */
static bool riff_ends_with_header(const struct wav_parser *parser)
{
	return parser->riff_size <= parser->state.consumed ||
	       parser->riff_size >= PIPE_SIZE_MAX;
}

/* A size may look like a placeholder and be true, in a file of that size. */
static bool riff_is_the_file(const struct wav_parser *parser,
			     uint64_t file_size)
{
	return parser->riff_size + 8 == file_size;
}

static bool size_is_unknown(const struct wav_parser *parser,
			    enum wav_origin origin, uint64_t file_size)
{
	const uint64_t size = parser->data_size;

	if (size == 0)
		return riff_ends_with_header(parser);
	if (parser->sizes_are_exact)
		return size >= DS64_SIZE_MAX;
	switch (origin) {
	case WAV_SOCKET:
		return size >= SOCKET_SIZE_MAX || size == SNIPPET_SIZE;
	case WAV_PIPE:
		return size >= PIPE_SIZE_MAX;
	case WAV_FILE:
		break;
	}
	return is_placeholder(size) && !riff_is_the_file(parser, file_size);
}

bool wav_parser_may_be_empty(const struct wav_parser *parser)
{
	return parser->data_size == 0 && riff_ends_with_header(parser);
}

uint64_t wav_parser_size(const struct wav_parser *parser,
			 enum wav_origin origin, uint64_t file_size)
{
	const uint64_t begin = parser->state.consumed;
	uint64_t size = parser->data_size;

	if (size_is_unknown(parser, origin, file_size))
		size = WAV_ENDLESS;
	if (origin == WAV_FILE)
		size = MIN(size, file_size > begin ? file_size - begin : 0);
	return size == WAV_ENDLESS
		   ? size
		   : size - size % wav_frame_size(&parser->format);
}

size_t wav_trailer(const struct wav_parser *parser, const void *data,
		   size_t size)
{
	size_t n = MIN(size, (size_t)WAV_TRAILER_MAX);

	for (; n >= RIFF_SIZE; n--) {
		const uint8_t *p = (const uint8_t *)data + size - n;

		if (memcmp(p, "LIST", 4) == 0 &&
		    get_u32(p + 4) == n - CHUNK_HEADER_SIZE)
			return n;
		if (n == parser->state.consumed && memcmp(p, "RIFF", 4) == 0 &&
		    memcmp(p + 8, "WAVE", 4) == 0)
			return n;
	}
	return 0;
}
