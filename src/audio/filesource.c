/* SPDX-License-Identifier: MIT
 * Runs in a thread of its own: files on one side, the source's socket on the
 * other. Sends as fast as the loop takes it, which has the page's clock. */
#include "audio/filesource.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "audio/chime.h"
#include "audio/converter.h"
#include "audio/gain.h"
#include "base/util.h"

enum { CHUNK_MS = 20 };

struct part {
	struct wavreader *reader;
	struct converter *converter; /* NULL: it has the page's format */
};

struct filesource {
	struct filesource_config config;
	struct wav_format format; /* of the page */
	struct chime chime;
	struct gain *gain; /* NULL: the files are as they are */
	unsigned at;	   /* the part that is read */
	unsigned count;
	struct part parts[];
};

static void part_clear(struct part *part)
{
	part->reader = wavreader_free(part->reader);
	part->converter = converter_free(part->converter);
}

static void filesource_free(void *userdata)
{
	struct filesource *filesource = userdata;

	for (unsigned i = 0; i < filesource->count; i++)
		part_clear(&filesource->parts[i]);
	chime_clear(&filesource->chime);
	gain_free(filesource->gain);
	fd_close(filesource->config.chime_fd);
	free(filesource);
}

/* --- what can be done before the page has its zones --- */

enum what { FILES, PIPES };

/* Files are opened first: a bad one is refused before a pipe is waited for. */
static int open_parts(struct filesource *filesource, enum what what, int fd)
{
	unsigned *i = &filesource->at;
	int r = 0;

	for (*i = 0; *i < filesource->count; ++*i) {
		struct wavreader *reader = filesource->parts[*i].reader;

		if (reader->is_regular != (what == FILES))
			continue;
		r = wavreader_open(reader, fd);
		if (r == 0 && what == PIPES &&
		    filesource->config.kind == FILESOURCE_RECORDING)
			r = wavreader_read_ahead(
			    reader, filesource->config.ahead_seconds, fd);
		if (r < 0)
			return r;
	}
	return 0;
}

static int add_converters(struct filesource *filesource)
{
	unsigned *i = &filesource->at;

	for (*i = 0; *i < filesource->count; ++*i) {
		struct part *part = &filesource->parts[*i];
		struct wav_parser *parser = &part->reader->parser;
		int r;

		if (wav_format_equal(&part->reader->format,
				     &filesource->format))
			continue;
		r = converter_new(&part->converter, &part->reader->format,
				  &filesource->format);
		if (r == -EOPNOTSUPP) {
			snprintf(parser->error, sizeof(parser->error),
				 "its %u Hz cannot be converted to %u Hz",
				 parser->format.rate, filesource->format.rate);
			return -EBADMSG;
		}
		if (r < 0)
			return r;
	}
	return 0;
}

static int prepare(struct filesource *filesource, int fd)
{
	int r = open_parts(filesource, FILES, fd);

	if (r == 0)
		r = open_parts(filesource, PIPES, fd);
	if (r < 0)
		return r;
	filesource->format = filesource->parts[0].reader->format;
	r = chime_load_for(&filesource->chime, filesource->config.chime_fd,
			   &filesource->format, fd);
	if (r == 0)
		r = add_converters(filesource);
	if (r == 0 && filesource->config.gain_db != 0)
		r = gain_new(&filesource->gain, &filesource->format,
			     filesource->config.gain_db);
	return r;
}

/* --- sending --- */

/* Bytes of the page, or WAV_ENDLESS. */
static uint64_t whole_size(const struct filesource *filesource)
{
	const uint64_t frame_size = wav_frame_size(&filesource->format);
	const uint64_t most = INT64_MAX / frame_size;
	uint64_t frames = filesource->chime.size / frame_size;

	for (unsigned i = 0; i < filesource->count; i++) {
		const struct wavreader *reader = filesource->parts[i].reader;
		const uint64_t more = converter_frames(wavreader_frames(reader),
						       reader->format.rate,
						       filesource->format.rate);

		if (more >= most - frames)
			return WAV_ENDLESS;
		frames += more;
	}
	return frames * frame_size;
}

static uint32_t chunk_frames_of(const struct wav_format *format)
{
	uint32_t frames = format->rate * CHUNK_MS / 1000;
	uint32_t most =
	    (uint32_t)(WAVREADER_READ_SIZE_MAX / wav_frame_size(format));

	return frames < most ? frames : most;
}

static int send_opened(const struct filesource *filesource, int fd)
{
	struct source_message message = {.type = SOURCE_OPENED};

	message.u.opened.format = filesource->format;
	message.u.opened.period_frames = chunk_frames_of(&filesource->format);
	message.u.opened.size = whole_size(filesource);
	return source_send(fd, &message);
}

/* Sends COUNT frames, which are in the page's format. */
static int send_frames(const struct filesource *filesource, const void *data,
		       size_t count, int fd)
{
	if (count == 0)
		return 0;
	return source_send_samples(fd, data,
				   count * wav_frame_size(&filesource->format));
}

static int send_chime(const struct filesource *filesource, int fd)
{
	const size_t frame_size = wav_frame_size(&filesource->format);
	const size_t piece = chunk_frames_of(&filesource->format) * frame_size;
	const struct chime *chime = &filesource->chime;
	int r = 0;

	for (size_t sent = 0; r == 0 && sent < chime->size; sent += piece)
		r = send_frames(filesource, chime->data + sent,
				MIN(piece, chime->size - sent) / frame_size,
				fd);
	return r;
}

/* Sends COUNT frames of a file, which it alters. */
static int send_sound(const struct filesource *filesource, void *data,
		      size_t count, int fd)
{
	if (filesource->gain)
		count = gain_apply(filesource->gain, data, count);
	return send_frames(filesource, data, count, fd);
}

/* Sends what a limiter has held back. */
static int send_held(const struct filesource *filesource, int fd)
{
	void *data = NULL;
	const size_t count =
	    filesource->gain ? gain_drain(filesource->gain, &data) : 0;

	return send_frames(filesource, data, count, fd);
}

/* Sends COUNT frames as they are in the file. */
static int send_read(const struct filesource *filesource,
		     const struct part *part, void *data, size_t count, int fd)
{
	ssize_t n = (ssize_t)count;

	if (part->converter)
		n = converter_put(part->converter, data, count, &data);
	return n < 0 ? (int)n : send_sound(filesource, data, (size_t)n, fd);
}

static int send_rest(const struct filesource *filesource,
		     const struct part *part, int fd)
{
	void *data;
	ssize_t n;

	if (!part->converter)
		return 0;
	while ((n = converter_end(part->converter, &data)) > 0) {
		int r = send_sound(filesource, data, (size_t)n, fd);

		if (r < 0)
			return r;
	}
	return (int)n;
}

static int send_part(const struct filesource *filesource, struct part *part,
		     int fd)
{
	const uint32_t count = chunk_frames_of(&part->reader->parser.format);
	void *data;
	ssize_t n;
	int r;

	while ((n = wavreader_read(part->reader, count, &data, fd)) > 0) {
		r = send_read(filesource, part, data, (size_t)n, fd);
		if (r < 0)
			return r;
	}
	r = n < 0 ? (int)n : send_rest(filesource, part, fd);
	if (r == 0)
		part_clear(part);
	return r;
}

static int play(struct filesource *filesource, int fd)
{
	const uint64_t since = now_usec();
	int r = source_prepared(fd, filesource->chime.size /
					wav_frame_size(&filesource->format));

	if (r == 0 && filesource->config.kind == FILESOURCE_LIVE)
		r = wavreader_drop_late(filesource->parts[0].reader, since, fd);
	if (r == 0)
		r = send_opened(filesource, fd);
	if (r == 0)
		r = send_chime(filesource, fd);
	for (unsigned i = 0; r == 0 && i < filesource->count; i++) {
		filesource->at = i;
		r = send_part(filesource, &filesource->parts[i], fd);
	}
	return r < 0 ? r : send_held(filesource, fd);
}

/* --- the end --- */

enum { WHICH_SIZE = 24 };

/* Which file it is about, if that is not plain. */
static const char *which(const struct filesource *filesource,
			 char text[WHICH_SIZE])
{
	*text = '\0';
	if (filesource->count > 1)
		snprintf(text, WHICH_SIZE, FILESOURCE_ABOUT,
			 filesource->at + 1);
	return text;
}

static void send_refusal(const struct filesource *filesource, int fd)
{
	const struct wav_parser *parser =
	    &filesource->parts[filesource->at].reader->parser;
	const char *remedy =
	    "; this plays it: " WAV_CONVERT "- | intercomctl play -";
	char text[WHICH_SIZE];

	if (filesource->count > 1)
		remedy = "; convert it: " WAV_CONVERT "FILE.wav";
	source_send_reason(fd, SOURCE_ENDED, -EBADMSG,
			   "%sThis is not a WAV file that can be played: %s%s",
			   which(filesource, text), parser->error,
			   parser->foreign ? remedy : "");
}

static void send_end(const struct filesource *filesource, int r, int fd)
{
	char text[WHICH_SIZE];

	if (r == 0)
		source_send_reason(fd, SOURCE_ENDED, 0, "end of file");
	else if (r == -EBADMSG)
		send_refusal(filesource, fd);
	else if (r == -ETIMEDOUT)
		source_send_reason(
		    fd, SOURCE_ENDED, r,
		    "%sThe pipe is given up: nothing has come for %g seconds",
		    which(filesource, text),
		    filesource->config.patience_seconds);
	else if (r != -EPIPE)
		source_send_reason(fd, SOURCE_ENDED, r,
				   "%sCannot read the file: %s",
				   which(filesource, text),
				   r == -ENODATA ? "it was cut while it played"
						 : strerror(-r));
}

static void body(void *userdata, int fd)
{
	struct filesource *filesource = userdata;
	int r = prepare(filesource, fd);

	if (r == 0)
		r = play(filesource, fd);
	send_end(filesource, r, fd);
}

/* Takes over the descriptors of which the filesource has none yet. */
static int add_parts(struct filesource *filesource, const int *fds,
		     unsigned count)
{
	int r = 0;

	for (unsigned i = 0; i < count; i++) {
		if (r < 0) {
			fd_close(fds[i]);
			continue;
		}
		r = wavreader_new(&filesource->parts[i].reader, fds[i],
				  filesource->config.patience_seconds);
		filesource->count = i + (r >= 0);
	}
	return r;
}

int filesource_start(struct source **ret, const int *fds, unsigned count,
		     const struct filesource_config *config)
{
	struct filesource *filesource =
	    calloc(1, sizeof(*filesource) + count * sizeof(struct part));
	int r;

	if (!filesource) {
		for (unsigned i = 0; i < count; i++)
			fd_close(fds[i]);
		fd_close(config->chime_fd);
		return -ENOMEM;
	}
	filesource->config = *config;
	r = add_parts(filesource, fds, count);
	if (r >= 0)
		r = source_start(ret, "file", body, filesource_free,
				 filesource);
	if (r < 0)
		filesource_free(filesource);
	return r;
}
