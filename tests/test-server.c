/* SPDX-License-Identifier: MIT
 * Which page gets which zone, and what its clients receive. The virtual card's
 * microphone, files, and real sockets on loopback. */
#include "server/server.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include "card.h"
#include "folder.h"
#include "test.h"
#include "wire/net.h"

enum {
	ZONES = 3,
	LOBBY = 1 << 0,
	YARD = 1 << 1,
	GYM = 1 << 2,
	CHUNK = 256,
	RATE = 48000,
	FRAMES = 1 << 20, /* length of the microphone's file */
	PAGES_MAX = 2 * BUS_PAGES_MAX,
	PATIENCE_USEC = 60 * 1000000,
	HEADER_SIZE = 44,
};

static const char *const names[ZONES] = {"lobby", "yard", "gym"};
static const struct page_request whole = {
    .chime_fd = -1,
    .priority = BUS_PRIORITY_DEFAULT,
    .file_fd = -1,
};
static struct server_config config;
static sd_event *event;
static struct server *server;
static in_port_t ports[ZONES];
/* The last information on each page, by its id. */
static struct page_info seen[PAGES_MAX];
static unsigned states_seen[PAGES_MAX]; /* a bit for each state */

static void on_page(void *userdata, const struct page_info *info)
{
	ck_assert_uint_lt(info->id, PAGES_MAX);
	/* A page goes back only to wait for a busy microphone. */
	ck_assert(info->state >= seen[info->id].state ||
		  (info->state == PAGE_QUEUED &&
		   seen[info->id].state == PAGE_OPENING));
	seen[info->id] = *info;
	states_seen[info->id] |= 1u << info->state;
}

static void on_clients(void *userdata)
{
}

static const struct server_observer observer = {
    .on_page = on_page,
    .on_clients = on_clients,
};

static void listen_for(const char *zone, in_port_t *port)
{
	const struct net_endpoint endpoint = {"127.0.0.1", "0"};
	struct sockaddr_in address;
	socklen_t size = sizeof(address);
	int fds[NET_LISTENERS_MAX];

	ck_assert_int_eq(net_listen(&endpoint, fds), 1);
	ck_assert_int_eq(
	    getsockname(fds[0], (struct sockaddr *)&address, &size), 0);
	*port = address.sin_port;
	ck_assert_int_eq(server_add_listener(server, fds[0], zone), 0);
}

static void setup(void)
{
	signal(SIGPIPE, SIG_IGN);
	card_setup(FRAMES);
	config = (struct server_config){
	    .page = {.microphone = {.device = "patient",
				    .format = {WAV_PCM, 16, 2, RATE},
				    .period_frames = CHUNK},
		     .max_lag_seconds = 2},
	    .seconds = 5,
	    .chime_fd = -1,
	    .max_clients = 100,
	    .max_per_address = 100,
	};
	memset(seen, 0, sizeof(seen));
	memset(states_seen, 0, sizeof(states_seen));
	ck_assert_int_ge(sd_event_new(&event), 0);
	ck_assert_int_eq(server_new(&server, event, &config), 0);
	ck_assert_int_eq(server_observe(server, &observer, NULL), 0);
	for (int i = 0; i < ZONES; i++)
		listen_for(names[i], &ports[i]);
}

static void teardown(void)
{
	server = server_free(server);
	event = sd_event_unref(event);
	card_teardown();
}

FIXTURE(setup, teardown);
TIME_LIMIT(180);

/* --- helpers --- */

static void turn(uint64_t begin)
{
	ck_assert_int_ge(sd_event_run(event, PATIENCE_USEC / 10), 0);
	ck_assert_uint_lt(now_usec(), begin + PATIENCE_USEC);
}

static void run_until(uint32_t id, enum page_state state)
{
	uint64_t begin = now_usec();

	while (seen[id].state < state)
		turn(begin);
}

/* Runs until the pages are not only done but freed. */
static void run_until_quiet(void)
{
	uint64_t begin = now_usec();

	while (server_page_count(server) > 0)
		turn(begin);
}

static int come(unsigned zone)
{
	unsigned before = server_zone_clients(server, zone);
	struct sockaddr_in address = {
	    .sin_family = AF_INET,
	    .sin_port = ports[zone],
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	uint64_t begin = now_usec();

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(
	    connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	while (server_zone_clients(server, zone) == before)
		turn(begin);
	return fd;
}

static uint32_t ask(const struct page_request *request)
{
	uint32_t id = 0;

	ck_assert_int_eq(server_page(server, request, &id), 0);
	ck_assert_uint_gt(id, 0);
	return id;
}

static uint32_t page(uint64_t zones, int priority, double seconds)
{
	struct page_request request = whole;

	request.zones = zones;
	request.priority = priority;
	request.seconds = seconds;
	return ask(&request);
}

/* The same, but the page waits for its turn. */
static uint32_t queue(uint64_t zones, int priority, double seconds)
{
	struct page_request request = whole;

	request.zones = zones;
	request.priority = priority;
	request.seconds = seconds;
	request.when_busy = PAGE_QUEUE;
	return ask(&request);
}

/* A WAV file of this many frames, all of them VALUE. */
static int make_file(uint32_t frames, uint8_t value)
{
	const struct wav_format format = {WAV_PCM, 16, 2, RATE};
	static uint8_t samples[4 * RATE];

	ck_assert_uint_le(frames, RATE);
	memset(samples, value, 4 * frames);
	return memory_wav(&format, 4 * frames, samples, 4 * frames);
}

static uint32_t play(uint64_t zones, int priority, int fd)
{
	struct page_request request = whole;

	request.zones = zones;
	request.priority = priority;
	request.file_fd = fd;
	return ask(&request);
}

static int try_page(uint64_t zones, int priority)
{
	struct page_request request = whole;
	uint32_t id;

	request.zones = zones;
	request.priority = priority;
	return server_page(server, &request, &id);
}

/* Reads to the end and closes; the size. */
static size_t hear_all(int fd, uint8_t *heard, size_t room)
{
	size_t size = 0;
	ssize_t n;

	while ((n = recv(fd, heard + size, room - size, 0)) > 0)
		size += (size_t)n;
	ck_assert_int_eq(n, 0);
	close(fd);
	return size;
}

static enum page_end end_of(uint32_t id)
{
	ck_assert_int_eq(seen[id].state, PAGE_DONE);
	return seen[id].end;
}

static bool was(uint32_t id, enum page_state state)
{
	return states_seen[id] & 1u << state;
}

/* --- tests --- */

TEST(a_page_reaches_its_zone_and_no_other)
{
	static uint8_t heard[RATE];
	int lobby = come(0), yard = come(1);
	uint32_t id = page(LOBBY, 5, 0.1);
	size_t size;
	uint32_t frame;

	run_until(id, PAGE_SENDING);
	size = hear_all(lobby, heard, sizeof(heard));
	/* floor(48000 / 256 * 0.1) chunks */
	ck_assert_uint_eq(size, HEADER_SIZE + 18 * CHUNK * 4);
	for (uint32_t i = 0; i < 18 * CHUNK; i++) {
		memcpy(&frame, heard + HEADER_SIZE + i * 4, 4);
		if (frame != i)
			ck_abort_msg("frame %u is %u", i, frame);
	}
	run_until_quiet();
	ck_assert_int_eq(end_of(id), PAGE_COMPLETE);
	ck_assert_uint_eq(seen[id].reached, 1);
	ck_assert_uint_eq(seen[id].lost, 0);
	ck_assert_int_eq(recv(yard, heard, 1, MSG_DONTWAIT), -1);
	ck_assert_int_eq(errno, EAGAIN);
	close(yard);
	ck_assert_uint_eq(server_stats(server)->pages, 1);
	ck_assert_ptr_nonnull(server_last_tape(server));
}

TEST(two_zones_page_at_the_same_time)
{
	uint32_t talk = page(LOBBY, 5, 0);
	uint32_t bell = play(YARD, 5, make_file(4800, 7));

	run_until(bell, PAGE_DONE);
	run_until(talk, PAGE_SPEECH);
	ck_assert_int_eq(end_of(bell), PAGE_COMPLETE);
	ck_assert_uint_eq(seen[bell].frames, 4800);
	ck_assert_uint_lt(seen[talk].state, PAGE_SENDING);
	ck_assert_int_eq(server_stop(server, talk), 1);
	run_until_quiet();
	ck_assert_int_eq(end_of(talk), PAGE_STOPPED);
}

TEST(an_equal_page_is_refused_and_a_higher_one_wins)
{
	uint32_t routine = page(LOBBY | YARD, 5, 0), alarm;

	run_until(routine, PAGE_SPEECH);
	ck_assert_int_eq(try_page(LOBBY, 5), -EBUSY);
	ck_assert_int_eq(try_page(YARD | GYM, 0), -EBUSY);
	ck_assert_int_eq(try_page(0, 5), -EBUSY);
	alarm = play(YARD, 9, make_file(4800, 1));
	run_until(alarm, PAGE_DONE);
	ck_assert_int_eq(end_of(alarm), PAGE_COMPLETE);
	/* The other zone goes on. */
	ck_assert_uint_eq(seen[routine].state, PAGE_SPEECH);
	alarm = play(0, 6, make_file(4800, 1));
	run_until(alarm, PAGE_DONE);
	run_until_quiet();
	ck_assert_int_eq(end_of(routine), PAGE_PREEMPTED);
	ck_assert_int_eq(end_of(alarm), PAGE_COMPLETE);
}

TEST(a_microphone_goes_to_the_higher_page_like_a_zone)
{
	uint32_t routine = page(LOBBY, 5, 0), equal, alarm;

	run_until(routine, PAGE_SPEECH);
	equal = page(YARD, 5, 0.1);
	run_until(equal, PAGE_DONE);
	ck_assert_int_eq(end_of(equal), PAGE_NO_DEVICE);
	ck_assert_uint_eq(seen[routine].state, PAGE_SPEECH);
	alarm = page(GYM, 9, 0.1);
	run_until(alarm, PAGE_DONE);
	run_until_quiet();
	ck_assert_int_eq(end_of(alarm), PAGE_COMPLETE);
	ck_assert_int_eq(end_of(routine), PAGE_PREEMPTED);
}

TEST(a_page_that_waits_for_the_microphone_can_be_stopped)
{
	uint32_t routine = page(LOBBY, 5, 0), alarm;

	run_until(routine, PAGE_SPEECH);
	alarm = page(GYM, 9, 0);
	run_until(routine, PAGE_SENDING);
	ck_assert_int_eq(server_stop(server, alarm), 1);
	run_until_quiet();
	ck_assert_int_eq(end_of(alarm), PAGE_STOPPED);
	ck_assert(!was(alarm, PAGE_SPEECH));
	ck_assert_int_eq(end_of(routine), PAGE_PREEMPTED);
}

/* Runs until the busy card has refused COUNT pages, and half a second longer
 * (by the chunks of another page), so that the server knows. */
static void run_until_refused(unsigned count)
{
	uint64_t begin = now_usec();

	while (card_count("refused") < count)
		turn(begin);
	for (int i = 0; i < 100; i++)
		turn(now_usec());
}

/* The pages have different zones but share an exclusive microphone. */
TEST(a_queue_waits_for_the_microphone_too)
{
	uint32_t first = page(LOBBY, 5, 0), low, high;

	run_until(first, PAGE_SPEECH);
	low = queue(YARD, 2, 0.05);
	high = queue(GYM, 4, 0.05);
	run_until_refused(2);
	/* Files need no microphone. */
	run_until(play(LOBBY, 6, make_file(100, 1)), PAGE_DONE);
	run_until(high, PAGE_SPEECH);
	ck_assert_uint_eq(seen[low].state, PAGE_QUEUED);
	run_until(low, PAGE_DONE);
	run_until_quiet();
	ck_assert_int_eq(end_of(first), PAGE_PREEMPTED);
	ck_assert_int_eq(end_of(high), PAGE_COMPLETE);
	ck_assert_int_eq(end_of(low), PAGE_COMPLETE);
}

TEST(closing_gives_up_what_waits_for_the_microphone)
{
	uint32_t first = page(LOBBY, 5, 0), waiting;

	run_until(first, PAGE_SPEECH);
	waiting = queue(YARD, 5, 0);
	run_until_refused(1);
	ck_assert_uint_eq(seen[waiting].state, PAGE_QUEUED);
	server_close(server);
	ck_assert_int_eq(server_stop(server, first), 1);
	run_until_quiet();
	ck_assert_int_eq(end_of(waiting), PAGE_STOPPED);
	ck_assert_int_eq(end_of(first), PAGE_STOPPED);
}

TEST(the_queue_goes_by_priority)
{
	uint32_t first = page(LOBBY, 5, 0), low, high;

	run_until(first, PAGE_SPEECH);
	low = queue(LOBBY, 2, 0.05);
	high = queue(LOBBY, 5, 0.05);
	ck_assert_uint_eq(server_page_count(server), 3);
	run_until(low, PAGE_QUEUED);
	run_until(high, PAGE_QUEUED);
	ck_assert_int_eq(server_stop(server, first), 1);
	run_until(high, PAGE_OPENING);
	ck_assert_uint_eq(seen[low].state, PAGE_QUEUED);
	run_until(low, PAGE_DONE);
	ck_assert_int_eq(end_of(high), PAGE_COMPLETE);
	ck_assert_int_eq(end_of(low), PAGE_COMPLETE);
}

TEST(what_waits_can_be_stopped_too)
{
	uint32_t first = page(0, 5, 0), waiting = queue(0, 5, 0);

	ck_assert_int_eq(server_stop(server, waiting), 1);
	ck_assert_int_eq(server_stop(server, waiting), -ENOENT);
	ck_assert_int_eq(server_stop(server, 12345), -ENOENT);
	run_until(waiting, PAGE_DONE);
	ck_assert(!was(waiting, PAGE_OPENING));
	run_until(first, PAGE_SPEECH);
	ck_assert_int_eq(server_stop(server, 0), 1);
	run_until_quiet();
	ck_assert_int_eq(end_of(waiting), PAGE_STOPPED);
}

TEST(after_closing_no_page_begins)
{
	uint32_t first = page(0, 5, 0), waiting = queue(0, 5, 0);

	server_close(server);
	ck_assert_int_eq(try_page(LOBBY, 9), -ESHUTDOWN);
	run_until(waiting, PAGE_DONE);
	ck_assert_int_eq(server_stop(server, first), 1);
	run_until_quiet();
}

TEST(a_zone_has_to_exist)
{
	struct page_request request = whole;
	uint32_t id;

	ck_assert_int_eq(server_find_zone(server, "yard"), 1);
	ck_assert_int_eq(server_find_zone(server, "roof"), -ENOENT);
	request.zones = UINT64_C(1) << ZONES;
	/* The server closes the descriptor then, too. */
	request.file_fd = make_file(10, 0);
	ck_assert_int_eq(server_page(server, &request, &id), -ENOENT);
	ck_assert_int_eq(fcntl(request.file_fd, F_GETFD), -1);
	ck_assert_uint_eq(server_page_count(server), 0);
}

TEST(a_file_that_is_no_audio_reaches_nobody)
{
	int fd = memory_file("GIF89a, and so on: no sound at all", 34);
	int lobby = come(0);
	uint32_t id = play(0, 5, fd);
	uint8_t byte;

	run_until(id, PAGE_DONE);
	ck_assert_int_eq(end_of(id), PAGE_NOT_AUDIO);
	ck_assert(!was(id, PAGE_SPEECH));
	/* The client still waits for the next page. */
	ck_assert_int_eq(recv(lobby, &byte, 1, MSG_DONTWAIT), -1);
	ck_assert_uint_eq(server_zone_clients(server, 0), 1);
	close(lobby);
}

TEST(without_a_card_clients_wait_for_the_next_attempt)
{
	int lobby = come(0);
	static uint8_t heard[RATE];
	uint32_t id;

	card_command("unplugged");
	id = page(0, 5, 0.1);
	run_until(id, PAGE_DONE);
	ck_assert_int_eq(end_of(id), PAGE_NO_DEVICE);
	ck_assert_uint_eq(server_zone_clients(server, 0), 1);
	card_revoke("unplugged");
	run_until_quiet();
	id = page(0, 5, 0.1);
	run_until(id, PAGE_SENDING);
	ck_assert_uint_eq(hear_all(lobby, heard, sizeof(heard)),
			  HEADER_SIZE + 18 * CHUNK * 4);
}

TEST(there_are_only_so_many_pages)
{
	struct page_request request = whole;
	uint32_t id;

	page(0, 5, 0);
	request.when_busy = PAGE_QUEUE;
	for (int i = 1; i < BUS_PAGES_MAX; i++)
		ck_assert_int_eq(server_page(server, &request, &id), 0);
	ck_assert_int_eq(server_page(server, &request, &id), -E2BIG);
	ck_assert_uint_eq(server_page_count(server), BUS_PAGES_MAX);
	ck_assert_int_eq(server_stop(server, 0), BUS_PAGES_MAX);
	run_until_quiet();
	ck_assert_int_eq(end_of(id), PAGE_STOPPED);
}

/* Whatever its priority: without a header it may turn out to be no page. */
TEST(a_page_that_is_not_prepared_ends_no_other)
{
	uint32_t routine = page(LOBBY, 0, 0), silent;
	int fds[2], none = memory_file("", 0);

	run_until(routine, PAGE_SPEECH);
	run_until(play(LOBBY, 9, none), PAGE_DONE);
	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	silent = play(LOBBY, 9, fds[0]);
	for (int i = 0; i < 20; i++)
		turn(now_usec());
	ck_assert_uint_eq(seen[silent].state, PAGE_PREPARING);
	ck_assert_uint_eq(seen[routine].state, PAGE_SPEECH);
	close(fds[1]);
	run_until(silent, PAGE_DONE);
	ck_assert_int_eq(end_of(silent), PAGE_NOT_AUDIO);
	ck_assert_uint_eq(seen[routine].state, PAGE_SPEECH);
}

TEST(a_page_is_refused_when_it_is_prepared_too_late)
{
	const struct wav_format format = {WAV_PCM, 16, 2, RATE};
	uint8_t header[WAV_HEADER_SIZE_MAX + 4] = {0}; /* and a frame */
	size_t size = wav_encode(header, &format, 4, NULL) + 4;
	uint32_t slow, quick;
	int fds[2];

	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	slow = play(LOBBY, 5, fds[0]);
	quick = page(LOBBY, 5, 0);
	/* Now the server knows that this page would be too late, too. */
	ck_assert_int_eq(try_page(LOBBY, 5), -EBUSY);
	run_until(quick, PAGE_SPEECH);
	ck_assert_int_eq(write(fds[1], header, size), (ssize_t)size);
	close(fds[1]); /* before its end it is not prepared */
	run_until(slow, PAGE_DONE);
	ck_assert_int_eq(end_of(slow), PAGE_BUSY);
	ck_assert(!was(slow, PAGE_OPENING));
	ck_assert_uint_eq(seen[quick].state, PAGE_SPEECH);
}
