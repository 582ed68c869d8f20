/* SPDX-License-Identifier: MIT
 * The protocols are the stable ones of sd_notify(3) and of
 * https://systemd.io/JOURNAL_NATIVE_PROTOCOL: one datagram each. */
#include "client/service.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/util.h"

enum { EVENT_SIZE = 4096 };

/* To the socket of that name; '@' stands for the abstract name space. */
static int send_datagram(const char *path, const char *data, size_t size)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const size_t length = strlen(path);
	_cleanup_close_ int fd = -1;

	if ((*path != '/' && *path != '@') || !path[1])
		return -EAFNOSUPPORT;
	if (length >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, length);
	if (*path == '@')
		address.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (sendto(
		fd, data, size, MSG_NOSIGNAL, (const struct sockaddr *)&address,
		(socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)) <
	    0)
		return -errno;
	return 0;
}

int service_notify(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");

	return path ? send_datagram(path, state, strlen(state)) : 0;
}

static uint64_t number_in(const char *name)
{
	const char *text = getenv(name);
	unsigned long long value;
	char *end;

	if (!text || *text < '0' || *text > '9')
		return 0;
	errno = 0;
	value = strtoull(text, &end, 10);
	return errno || *end ? 0 : value;
}

uint64_t service_watchdog_usec(void)
{
	/* Meant for a process that started this one. */
	if (getenv("WATCHDOG_PID") &&
	    number_in("WATCHDOG_PID") != (uint64_t)getpid())
		return 0;
	return number_in("WATCHDOG_USEC");
}

int service_journal(const char *path, const char *const *fields, size_t count)
{
	char event[EVENT_SIZE];
	size_t size = 0;

	for (size_t i = 0; i < count; i++) {
		const size_t length = strlen(fields[i]);

		if (length >= sizeof(event) - size)
			return -EMSGSIZE;
		memcpy(event + size, fields[i], length);
		for (char *c = event + size; c < event + size + length; c++)
			if (*c == '\n')
				*c = ' ';
		size += length;
		event[size++] = '\n';
	}
	return send_datagram(path, event, size);
}
