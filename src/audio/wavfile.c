/* SPDX-License-Identifier: MIT
 * Owns one file under a temporary name, ".NAME.XXXXXX.part", and a lock on it,
 * which the kernel releases when the writer dies. */
#include "audio/wavfile.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/util.h"

#define PART_SUFFIX ".part"

enum {
	RANDOM_SIZE = 6,   /* the Xs in a temporary name */
	NAMES_MAX = 10000, /* how many names are tried */
};

struct wavfile {
	int fd;
	int error; /* the first one, which stays */
	char *part, *path;
	struct wav_format format;
	size_t header_size;
	uint64_t size;
};

static int write_header(struct wavfile *file, uint64_t size)
{
	uint8_t header[WAV_HEADER_SIZE_MAX];

	file->header_size = wav_encode(header, &file->format, size, NULL);
	return pwrite_all(file->fd, header, file->header_size, 0);
}

/* "DIR/.NAME.XXXXXX.part" for "DIR/NAME". */
static int part_name(char **ret, const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;

	if (!*name)
		return -EISDIR;
	if (asprintf(ret, "%.*s.%s.XXXXXX" PART_SUFFIX, (int)(name - path),
		     path, name) < 0) {
		*ret = NULL;
		return -ENOMEM;
	}
	return 0;
}

/* Puts random letters in place of the Xs. */
static int choose_letters(char *part)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz012345";
	char *place =
	    part + strlen(part) - (sizeof(PART_SUFFIX) - 1) - RANDOM_SIZE;
	uint8_t chance[RANDOM_SIZE];

	if (getrandom(chance, sizeof(chance), 0) != (ssize_t)sizeof(chance))
		return -EIO;
	for (size_t i = 0; i < RANDOM_SIZE; i++)
		place[i] = letters[chance[i] % (sizeof(letters) - 1)];
	return 0;
}

/* Not mkostemps(): it makes files of mode 0600, and adding the umask's choice
 * means reading it with umask(), which changes it for all threads. */
static int open_part(struct wavfile *file)
{
	for (int i = 0; file->fd < 0 && i < NAMES_MAX; i++) {
		const int r = choose_letters(file->part);

		if (r < 0)
			return r;
		file->fd = open(file->part,
				O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
		if (file->fd < 0 && errno != EEXIST)
			return -errno;
	}
	if (file->fd < 0)
		return -EEXIST;
	if (flock(file->fd, LOCK_EX | LOCK_NB) < 0)
		return -errno;
	return write_header(file, WAV_ENDLESS);
}

int wavfile_create(struct wavfile **ret, const char *path,
		   const struct wav_format *format)
{
	struct wavfile *file = calloc(1, sizeof(*file));
	int r;

	if (!file)
		return -ENOMEM;
	file->fd = -1;
	file->format = *format;
	file->path = strdup(path);
	r = file->path ? part_name(&file->part, path) : -ENOMEM;
	if (r == 0)
		r = open_part(file);
	if (r < 0) {
		wavfile_discard(file);
		return r;
	}
	*ret = file;
	return 0;
}

int wavfile_write(struct wavfile *file, const void *data, size_t size)
{
	if (file->error == 0)
		file->error =
		    pwrite_all(file->fd, data, size,
			       (off_t)(file->header_size + file->size));
	if (file->error == 0)
		file->size += size;
	return file->error;
}

static void wavfile_free(struct wavfile *file)
{
	fd_close(file->fd);
	free(file->part);
	free(file->path);
	free(file);
}

/* Cuts to whole frames, pads an odd size, and writes the sizes. */
static int complete(struct wavfile *file)
{
	static const uint8_t pad;
	off_t end;
	int r;

	file->size -= file->size % wav_frame_size(&file->format);
	end = (off_t)(file->header_size + file->size);
	if (ftruncate(file->fd, end) < 0)
		return -errno;
	r = file->size % 2 ? pwrite_all(file->fd, &pad, 1, end) : 0;
	if (r == 0)
		r = write_header(file, file->size);
	if (r == 0 && fsync(file->fd) < 0)
		r = -errno;
	return r;
}

/* The file's new name is on the disk once its directory is. */
static int sync_directory_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	_cleanup_free_ char *dir = NULL;
	_cleanup_close_ int fd = -1;

	dir = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
	if (!dir)
		return -ENOMEM;
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) < 0)
		return -errno;
	return 0;
}

/* Where the extension of a name begins; a name may begin with a dot. */
static size_t stem_length(const char *name)
{
	const char *dot = strrchr(name, '.');

	return dot && dot > name ? (size_t)(dot - name) : strlen(name);
}

static const char *name_in(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* "a.wav" with 2 is "a-2.wav"; with 1 it is itself. */
static char *numbered(const char *path, int number)
{
	const char *extension = name_in(path) + stem_length(name_in(path));
	char *name;

	if (number == 1)
		return strdup(path);
	if (asprintf(&name, "%.*s-%d%s", (int)(extension - path), path, number,
		     extension) < 0)
		return NULL;
	return name;
}

/* The number that ENTRY has as a NAME, or 0. */
static int number_of(const char *entry, const char *name)
{
	const size_t stem = stem_length(name);
	long number = 1;
	char *end;

	if (strncmp(entry, name, stem) != 0)
		return 0;
	end = (char *)entry + stem;
	if (end[0] == '-' && isdigit((unsigned char)end[1]))
		number = strtol(end + 1, &end, 10);
	/* More than that is none of ours. */
	return strcmp(end, name + stem) == 0 && number < INT_MAX / 2
		   ? (int)number
		   : 0;
}

/* The highest number in use, or 1. A lower one that is free had a file which
 * was removed since: were it taken again, two pages would have had one name,
 * and the names would not be in the order of the pages. */
static int highest_number(const char *path)
{
	const char *name = name_in(path);
	_cleanup_free_ char *dir = strndup(path, (size_t)(name - path));
	DIR *entries = dir ? opendir(*dir ? dir : ".") : NULL;
	const struct dirent *entry;
	int highest = 1;

	while (entries && (entry = readdir(entries))) {
		const int number = number_of(entry->d_name, name);

		if (number > highest)
			highest = number;
	}
	if (entries)
		closedir(entries);
	return highest;
}

/* If the file system lacks RENAME_NOREPLACE: link(), which never replaces. If
 * it lacks hard links too: a check, which can race. */
static int move_without_replacing(const char *from, const char *to)
{
	if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -errno;
	if (link(from, to) == 0)
		return unlink(from) < 0 ? -errno : 0;
	if (errno != EPERM && errno != EOPNOTSUPP)
		return -errno;
	if (access(to, F_OK) == 0)
		return -EEXIST;
	return rename(from, to) < 0 ? -errno : 0;
}

/* A crash between link() and unlink() leaves a file with two names. */
static bool is_same_file(const char *a, const char *b)
{
	struct stat first, second;

	return lstat(a, &first) == 0 && lstat(b, &second) == 0 &&
	       first.st_dev == second.st_dev && first.st_ino == second.st_ino;
}

static int move_to_name(const char *from, const char *to)
{
	int r = move_without_replacing(from, to);

	if (r == -EEXIST && is_same_file(from, to))
		r = unlink(from) < 0 ? -errno : 0;
	return r;
}

static int move_to_free_name(const char *from, const char *path, char **ret)
{
	int number = highest_number(path);

	for (int i = 0; i < NAMES_MAX; i++, number++) {
		char *name = numbered(path, number);
		int r = name ? move_to_name(from, name) : -ENOMEM;

		if (r == 0) {
			*ret = name;
			return 0;
		}
		free(name);
		if (r != -EEXIST)
			return r;
	}
	return -EEXIST;
}

static int publish(struct wavfile *file, enum wavfile_replace replace,
		   char **ret_path)
{
	if (replace == WAVFILE_KEEP)
		return move_to_free_name(file->part, file->path, ret_path);
	if (rename(file->part, file->path) < 0)
		return -errno;
	*ret_path = TAKE_PTR(file->path);
	return 0;
}

int wavfile_finish(struct wavfile *file, enum wavfile_replace replace,
		   char **ret_path)
{
	_cleanup_free_ char *path = NULL;
	int r = file->error;

	if (r == 0)
		r = complete(file);
	if (r == 0)
		r = publish(file, replace, &path);
	if (!path) {
		wavfile_discard(file);
		return r;
	}
	r = sync_directory_of(path);
	if (r == 0 && ret_path)
		*ret_path = TAKE_PTR(path);
	wavfile_free(file);
	return r;
}

struct wavfile *wavfile_discard(struct wavfile *file)
{
	if (!file)
		return NULL;
	if (file->part && file->fd >= 0)
		(void)unlink(file->part);
	wavfile_free(file);
	return NULL;
}

/* --- repair --- */

/* "DIR/NAME" for the entry ".NAME.XXXXXX.part"; NULL for other names. */
static char *final_path(const char *dir, const char *entry)
{
	size_t length = strlen(entry);
	size_t tail = 1 + RANDOM_SIZE + sizeof(PART_SUFFIX) - 1;
	char *path;

	if (entry[0] != '.' || length < tail + 2 ||
	    strcmp(entry + length - (sizeof(PART_SUFFIX) - 1), PART_SUFFIX) !=
		0 ||
	    entry[length - tail] != '.')
		return NULL;
	if (asprintf(&path, "%s/%.*s", dir, (int)(length - tail - 1),
		     entry + 1) < 0)
		return NULL;
	return path;
}

/* Whether DATA begins like a file that this module has not finished. */
static bool is_own_beginning(const uint8_t *data, size_t size)
{
	static const char own[] = "RIFF\xff\xff\xff\xffWAVEfmt ";
	const size_t own_size = sizeof(own) - 1;

	return memcmp(data, own, size < own_size ? size : own_size) == 0;
}

/* Reads the format and the size from the file itself. -ENODATA: it has no whole
 * frame. -ENOTSUP: another program has written it, or its header has another
 * size than ours, which therefore cannot replace it. */
static int read_part(struct wavfile *file)
{
	uint8_t header[WAV_HEADER_SIZE_MAX];
	struct wav_parser parser;
	struct stat st;
	ssize_t n, used;

	if (fstat(file->fd, &st) < 0)
		return -errno;
	n = pread(file->fd, header, sizeof(header), 0);
	if (n < 0)
		return -errno;
	wav_parser_init(&parser);
	used = wav_parser_feed(&parser, header, (size_t)n);
	if (used >= 0 && !parser.done && n < (ssize_t)sizeof(header))
		return is_own_beginning(header, (size_t)n) ? -ENODATA
							   : -ENOTSUP;
	if (used < 0 || !parser.done ||
	    wav_encode(header, &parser.format, WAV_ENDLESS, NULL) !=
		(size_t)used)
		return -ENOTSUP;
	file->format = parser.format;
	file->header_size = (size_t)used;
	/* If only the rename is missing, a pad byte may follow the samples. */
	file->size = wav_parser_size(&parser, WAV_FILE, (uint64_t)st.st_size);
	if (file->size < wav_frame_size(&file->format))
		return -ENODATA;
	return 0;
}

/* Opens and locks the temporary file ENTRY. -ENOENT when it is not one, cannot
 * be opened, or is being written. */
static int open_left_over(struct wavfile *file, const char *dir,
			  const char *entry)
{
	file->path = final_path(dir, entry);
	if (!file->path)
		return -ENOENT;
	if (asprintf(&file->part, "%s/%s", dir, entry) < 0) {
		file->part = NULL;
		return -ENOMEM;
	}
	file->fd =
	    open(file->part, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (file->fd < 0 || flock(file->fd, LOCK_EX | LOCK_NB) < 0)
		return -ENOENT;
	return 0;
}

/* Whether ENTRY was repaired. */
static bool repair_one(const char *dir, const char *entry)
{
	struct wavfile *file = calloc(1, sizeof(*file));
	int r;

	if (!file)
		return false;
	file->fd = -1;
	r = open_left_over(file, dir, entry);
	if (r == 0)
		r = read_part(file);
	if (r == 0)
		return wavfile_finish(file, WAVFILE_KEEP, NULL) == 0;
	if (r == -ENODATA)
		wavfile_discard(file);
	else
		wavfile_free(file);
	return false;
}

int wavfile_repair(const char *dir)
{
	DIR *entries = opendir(dir);
	const struct dirent *entry;
	int count = 0;

	if (!entries)
		return -errno;
	while ((entry = readdir(entries)))
		count += repair_one(dir, entry->d_name);
	closedir(entries);
	return count;
}
