/* SPDX-License-Identifier: MIT
 * A socket pair for each file: the loop says how far to write, the thread how
 * far it has written. The samples are read from the tape. */
#include "server/archive.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "audio/wavfile.h"
#include "base/io.h"
#include "base/log.h"
#include "base/thread.h"
#include "base/util.h"

/* Without padding: send() would read uninitialised bytes. */
struct order {
	uint64_t size; /* bytes of the tape that are to be written */
	uint32_t ended, give_up;
};

struct archive_writer {
	int fd;
	pthread_t thread;
	struct tape *tape;
	struct order sent; /* the last order that went out */
	bool give_up, done;
	uint64_t written;
};

/* Owned by the thread. */
struct job {
	int fd, tape_fd;
	struct archive_config config;
	struct wav_format format;
	char *path;
	struct wavfile *file;
	uint64_t written;
};

/* --- limits --- */

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

/* Only files YYYYMMDD-HHMMSS-LABEL.wav are ours. */
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

/* ENOENT is no error: the thread of another page may have been faster. */
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

int archive_check(const struct archive_config *config)
{
	int r;

	if (access(config->dir, W_OK | X_OK) < 0)
		return -errno;
	r = wavfile_repair(config->dir);
	if (r > 0)
		log_notice("Repaired %d file%s that a crash left in %s", r,
			   plural_s((uint64_t)r), config->dir);
	if (r < 0)
		return r;
	apply_limits(config);
	return 0;
}

/* --- the thread --- */

static int copy_up_to(struct job *job, uint64_t size)
{
	uint8_t buffer[65536];

	while (job->written < size) {
		uint64_t left = size - job->written;
		ssize_t n = pread_all(job->tape_fd, buffer,
				      left < sizeof(buffer) ? (size_t)left
							    : sizeof(buffer),
				      (off_t)job->written);
		int r;

		if (n <= 0)
			return n < 0 ? (int)n : -EIO;
		r = wavfile_write(job->file, buffer, (size_t)n);
		if (r < 0)
			return r;
		job->written += (uint64_t)n;
		(void)send(job->fd, &job->written, sizeof(job->written),
			   MSG_NOSIGNAL | MSG_DONTWAIT);
	}
	return 0;
}

/* Obeys orders until the page has ended: 0, or negative errno (-ECANCELED:
 * given up). */
static int follow(struct job *job)
{
	for (;;) {
		struct order order;
		ssize_t n =
		    TEMP_FAILURE_RETRY(recv(job->fd, &order, sizeof(order), 0));
		int r;

		if (n != sizeof(order) || order.give_up)
			return -ECANCELED;
		r = copy_up_to(job, order.size);
		if (r < 0 || order.ended)
			return r;
	}
}

static void free_job(struct job *job)
{
	fd_close(job->tape_fd);
	fd_close(job->fd);
	free(job->path);
	free(job);
}

static void *job_main(void *userdata)
{
	_cleanup_free_ char *path = NULL;
	struct job *job = userdata;
	int r = wavfile_create(&job->file, job->path, &job->format);

	if (r == 0)
		r = follow(job);
	if (r == 0)
		r = wavfile_finish(TAKE_PTR(job->file), WAVFILE_KEEP, &path);
	job->file = wavfile_discard(job->file);
	if (r == 0) {
		log_info("Archived %s", path);
		apply_limits(&job->config);
	} else if (r != -ECANCELED) {
		log_error("A page could not be archived in %s: %s",
			  job->config.dir, strerror(-r));
	}
	free_job(job);
	return NULL;
}

/* --- the loop's side --- */

static int name_file(char **ret, const char *dir, const char *label)
{
	time_t now = time(NULL);
	char stamp[32];
	struct tm tm;

	localtime_r(&now, &tm);
	strftime(stamp, sizeof(stamp), "%Y%m%d-%H%M%S", &tm);
	if (asprintf(ret, "%s/%s-%s.wav", dir, stamp, label) < 0) {
		*ret = NULL;
		return -ENOMEM;
	}
	return 0;
}

static int open_job(struct job *job, const struct archive_config *config,
		    const char *label, const struct tape *tape, int *ret_fd)
{
	int fds[2], r;

	job->config = *config;
	job->format = tape->format;
	r = name_file(&job->path, config->dir, label);
	if (r < 0)
		return r;
	job->tape_fd = tape_dup(tape);
	if (job->tape_fd < 0)
		return job->tape_fd;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		return -errno;
	job->fd = fds[0];
	*ret_fd = fds[1];
	return 0;
}

int archive_begin(struct archive_writer **ret,
		  const struct archive_config *config, const char *label,
		  struct tape *tape)
{
	_cleanup_free_ struct archive_writer *writer = NULL;
	struct job *job = calloc(1, sizeof(*job));
	_cleanup_close_ int fd = -1;
	int r = -ENOMEM;

	writer = calloc(1, sizeof(*writer));
	if (!job || !writer) {
		free(job);
		return -ENOMEM;
	}
	job->fd = job->tape_fd = -1;
	r = open_job(job, config, label, tape, &fd);
	if (r == 0)
		r = thread_start(&writer->thread, "archive", job_main, job);
	if (r < 0) {
		free_job(job);
		return r;
	}
	writer->fd = TAKE_FD(fd);
	writer->tape = tape_ref(tape);
	*ret = TAKE_PTR(writer);
	return 0;
}

void archive_push(struct archive_writer *writer, uint64_t size)
{
	struct order order = {0};

	if (!writer || writer->done || writer->sent.ended ||
	    writer->sent.give_up)
		return;
	order.size = size;
	order.ended = writer->tape->ended;
	order.give_up = writer->give_up;
	/* A full queue loses nothing: the next order includes this one. */
	if (send(writer->fd, &order, sizeof(order),
		 MSG_NOSIGNAL | MSG_DONTWAIT) == sizeof(order))
		writer->sent = order;
}

static void read_progress(struct archive_writer *writer)
{
	ssize_t n;

	do
		n = TEMP_FAILURE_RETRY(recv(writer->fd, &writer->written,
					    sizeof(writer->written),
					    MSG_DONTWAIT));
	while (n > 0);
	if (n == 0 || errno != EAGAIN)
		writer->done = true;
}

uint64_t archive_offset(struct archive_writer *writer)
{
	if (!writer)
		return UINT64_MAX;
	read_progress(writer);
	return writer->done || writer->give_up ? UINT64_MAX : writer->written;
}

void archive_give_up(struct archive_writer *writer)
{
	if (writer->sent.ended) /* the thread will not ask again */
		return;
	writer->give_up = true;
	archive_push(writer, writer->sent.size);
}

bool archive_done(struct archive_writer *writer)
{
	if (!writer)
		return true;
	read_progress(writer);
	return writer->done;
}

static void send_last_order(struct archive_writer *writer)
{
	struct order order = {
	    .size = writer->tape->size,
	    .ended = true,
	    .give_up = writer->give_up,
	};

	if (!writer->sent.ended && !writer->sent.give_up)
		(void)send(writer->fd, &order, sizeof(order), MSG_NOSIGNAL);
}

struct archive_writer *archive_free(struct archive_writer *writer)
{
	if (!writer)
		return NULL;
	send_last_order(writer);
	pthread_join(writer->thread, NULL);
	close(writer->fd);
	tape_unref(writer->tape);
	free(writer);
	return NULL;
}
