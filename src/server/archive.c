/* SPDX-License-Identifier: MIT
 * Which of the files must go: run by the recorder's thread. */
#include "server/archive.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "audio/wavfile.h"
#include "base/log.h"
#include "base/util.h"

/* For which there is memory while the disk lags. */
#define BACKLOG_MAX (UINT64_C(256) << 20)

struct kept_file {
	struct dirent *entry;
	struct stat stat;
};

struct kept_files {
	struct kept_file *files;
	size_t count;
	uint64_t total_size;
};

static void free_files(struct kept_files *kept)
{
	for (size_t i = 0; i < kept->count; i++)
		free(kept->files[i].entry);
	free(kept->files);
}

static size_t digits(const char *text)
{
	return strspn(text, "0123456789");
}

/* YYYYMMDD-HHMMSS-LABEL.wav: whatever else is in the directory is not ours. */
static int is_own_name(const struct dirent *entry)
{
	const char *name = entry->d_name;
	const size_t length = strlen(name);

	return length > strlen("YYYYMMDD-HHMMSS-.wav") && digits(name) == 8 &&
	       name[8] == '-' && digits(name + 9) == 6 && name[15] == '-' &&
	       strcmp(name + length - 4, ".wav") == 0;
}

static int list_files(struct kept_files *kept, int dir_fd)
{
	_cleanup_free_ struct dirent **entries = NULL;
	int count = scandirat(dir_fd, ".", &entries, is_own_name, NULL);

	if (count < 0)
		return -errno;
	kept->files = calloc((size_t)count + 1, sizeof(*kept->files));
	for (int i = 0; i < count; i++) {
		struct kept_file file = {.entry = entries[i]};

		if (!kept->files ||
		    fstatat(dir_fd, file.entry->d_name, &file.stat,
			    AT_SYMLINK_NOFOLLOW) < 0 ||
		    !S_ISREG(file.stat.st_mode)) {
			free(file.entry);
			continue;
		}
		kept->files[kept->count++] = file;
		kept->total_size += (uint64_t)file.stat.st_size;
	}
	return kept->files ? 0 : -ENOMEM;
}

static int by_age(const void *a, const void *b)
{
	const struct kept_file *first = a, *second = b;
	const struct timespec *s = &first->stat.st_mtim;
	const struct timespec *t = &second->stat.st_mtim;

	if (s->tv_sec != t->tv_sec)
		return s->tv_sec < t->tv_sec ? -1 : 1;
	if (s->tv_nsec != t->tv_nsec)
		return s->tv_nsec < t->tv_nsec ? -1 : 1;
	return strcmp(first->entry->d_name, second->entry->d_name);
}

static bool must_go(const struct archive_config *config,
		    const struct kept_file *oldest, uint64_t total_size)
{
	const double age = difftime(time(NULL), oldest->stat.st_mtime);

	return (config->limit_size > 0 && total_size > config->limit_size) ||
	       (config->limit_seconds > 0 &&
		age > (double)config->limit_seconds);
}

/* The thread of another page may have been faster. */
static int remove_file(const struct archive_config *config, int dir_fd,
		       const struct kept_file *file)
{
	const char *name = file->entry->d_name;

	if (unlinkat(dir_fd, name, 0) == 0)
		log_info("Removed %s/%s (--archive-limit)", config->dir, name);
	else if (errno != ENOENT)
		return -errno;
	return 0;
}

static int remove_oldest(const struct archive_config *config)
{
	_cleanup_close_ int dir_fd =
	    open(config->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_(free_files) struct kept_files kept = {0};
	int r = dir_fd < 0 ? -errno : list_files(&kept, dir_fd);

	if (r == 0 && kept.count > 0)
		qsort(kept.files, kept.count, sizeof(kept.files[0]), by_age);
	for (size_t i = 0; i < kept.count && r == 0; i++) {
		if (!must_go(config, &kept.files[i], kept.total_size))
			break;
		r = remove_file(config, dir_fd, &kept.files[i]);
		kept.total_size -= (uint64_t)kept.files[i].stat.st_size;
	}
	return r;
}

static void apply_limits(const struct archive_config *config)
{
	int r;

	if (config->limit_size == 0 && config->limit_seconds == 0)
		return;
	r = remove_oldest(config);
	if (r < 0)
		log_warning("Cannot remove the oldest files in %s "
			    "(--archive-limit): %s",
			    config->dir, strerror(-r));
}

/* Permissions alone do not tell: root may write everywhere, and nobody in
 * /proc. */
static int make_a_file(const char *dir)
{
	static const struct wav_format format = {WAV_PCM, 16, 1, 8000};
	_cleanup_free_ char *path = NULL;
	struct wavfile *file;
	int r;

	if (asprintf(&path, "%s/check.wav", dir) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	r = wavfile_create(&file, path, &format);
	if (r == 0)
		wavfile_discard(file);
	return r;
}

int archive_check(const struct archive_config *config)
{
	int r = make_a_file(config->dir);

	/* A disk may be full only for now, and costs no page. */
	if (r < 0 && r != -ENOSPC && r != -EDQUOT)
		return r;
	r = wavfile_repair(config->dir);
	if (r > 0)
		log_notice("Repaired %d file%s that a crash left in %s", r,
			   plural_s((uint64_t)r), config->dir);
	if (r < 0)
		return r;
	apply_limits(config);
	return 0;
}

static int check(const void *config)
{
	return archive_check(config);
}

static void tidy(const void *config)
{
	apply_limits(config);
}

static void on_file(const struct recorder_config *config, const char *path,
		    int error)
{
	if (error < 0)
		log_error("A page could not be archived in %s: %s",
			  config->path, strerror(-error));
	else
		log_info("Archived %s", path);
}

int archive_open(struct recorder **ret, const struct archive_config *config)
{
	const struct recorder_config recorder = {
	    .path = config->dir,
	    .kind = RECORDER_DIRECTORY,
	    .backlog_max = BACKLOG_MAX,
	    .check = check,
	    .tidy = tidy,
	    .userdata = config,
	    .on_file = on_file,
	};

	return recorder_new(ret, &recorder);
}
