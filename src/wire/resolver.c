/* SPDX-License-Identifier: MIT
 * Each lookup has a detached thread, which owns its copy of the endpoint and
 * the writing end of the pipe. */
#include "wire/resolver.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>

#include "base/io.h"
#include "base/thread.h"
#include "base/util.h"

struct lookup {
	struct net_endpoint endpoint;
	int fd;
};

/* So that write(2) writes all of a result or nothing (pipe(7)). */
_Static_assert(sizeof(struct resolver_result) <= PIPE_BUF,
	       "a result must fit an atomic write");

static void look_up(const struct net_endpoint *endpoint,
		    struct resolver_result *result)
{
	struct addrinfo *list;

	*result = (struct resolver_result){0};
	result->error = net_resolve(endpoint, &list);
	if (result->error < 0)
		return;
	for (const struct addrinfo *a = list;
	     a && result->count < RESOLVER_ADDRESSES_MAX; a = a->ai_next) {
		struct resolver_address *address =
		    &result->addresses[result->count];

		if (a->ai_addrlen > sizeof(address->address))
			continue;
		address->size = a->ai_addrlen;
		memcpy(&address->address, a->ai_addr, a->ai_addrlen);
		result->count++;
	}
	freeaddrinfo(list);
	if (result->count == 0)
		result->error = -EADDRNOTAVAIL;
}

static void *run_lookup(void *userdata)
{
	_cleanup_free_ struct lookup *lookup = userdata;
	struct resolver_result result;

	look_up(&lookup->endpoint, &result);
	/* EPIPE (this thread blocks SIGPIPE): nobody wants the result. */
	(void)write_all(lookup->fd, &result, sizeof(result));
	close(lookup->fd);
	return NULL;
}

int resolver_literal(const struct net_endpoint *endpoint,
		     struct resolver_result *ret)
{
	struct in6_addr address;

	if (inet_pton(AF_INET, endpoint->host, &address) != 1 &&
	    inet_pton(AF_INET6, endpoint->host, &address) != 1)
		return -EINVAL;
	look_up(endpoint, ret);
	return 0;
}

int resolver_start(const struct net_endpoint *endpoint)
{
	_cleanup_free_ struct lookup *lookup = malloc(sizeof(*lookup));
	_cleanup_close_ int read_fd = -1;
	pthread_t thread;
	int fds[2], r;

	if (!lookup)
		return -ENOMEM;
	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	read_fd = fds[0];
	*lookup = (struct lookup){.endpoint = *endpoint, .fd = fds[1]};
	r = thread_start(&thread, "resolver", run_lookup, lookup);
	if (r < 0) {
		close(fds[1]);
		return r;
	}
	pthread_detach(thread);
	(void)TAKE_PTR(lookup); /* the thread owns it now */
	return TAKE_FD(read_fd);
}

int resolver_take(int fd, struct resolver_result *ret)
{
	struct resolver_result result;
	const ssize_t n = read(fd, &result, sizeof(result));

	if (n < 0)
		return -errno;
	if (n != sizeof(result))
		return -EIO;
	*ret = result;
	return 0;
}
