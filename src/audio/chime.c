/* SPDX-License-Identifier: MIT
 * Loads a chime and converts it once: rate by libsamplerate, channels by
 * copying or averaging. */
#include "audio/chime.h"

#include <errno.h>
#include <fcntl.h>
#include <samplerate.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "audio/samples.h"
#include "base/io.h"
#include "base/util.h"

#define MIB (UINT64_C(1) << 20)

enum { SIZE_MAX_MIB = 64 };

/* A chime during conversion: interleaved floats. */
struct sound {
	float *samples;
	size_t frames;
	unsigned channels, rate;
};

/* *ret_offset is the offset of the first sample. */
static int read_header(int fd, struct wav_parser *parser, off_t *ret_offset,
		       char *problem)
{
	uint8_t piece[4096];
	off_t offset = 0;

	wav_parser_init(parser);
	while (!parser->done) {
		ssize_t n = pread_all(fd, piece, sizeof(piece), offset);

		if (n < 0)
			return (int)n;
		if (n == 0) {
			snprintf(problem, CHIME_PROBLEM_SIZE,
				 "it ends before its samples begin");
			return -EBADMSG;
		}
		n = wav_parser_feed(parser, piece, (size_t)n);
		if (n < 0) {
			snprintf(problem, CHIME_PROBLEM_SIZE, "%s%s",
				 parser->error,
				 parser->foreign ? "; convert it: " WAV_CONVERT
						   "chime.wav"
						 : "");
			return -EBADMSG;
		}
		offset += n;
	}
	*ret_offset = offset;
	return 0;
}

static int sound_from(struct sound *ret, const struct wav_format *format,
		      const uint8_t *data, size_t size)
{
	size_t sample_size = format->bits / 8;
	size_t count = size / sample_size;

	ret->samples = malloc((count ? count : 1) * sizeof(float));
	if (!ret->samples)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		ret->samples[i] =
		    (float)samples_get(format, data + i * sample_size);
	ret->frames = count / format->channels;
	ret->channels = format->channels;
	ret->rate = format->rate;
	return 0;
}

static float mixed_sample(const struct sound *sound, size_t frame,
			  unsigned channel, unsigned channels)
{
	const float *samples = sound->samples + frame * sound->channels;
	float sum = 0;

	if (sound->channels == 1)
		return samples[0];
	if (channels > 1)
		return channel < sound->channels ? samples[channel] : 0;
	for (unsigned i = 0; i < sound->channels; i++)
		sum += samples[i];
	return sum / (float)sound->channels;
}

static int change_channels(struct sound *sound, unsigned channels)
{
	float *samples;

	if (channels == sound->channels)
		return 0;
	samples = malloc((sound->frames * channels + 1) * sizeof(float));
	if (!samples)
		return -ENOMEM;
	for (size_t f = 0; f < sound->frames; f++)
		for (unsigned c = 0; c < channels; c++)
			samples[f * channels + c] =
			    mixed_sample(sound, f, c, channels);
	free(sound->samples);
	sound->samples = samples;
	sound->channels = channels;
	return 0;
}

static int change_rate(struct sound *sound, unsigned rate, char *problem)
{
	double ratio = (double)rate / sound->rate;
	size_t room = (size_t)((double)sound->frames * ratio) + 64;
	SRC_DATA data = {
	    .data_in = sound->samples,
	    .input_frames = (long)sound->frames,
	    .output_frames = (long)room,
	    .src_ratio = ratio,
	    .end_of_input = 1,
	};
	int r;

	if (rate == sound->rate)
		return 0;
	data.data_out = malloc(room * sound->channels * sizeof(float));
	if (!data.data_out)
		return -ENOMEM;
	r = src_simple(&data, SRC_SINC_MEDIUM_QUALITY, (int)sound->channels);
	if (r != 0) {
		free(data.data_out);
		snprintf(problem, CHIME_PROBLEM_SIZE,
			 "%u Hz cannot be converted to %u Hz: %s", sound->rate,
			 rate, src_strerror(r));
		return -EBADMSG;
	}
	free(sound->samples);
	sound->samples = data.data_out;
	sound->frames = (size_t)data.output_frames_gen;
	sound->rate = rate;
	return 0;
}

static int sound_to(const struct sound *sound, const struct wav_format *format,
		    uint8_t **ret_data, size_t *ret_size)
{
	size_t sample_size = format->bits / 8;
	size_t count = sound->frames * sound->channels;
	uint8_t *data = malloc(count * sample_size + 1);

	if (!data)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		samples_put(format, data + i * sample_size,
			    (double)sound->samples[i]);
	*ret_data = data;
	*ret_size = count * sample_size;
	return 0;
}

/* Replaces *data in format FROM with the same sound in format TO. */
static int convert(const struct wav_format *from, const struct wav_format *to,
		   uint8_t **data, size_t *size, char *problem)
{
	struct sound sound = {0};
	uint8_t *converted = NULL;
	int r;

	if (wav_format_equal(from, to))
		return 0;
	r = sound_from(&sound, from, *data, *size);
	if (r == 0)
		r = change_channels(&sound, to->channels);
	if (r == 0)
		r = change_rate(&sound, to->rate, problem);
	if (r == 0)
		r = sound_to(&sound, to, &converted, size);
	free(sound.samples);
	if (r < 0)
		return r;
	free(*data);
	*data = converted;
	return 0;
}

/* Whether a chime of SIZE bytes can be held in memory; else -EBADMSG. */
static int check_size(const struct wav_format *format, uint64_t size,
		      char *problem)
{
	uint64_t most =
	    (uint64_t)format->rate * wav_frame_size(format) * CHIME_SECONDS_MAX;

	if (size == 0) {
		snprintf(problem, CHIME_PROBLEM_SIZE, "it has no samples");
		return -EBADMSG;
	}
	if (size > most) {
		snprintf(problem, CHIME_PROBLEM_SIZE,
			 "it is longer than %d s; play it as a page instead",
			 CHIME_SECONDS_MAX);
		return -EBADMSG;
	}
	if (size > SIZE_MAX_MIB * MIB) {
		snprintf(problem, CHIME_PROBLEM_SIZE,
			 "it is larger than %d MiB; play it as a page instead",
			 SIZE_MAX_MIB);
		return -EBADMSG;
	}
	return 0;
}

/* *ret_data is malloc()ed and holds whole frames of the plain format. */
static int read_samples(int fd, const struct wav_parser *parser, off_t offset,
			uint64_t file_size, uint8_t **ret_data,
			size_t *ret_size, char *problem)
{
	const struct wav_format *format = &parser->format;
	const uint64_t size = wav_parser_size(parser, WAV_FILE, file_size);
	uint8_t *data;
	ssize_t n;
	int r = check_size(format, size, problem);

	if (r < 0)
		return r;
	data = malloc((size_t)size + 1);
	if (!data)
		return -ENOMEM;
	n = pread_all(fd, data, (size_t)size, offset);
	if (n < 0) {
		free(data);
		return (int)n;
	}
	*ret_data = data;
	*ret_size = samples_to_plain(
	    format, data, (size_t)n - (size_t)n % wav_frame_size(format));
	return 0;
}

static int load(struct chime *chime, int fd, uint64_t file_size,
		const struct wav_format *format, char *problem)
{
	struct wav_parser parser;
	struct wav_format plain;
	off_t offset;
	int r;

	r = read_header(fd, &parser, &offset, problem);
	if (r == 0)
		r = read_samples(fd, &parser, offset, file_size, &chime->data,
				 &chime->size, problem);
	if (r < 0)
		return r;
	plain = wav_plain(&parser.format);
	return convert(&plain, format, &chime->data, &chime->size, problem);
}

int chime_load(struct chime *ret, int fd, const struct wav_format *format,
	       char problem[CHIME_PROBLEM_SIZE])
{
	struct chime chime = {0};
	struct stat st;
	int r;

	*problem = '\0';
	/* A pipe may never end, and can be read only once. */
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		snprintf(problem, CHIME_PROBLEM_SIZE,
			 "it is not a regular file");
		return -EBADMSG;
	}
	r = load(&chime, fd, (uint64_t)st.st_size, format, problem);
	if (r < 0) {
		if (!*problem)
			snprintf(problem, CHIME_PROBLEM_SIZE, "%s",
				 strerror(-r));
		chime_clear(&chime);
		return r;
	}
	*ret = chime;
	return 0;
}

static int write_file(const struct chime *chime,
		      const struct wav_format *format)
{
	_cleanup_close_ int fd = memfd_create("chime", MFD_CLOEXEC);
	uint8_t header[WAV_HEADER_SIZE_MAX];
	const struct iovec parts[] = {
	    {header, wav_encode(header, format, chime->size, NULL)},
	    {chime->data, chime->size},
	};
	ssize_t n = fd < 0 ? -1 : writev(fd, parts, 2);

	if (n < 0)
		return -errno;
	return (size_t)n == parts[0].iov_len + chime->size ? TAKE_FD(fd) : -EIO;
}

int chime_open(const char *path, const struct wav_format *format,
	       char problem[CHIME_PROBLEM_SIZE])
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct chime chime;
	int r;

	if (fd < 0) {
		r = -errno;
		snprintf(problem, CHIME_PROBLEM_SIZE, "%s", strerror(-r));
		return r;
	}
	r = chime_load(&chime, fd, format, problem);
	if (r < 0)
		return r;
	r = write_file(&chime, format);
	if (r < 0)
		snprintf(problem, CHIME_PROBLEM_SIZE, "%s", strerror(-r));
	chime_clear(&chime);
	return r;
}

void chime_clear(struct chime *chime)
{
	free(chime->data);
	*chime = (struct chime){0};
}
