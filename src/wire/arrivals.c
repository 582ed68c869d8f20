/* SPDX-License-Identifier: MIT
 * The kernel's stamps are of CLOCK_REALTIME: if that was set while the bytes
 * waited, they tell nothing. */
#include "wire/arrivals.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/util.h"
#include "base/wallclock.h"

#define ARRIVAL_AGE_NS_MAX (10 * (int64_t)NSEC_PER_SEC)
/* CLOCK_REALTIME was set if it has moved so much, and not only steered. */
#define STEP_NS_MIN 1000000

static int64_t arrival_of(const struct arrivals *arrivals,
			  struct msghdr *message)
{
	const int64_t offset_ns = wallclock_offset_ns();
	const int64_t now_ns = wallclock_monotonic_ns();
	const struct cmsghdr *c = CMSG_FIRSTHDR(message);
	struct timespec stamp;
	int64_t ns;

	if (!c || c->cmsg_level != SOL_SOCKET ||
	    c->cmsg_type != SCM_TIMESTAMPNS ||
	    llabs(offset_ns - arrivals->offset_ns) >= STEP_NS_MIN)
		return 0;
	memcpy(&stamp, CMSG_DATA(c), sizeof(stamp));
	ns = stamp.tv_sec * (int64_t)NSEC_PER_SEC + stamp.tv_nsec - offset_ns;
	return ns > now_ns - ARRIVAL_AGE_NS_MAX ? MIN(ns, now_ns) : 0;
}

void arrivals_begin(struct arrivals *arrivals, int fd)
{
	const int one = 1;

	*arrivals = (struct arrivals){
	    .timed = setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &one,
				sizeof(one)) == 0,
	    .offset_ns = wallclock_offset_ns(),
	};
}

ssize_t arrivals_recv(struct arrivals *arrivals, int fd, void *buffer,
		      size_t size)
{
	union {
		struct cmsghdr header;
		char data[CMSG_SPACE(sizeof(struct timespec))];
	} control;
	struct iovec part = {buffer, size};
	struct msghdr message = {
	    .msg_iov = &part,
	    .msg_iovlen = 1,
	    .msg_control = &control,
	    .msg_controllen = sizeof(control),
	};
	ssize_t n;

	if (!arrivals->timed)
		return recv(fd, buffer, size, 0);
	n = recvmsg(fd, &message, 0);
	if (n > 0)
		arrivals->ns = arrival_of(arrivals, &message);
	else if (n < 0 && errno == EAGAIN)
		arrivals->offset_ns = wallclock_offset_ns();
	return n;
}
