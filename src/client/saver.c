/* SPDX-License-Identifier: MIT
 * The thread owns the file, a copy of the job, and one end of each pipe; the
 * loop the other ends. */
#include "client/saver.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>

#include "audio/wavfile.h"
#include "base/log.h"
#include "base/thread.h"
#include "base/util.h"

#define PIPE_SIZE (1024 * 1024)

/* What the thread needs; freed by whoever is the last to leave. */
struct job {
	char *path;
	struct wav_format format;
	enum wavfile_replace replace;
	int samples_fd;
	int done_fd;	      /* closed at the end: the loop sees POLLHUP */
	atomic_bool complete; /* set before the pipe is closed */
	atomic_int users;
};

struct saver {
	struct job *job;
	pthread_t thread;
	int samples_fd;
	int done_fd;
	size_t pipe_size;
	bool finished;
};

static void job_release(struct job *job)
{
	if (atomic_fetch_sub(&job->users, 1) > 1)
		return;
	free(job->path);
	free(job);
}

/* --- the thread --- */

static void lose_file(const struct job *job, int error)
{
	log_warning("Cannot save the page as '%s': %s", job->path,
		    strerror(-error));
}

/* Copies until the pipe ends. 0 or negative errno. */
static int copy_samples(const struct job *job, struct wavfile *file)
{
	uint8_t buffer[16384];

	for (;;) {
		const ssize_t n = TEMP_FAILURE_RETRY(
		    read(job->samples_fd, buffer, sizeof(buffer)));
		int r;

		if (n <= 0)
			return n < 0 ? -errno : 0;
		r = wavfile_write(file, buffer, (size_t)n);
		if (r < 0)
			return r;
	}
}

static void save(struct job *job)
{
	_cleanup_free_ char *path = NULL;
	struct wavfile *file;
	int r;

	r = wavfile_create(&file, job->path, &job->format);
	if (r < 0) {
		lose_file(job, r);
		return;
	}
	r = copy_samples(job, file);
	if (r < 0 || !atomic_load(&job->complete)) {
		wavfile_discard(file);
		if (r < 0)
			lose_file(job, r);
		return;
	}
	r = wavfile_finish(file, job->replace, &path);
	if (r < 0)
		lose_file(job, r);
	else
		log_info("Saved the page as '%s'", path);
}

static void *run_saver(void *userdata)
{
	struct job *job = userdata;

	save(job);
	close(job->samples_fd);
	close(job->done_fd);
	job_release(job);
	return NULL;
}

/* --- the loop's side --- */

bool saver_path_is_directory(const char *path)
{
	const size_t length = strlen(path);
	struct stat st;

	if (length > 0 && path[length - 1] == '/')
		return true;
	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static char *file_path(const char *path)
{
	const time_t now = time(NULL);
	struct tm tm;
	char name[32], *text;

	if (!saver_path_is_directory(path))
		return strdup(path);
	localtime_r(&now, &tm);
	strftime(name, sizeof(name), "%Y%m%d-%H%M%S.wav", &tm);
	return asprintf(&text, "%s/%s", path, name) < 0 ? NULL : text;
}

static struct job *job_new(const char *path, const struct wav_format *format)
{
	struct job *job = calloc(1, sizeof(*job));

	if (!job)
		return NULL;
	job->format = *format;
	job->replace =
	    saver_path_is_directory(path) ? WAVFILE_KEEP : WAVFILE_REPLACE;
	job->samples_fd = job->done_fd = -1;
	atomic_init(&job->users, 1);
	job->path = file_path(path);
	if (!job->path) {
		free(job);
		return NULL;
	}
	return job;
}

static int open_pipes(struct saver *saver)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	saver->job->samples_fd = fds[0];
	saver->samples_fd = fds[1];
	/* Only the loop's end must never wait. */
	if (fcntl(fds[1], F_SETFL, O_NONBLOCK) < 0)
		return -errno;
	/* An ordinary user may be refused: then it is smaller. */
	(void)fcntl(fds[1], F_SETPIPE_SZ, PIPE_SIZE);
	saver->pipe_size = (size_t)fcntl(fds[1], F_GETPIPE_SZ);
	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	saver->done_fd = fds[0];
	saver->job->done_fd = fds[1];
	return 0;
}

static void close_all(struct saver *saver)
{
	fd_close(saver->samples_fd);
	fd_close(saver->done_fd);
	if (saver->job) {
		fd_close(saver->job->samples_fd);
		fd_close(saver->job->done_fd);
		job_release(saver->job);
	}
	free(saver);
}

int saver_start(struct saver **ret, const char *path,
		const struct wav_format *format)
{
	struct saver *saver = calloc(1, sizeof(*saver));
	int r;

	if (!saver)
		return -ENOMEM;
	saver->samples_fd = saver->done_fd = -1;
	saver->job = job_new(path, format);
	r = saver->job ? open_pipes(saver) : -ENOMEM;
	if (r == 0) {
		atomic_fetch_add(&saver->job->users, 1);
		r = thread_start(&saver->thread, "saver", run_saver,
				 saver->job);
		if (r < 0)
			atomic_fetch_sub(&saver->job->users, 1);
	}
	if (r < 0) {
		close_all(saver);
		return r;
	}
	*ret = saver;
	return 0;
}

size_t saver_room(const struct saver *saver)
{
	int queued = 0;

	if (ioctl(saver->samples_fd, FIONREAD, &queued) < 0)
		return 0;
	/* A page of the pipe may be filled in part only: count on half. */
	return (size_t)queued < saver->pipe_size / 2
		   ? saver->pipe_size / 2 - (size_t)queued
		   : 0;
}

int saver_write(struct saver *saver, const void *data, size_t size)
{
	const uint8_t *bytes = data;

	while (size > 0) {
		const ssize_t n =
		    TEMP_FAILURE_RETRY(write(saver->samples_fd, bytes, size));

		if (n < 0)
			return -errno;
		bytes += n;
		size -= (size_t)n;
	}
	return 0;
}

void saver_finish(struct saver *saver)
{
	atomic_store(&saver->job->complete, true);
	saver->samples_fd = fd_close(saver->samples_fd);
	saver->finished = true;
}

int saver_fd(const struct saver *saver)
{
	return saver->done_fd;
}

static bool wait_done(const struct saver *saver, unsigned wait_ms)
{
	struct pollfd fd = {.fd = saver->done_fd};

	return poll(&fd, 1, (int)wait_ms) > 0;
}

bool saver_done(const struct saver *saver)
{
	return saver->finished && wait_done(saver, 0);
}

struct saver *saver_free(struct saver *saver, unsigned wait_ms)
{
	if (!saver)
		return NULL;
	saver->samples_fd = fd_close(saver->samples_fd);
	if (wait_done(saver, wait_ms))
		pthread_join(saver->thread, NULL);
	else
		pthread_detach(saver->thread);
	fd_close(saver->done_fd);
	job_release(saver->job);
	free(saver);
	return NULL;
}
