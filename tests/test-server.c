/* SPDX-License-Identifier: MIT
 * Which page gets which zone, and what its clients receive. The virtual card's
 * microphone, files, and real sockets on loopback. */
#include "server/server.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/util.h"
#include "card.h"
#include "wire/net.h"

enum {
	ZONES = 3,
	LOBBY = 1 << 0,
	YARD = 1 << 1,
	GYM = 1 << 2,
	CHUNK = 256,
	RATE = 48000,
	FRAMES = 1 << 20, /* what the microphone has */
	PAGES_MAX = 2 * BUS_PAGES_MAX,
	PATIENCE_USEC = 60 * 1000000,
	HEADER_SIZE = 44,
};

static const char *const names[ZONES] = {"lobby", "yard", "gym"};
static const struct server_request whole = {
    .priority = BUS_PRIORITY_DEFAULT,
    .file_fd = -1,
};
static struct server_config config;
static sd_event *event;
static struct server *server;
static in_port_t ports[ZONES];
/* What the observer has seen of each page, by its id. */
static struct server_page_info seen[PAGES_MAX];
static unsigned states_seen[PAGES_MAX]; /* a bit for each state */

static void on_page(void *userdata, const struct server_page_info *info)
{
	(void)userdata;
	ck_assert_uint_lt(info->id, PAGES_MAX);
	ck_assert_uint_ge(info->state, seen[info->id].state);
	seen[info->id] = *info;
	states_seen[info->id] |= 1u << info->state;
}

static void on_clients(void *userdata)
{
	(void)userdata;
}

static const struct server_observer observer = {on_page, on_clients};

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
	    .microphone = {.device = "patient",
			   .format = {WAV_PCM, 16, 2, RATE},
			   .period_frames = CHUNK},
	    .seconds = 5,
	    .max_clients = 100,
	    .max_per_address = 100,
	    .max_lag_seconds = 2,
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

/* --- helpers --- */

static void turn(uint64_t begin)
{
	ck_assert_int_ge(sd_event_run(event, PATIENCE_USEC / 10), 0);
	ck_assert_uint_lt(now_usec(), begin + PATIENCE_USEC);
}

static void run_until(uint32_t id, enum server_page_state state)
{
	uint64_t begin = now_usec();

	while (seen[id].state < state)
		turn(begin);
}

/* Until pages are not only done but gone. */
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

static uint32_t page(uint64_t zones, int priority, double seconds)
{
	struct server_request request = whole;
	uint32_t id = 0;

	request.zones = zones;
	request.priority = priority;
	request.seconds = seconds;
	ck_assert_int_eq(server_page(server, &request, &id), 0);
	ck_assert_uint_gt(id, 0);
	return id;
}

/* A WAV file of this many frames, all of them VALUE. */
static int make_file(uint32_t frames, uint8_t value)
{
	const struct wav_format format = {WAV_PCM, 16, 2, RATE};
	uint8_t header[WAV_HEADER_SIZE_MAX], samples[4096];
	size_t size = frames * 4, n;
	int fd = memfd_create("file", MFD_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	n = wav_encode(header, &format, size);
	ck_assert_int_eq(write(fd, header, n), (ssize_t)n);
	memset(samples, value, sizeof(samples));
	for (; size > 0; size -= n) {
		n = size < sizeof(samples) ? size : sizeof(samples);
		ck_assert_int_eq(write(fd, samples, n), (ssize_t)n);
	}
	ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

static uint32_t play(uint64_t zones, int priority, int fd)
{
	struct server_request request = whole;
	uint32_t id = 0;

	request.zones = zones;
	request.priority = priority;
	request.file_fd = fd;
	ck_assert_int_eq(server_page(server, &request, &id), 0);
	return id;
}

static int try_page(uint64_t zones, int priority)
{
	struct server_request request = whole;
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

static enum announcement_end end_of(uint32_t id)
{
	ck_assert_int_eq(seen[id].state, SERVER_PAGE_DONE);
	return seen[id].source.end;
}

static bool was(uint32_t id, enum server_page_state state)
{
	return states_seen[id] & 1u << state;
}

/* --- tests --- */

START_TEST(a_page_reaches_its_zone_and_no_other)
{
	static uint8_t heard[RATE];
	int lobby = come(0), yard = come(1);
	uint32_t id = page(LOBBY, 5, 0.1);
	size_t size;
	uint32_t frame;

	run_until(id, SERVER_PAGE_SENDING);
	size = hear_all(lobby, heard, sizeof(heard));
	/* floor(48000 / 256 * 0.1) chunks */
	ck_assert_uint_eq(size, HEADER_SIZE + 18 * CHUNK * 4);
	for (uint32_t i = 0; i < 18 * CHUNK; i++) {
		memcpy(&frame, heard + HEADER_SIZE + i * 4, 4);
		if (frame != i)
			ck_abort_msg("frame %u is %u", i, frame);
	}
	run_until_quiet();
	ck_assert_int_eq(end_of(id), ANNOUNCEMENT_COMPLETE);
	ck_assert_uint_eq(seen[id].reached, 1);
	ck_assert_uint_eq(seen[id].lost, 0);
	ck_assert_int_eq(recv(yard, heard, 1, MSG_DONTWAIT), -1);
	ck_assert_int_eq(errno, EAGAIN);
	close(yard);
	ck_assert_uint_eq(server_stats(server)->pages, 1);
	ck_assert_ptr_nonnull(server_last_tape(server));
}
END_TEST

START_TEST(two_zones_page_at_the_same_time)
{
	uint32_t talk = page(LOBBY, 5, 0);
	uint32_t bell = play(YARD, 5, make_file(4800, 7));

	run_until(bell, SERVER_PAGE_DONE);
	run_until(talk, SERVER_PAGE_SPEECH);
	ck_assert_int_eq(end_of(bell), ANNOUNCEMENT_COMPLETE);
	ck_assert_uint_eq(seen[bell].source.frames, 4800);
	ck_assert_uint_lt(seen[talk].state, SERVER_PAGE_SENDING);
	ck_assert_int_eq(server_stop(server, talk), 1);
	run_until_quiet();
	ck_assert_int_eq(end_of(talk), ANNOUNCEMENT_STOPPED);
}
END_TEST

START_TEST(an_equal_page_is_refused_and_a_higher_one_wins)
{
	uint32_t routine = page(LOBBY | YARD, 5, 0), alarm;

	run_until(routine, SERVER_PAGE_SPEECH);
	ck_assert_int_eq(try_page(LOBBY, 5), -EBUSY);
	ck_assert_int_eq(try_page(YARD | GYM, 0), -EBUSY);
	ck_assert_int_eq(try_page(0, 5), -EBUSY);
	alarm = play(YARD, 9, make_file(4800, 1));
	run_until(alarm, SERVER_PAGE_DONE);
	ck_assert_int_eq(end_of(alarm), ANNOUNCEMENT_COMPLETE);
	/* The other zone goes on. */
	ck_assert_uint_eq(seen[routine].state, SERVER_PAGE_SPEECH);
	alarm = play(0, 6, make_file(4800, 1));
	run_until(alarm, SERVER_PAGE_DONE);
	run_until_quiet();
	ck_assert_int_eq(end_of(routine), ANNOUNCEMENT_PREEMPTED);
	ck_assert_int_eq(end_of(alarm), ANNOUNCEMENT_COMPLETE);
}
END_TEST

START_TEST(a_microphone_goes_to_the_higher_page_like_a_zone)
{
	uint32_t routine = page(LOBBY, 5, 0), equal, alarm;

	run_until(routine, SERVER_PAGE_SPEECH);
	equal = page(YARD, 5, 0.1);
	run_until(equal, SERVER_PAGE_DONE);
	ck_assert_int_eq(end_of(equal), ANNOUNCEMENT_NO_DEVICE);
	ck_assert_uint_eq(seen[routine].state, SERVER_PAGE_SPEECH);
	alarm = page(GYM, 9, 0.1);
	run_until(alarm, SERVER_PAGE_DONE);
	run_until_quiet();
	ck_assert_int_eq(end_of(alarm), ANNOUNCEMENT_COMPLETE);
	ck_assert_int_eq(end_of(routine), ANNOUNCEMENT_PREEMPTED);
}
END_TEST

START_TEST(a_page_that_waits_for_the_microphone_can_be_stopped)
{
	uint32_t routine = page(LOBBY, 5, 0), alarm;

	run_until(routine, SERVER_PAGE_SPEECH);
	alarm = page(GYM, 9, 0);
	run_until(routine, SERVER_PAGE_SENDING);
	ck_assert_int_eq(server_stop(server, alarm), 1);
	run_until_quiet();
	ck_assert_int_eq(end_of(alarm), ANNOUNCEMENT_STOPPED);
	ck_assert(!was(alarm, SERVER_PAGE_SPEECH));
	ck_assert_int_eq(end_of(routine), ANNOUNCEMENT_PREEMPTED);
}
END_TEST

/* Until the busy card has refused so many pages, and the server has heard of
 * it: half a second later, as the chunks of another page go by. */
static void run_until_refused(unsigned count)
{
	uint64_t begin = now_usec();

	while (card_count("refused") < count)
		turn(begin);
	for (int i = 0; i < 100; i++)
		turn(now_usec());
}

/* In zones of their own, with a microphone that only one page can have. */
START_TEST(a_queue_waits_for_the_microphone_too)
{
	struct server_request request = whole;
	uint32_t first = page(LOBBY, 5, 0), low, high;

	run_until(first, SERVER_PAGE_SPEECH);
	request.when_busy = SERVER_QUEUE;
	request.seconds = 0.05;
	request.zones = YARD;
	request.priority = 2;
	ck_assert_int_eq(server_page(server, &request, &low), 0);
	request.zones = GYM;
	request.priority = 4;
	ck_assert_int_eq(server_page(server, &request, &high), 0);
	run_until_refused(2);
	/* Files need no microphone. */
	run_until(play(LOBBY, 6, make_file(100, 1)), SERVER_PAGE_DONE);
	run_until(high, SERVER_PAGE_SPEECH);
	ck_assert_uint_eq(seen[low].state, SERVER_PAGE_OPENING);
	run_until(low, SERVER_PAGE_DONE);
	run_until_quiet();
	ck_assert_int_eq(end_of(first), ANNOUNCEMENT_PREEMPTED);
	ck_assert_int_eq(end_of(high), ANNOUNCEMENT_COMPLETE);
	ck_assert_int_eq(end_of(low), ANNOUNCEMENT_COMPLETE);
}
END_TEST

START_TEST(closing_gives_up_what_waits_for_the_microphone)
{
	struct server_request request = whole;
	uint32_t first = page(LOBBY, 5, 0), waiting;

	run_until(first, SERVER_PAGE_SPEECH);
	request.when_busy = SERVER_QUEUE;
	request.zones = YARD;
	ck_assert_int_eq(server_page(server, &request, &waiting), 0);
	run_until_refused(1);
	ck_assert_uint_eq(seen[waiting].state, SERVER_PAGE_OPENING);
	server_close(server);
	ck_assert_int_eq(server_stop(server, first), 1);
	run_until_quiet();
	ck_assert_int_eq(end_of(waiting), ANNOUNCEMENT_STOPPED);
	ck_assert_int_eq(end_of(first), ANNOUNCEMENT_STOPPED);
}
END_TEST

START_TEST(the_queue_goes_by_priority)
{
	struct server_request request = whole;
	uint32_t first = page(LOBBY, 5, 0), low, high;

	run_until(first, SERVER_PAGE_SPEECH);
	request.zones = LOBBY;
	request.when_busy = SERVER_QUEUE;
	request.seconds = 0.05;
	request.priority = 2;
	ck_assert_int_eq(server_page(server, &request, &low), 0);
	request.priority = 5;
	ck_assert_int_eq(server_page(server, &request, &high), 0);
	ck_assert_uint_eq(server_page_count(server), 3);
	ck_assert(was(low, SERVER_PAGE_QUEUED));
	ck_assert_int_eq(server_stop(server, first), 1);
	run_until(high, SERVER_PAGE_OPENING);
	ck_assert_uint_eq(seen[low].state, SERVER_PAGE_QUEUED);
	run_until(low, SERVER_PAGE_DONE);
	ck_assert_int_eq(end_of(high), ANNOUNCEMENT_COMPLETE);
	ck_assert_int_eq(end_of(low), ANNOUNCEMENT_COMPLETE);
}
END_TEST

START_TEST(what_waits_can_be_stopped_too)
{
	struct server_request request = whole;
	uint32_t first = page(0, 5, 0), waiting;

	request.when_busy = SERVER_QUEUE;
	ck_assert_int_eq(server_page(server, &request, &waiting), 0);
	ck_assert_int_eq(server_stop(server, waiting), 1);
	ck_assert_int_eq(server_stop(server, waiting), -ENOENT);
	ck_assert_int_eq(server_stop(server, 12345), -ENOENT);
	run_until(waiting, SERVER_PAGE_DONE);
	ck_assert(!was(waiting, SERVER_PAGE_OPENING));
	run_until(first, SERVER_PAGE_SPEECH);
	ck_assert_int_eq(server_stop(server, 0), 1);
	run_until_quiet();
	ck_assert_int_eq(end_of(waiting), ANNOUNCEMENT_STOPPED);
}
END_TEST

START_TEST(after_closing_no_page_begins)
{
	struct server_request request = whole;
	uint32_t first = page(0, 5, 0), waiting;

	request.when_busy = SERVER_QUEUE;
	ck_assert_int_eq(server_page(server, &request, &waiting), 0);
	server_close(server);
	ck_assert_int_eq(try_page(LOBBY, 9), -ESHUTDOWN);
	run_until(waiting, SERVER_PAGE_DONE);
	ck_assert_int_eq(server_stop(server, first), 1);
	run_until_quiet();
}
END_TEST

START_TEST(a_zone_has_to_exist)
{
	struct server_request request = whole;
	uint32_t id;

	ck_assert_int_eq(server_find_zone(server, "yard"), 1);
	ck_assert_int_eq(server_find_zone(server, "roof"), -ENOENT);
	request.zones = UINT64_C(1) << ZONES;
	/* Also then the descriptor is the server's to close. */
	request.file_fd = make_file(10, 0);
	ck_assert_int_eq(server_page(server, &request, &id), -ENOENT);
	ck_assert_int_eq(fcntl(request.file_fd, F_GETFD), -1);
	ck_assert_uint_eq(server_page_count(server), 0);
}
END_TEST

START_TEST(a_file_that_is_no_audio_reaches_nobody)
{
	int fd = memfd_create("file", MFD_CLOEXEC), lobby = come(0);
	uint8_t byte;
	uint32_t id;

	ck_assert_int_eq(write(fd, "GIF89a, and so on: no sound at all", 34),
			 34);
	ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
	id = play(0, 5, fd);
	run_until(id, SERVER_PAGE_DONE);
	ck_assert_int_eq(end_of(id), ANNOUNCEMENT_NOT_AUDIO);
	ck_assert(!was(id, SERVER_PAGE_SPEECH));
	/* It still waits for the next page. */
	ck_assert_int_eq(recv(lobby, &byte, 1, MSG_DONTWAIT), -1);
	ck_assert_uint_eq(server_zone_clients(server, 0), 1);
	close(lobby);
}
END_TEST

START_TEST(without_a_card_clients_wait_for_the_next_attempt)
{
	int lobby = come(0);
	static uint8_t heard[RATE];
	uint32_t id;

	card_command("unplugged");
	id = page(0, 5, 0.1);
	run_until(id, SERVER_PAGE_DONE);
	ck_assert_int_eq(end_of(id), ANNOUNCEMENT_NO_DEVICE);
	ck_assert_uint_eq(server_zone_clients(server, 0), 1);
	card_revoke("unplugged");
	run_until_quiet();
	id = page(0, 5, 0.1);
	run_until(id, SERVER_PAGE_SENDING);
	ck_assert_uint_eq(hear_all(lobby, heard, sizeof(heard)),
			  HEADER_SIZE + 18 * CHUNK * 4);
}
END_TEST

START_TEST(there_are_only_so_many_pages)
{
	struct server_request request = whole;
	uint32_t id;

	page(0, 5, 0);
	request.when_busy = SERVER_QUEUE;
	for (int i = 1; i < BUS_PAGES_MAX; i++)
		ck_assert_int_eq(server_page(server, &request, &id), 0);
	ck_assert_int_eq(server_page(server, &request, &id), -E2BIG);
	ck_assert_uint_eq(server_page_count(server), BUS_PAGES_MAX);
	ck_assert_int_eq(server_stop(server, 0), BUS_PAGES_MAX);
	run_until_quiet();
	ck_assert_int_eq(end_of(id), ANNOUNCEMENT_STOPPED);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("server");
	TCase *tests = tcase_create("server");
	SRunner *runner;
	int failures;

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_set_timeout(tests, 180);
	tcase_add_test(tests, a_page_reaches_its_zone_and_no_other);
	tcase_add_test(tests, two_zones_page_at_the_same_time);
	tcase_add_test(tests, an_equal_page_is_refused_and_a_higher_one_wins);
	tcase_add_test(tests, a_microphone_goes_to_the_higher_page_like_a_zone);
	tcase_add_test(tests,
		       a_page_that_waits_for_the_microphone_can_be_stopped);
	tcase_add_test(tests, a_queue_waits_for_the_microphone_too);
	tcase_add_test(tests, closing_gives_up_what_waits_for_the_microphone);
	tcase_add_test(tests, the_queue_goes_by_priority);
	tcase_add_test(tests, what_waits_can_be_stopped_too);
	tcase_add_test(tests, after_closing_no_page_begins);
	tcase_add_test(tests, a_zone_has_to_exist);
	tcase_add_test(tests, a_file_that_is_no_audio_reaches_nobody);
	tcase_add_test(tests, without_a_card_clients_wait_for_the_next_attempt);
	tcase_add_test(tests, there_are_only_so_many_pages);
	suite_add_tcase(suite, tests);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failures = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failures == 0 ? 0 : 1;
}
