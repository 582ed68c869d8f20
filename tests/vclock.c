/* SPDX-License-Identifier: MIT
 * Clocks that step and waits that fail, on demand: a library for LD_PRELOAD. In
 * the folder $VCLOCK the files "realtime" and "boottime" hold seconds by which
 * that clock is ahead, and with it the kernel's stamps of what has arrived;
 * while "refuse" is there every wait fails with EINVAL; with "stop" the program
 * stops itself before it next receives; "address" holds the answer of DNS to
 * whatever is asked; and "adjtimex" what somebody has told the
 * kernel of CLOCK_REALTIME: its status and its estimated error in microseconds.
 * $VCLOCK_SPEED is how many times faster CLOCK_MONOTONIC runs, and with it all
 * that waits by it: poll, timers, and what TCP watches for us. */
#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

#define NEXT(name) ((__typeof__(&(name)))dlsym(RTLD_NEXT, #name))

static const char *control(const char *name, char path[4096])
{
	const char *folder = getenv("VCLOCK");

	snprintf(path, 4096, "%s/%s", folder ? folder : "", name);
	return path;
}

static long long nsec_of(const struct timespec *ts)
{
	return ts->tv_sec * 1000000000LL + ts->tv_nsec;
}

static struct timespec timespec_of(long long nsec)
{
	return (struct timespec){
	    .tv_sec = (time_t)(nsec / 1000000000),
	    .tv_nsec = (long)(nsec % 1000000000),
	};
}

static struct timespec add_offset(const char *name, struct timespec ts)
{
	const int saved_errno = errno;
	char path[4096];
	FILE *f = fopen(control(name, path), "re");
	double seconds = 0;

	if (f) {
		if (fscanf(f, "%lf", &seconds) != 1)
			seconds = 0;
		fclose(f);
	}
	errno = saved_errno;
	return timespec_of(nsec_of(&ts) + (long long)(seconds * 1e9));
}

static int refused(void)
{
	char path[4096];

	if (access(control("refuse", path), F_OK) < 0)
		return 0;
	errno = EINVAL;
	return 1;
}

static long speed(void)
{
	const char *text = getenv("VCLOCK_SPEED");
	const long value = text ? atol(text) : 1;

	return value > 0 ? value : 1;
}

int clock_gettime(clockid_t id, struct timespec *ts)
{
	const int r = (int)syscall(SYS_clock_gettime, id, ts);

	if (r == 0 && id == CLOCK_MONOTONIC && speed() > 1)
		*ts = timespec_of(nsec_of(ts) * speed());
	if (r == 0 && id == CLOCK_REALTIME)
		*ts = add_offset("realtime", *ts);
	if (r == 0 && id == CLOCK_BOOTTIME)
		*ts = add_offset("boottime", *ts);
	return r;
}

int adjtimex(struct timex *ret)
{
	char path[4096];
	FILE *f = fopen(control("adjtimex", path), "re");
	int r = NEXT(adjtimex)(ret), status;
	long error;

	if (f && r >= 0 && fscanf(f, "%i %ld", &status, &error) == 2) {
		ret->status = status;
		ret->esterror = error;
		r = status & STA_UNSYNC ? TIME_ERROR : TIME_OK;
	}
	if (f)
		fclose(f);
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

/* Armed at an absolute time of that clock, as libsystemd does it. 0 disarms. */
int timerfd_settime(int fd, int flags, const struct itimerspec *value,
		    struct itimerspec *old)
{
	struct itimerspec scaled = *value;
	const long long nsec = nsec_of(&value->it_value);

	if (nsec > 0)
		scaled.it_value = timespec_of(nsec / speed() + 1);
	return NEXT(timerfd_settime)(fd, flags, &scaled, old);
}

/* Until a time of that clock, or for one. */
int clock_nanosleep(clockid_t id, int flags, const struct timespec *time,
		    struct timespec *rest)
{
	struct timespec scaled = *time;

	if (id == CLOCK_MONOTONIC)
		scaled = timespec_of(nsec_of(time) / speed());
	return NEXT(clock_nanosleep)(id, flags, &scaled, rest);
}

ssize_t recv(int fd, void *buffer, size_t size, int flags)
{
	char path[4096];

	if (unlink(control("stop", path)) == 0)
		(void)raise(SIGSTOP);
	return NEXT(recv)(fd, buffer, size, flags);
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
	const ssize_t n = NEXT(recvmsg)(fd, message, flags);
	struct timespec stamp;

	for (struct cmsghdr *c = n < 0 ? NULL : CMSG_FIRSTHDR(message); c;
	     c = CMSG_NXTHDR(message, c)) {
		if (c->cmsg_level != SOL_SOCKET ||
		    c->cmsg_type != SCM_TIMESTAMPNS)
			continue;
		memcpy(&stamp, CMSG_DATA(c), sizeof(stamp));
		stamp = add_offset("realtime", stamp);
		memcpy(CMSG_DATA(c), &stamp, sizeof(stamp));
	}
	return n;
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t size)
{
	int number;

	if (level != IPPROTO_TCP ||
	    (name != TCP_KEEPIDLE && name != TCP_KEEPINTVL &&
	     name != TCP_USER_TIMEOUT) ||
	    speed() == 1)
		return NEXT(setsockopt)(fd, level, name, value, size);
	number = *(const int *)value / (int)speed();
	if (number == 0)
		number = 1;
	return NEXT(setsockopt)(fd, level, name, &number, sizeof(number));
}

int poll(struct pollfd *fds, nfds_t count, int timeout)
{
	if (timeout > 0)
		timeout = (timeout + (int)speed() - 1) / (int)speed();
	return count > 0 && refused() ? -1 : NEXT(poll)(fds, count, timeout);
}

int ppoll(struct pollfd *fds, nfds_t count, const struct timespec *timeout,
	  const sigset_t *mask)
{
	struct timespec scaled;

	if (timeout) {
		scaled = timespec_of(nsec_of(timeout) / speed());
		timeout = &scaled;
	}
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
