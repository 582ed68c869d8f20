/* SPDX-License-Identifier: MIT
 * The thread owns the file and the reading end of the pipe, the loop the
 * writing end. All that changes and is shared besides is atomic. */
#include "client/saver.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>

#include "audio/wavfile.h"
#include "base/io.h"
#include "base/log.h"
#include "base/thread.h"
#include "base/util.h"

#define PIPE_SIZE (1024 * 1024)

struct saver {
	char *path;
	struct wav_format format;
	enum wavfile_replace replace;
	int samples[2]; /* a pipe: the thread's end, the loop's end */
	size_t pipe_size;
	int done_fd;
	atomic_bool complete; /* set before the loop closes its end */
	atomic_int users;     /* thread and loop; the last to leave frees */
};

static void leave(struct saver *saver)
{
	if (atomic_fetch_sub(&saver->users, 1) > 1)
		return;
	if (atomic_load(&saver->complete))
		(void)eventfd_write(saver->done_fd, 1);
	fd_close(saver->samples[0]);
	fd_close(saver->samples[1]);
	fd_close(saver->done_fd);
	free(saver->path);
	free(saver);
}

/* --- the thread --- */

static void lose_file(const struct saver *saver, int error)
{
	log_warning("Cannot save the page as '%s': %s", saver->path,
		    strerror(-error));
}

/* Copies until the loop closes the pipe. 0 or negative errno. */
static int copy_samples(const struct saver *saver, struct wavfile *file)
{
	uint8_t buffer[16384];

	for (;;) {
		const ssize_t n = TEMP_FAILURE_RETRY(
		    read(saver->samples[0], buffer, sizeof(buffer)));
		int r;

		if (n <= 0)
			return n < 0 ? -errno : 0;
		r = wavfile_write(file, buffer, (size_t)n);
		if (r < 0)
			return r;
	}
}

static void save(struct saver *saver)
{
	_cleanup_free_ char *path = NULL;
	struct wavfile *file;
	int r = wavfile_create(&file, saver->path, &saver->format);

	if (r == 0) {
		r = copy_samples(saver, file);
		if (r < 0 || !atomic_load(&saver->complete))
			wavfile_discard(file);
		else
			r = wavfile_finish(file, saver->replace, &path);
	}
	if (r < 0)
		lose_file(saver, r);
	else if (path)
		log_info("Saved the page as '%s'", path);
}

static void *run_saver(void *userdata)
{
	struct saver *saver = userdata;

	save(saver);
	saver->samples[0] = fd_close(saver->samples[0]);
	leave(saver);
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

static int open_fds(struct saver *saver, int done_fd)
{
	saver->done_fd = fcntl(done_fd, F_DUPFD_CLOEXEC, 0);
	if (saver->done_fd < 0 || pipe2(saver->samples, O_CLOEXEC) < 0)
		return -errno;
	/* The loop must never wait for the disk; the thread may. */
	if (fcntl(saver->samples[1], F_SETFL, O_NONBLOCK) < 0)
		return -errno;
	/* A user over pipe-user-pages-soft (pipe(7)) is refused: then the pipe
	 * stays smaller. */
	(void)fcntl(saver->samples[1], F_SETPIPE_SZ, PIPE_SIZE);
	saver->pipe_size = (size_t)fcntl(saver->samples[1], F_GETPIPE_SZ);
	return 0;
}

int saver_start(struct saver **ret, const char *path,
		const struct wav_format *format, int done_fd)
{
	struct saver *saver = calloc(1, sizeof(*saver));
	pthread_t thread;
	int r;

	if (!saver)
		return -ENOMEM;
	saver->format = *format;
	saver->replace =
	    saver_path_is_directory(path) ? WAVFILE_KEEP : WAVFILE_REPLACE;
	saver->samples[0] = saver->samples[1] = saver->done_fd = -1;
	saver->path = file_path(path);
	r = saver->path ? open_fds(saver, done_fd) : -ENOMEM;
	atomic_init(&saver->users, 2);
	if (r == 0)
		r = thread_start(&thread, "saver", run_saver, saver);
	if (r == 0) {
		pthread_detach(thread);
		*ret = saver;
		return 0;
	}
	atomic_store(&saver->users, 1);
	leave(saver);
	return r;
}

size_t saver_room(const struct saver *saver)
{
	/* The kernel may fill the pages of a pipe only in part: count on half
	 * of them. */
	const size_t room = saver->pipe_size / 2;
	int queued = 0;

	if (ioctl(saver->samples[1], FIONREAD, &queued) < 0)
		return 0;
	return room - MIN(room, (size_t)queued);
}

int saver_write(struct saver *saver, const void *data, size_t size)
{
	return write_all(saver->samples[1], data, size);
}

struct saver *saver_finish(struct saver *saver)
{
	if (saver)
		atomic_store(&saver->complete, true);
	return saver_free(saver);
}

struct saver *saver_free(struct saver *saver)
{
	if (!saver)
		return NULL;
	saver->samples[1] = fd_close(saver->samples[1]);
	leave(saver);
	return NULL;
}
