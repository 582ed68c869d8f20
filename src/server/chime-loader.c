/* SPDX-License-Identifier: MIT
 * The thread writes the results, then closes its end of a pipe; then the loop
 * joins it and reads them, so nothing needs a lock. */
#include "server/chime-loader.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>

#include "base/thread.h"
#include "base/util.h"

struct chime_loader {
	pthread_t thread;
	int read_fd;
	sd_event_source *io;
	chime_loader_on_done on_done;
	void *userdata;
	bool joined;
	/* The thread's, until it is joined. */
	int fd, write_fd;
	struct wav_format format;
	int result;
	struct chime *chime;
	char problem[CHIME_PROBLEM_SIZE];
};

static void *load(void *userdata)
{
	struct chime_loader *loader = userdata;

	loader->result = chime_load(&loader->chime, loader->fd, &loader->format,
				    loader->problem);
	loader->fd = fd_close(loader->fd);
	loader->write_fd = fd_close(loader->write_fd);
	return NULL;
}

/* That it has closed its end says that this does not wait. */
static void join(struct chime_loader *loader)
{
	if (!loader->joined)
		pthread_join(loader->thread, NULL);
	loader->joined = true;
}

static int on_closed(sd_event_source *io, int fd, uint32_t revents,
		     void *userdata)
{
	struct chime_loader *loader = userdata;

	(void)fd;
	(void)revents;
	(void)sd_event_source_set_enabled(io, SD_EVENT_OFF);
	join(loader);
	loader->on_done(loader->userdata, loader->result, loader->chime,
			loader->problem);
	return 0;
}

static int start(struct chime_loader *loader, sd_event *event)
{
	int fds[2], r;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	loader->read_fd = fds[0];
	loader->write_fd = fds[1];
	r = sd_event_add_io(event, &loader->io, loader->read_fd, EPOLLIN,
			    on_closed, loader);
	if (r < 0)
		return r;
	return thread_start(&loader->thread, "chime", load, loader);
}

static struct chime_loader *release(struct chime_loader *loader)
{
	sd_event_source_disable_unref(loader->io);
	fd_close(loader->read_fd);
	fd_close(loader->write_fd);
	fd_close(loader->fd);
	chime_unref(loader->chime);
	free(loader);
	return NULL;
}

int chime_loader_new(struct chime_loader **ret, sd_event *event, int fd,
		     const struct wav_format *format,
		     chime_loader_on_done on_done, void *userdata)
{
	struct chime_loader *loader = calloc(1, sizeof(*loader));
	int r;

	if (!loader) {
		fd_close(fd);
		return -ENOMEM;
	}
	loader->fd = fd;
	loader->read_fd = loader->write_fd = -1;
	loader->format = *format;
	loader->on_done = on_done;
	loader->userdata = userdata;
	r = start(loader, event);
	if (r < 0) {
		release(loader);
		return r;
	}
	*ret = loader;
	return 0;
}

struct chime_loader *chime_loader_free(struct chime_loader *loader)
{
	if (!loader)
		return NULL;
	join(loader);
	return release(loader);
}
