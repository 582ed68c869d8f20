/* SPDX-License-Identifier: MIT
 * The repair of a partial file, of any content, name and kind, as a crash
 * leaves it in an archive. The result must be a WAV file with the same samples.
 */
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audio/wav.h"
#include "base/log.h"
#include "base/util.h"
#include "fuzz.h"
#include "server/archive.h"

enum { NAME_SIZE = 64, CONTENT_SIZE_MAX = 8192 };

/* The bits of the first byte. */
enum {
	FLAG_ANY_NAME = 1 << 0, /* the name is a string of the input */
	FLAG_TAKEN = 1 << 1,	/* the final name exists already */
	FLAG_LIMITS = 1 << 2,
	FLAG_KIND = 3 << 3, /* regular file, link, folder or FIFO */
	FLAG_NO_SUFFIX = 1 << 5,
};

static char folder[64];
static int folder_fd = -1;

static void remove_folder(void)
{
	(void)rmdir(folder);
}

static void put_file(const char *name, const uint8_t *data, size_t size)
{
	_cleanup_close_ int fd = openat(
	    folder_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0)
		return;
	if (size > 0)
		assert(write(fd, data, size) == (ssize_t)size);
}

/* Makes a file, unless the input has chosen an impossible name. */
static void put(unsigned flags, const char *name, const uint8_t *data,
		size_t size)
{
	int r = 0;

	switch ((flags & FLAG_KIND) >> 3) {
	case 1:
		put_file("elsewhere", data, size);
		r = symlinkat("elsewhere", folder_fd, name);
		break;
	case 2:
		r = mkdirat(folder_fd, name, 0700);
		break;
	case 3:
		r = mkfifoat(folder_fd, name, 0600);
		break;
	default:
		put_file(name, data, size);
	}
	assert(r == 0 || errno == ENAMETOOLONG || errno == EEXIST);
}

static void choose_name(struct fuzz_input *input, unsigned flags, char *name)
{
	char text[NAME_SIZE] = "page.wav";

	if (flags & FLAG_ANY_NAME)
		fuzz_string(input, text, sizeof(text));
	for (char *p = text; *p; p++)
		if (*p == '/')
			*p = '_';
	sprintf(name, ".%s.abc123%s", text,
		flags & FLAG_NO_SUFFIX ? "" : ".part");
}

static size_t parse(struct wav_parser *parser, const uint8_t *data, size_t size)
{
	ssize_t n;

	wav_parser_init(parser);
	n = wav_parser_feed(parser, data, size);
	return n < 0 || !parser->done ? 0 : (size_t)n;
}

/* NAME must be a WAV file made out of DATA. */
static void check_made(const char *name, const uint8_t *data, size_t size)
{
	_cleanup_close_ int fd = openat(folder_fd, name, O_RDONLY | O_CLOEXEC);
	uint8_t made[CONTENT_SIZE_MAX + WAV_HEADER_SIZE_MAX];
	ssize_t made_size;
	struct wav_parser before, after;
	size_t before_header, header;

	assert(fd >= 0);
	made_size = read(fd, made, sizeof(made));
	assert(made_size > 0);
	header = parse(&after, made, (size_t)made_size);
	before_header = parse(&before, data, size);
	assert(header > 0 && before_header > 0);
	assert(wav_format_equal(&before.format, &after.format));
	size = wav_parser_size(&before, WAV_FILE, size);
	assert(size > 0 && after.data_size == size);
	assert((size_t)made_size == header + size + size % 2);
	assert(memcmp(made + header, data + before_header, size) == 0);
}

/* Whether NAME was there before. */
static bool was_put(unsigned flags, const char *part, const char *name)
{
	if ((flags & FLAG_TAKEN) && strcmp(name, "page.wav") == 0)
		return true;
	if ((flags & FLAG_KIND) && strcmp(name, "elsewhere") == 0)
		return true;
	return strcmp(name, part) == 0;
}

static void check_and_clear(unsigned flags, const char *part,
			    const uint8_t *data, size_t size)
{
	DIR *dir = fdopendir(dup(folder_fd));
	const struct dirent *entry;

	assert(dir);
	rewinddir(dir);
	while ((entry = readdir(dir))) {
		const char *name = entry->d_name;

		if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
			continue;
		if (!was_put(flags, part, name))
			check_made(name, data, size);
		if (unlinkat(folder_fd, name, 0) < 0)
			assert(unlinkat(folder_fd, name, AT_REMOVEDIR) == 0);
	}
	closedir(dir);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";

	snprintf(folder, sizeof(folder), "%s/fuzz-repair.XXXXXX", base);
	assert(mkdtemp(folder));
	folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert(folder_fd >= 0);
	atexit(remove_folder);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input input = {data, size};
	const unsigned flags = fuzz_byte(&input);
	struct archive_config config = {.dir = folder};
	char name[NAME_SIZE + 32];

	if (size > CONTENT_SIZE_MAX)
		return 0;
	choose_name(&input, flags, name);
	put(flags, name, input.data, input.size);
	if (flags & FLAG_TAKEN)
		put_file("page.wav", NULL, 0);
	if (flags & FLAG_LIMITS) {
		config.limit_size = input.size;
		config.limit_seconds = 3600;
	}
	assert(archive_check(&config) == 0);
	check_and_clear(flags, name, input.data, input.size);
	return 0;
}
