/* SPDX-License-Identifier: MIT
 * The protocol of sd_notify(3): one datagram. */
#include "base/notify.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/log.h"
#include "base/util.h"

int notify_if_read(const char *state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const char *path = getenv("NOTIFY_SOCKET");
	const size_t length = path ? strlen(path) : 0;
	const size_t size = offsetof(struct sockaddr_un, sun_path) + length;
	_cleanup_close_ int fd = -1;

	if (length < 2 || length >= sizeof(address.sun_path))
		return 0;
	memcpy(address.sun_path, path, length);
	if (*path == '@') /* an abstract socket, see unix(7) */
		address.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (sendto(fd, state, strlen(state), MSG_DONTWAIT | MSG_NOSIGNAL,
		   (const struct sockaddr *)&address, (socklen_t)size) < 0)
		return -errno;
	return 0;
}

void notify_failure(void)
{
	static const struct timespec pause = {.tv_sec = 10};
	char text[512];
	sigset_t mask;

	if (!getenv("NOTIFY_SOCKET"))
		return;
	snprintf(text, sizeof(text), "STATUS=Cannot start: %s",
		 log_last_error());
	sigemptyset(&mask);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGTERM);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	(void)notify_if_read(text);
	(void)sigtimedwait(&mask, NULL, &pause);
}
