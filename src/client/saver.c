/* SPDX-License-Identifier: MIT
 * Owns a memfd that only grows, and gives back what the disk has. */
#include "client/saver.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <sys/mman.h>

#include "audio/wavfile.h"
#include "base/io.h"
#include "base/log.h"
#include "base/util.h"

enum {
	LAG_MAX = 4 << 20,	/* bytes of one page that wait for the disk */
	BACKLOG_MAX = 32 << 20, /* of all */
	FORGET_STEP = 1 << 20,
};

struct saver {
	int fd;
	struct recording *recording;
	uint64_t size, first; /* written so far; first that is in memory */
};

static int check(const void *path)
{
	const int r = wavfile_repair(path);

	if (r < 0)
		log_warning("--save '%s': %s", (const char *)path,
			    strerror(-r));
	else if (r > 0)
		log_notice("--save '%s': completed %d file%s that a crash left "
			   "behind",
			   (const char *)path, r, plural_s((uint64_t)r));
	return 0;
}

static void on_file(const struct recorder_config *config, const char *path,
		    int error)
{
	if (error < 0)
		log_warning("Cannot save the page as '%s': %s", config->path,
			    strerror(-error));
	else
		log_info("Saved the page as '%s'", path);
}

int saver_open(struct recorder **ret, const char *path)
{
	const struct recorder_config config = {
	    .path = path,
	    .kind = RECORDER_DIRECTORY_OR_FILE,
	    .backlog_max = BACKLOG_MAX,
	    .check = check,
	    .userdata = path,
	    .on_file = on_file,
	};

	return recorder_new(ret, &config);
}

static int begin(struct saver *saver, struct recorder *recorder,
		 const struct wav_format *format)
{
	int fd;

	saver->fd = memfd_create("saver", MFD_CLOEXEC);
	fd = saver->fd < 0 ? -1 : fcntl(saver->fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	return recording_begin(&saver->recording, recorder, "", format, fd);
}

int saver_start(struct saver **ret, struct recorder *recorder,
		const struct wav_format *format)
{
	struct saver *saver = calloc(1, sizeof(*saver));
	int r;

	if (!saver)
		return -ENOMEM;
	r = begin(saver, recorder, format);
	*ret = saver->recording ? saver : saver_free(saver);
	return r;
}

size_t saver_room(const struct saver *saver)
{
	const uint64_t offset = recording_offset(saver->recording);

	/* When the file is lost nothing has to wait for it. */
	if (offset == UINT64_MAX)
		return SIZE_MAX;
	return (size_t)(LAG_MAX - MIN((uint64_t)LAG_MAX, saver->size - offset));
}

/* Failing costs memory; the next call tries again. */
static void forget(struct saver *saver)
{
	const uint64_t offset = recording_offset(saver->recording);

	if (offset - saver->first >= FORGET_STEP &&
	    fallocate(saver->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		      (off_t)saver->first, (off_t)(offset - saver->first)) == 0)
		saver->first = offset;
}

int saver_write(struct saver *saver, const void *data, size_t size)
{
	const size_t room = saver_room(saver);
	int r;

	if (room == SIZE_MAX)
		return -EPIPE;
	if (size > room)
		return -EAGAIN;
	r = pwrite_all(saver->fd, data, size, (off_t)saver->size);
	if (r < 0)
		return r;
	saver->size += size;
	recording_push(saver->recording, saver->size);
	forget(saver);
	return 0;
}

struct saver *saver_finish(struct saver *saver)
{
	if (saver)
		recording_finish(saver->recording);
	return saver_free(saver);
}

struct saver *saver_free(struct saver *saver)
{
	if (!saver)
		return NULL;
	recording_discard(saver->recording);
	recording_release(saver->recording);
	fd_close(saver->fd);
	free(saver);
	return NULL;
}
