/* SPDX-License-Identifier: MIT
 * The loop sends the page's size over a socket pair, the thread answers with
 * how far it has written; the samples are in the page's memory. */
#include "archive.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "log.h"
#include "thread.h"
#include "util.h"
#include "wavfile.h"

struct order {
	uint64_t size; /* the page's, in bytes */
	bool ended, give_up;
};

struct archive_writer {
	int fd;
	pthread_t thread;
	struct page *page;
	struct order sent; /* the last order that went out */
	bool give_up, done;
	uint64_t written;
};

/* What the thread owns. */
struct job {
	int fd, page_fd;
	struct archive_config config;
	struct wavfile *file;
	uint64_t written;
	int error;
};

static bool has_suffix(const char *name, const char *suffix)
{
	size_t length = strlen(name), end = strlen(suffix);

	return length > end && strcmp(name + length - end, suffix) == 0;
}

/* --- limits --- */

struct oldest {
	char name[NAME_MAX + 1];
	time_t mtime;
	uint64_t size;
};

/* Looks at every WAV file: the sum of the sizes, and which is the oldest. */
static int survey(DIR *dir, uint64_t *ret_total, struct oldest *ret_oldest)
{
	const struct dirent *entry;

	*ret_total = 0;
	ret_oldest->name[0] = '\0';
	rewinddir(dir);
	while ((entry = readdir(dir))) {
		struct stat st;

		if (entry->d_name[0] == '.' ||
		    !has_suffix(entry->d_name, ".wav") ||
		    fstatat(dirfd(dir), entry->d_name, &st,
			    AT_SYMLINK_NOFOLLOW) < 0 ||
		    !S_ISREG(st.st_mode))
			continue;
		*ret_total += (uint64_t)st.st_size;
		if (ret_oldest->name[0] && st.st_mtime >= ret_oldest->mtime)
			continue;
		snprintf(ret_oldest->name, sizeof(ret_oldest->name), "%s",
			 entry->d_name);
		ret_oldest->mtime = st.st_mtime;
	}
	return ret_oldest->name[0] != '\0';
}

static void apply_limits(const struct archive_config *config)
{
	DIR *dir;
	struct oldest oldest;
	uint64_t total;

	if (config->limit_size == 0 && config->limit_seconds == 0)
		return;
	dir = opendir(config->dir);
	while (dir && survey(dir, &total, &oldest)) {
		double age = difftime(time(NULL), oldest.mtime);

		if (!(config->limit_size > 0 && total > config->limit_size) &&
		    !(config->limit_seconds > 0 &&
		      age > (double)config->limit_seconds))
			break;
		if (unlinkat(dirfd(dir), oldest.name, 0) < 0) {
			log_warning("Cannot remove %s/%s: %s", config->dir,
				    oldest.name, strerror(errno));
			break;
		}
		log_info("Removed %s/%s (--archive-limit)", config->dir,
			 oldest.name);
	}
	if (dir)
		closedir(dir);
}

int archive_check(const struct archive_config *config)
{
	int r;

	if (access(config->dir, W_OK | X_OK) < 0)
		return -errno;
	r = wavfile_repair(config->dir);
	if (r > 0)
		log_notice("Repaired %d file%s that a crash left in %s", r,
			   r == 1 ? "" : "s", config->dir);
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
		ssize_t n =
		    pread(job->page_fd, buffer,
			  left < sizeof(buffer) ? (size_t)left : sizeof(buffer),
			  (off_t)job->written);
		int r;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		r = wavfile_write(job->file, buffer, (size_t)n);
		if (r < 0)
			return r;
		job->written += (uint64_t)n;
		(void)send(job->fd, &job->written, sizeof(job->written),
			   MSG_NOSIGNAL | MSG_DONTWAIT);
	}
	return 0;
}

/* Until the page has ended. 0, or negative errno (-ECANCELED: given up). */
static int follow(struct job *job)
{
	for (;;) {
		struct order order;
		ssize_t n = recv(job->fd, &order, sizeof(order), 0);
		int r;

		if (n < 0 && errno == EINTR)
			continue;
		if (n != sizeof(order) || order.give_up)
			return -ECANCELED;
		r = copy_up_to(job, order.size);
		if (r < 0 || order.ended)
			return r;
	}
}

static void *job_main(void *userdata)
{
	struct job *job = userdata;
	int r = follow(job);

	if (r == 0) {
		_cleanup_free_ char *path = NULL;

		r = wavfile_finish(TAKE_PTR(job->file), WAVFILE_KEEP, &path);
		if (r == 0) {
			log_info("Archived %s", path);
			apply_limits(&job->config);
		}
	}
	if (r < 0 && r != -ECANCELED)
		log_error("A page could not be archived in %s: %s",
			  job->config.dir, strerror(-r));
	wavfile_discard(job->file);
	close(job->page_fd);
	close(job->fd);
	free(job);
	return NULL;
}

/* --- the loop's side --- */

static int create_file(struct wavfile **ret, const char *dir, const char *label,
		       const struct wav_format *format)
{
	char path[PATH_MAX], stamp[32];
	time_t now = time(NULL);
	struct tm tm;

	localtime_r(&now, &tm);
	strftime(stamp, sizeof(stamp), "%Y%m%d-%H%M%S", &tm);
	if (snprintf(path, sizeof(path), "%s/%s-%s.wav", dir, stamp, label) >=
	    (int)sizeof(path))
		return -ENAMETOOLONG;
	return wavfile_create(ret, path, format);
}

static int open_job(struct job *job, const struct archive_config *config,
		    const char *label, const struct page *page, int *ret_fd)
{
	int fds[2], r;

	r = page_dup(page);
	if (r < 0)
		return r;
	job->page_fd = r;
	job->config = *config;
	r = create_file(&job->file, config->dir, label, page_format(page));
	if (r < 0)
		return r;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		return -errno;
	job->fd = fds[0];
	*ret_fd = fds[1];
	return 0;
}

int archive_begin(struct archive_writer **ret,
		  const struct archive_config *config, const char *label,
		  struct page *page)
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
	job->fd = job->page_fd = -1;
	r = open_job(job, config, label, page, &fd);
	if (r == 0)
		r = thread_start(&writer->thread, "archive", job_main, job);
	if (r < 0) {
		wavfile_discard(job->file);
		fd_close(job->page_fd);
		fd_close(job->fd);
		free(job);
		return r;
	}
	writer->fd = TAKE_FD(fd);
	writer->page = page_ref(page);
	*ret = TAKE_PTR(writer);
	return 0;
}

void archive_push(struct archive_writer *writer)
{
	struct order order = {0};

	if (!writer || writer->done || writer->sent.ended ||
	    writer->sent.give_up)
		return;
	order.size = page_size(writer->page);
	order.ended = page_ended(writer->page);
	order.give_up = writer->give_up;
	/* A full queue loses nothing: the next order says all of it. */
	if (send(writer->fd, &order, sizeof(order),
		 MSG_NOSIGNAL | MSG_DONTWAIT) == sizeof(order))
		writer->sent = order;
}

static void read_progress(struct archive_writer *writer)
{
	ssize_t n;

	while (!writer->done) {
		n = recv(writer->fd, &writer->written, sizeof(writer->written),
			 MSG_DONTWAIT);
		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
			writer->done = true;
		else if (n < 0 && errno == EAGAIN)
			return;
	}
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
	writer->give_up = true;
	archive_push(writer);
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
	    .size = page_size(writer->page),
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
	page_unref(writer->page);
	free(writer);
	return NULL;
}
