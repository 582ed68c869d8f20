/* SPDX-License-Identifier: MIT
 * save: copies the last page from the server's memory to a file. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "audio/wavfile.h"
#include "base/io.h"
#include "base/log.h"
#include "base/util.h"
#include "ctl/bus.h"

enum { PIECE_SIZE = 65536 };

/* The server needs time to copy a page of hundreds of megabytes. */
#define CALL_USEC (120 * USEC_PER_SEC)

static ssize_t read_piece(int fd, uint8_t *data)
{
	ssize_t n = TEMP_FAILURE_RETRY(read(fd, data, PIECE_SIZE));

	return n < 0 ? -errno : n;
}

static int copy_to_output(int from_fd)
{
	uint8_t data[PIECE_SIZE];
	ssize_t n;

	while ((n = read_piece(from_fd, data)) > 0) {
		int r = write_all(STDOUT_FILENO, data, (size_t)n);

		if (r < 0)
			return r;
	}
	return (int)n;
}

/* Writes samples to the file, which it creates once the header is complete. */
static int take(struct wavfile **file, struct wav_parser *parser,
		const char *path, const uint8_t *data, size_t size)
{
	if (!*file) {
		ssize_t n = wav_parser_feed(parser, data, size);
		int r;

		if (n < 0 || !parser->done)
			return (int)(n < 0 ? n : 0);
		r = wavfile_create(file, path, &parser->format);
		if (r < 0)
			return r;
		data += n;
		size -= (size_t)n;
	}
	return wavfile_write(*file, data, size);
}

/* The file appears under its name when it is complete. */
static int copy_to_file(int from_fd, const char *path)
{
	uint8_t data[PIECE_SIZE];
	struct wavfile *file = NULL;
	struct wav_parser parser;
	ssize_t n;
	int r = 0;

	wav_parser_init(&parser);
	while (r >= 0 && (n = read_piece(from_fd, data)) != 0)
		r = n < 0 ? (int)n
			  : take(&file, &parser, path, data, (size_t)n);
	if (r >= 0 && file)
		return wavfile_finish(file, WAVFILE_REPLACE, NULL);
	wavfile_discard(file);
	return r < 0 ? r : -EBADMSG;
}

int ctl_save(struct ctl *ctl)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
	const char *path = ctl->args[0];
	int status, fd, r;

	if (strcmp(path, "-") == 0 && isatty(STDOUT_FILENO)) {
		log_error("save -: a file or a pipe is needed as standard "
			  "output, this is a terminal");
		return CTL_USAGE;
	}
	(void)sd_bus_set_method_call_timeout(ctl->bus, CALL_USEC);
	status = ctl_call(ctl, &reply, "LastPage", NULL);
	if (status != CTL_DONE)
		return status;
	r = sd_bus_message_read(reply, "h", &fd);
	if (r >= 0)
		r = strcmp(path, "-") == 0 ? copy_to_output(fd)
					   : copy_to_file(fd, path);
	if (r >= 0)
		return CTL_DONE;
	log_error("Cannot save the page as '%s': %s", path, strerror(-r));
	return CTL_FAILED;
}
