/* SPDX-License-Identifier: MIT
 * A crowd of clients in one process; and minimal servers, with which the
 * benches compare intercom-server. Prints "name value" lines. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum {
	PER_ADDRESS = 200, /* clients that share a source address */
	EVENTS = 256,
	SCRATCH_SIZE = 1 << 18,
	TICK_MS = 20,
	GREETING_SIZE = 1024,
};

struct client {
	int fd;
	uint64_t first_ns, last_ns, largest_gap_ns;
	uint64_t bytes;
};

static void die(const char *what)
{
	fprintf(stderr, "crowd: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * UINT64_C(1000000000) +
	       (uint64_t)ts.tv_nsec;
}

static double cpu_seconds(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void raise_limit(void)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static struct sockaddr_in loopback(uint32_t host, uint16_t port)
{
	return (struct sockaddr_in){
	    .sin_family = AF_INET,
	    .sin_port = htons(port),
	    .sin_addr.s_addr = htonl((127u << 24) + host),
	};
}

/* --- the crowd --- */

/* Every two hundred clients have an address of their own, since a server may
 * limit the clients from one address. */
static int connect_one(unsigned n, uint16_t port)
{
	struct sockaddr_in from = loopback(256 + n / PER_ADDRESS, 0);
	struct sockaddr_in to = loopback(1, port);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	if (fd < 0)
		die("socket");
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&from, sizeof(from)) < 0)
		die("bind");
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		die("connect");
	fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}

static void note_bytes(struct client *client, uint64_t bytes, uint64_t now)
{
	if (client->bytes == 0)
		client->first_ns = now;
	else if (now - client->last_ns > client->largest_gap_ns)
		client->largest_gap_ns = now - client->last_ns;
	client->last_ns = now;
	client->bytes += bytes;
}

/* Reads and discards. False when the connection is over. */
static bool drain(struct client *client, uint8_t *scratch)
{
	ssize_t n = recv(client->fd, scratch, SCRATCH_SIZE, MSG_TRUNC);

	if (n > 0)
		note_bytes(client, (uint64_t)n, now_ns());
	return n > 0 || (n < 0 && errno == EAGAIN);
}

static int compare(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void report(const struct client *clients, unsigned count, double cpu)
{
	uint64_t *gaps = calloc(count, sizeof(*gaps));
	uint64_t least = UINT64_MAX, most = 0, total = 0;
	uint64_t first = UINT64_MAX, last = 0;

	if (!gaps)
		die("calloc");
	for (unsigned i = 0; i < count; i++) {
		const struct client *c = &clients[i];

		gaps[i] = c->largest_gap_ns;
		least = c->bytes < least ? c->bytes : least;
		most = c->bytes > most ? c->bytes : most;
		total += c->bytes;
		first = c->bytes && c->first_ns < first ? c->first_ns : first;
		last = c->last_ns > last ? c->last_ns : last;
	}
	qsort(gaps, count, sizeof(*gaps), compare);
	printf("clients %u\nbytes_least %ju\nbytes_most %ju\nbytes %ju\n"
	       "gap_median_ms %.1f\ngap_p99_ms %.1f\ngap_largest_ms %.1f\n"
	       "seconds %.6f\ncpu %.6f\n",
	       count, (uintmax_t)least, (uintmax_t)most, (uintmax_t)total,
	       (double)gaps[count / 2] / 1e6,
	       (double)gaps[count - 1 - count / 100] / 1e6,
	       (double)gaps[count - 1] / 1e6,
	       total ? (double)(last - first) / 1e9 : 0, cpu);
	free(gaps);
}

static size_t read_greeting(const char *path, char greeting[GREETING_SIZE])
{
	FILE *file = path ? fopen(path, "re") : NULL;
	size_t size;

	if (!path)
		return 0;
	if (!file)
		die(path);
	size = fread(greeting, 1, GREETING_SIZE, file);
	fclose(file);
	return size;
}

static void answer_all(const struct client *clients, unsigned count,
		       const char *answer, size_t size)
{
	usleep(500000);
	for (unsigned i = 0; i < count; i++) {
		(void)!write(clients[i].fd, answer, size);
		close(clients[i].fd);
	}
}

/* Says "connected" when all clients are, and reports when all connections have
 * been closed. With a PATH, each client first sends the contents of that file;
 * with an ANSWER_PATH, all send those of that one and close half a second after
 * the server has ended its side of the last connection. */
static void run_crowd(uint16_t port, unsigned count, const char *path,
		      const char *answer_path)
{
	char greeting[GREETING_SIZE], answer[GREETING_SIZE];
	size_t greeting_size = read_greeting(path, greeting);
	size_t answer_size = read_greeting(answer_path, answer);
	struct client *clients = calloc(count, sizeof(*clients));
	uint8_t *scratch = malloc(SCRATCH_SIZE);
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	unsigned open = count;
	double cpu;

	if (!clients || !scratch || epoll < 0)
		die("memory");
	for (unsigned i = 0; i < count; i++) {
		struct epoll_event event = {.events = EPOLLIN,
					    .data.ptr = &clients[i]};

		clients[i].fd = connect_one(i, port);
		(void)!write(clients[i].fd, greeting, greeting_size);
		epoll_ctl(epoll, EPOLL_CTL_ADD, clients[i].fd, &event);
	}
	printf("connected\n");
	fflush(stdout);
	cpu = cpu_seconds();
	while (open > 0) {
		struct epoll_event events[EVENTS];
		int n = epoll_wait(epoll, events, EVENTS, -1);

		for (int i = 0; i < n; i++) {
			struct client *client = events[i].data.ptr;

			if (drain(client, scratch))
				continue;
			if (answer_size > 0)
				epoll_ctl(epoll, EPOLL_CTL_DEL, client->fd,
					  NULL);
			else
				close(client->fd);
			open--;
		}
	}
	if (answer_size > 0)
		answer_all(clients, count, answer, answer_size);
	report(clients, count, cpu_seconds() - cpu);
	free(clients);
	free(scratch);
}

/* --- minimal servers --- */

static int *accept_all(uint16_t port, unsigned count)
{
	struct sockaddr_in address = loopback(1, port);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
	int *fds = calloc(count, sizeof(*fds));

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (!fds || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		die("bind");
	listen(fd, 4096);
	printf("listening\n");
	fflush(stdout);
	for (unsigned i = 0; i < count; i++) {
		fds[i] = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fds[i] < 0)
			die("accept");
		setsockopt(fds[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	}
	close(fd);
	return fds;
}

static void report_cpu(double cpu, double seconds)
{
	printf("cpu %.6f\nseconds %.6f\n", cpu, seconds);
}

static void close_all(const int *fds, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		close(fds[i]);
}

/* Sends SIZE bytes to each client every 20 ms, in time if it can. */
static void run_send_loop(uint16_t port, unsigned count, size_t size,
			  double seconds)
{
	int *fds = accept_all(port, count);
	int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	const struct itimerspec tick = {
	    .it_interval.tv_nsec = TICK_MS * 1000000,
	    .it_value.tv_nsec = TICK_MS * 1000000,
	};
	uint8_t *chunk = calloc(1, size);
	unsigned long wanted = (unsigned long)(seconds * 1000 / TICK_MS);
	uint64_t begin, ticks, failed = 0;
	double cpu;

	if (!chunk || timer < 0)
		die("memory");
	timerfd_settime(timer, 0, &tick, NULL);
	begin = now_ns();
	cpu = cpu_seconds();
	for (unsigned long t = 0; t < wanted; t++) {
		if (read(timer, &ticks, sizeof(ticks)) != sizeof(ticks))
			die("timer");
		for (unsigned i = 0; i < count; i++)
			failed +=
			    send(fds[i], chunk, size,
				 MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)size;
	}
	report_cpu(cpu_seconds() - cpu, (double)(now_ns() - begin) / 1e9);
	printf("sends %ju\nfailed %ju\n", (uintmax_t)wanted * count,
	       (uintmax_t)failed);
	close_all(fds, count);
}

/* Sends one file to each client, as fast as they take it. */
static void run_sendfile(uint16_t port, unsigned count, size_t size)
{
	int *fds = accept_all(port, count),
	    epoll = epoll_create1(EPOLL_CLOEXEC);
	int file = memfd_create("page", MFD_CLOEXEC);
	off_t *offsets = calloc(count, sizeof(*offsets));
	unsigned open = count;
	uint64_t begin;
	double cpu;

	if (!offsets || epoll < 0 || file < 0 ||
	    posix_fallocate(file, 0, (off_t)size) != 0)
		die("memory");
	begin = now_ns();
	cpu = cpu_seconds();
	for (unsigned i = 0; i < count; i++) {
		struct epoll_event event = {.events = EPOLLOUT, .data.u32 = i};

		epoll_ctl(epoll, EPOLL_CTL_ADD, fds[i], &event);
	}
	while (open > 0) {
		struct epoll_event events[EVENTS];
		int n = epoll_wait(epoll, events, EVENTS, -1);

		for (int i = 0; i < n; i++) {
			unsigned c = events[i].data.u32;

			(void)!sendfile(fds[c], file, &offsets[c],
					size - (size_t)offsets[c]);
			if (offsets[c] < (off_t)size)
				continue;
			close(fds[c]);
			open--;
		}
	}
	report_cpu(cpu_seconds() - cpu, (double)(now_ns() - begin) / 1e9);
	free(offsets);
}

int main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	raise_limit();
	if (argc >= 4 && strcmp(argv[1], "clients") == 0) {
		run_crowd((uint16_t)atoi(argv[2]), (unsigned)atoi(argv[3]),
			  argc > 4 ? argv[4] : NULL, NULL);
	} else if (argc == 5 && strcmp(argv[1], "answering") == 0) {
		run_crowd((uint16_t)atoi(argv[2]), (unsigned)atoi(argv[3]),
			  NULL, argv[4]);
	} else if (argc == 6 && strcmp(argv[1], "send-loop") == 0) {
		run_send_loop((uint16_t)atoi(argv[2]), (unsigned)atoi(argv[3]),
			      (size_t)atol(argv[4]), atof(argv[5]));
	} else if (argc == 5 && strcmp(argv[1], "sendfile") == 0) {
		run_sendfile((uint16_t)atoi(argv[2]), (unsigned)atoi(argv[3]),
			     (size_t)atol(argv[4]));
	} else {
		fprintf(stderr,
			"usage: crowd clients PORT COUNT [GREETING_FILE]\n"
			"       crowd answering PORT COUNT ANSWER_FILE\n"
			"       crowd send-loop PORT COUNT SIZE SECONDS\n"
			"       crowd sendfile PORT COUNT SIZE\n");
		return 2;
	}
	return 0;
}
