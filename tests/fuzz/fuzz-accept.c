/* SPDX-License-Identifier: MIT
 * A whole server on a listening socket on loopback. The input says which peers
 * connect, what they send, how they close, and when pages begin and end. */
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "base/log.h"
#include "base/util.h"
#include "fuzz-clock.h"
#include "fuzz-keys.h"
#include "fuzz.h"
#include "server/server.h"
#include "wire/tls.h"

enum {
	PEERS_MAX = 24,
	ZONES_MAX = 2,
	LOOP_TURNS_MAX = 2000, /* a loop that never sleeps again */
};

/* The bits of the first byte. */
enum {
	FLAG_STORE = 1 << 0,
	FLAG_KEYS = 1 << 1,
	FLAG_TWO_ZONES = 1 << 2,
	FLAG_FEW_CLIENTS = 1 << 3,
	FLAG_LITTLE_LAG = 1 << 4,
	FLAG_FEW_PER_ADDRESS = 1 << 5,
};

static int listeners[ZONES_MAX];
static struct sockaddr_in addresses[ZONES_MAX];
static struct tls_keys *keys;

static sd_event *event;
static struct server *server;
static unsigned zone_count;
static int peers[PEERS_MAX];

/* --- the loop --- */

static void run_loop(void)
{
	int turns = 0;

	while (sd_event_run(event, 0) > 0)
		assert(++turns < LOOP_TURNS_MAX);
}

/* --- the peers --- */

/* Each input has addresses of its own, so that ports never run out. */
static struct sockaddr_in own_address(unsigned n)
{
	static uint32_t inputs;

	if (n == 0)
		inputs++;
	return (struct sockaddr_in){
	    .sin_family = AF_INET,
	    .sin_addr.s_addr = htonl(UINT32_C(0x7f000000) |
				     (inputs % 0x3fff) << 8 | (1 + n % 4)),
	};
}

static void connect_peer(unsigned choice)
{
	const struct linger reset = {.l_onoff = 1, .l_linger = 0};
	const struct sockaddr_in own = own_address(1 + choice % 4),
				 *to = &addresses[choice / 4 % zone_count];
	unsigned n = 0;
	int fd;

	while (n < PEERS_MAX && peers[n] >= 0)
		n++;
	if (n == PEERS_MAX)
		return;
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert(fd >= 0);
	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	(void)bind(fd, (const void *)&own, sizeof(own));
	if (connect(fd, (const void *)to, sizeof(*to)) < 0 &&
	    errno != EINPROGRESS) {
		close(fd);
		return;
	}
	peers[n] = fd;
}

static void send_garbage(int fd, struct fuzz_input *input)
{
	size_t size = fuzz_u16(input);
	const uint8_t *data = fuzz_bytes(input, size, &size);

	if (fd >= 0 && size > 0)
		(void)send(fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void receive(int fd)
{
	char buffer[4096];

	for (int i = 0; i < 16 && fd >= 0; i++)
		if (recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT) <= 0)
			break;
}

/* Closes without a reset. */
static void close_politely(unsigned n)
{
	const struct linger linger = {0};

	if (peers[n] < 0)
		return;
	(void)setsockopt(peers[n], SOL_SOCKET, SO_LINGER, &linger,
			 sizeof(linger));
	peers[n] = fd_close(peers[n]);
}

/* --- pages --- */

static int make_file(struct fuzz_input *input, unsigned choice)
{
	static const struct wav_format format = {WAV_PCM, 16, 2, 44100};
	const int fd = memfd_create("page", MFD_CLOEXEC);
	uint8_t header[WAV_HEADER_SIZE_MAX];
	size_t size = fuzz_u16(input) % 4096;
	const uint8_t *data;

	assert(fd >= 0);
	if (choice & 1) {
		size_t n = wav_encode(header, &format, WAV_ENDLESS, NULL);

		assert(write(fd, header, n) == (ssize_t)n);
		assert(ftruncate(fd, (off_t)(n + size)) == 0);
	} else {
		data = fuzz_bytes(input, size, &size);
		if (size > 0)
			assert(write(fd, data, size) == (ssize_t)size);
	}
	assert(lseek(fd, 0, SEEK_SET) == 0);
	return fd;
}

static void begin_page(struct fuzz_input *input)
{
	const unsigned choice = fuzz_byte(input);
	struct page_request request = {
	    .zones = choice >> 6,
	    .priority = (choice >> 1) % 8,
	    .when_busy = choice & 16 ? PAGE_QUEUE : PAGE_REFUSE,
	    .seconds = 1,
	    .chime_fd = -1,
	    .file_fd = choice & 32 ? -1 : make_file(input, choice),
	};
	uint32_t id = 0;
	int r;

	if (zone_count < ZONES_MAX)
		request.zones &= 1;
	r = server_page(server, &request, &id);
	assert(r < 0 || id > 0);
}

/* --- the target --- */

static void act(struct fuzz_input *input)
{
	const unsigned choice = fuzz_byte(input);
	const unsigned n = choice / 16 % PEERS_MAX;

	switch (choice % 16) {
	case 0:
	case 1:
	case 2:
		connect_peer(choice / 16);
		break;
	case 3:
	case 4:
		send_garbage(peers[n], input);
		break;
	case 5:
		if (peers[n] >= 0)
			(void)shutdown(peers[n], SHUT_WR);
		break;
	case 6:
		peers[n] = fd_close(peers[n]);
		break;
	case 7:
		close_politely(n);
		break;
	case 8:
	case 9:
		receive(peers[n]);
		break;
	case 10:
	case 11:
		begin_page(input);
		break;
	case 12:
		(void)server_stop(server, choice / 16);
		break;
	case 13:
		fuzz_clock_ahead_seconds += choice / 16;
		break;
	default:
		break; /* the loop does not run before the next action */
	}
	if (choice % 16 < 14)
		run_loop();
}

static void look(const struct server_config *config)
{
	struct page_info info;

	assert(server_client_count(server) <= config->max_clients);
	assert(server_page_count(server) <= BUS_PAGES_MAX);
	for (unsigned i = 0; server_page_at(server, i, &info); i++)
		assert(info.id > 0 && info.state <= PAGE_DONE);
}

static void set_up(const struct server_config *config, unsigned flags)
{
	static const char *const names[ZONES_MAX] = {"lobby", "yard"};

	zone_count = flags & FLAG_TWO_ZONES ? 2 : 1;
	for (unsigned i = 0; i < PEERS_MAX; i++)
		peers[i] = -1;
	assert(sd_event_new(&event) >= 0);
	assert(server_new(&server, event, config) == 0);
	for (unsigned i = 0; i < zone_count; i++) {
		const int fd = fcntl(listeners[i], F_DUPFD_CLOEXEC, 3);

		assert(fd >= 0);
		assert(server_add_listener(server, fd, names[i]) == 0);
	}
}

/* No connection may be left for the next input's server. */
static void empty_backlog(void)
{
	for (unsigned i = 0; i < ZONES_MAX; i++) {
		int fd;

		while ((fd = accept4(listeners[i], NULL, NULL, SOCK_CLOEXEC)) >=
		       0)
			close(fd);
	}
}

static void tear_down(void)
{
	server = server_free(server);
	for (unsigned i = 0; i < PEERS_MAX; i++)
		peers[i] = fd_close(peers[i]);
	event = sd_event_unref(event);
	empty_backlog();
}

static void open_listener(unsigned n)
{
	socklen_t size = sizeof(addresses[n]);

	addresses[n] = (struct sockaddr_in){
	    .sin_family = AF_INET,
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	listeners[n] =
	    socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert(listeners[n] >= 0);
	assert(bind(listeners[n], (void *)&addresses[n], size) == 0);
	assert(listen(listeners[n], SOMAXCONN) == 0);
	assert(getsockname(listeners[n], (void *)&addresses[n], &size) == 0);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	signal(SIGPIPE, SIG_IGN);
	keys = fuzz_keys("server", KEYFILE_SERVER);
	for (unsigned i = 0; i < ZONES_MAX; i++)
		open_listener(i);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input input = {data, size};
	const unsigned flags = fuzz_byte(&input);
	const int fd = free_fd();
	const struct server_config config = {
	    .page = {.microphone = {.device = "no-such-device",
				    .format = {WAV_PCM, 16, 2, 44100},
				    .period_frames = 1024},
		     .mode = flags & FLAG_STORE ? PAGE_STORE : PAGE_LIVE,
		     .max_lag_seconds = flags & FLAG_LITTLE_LAG ? 0.05 : 2},
	    .chime_fd = -1,
	    .seconds = 1,
	    .max_clients = flags & FLAG_FEW_CLIENTS ? 3 : 1000,
	    .max_per_address = flags & FLAG_FEW_PER_ADDRESS ? 2 : 64,
	    .keys = flags & FLAG_KEYS ? keys : NULL,
	};

	(void)own_address(0);
	set_up(&config, flags);
	while (input.size > 0) {
		act(&input);
		look(&config);
	}
	run_loop();
	tear_down();
	assert(free_fd() == fd);
	return 0;
}
