/* SPDX-License-Identifier: MIT
 * An epoll set inside that of the loop. epoll_wait(2) goes through the ready
 * descriptors in turn, so that a small batch starves none. */
#include "server/poller.h"

#include <errno.h>
#include <sys/epoll.h>

#include "base/util.h"

/* Limits one turn, so that the other sources of the loop get theirs. */
enum { BATCH = 64 };

struct poller {
	int fd;
	sd_event_source *io;
	struct epoll_event batch[BATCH];
	int next, count; /* of the batch in progress */
};

static int on_poller(sd_event_source *source, int fd, uint32_t revents,
		     void *userdata)
{
	struct poller *poller = userdata;
	int n = epoll_wait(fd, poller->batch, BATCH, 0);

	poller->count = n > 0 ? n : 0;
	for (poller->next = 0; poller->next < poller->count;) {
		const struct epoll_event *event =
		    &poller->batch[poller->next++];
		const struct poller_watch *watch = event->data.ptr;

		if (watch)
			watch->on_ready(watch->userdata, event->events);
	}
	return 0;
}

int poller_new(struct poller **ret, sd_event *event)
{
	struct poller *poller = calloc(1, sizeof(*poller));
	int r;

	if (!poller)
		return -ENOMEM;
	poller->fd = epoll_create1(EPOLL_CLOEXEC);
	r = poller->fd < 0 ? -errno
			   : sd_event_add_io(event, &poller->io, poller->fd,
					     EPOLLIN, on_poller, poller);
	if (r < 0) {
		poller_free(poller);
		return r;
	}
	*ret = poller;
	return 0;
}

int poller_slow_down(struct poller *poller, uint64_t interval_usec)
{
	return sd_event_source_set_ratelimit(poller->io, interval_usec, 1);
}

struct poller *poller_free(struct poller *poller)
{
	if (!poller)
		return NULL;
	sd_event_source_disable_unref(poller->io);
	fd_close(poller->fd);
	free(poller);
	return NULL;
}

static int control(const struct poller *poller, int operation,
		   struct poller_watch *watch, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = watch};

	return epoll_ctl(poller->fd, operation, watch->fd, &event) < 0 ? -errno
								       : 0;
}

int poller_add(struct poller *poller, struct poller_watch *watch)
{
	return control(poller, EPOLL_CTL_ADD, watch, EPOLLIN);
}

int poller_change(struct poller *poller, struct poller_watch *watch,
		  uint32_t events)
{
	return control(poller, EPOLL_CTL_MOD, watch, events);
}

void poller_remove(struct poller *poller, struct poller_watch *watch)
{
	(void)control(poller, EPOLL_CTL_DEL, watch, 0);
	for (int i = poller->next; i < poller->count; i++)
		if (poller->batch[i].data.ptr == watch)
			poller->batch[i].data.ptr = NULL;
}
