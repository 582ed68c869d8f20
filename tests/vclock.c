/* SPDX-License-Identifier: MIT
 * Clocks that step and waits that fail, on demand: a library for LD_PRELOAD. In
 * the folder $VCLOCK the files "realtime" and "boottime" hold seconds by which
 * that clock is ahead; while "refuse" is there every wait fails with EINVAL;
 * and "address" holds the answer of DNS to whatever is asked. */
#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define NEXT(name) ((__typeof__(&(name)))dlsym(RTLD_NEXT, #name))

static const char *control(const char *name, char path[4096])
{
	const char *folder = getenv("VCLOCK");

	snprintf(path, 4096, "%s/%s", folder ? folder : "", name);
	return path;
}

static long offset(const char *name)
{
	char path[4096];
	FILE *f = fopen(control(name, path), "re");
	long seconds = 0;

	if (f) {
		if (fscanf(f, "%ld", &seconds) != 1)
			seconds = 0;
		fclose(f);
	}
	return seconds;
}

static int refused(void)
{
	char path[4096];

	if (access(control("refuse", path), F_OK) < 0)
		return 0;
	errno = EINVAL;
	return 1;
}

int clock_gettime(clockid_t id, struct timespec *ts)
{
	const int r = (int)syscall(SYS_clock_gettime, id, ts);

	if (r == 0 && id == CLOCK_REALTIME)
		ts->tv_sec += offset("realtime");
	if (r == 0 && id == CLOCK_BOOTTIME)
		ts->tv_sec += offset("boottime");
	return r;
}

time_t time(time_t *ret)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	if (ret)
		*ret = ts.tv_sec;
	return ts.tv_sec;
}

int gettimeofday(struct timeval *tv, void *zone)
{
	struct timespec ts;

	(void)zone;
	clock_gettime(CLOCK_REALTIME, &ts);
	tv->tv_sec = ts.tv_sec;
	tv->tv_usec = ts.tv_nsec / 1000;
	return 0;
}

int poll(struct pollfd *fds, nfds_t count, int timeout)
{
	return count > 0 && refused() ? -1 : NEXT(poll)(fds, count, timeout);
}

int ppoll(struct pollfd *fds, nfds_t count, const struct timespec *timeout,
	  const sigset_t *mask)
{
	return count > 0 && refused() ? -1
				      : NEXT(ppoll)(fds, count, timeout, mask);
}

/* The name that ppoll() has with _FORTIFY_SOURCE. */
int __ppoll_chk(struct pollfd *fds, nfds_t count,
		const struct timespec *timeout, const sigset_t *mask,
		size_t size);
int __ppoll_chk(struct pollfd *fds, nfds_t count,
		const struct timespec *timeout, const sigset_t *mask,
		size_t size)
{
	(void)size;
	return ppoll(fds, count, timeout, mask);
}

int epoll_wait(int fd, struct epoll_event *events, int count, int timeout)
{
	return refused() ? -1 : NEXT(epoll_wait)(fd, events, count, timeout);
}

/* libsystemd calls the newer wait by its number. */
long syscall(long number, ...)
{
	long a[6];
	va_list ap;

	va_start(ap, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	if (number == SYS_epoll_pwait2 && refused())
		return -1;
	return NEXT(syscall)(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

int getaddrinfo(const char *host, const char *service,
		const struct addrinfo *hints, struct addrinfo **ret)
{
	char path[4096], address[64];
	FILE *f = fopen(control("address", path), "re");

	if (f) {
		if (fscanf(f, "%63s", address) == 1)
			host = address;
		fclose(f);
	}
	return NEXT(getaddrinfo)(host, service, hints, ret);
}
