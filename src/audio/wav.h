/* SPDX-License-Identifier: MIT
 * RIFF/WAVE headers: encodes them, and decodes a stranger's as the bytes come
 * in. Pure: no I/O, no allocation, no ALSA. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Format tags, from Microsoft's mmreg.h, and one that is none of them. */
enum wav_encoding {
	WAV_PCM = 1,   /* 8 bits unsigned; 16, 24 (3 bytes) and 32 signed */
	WAV_FLOAT = 3, /* 32 or 64 bits */
	WAV_ALAW = 6,  /* 8 bits */
	WAV_MULAW = 7, /* 8 bits */
	/* ALSA's S24_LE: 24 bits in the lower three of 4 bytes, so 32 bits */
	WAV_PADDED = 0x10000,
};

struct wav_format {
	enum wav_encoding encoding;
	uint16_t bits; /* per sample */
	uint16_t channels;
	uint32_t rate; /* Hz */
};

enum {
	WAV_RATE_MIN = 4000,
	WAV_RATE_MAX = 384000,
	WAV_CHANNELS_MAX = 32,
	WAV_FRAME_SIZE_MAX = 4 * WAV_CHANNELS_MAX, /* in a plain format */
	WAV_HEADER_SIZE_MAX = 112,		/* that wav_encode() writes */
	WAV_FOREIGN_HEADER_SIZE_MAX = 16 << 20, /* that the parser accepts */
};

/* What makes a WAV file of a sound FILE that is none. */
#define WAV_CONVERT "ffmpeg -v error -i FILE -f wav "

/* A data size that is unknown or unlimited. */
#define WAV_ENDLESS UINT64_MAX
/* The largest data size that wav_encode() can state. */
#define WAV_DATA_SIZE_MAX (UINT32_MAX - 1 - WAV_HEADER_SIZE_MAX)

bool wav_format_equal(const struct wav_format *a, const struct wav_format *b);

/* The format in which the samples of FORMAT are sent and played: S24_LE becomes
 * S24_3LE, and 64-bit floats become 32-bit ones, since every reader and card
 * knows those. The others are plain already. */
struct wav_format wav_plain(const struct wav_format *format);

/* Bytes in one frame. */
size_t wav_frame_size(const struct wav_format *format);
/* How long FRAMES last, in seconds; 0 while the rate is not known (0). */
double wav_seconds(const struct wav_format *format, uint64_t frames);

/* ALSA's name of the sample format, as for arecord -f: "S16_LE" etc. Static. */
const char *wav_format_name(const struct wav_format *format);
/* Sets encoding and bits from such a name or a shorter one (S16, S24_3, S32,
 * Float, ALaw, MuLaw), ignoring case; keeps rate and channels. 0 or -EINVAL. */
int wav_format_parse_name(struct wav_format *format, const char *name);

/* The byte that is silence in this format (0, 0x80 for U8, 0xd5 for A-law,
 * 0xff for mu-law): memset(buffer, wav_silence(f), size). */
uint8_t wav_silence(const struct wav_format *format);

/* The RIFF chunk "page", of which version 1 has these fields. */
enum wav_page_flags {
	WAV_PAGE_PLAYED = 1,	    /* a file, or a pipe that is a recording */
	WAV_PAGE_SCHEDULE = 2,	    /* the fields up to budget_us are valid */
	WAV_PAGE_CLOCK_TRUSTED = 4, /* the server's wall clock */
	WAV_PAGE_REAL_TIME = 8,	    /* frames arrive so, after the lead */
};

/* The longest budget_us and ahead_us. */
#define WAV_PAGE_SPAN_US_MAX UINT32_C(30000000)

struct wav_page {
	uint8_t flags;
	uint32_t clock_error_us; /* of the server; UINT32_MAX: unknown */
	int64_t sound_ns; /* CLOCK_REALTIME at which the first frame behind this
			     header shall sound */
	uint32_t budget_us; /* how long before that it was captured */
	uint32_t ahead_us;  /* how early a played page is sent; 0: live */
};

/* Writes a header for DATA_SIZE bytes of samples, which are plain, and returns
 * its size: 44 for 8- and 16-bit PCM in 1 or 2 channels, more for all else,
 * which needs WAVE_FORMAT_EXTENSIBLE, and 32 more with PAGE, which may be NULL.
 * Above WAV_DATA_SIZE_MAX it states WAV_ENDLESS. */
size_t wav_encode(uint8_t header[WAV_HEADER_SIZE_MAX],
		  const struct wav_format *format, uint64_t data_size,
		  const struct wav_page *page);

/* Decodes a header piece by piece. The fields after "state" are the result. */
struct wav_parser {
	struct {
		uint8_t buffer[64];
		size_t have, need;
		uint64_t
		    skip; /* bytes of an unknown chunk still to pass over */
		uint64_t consumed;
		int step;
		bool seen_page; /* at most one is looked at */
		bool is_64_bit, have_ds64;
		uint64_t ds64_riff, ds64_data;
	} state;
	bool done; /* the next byte is the first sample */
	bool have_format;
	struct wav_format
	    format; /* of the samples that follow; not plain yet */
	/* Bytes, as stated: wav_parser_size() tells what they are worth. */
	uint64_t riff_size, data_size;
	bool sizes_are_exact; /* those of RF64, which has no placeholders */
	bool have_page;	      /* of version 1 */
	/* Only flags that are known. Without WAV_PAGE_SCHEDULE when a span is
	 * longer than WAV_PAGE_SPAN_US_MAX. sound_ns is as it came. */
	struct wav_page page;
	char error[128]; /* what is wrong, for a person, or "" */
	bool foreign;	 /* it may be sound all the same: see WAV_CONVERT */
};

void wav_parser_init(struct wav_parser *parser);

/* Feeds SIZE bytes. Returns how many were consumed: all, or fewer when the
 * header is complete (parser->done) and samples follow. -EBADMSG when this is
 * not a WAV stream that can be played: parser->error says why. */
ssize_t wav_parser_feed(struct wav_parser *parser, const void *data,
			size_t size);

/* Once parser->done: how many bytes of samples follow, in whole frames, or
 * WAV_ENDLESS where that is unknown. Programs that cannot seek in their output
 * state 0 or a very large size; how large a stated size is believed depends on
 * where the stream comes from. FILE_SIZE is that of a WAV_FILE, header
 * included, and bounds the result. */
enum wav_origin { WAV_FILE, WAV_PIPE, WAV_SOCKET };
uint64_t wav_parser_size(const struct wav_parser *parser,
			 enum wav_origin origin, uint64_t file_size);
/* How many of the SIZE bytes before the end of a stream of unknown size are no
 * samples: a program that could not seek has written its header once more, now
 * with the right sizes (text2wave), or tags follow (GStreamer). At most
 * WAV_TRAILER_MAX. */
enum { WAV_TRAILER_MAX = 128 };
size_t wav_trailer(const struct wav_parser *parser, const void *data,
		   size_t size);
/* Whether it says neither how many samples follow nor that any do. */
bool wav_parser_may_be_empty(const struct wav_parser *parser);
