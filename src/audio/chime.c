/* SPDX-License-Identifier: MIT
 * Loads a chime and converts it once. */
#include "audio/chime.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "audio/converter.h"
#include "audio/samples.h"
#include "audio/source.h"
#include "base/io.h"
#include "base/util.h"

#define MIB (UINT64_C(1) << 20)

enum { SIZE_MAX_MIB = 64, PIECE_FRAMES = 4096 };

/* Says in PROBLEM why this cannot be a chime, and is -EBADMSG. */
#define refuse(problem, ...)                                                   \
	(snprintf(problem, CHIME_PROBLEM_SIZE, __VA_ARGS__), -EBADMSG)

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
		if (n == 0)
			return refuse(problem,
				      "it ends before its samples begin");
		n = wav_parser_feed(parser, piece, (size_t)n);
		if (n < 0)
			return refuse(problem, "%s%s", parser->error,
				      parser->foreign
					  ? "; convert it: " WAV_CONVERT
					    "chime.wav"
					  : "");
		offset += n;
	}
	*ret_offset = offset;
	return 0;
}

/* Appends COUNT frames at DATA to the sound. */
static int append(struct chime *sound, size_t frame_size, const void *data,
		  size_t count)
{
	const size_t size = count * frame_size;
	uint8_t *larger;

	if (size == 0)
		return 0;
	larger = realloc(sound->data, sound->size + size);
	if (!larger)
		return -ENOMEM;
	memcpy(larger + sound->size, data, size);
	sound->data = larger;
	sound->size += size;
	return 0;
}

static int convert_all(struct converter *converter, const struct chime *from,
		       size_t from_size, struct chime *to, size_t to_size)
{
	size_t left = from->size / from_size;
	const uint8_t *data = from->data;
	void *converted;
	ssize_t n;

	while (left > 0) {
		const size_t count = MIN(left, (size_t)PIECE_FRAMES);

		n = converter_put(converter, data, count, &converted);
		if (n < 0 || append(to, to_size, converted, (size_t)n) < 0)
			return -ENOMEM;
		data += count * from_size;
		left -= count;
	}
	while ((n = converter_end(converter, &converted)) > 0)
		if (append(to, to_size, converted, (size_t)n) < 0)
			return -ENOMEM;
	return (int)n;
}

/* Replaces the sound in format FROM with the same in format TO. */
static int convert(const struct wav_format *from, const struct wav_format *to,
		   struct chime *sound, char *problem)
{
	struct chime converted = {0};
	struct converter *converter;
	int r;

	if (wav_format_equal(from, to))
		return 0;
	r = converter_new(&converter, from, to);
	if (r == -EOPNOTSUPP)
		return refuse(problem, "%u Hz cannot be converted to %u Hz",
			      from->rate, to->rate);
	if (r < 0)
		return r;
	r = convert_all(converter, sound, wav_frame_size(from), &converted,
			wav_frame_size(to));
	converter_free(converter);
	if (r < 0) {
		chime_clear(&converted);
		return r;
	}
	chime_clear(sound);
	*sound = converted;
	return 0;
}

/* Whether a chime of SIZE bytes can be held in memory; else -EBADMSG. */
static int check_size(const struct wav_format *format, uint64_t size,
		      char *problem)
{
	uint64_t most =
	    (uint64_t)format->rate * wav_frame_size(format) * CHIME_SECONDS_MAX;

	if (size == 0)
		return refuse(problem, "it has no samples");
	if (size > most)
		return refuse(
		    problem,
		    "it is longer than %d s; play it as a page instead",
		    CHIME_SECONDS_MAX);
	if (size > SIZE_MAX_MIB * MIB)
		return refuse(
		    problem,
		    "it is larger than %d MiB; play it as a page instead",
		    SIZE_MAX_MIB);
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
	return convert(&plain, format, chime, problem);
}

int chime_load(struct chime *ret, int fd, const struct wav_format *format,
	       char problem[CHIME_PROBLEM_SIZE])
{
	struct chime chime = {0};
	struct stat st;
	int r;

	*problem = '\0';
	/* A pipe may never end, and can be read only once. */
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return refuse(problem, "it is not a regular file");
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

int chime_load_for(struct chime *ret, int fd, const struct wav_format *format,
		   int socket_fd)
{
	char problem[CHIME_PROBLEM_SIZE];
	int r = fd < 0 ? 0 : chime_load(ret, fd, format, problem);

	if (r == 0)
		return 0;
	source_send_reason(socket_fd, SOURCE_ENDED, r, CHIME_ABOUT "%s",
			   problem);
	return -EPIPE;
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
