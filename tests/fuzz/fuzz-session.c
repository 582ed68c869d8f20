/* SPDX-License-Identifier: MIT
 * The whole client against servers that send the input. It plays on ALSA's
 * "null", its connections are socket pairs, and the target owns its clock and
 * puts it forward instead of waiting: a page of an hour takes a millisecond. */
#include "client/client.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/socket.h>

#include "base/log.h"
#include "base/util.h"
#include "fuzz-keys.h"
#include "fuzz.h"
#include "wire/resolver.h"
#include "wire/tls.h"

enum {
	PEERS_MAX = 2,
	PORT = 2348,
	MARK_SIZE = 4,	   /* within the bytes to send, begins an order */
	SMALL_PIECES = 64, /* after so many the pieces are larger, for speed */
	LARGE_PIECE_SIZE = 512,
	REST_POLLS = 60, /* after the input's end */
	SLEEP_MIN_USEC = 100,
	BUSY_POLLS_MAX = 5000, /* without such a sleep */
	NAPS_MAX_MS = 80000,   /* in all */
};

/* The bits of the first two bytes. */
enum {
	FLAG_TWO_SERVERS = 1 << 0,
	FLAG_ONCE = 1 << 1,
	FLAG_HOLD = 1 << 2,
	FLAG_LIMIT = 1 << 3,
	FLAG_LEAD_IN = 1 << 4,
	FLAG_DELAY = 1 << 5,
	FLAG_KEYS = 1 << 6,
	FLAG_LOW_LATENCY = 1 << 7,
};

static const size_t piece_sizes[] = {65536, 1, 7, 44, 100, 512, 1000, 4096};
static const uint64_t piece_usec[] = {0, 1000, 20000, 250000};

static struct {
	struct fuzz_input input;
	size_t piece_size;
	uint64_t piece_usec;
	uint64_t now_usec, slept_usec, nap_until_usec, naps_ms;
	int fds[PEERS_MAX]; /* the servers' ends */
	unsigned target;    /* the server that speaks */
	bool refusing;
	int signal_fd; /* the other end of the client's */
	unsigned pieces, rest_polls, busy_polls;
} world;
static struct tls_keys *keys;

/* --- put in place of the real ones by the linker --- */

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret);
int __wrap_net_connect(const struct addrinfo *address, int rcvbuf_size);
int __wrap_ppoll(struct pollfd *fds, nfds_t count,
		 const struct timespec *timeout, const sigset_t *mask);
int __wrap___ppoll_chk(struct pollfd *fds, nfds_t count,
		       const struct timespec *timeout, const sigset_t *mask,
		       size_t size);
int __wrap_resolver_literal(const struct net_endpoint *endpoint,
			    struct resolver_result *ret);

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret)
{
	ret->tv_sec = (time_t)(world.now_usec / USEC_PER_SEC);
	ret->tv_nsec = (long)(world.now_usec % USEC_PER_SEC * 1000);
	return 0;
}

int __wrap_net_connect(const struct addrinfo *address, int rcvbuf_size)
{
	const struct sockaddr_in *to = (const void *)address->ai_addr;
	const unsigned n = ntohs(to->sin_port) - PORT;
	int fds[2];

	assert(n < PEERS_MAX);
	if (world.refusing)
		return -ECONNREFUSED;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
		       fds) < 0)
		return -errno;
	fd_close(world.fds[n]);
	world.fds[n] = fds[1];
	return fds[0];
}

/* Replaced for speed: the real one asks the kernel for its interfaces. */
int __wrap_resolver_literal(const struct net_endpoint *endpoint,
			    struct resolver_result *ret)
{
	const struct sockaddr_in address = {
	    .sin_family = AF_INET,
	    .sin_port = htons((uint16_t)atoi(endpoint->port)),
	};

	*ret = (struct resolver_result){.count = 1};
	ret->addresses[0].size = sizeof(address);
	memcpy(&ret->addresses[0].address, &address, sizeof(address));
	return 0;
}

static void raise_signal(uint32_t number)
{
	const struct signalfd_siginfo info = {.ssi_signo = number};

	(void)send(world.signal_fd, &info, sizeof(info), MSG_NOSIGNAL);
}

static void obey(uint8_t order)
{
	int *fd = &world.fds[world.target];
	uint64_t nap_ms;

	switch (order) {
	case 'c':
		*fd = fd_close(*fd);
		break;
	case 'h':
		if (*fd >= 0)
			(void)shutdown(*fd, SHUT_WR);
		break;
	case 'n': /* up to 65 s */
		nap_ms = fuzz_byte(&world.input);
		nap_ms *= nap_ms;
		if (world.naps_ms + nap_ms > NAPS_MAX_MS)
			break;
		world.naps_ms += nap_ms;
		world.nap_until_usec = world.now_usec + nap_ms * 1000;
		break;
	case 't':
		world.target = (world.target + 1) % PEERS_MAX;
		break;
	case 'r':
		world.refusing = !world.refusing;
		break;
	case 'u':
		raise_signal(SIGUSR1);
		break;
	default:
		break;
	}
}

/* How many bytes of the input to send before the next order. */
static size_t next_piece(void)
{
	const uint8_t *mark;
	size_t size = world.piece_size;

	if (++world.pieces > SMALL_PIECES && size < LARGE_PIECE_SIZE)
		size = LARGE_PIECE_SIZE;
	if (size > world.input.size)
		size = world.input.size;
	mark = memmem(world.input.data, world.input.size, "\xff\xfe\xff",
		      MARK_SIZE - 1);
	if (mark && (size_t)(mark - world.input.data) < size)
		size = (size_t)(mark - world.input.data);
	return size;
}

/* Makes the servers do the next thing. */
static void act(void)
{
	size_t size = next_piece();
	const uint8_t *data;
	int fd = world.fds[world.target];

	if (size == 0) {
		(void)fuzz_bytes(&world.input, MARK_SIZE - 1, &size);
		obey(fuzz_byte(&world.input));
		return;
	}
	data = fuzz_bytes(&world.input, size, &size);
	/* Bytes that do not fit are lost, as with a bad server. */
	if (fd >= 0)
		(void)send(fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
	world.now_usec += world.piece_usec;
}

static void end_servers(void)
{
	for (unsigned i = 0; i < PEERS_MAX; i++)
		world.fds[i] = fd_close(world.fds[i]);
	world.refusing = true;
	if (++world.rest_polls == REST_POLLS)
		raise_signal(SIGTERM);
}

/* When nothing is ready, puts the clock forward or lets a server act. */
static void go_on(const struct timespec *timeout)
{
	const uint64_t usec = timeout
				  ? (uint64_t)timeout->tv_sec * USEC_PER_SEC +
					(uint64_t)timeout->tv_nsec / 1000
				  : 3600 * USEC_PER_SEC;

	if (world.now_usec >= world.nap_until_usec && world.input.size > 0) {
		act();
		return;
	}
	if (world.input.size > 0 &&
	    world.now_usec + usec > world.nap_until_usec) {
		world.now_usec = world.nap_until_usec;
		return;
	}
	world.now_usec += usec * (world.input.size == 0 ? 4 : 1) + 1;
	if (world.input.size == 0)
		end_servers();
}

/* Asserts that the client sleeps, if only for short times: the ring of ALSA's
 * "null" never holds anything. */
static void check_busy(void)
{
	if (world.now_usec - world.slept_usec >= SLEEP_MIN_USEC) {
		world.slept_usec = world.now_usec;
		world.busy_polls = 0;
	}
	assert(++world.busy_polls < BUSY_POLLS_MAX);
}

int __wrap_ppoll(struct pollfd *fds, nfds_t count,
		 const struct timespec *timeout, const sigset_t *mask)
{
	int r = poll(fds, count, 0);

	check_busy();
	if (r == 0)
		go_on(timeout);
	else
		world.now_usec++;
	return r;
}

/* What ppoll() becomes with _FORTIFY_SOURCE. */
int __wrap___ppoll_chk(struct pollfd *fds, nfds_t count,
		       const struct timespec *timeout, const sigset_t *mask,
		       size_t size)
{
	assert(count <= size / sizeof(*fds));
	return __wrap_ppoll(fds, count, timeout, mask);
}

/* --- the target --- */

static void configure(struct client_config *config, unsigned flags)
{
	static const char *const names[PEERS_MAX] = {"127.0.0.1:2348",
						     "127.0.0.1:2349"};
	const char *problem;

	*config = (struct client_config){
	    .server_count = flags & FLAG_TWO_SERVERS ? 2 : 1,
	    .speaker = {.device = "null",
			.latency_ms = flags & FLAG_LOW_LATENCY ? 40 : 100,
			.delay_ms = flags & FLAG_DELAY ? 200 : 0,
			.lead_in_ms = flags & FLAG_LEAD_IN ? 150 : 0,
			.hold = flags & FLAG_HOLD},
	    .volume = -1,
	    .max_seconds = flags & FLAG_LIMIT ? 0.5 : 0,
	    .keys = flags & FLAG_KEYS ? keys : NULL,
	    .once = flags & FLAG_ONCE,
	};
	for (unsigned i = 0; i < config->server_count; i++) {
		config->servers[i].name = names[i];
		assert(net_parse_endpoint(&config->servers[i].endpoint,
					  names[i], &problem) == 0);
	}
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	keys = fuzz_keys("client", KEYFILE_CLIENT);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct client_config config;
	struct client *client;
	unsigned flags, pieces;
	int signals[2];

	world = (__typeof__(world)){
	    .input = {data, size},
	    .now_usec = 1000 * USEC_PER_SEC,
	    .fds = {-1, -1},
	};
	flags = fuzz_byte(&world.input);
	pieces = fuzz_byte(&world.input);
	world.piece_size = piece_sizes[pieces % ARRAY_SIZE(piece_sizes)];
	world.piece_usec = piece_usec[pieces / 8 % ARRAY_SIZE(piece_usec)];
	assert(socketpair(AF_UNIX,
			  SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
			  signals) == 0);
	world.signal_fd = signals[1];
	configure(&config, flags);
	assert(client_new(&client, &config, signals[0]) == 0);
	(void)client_run(client);
	client_free(client);
	for (unsigned i = 0; i < PEERS_MAX; i++)
		fd_close(world.fds[i]);
	fd_close(signals[0]);
	fd_close(signals[1]);
	return 0;
}
