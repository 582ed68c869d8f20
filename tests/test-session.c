/* SPDX-License-Identifier: MIT
 * A session with a server played by the test. The clock is the test's, so that
 * time-outs pass without waiting. */
#include "feed/session.h"

#include <poll.h>
#include <sys/socket.h>

#include "base/log.h"
#include "test.h"
#include "wire/receipt.h"

enum { PATIENCE_MS = 20000 };

static struct session *session;
static int listener, server; /* the server's ends */
static struct net_endpoint endpoint;
static uint64_t now;

static void listen_on(const char *address)
{
	struct sockaddr_storage bound;
	socklen_t size = sizeof(bound);
	char zone[NET_ZONE_SIZE], name[NET_ADDRESS_SIZE];
	const char *problem;
	int fds[NET_LISTENERS_MAX];

	ck_assert_int_eq(net_parse_listen(&endpoint, zone, address, &problem),
			 0);
	ck_assert_int_eq(net_listen(&endpoint, fds), 1);
	listener = fds[0];
	ck_assert_int_eq(getsockname(listener, (void *)&bound, &size), 0);
	net_address_name(&bound, name);
	ck_assert_int_eq(net_parse_endpoint(&endpoint, name, &problem), 0);
}

/* Listens at the same port as before. */
static void listen_again(void)
{
	int fds[NET_LISTENERS_MAX];

	ck_assert_int_eq(net_listen(&endpoint, fds), 1);
	listener = fds[0];
}

static void setup(void)
{
	signal(SIGPIPE, SIG_IGN); /* as resolver.h asks for */
	log_set_level(LOG_EMERG);
	server = -1;
	now = UINT64_C(1000) * 1000000;
	listen_on("127.0.0.1:0");
	ck_assert_int_eq(session_new(&session, "test", &endpoint, NULL, 0), 0);
}

static void teardown(void)
{
	session = session_free(session);
	listener = fd_close(listener);
	server = fd_close(server);
}

FIXTURE(setup, teardown);
TIME_LIMIT(60);

/* Waits for the descriptors and steps, until the state is STATE. */
static void step_until(enum session_state state)
{
	session_step(session, now);
	while (session_state(session) != state) {
		struct pollfd fds[2];
		const unsigned count =
		    session_pollfds(session, fds, SESSION_SAMPLES_WANTED);

		ck_assert_int_gt(poll(fds, count, PATIENCE_MS), 0);
		session_step(session, now);
	}
}

static void serve(void)
{
	struct pollfd fd = {.fd = listener, .events = POLLIN};

	ck_assert_int_gt(poll(&fd, 1, PATIENCE_MS), 0);
	server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	ck_assert_int_ge(server, 0);
}

static void begin(void)
{
	step_until(SESSION_WAITING);
	serve();
}

static void say(const void *data, size_t size)
{
	ck_assert_int_eq(send(server, data, size, MSG_NOSIGNAL), (int)size);
}

static const struct wav_format cd = {WAV_PCM, 16, 2, 44100};

static void say_header(uint64_t data_size)
{
	uint8_t header[WAV_HEADER_SIZE_MAX];

	say(header, wav_encode(header, &cd, data_size, NULL));
}

/* Of a recording that is sent 2 s before it is due. */
static void say_played_header(uint64_t data_size)
{
	const struct wav_page page = {.flags = WAV_PAGE_PLAYED,
				      .ahead_us = 2000000};
	uint8_t header[WAV_HEADER_SIZE_MAX];

	say(header, wav_encode(header, &cd, data_size, &page));
}

static void hang_up(void)
{
	server = fd_close(server);
}

/* The next bytes, or 0 at the end of the page. */
static ssize_t read_some(void *buffer, size_t size)
{
	for (;;) {
		struct pollfd fds[2];
		ssize_t n = session_read(session, buffer, size, now);

		if (n != -EAGAIN)
			return n;
		ck_assert_int_gt(
		    poll(fds,
			 session_pollfds(session, fds, SESSION_SAMPLES_WANTED),
			 PATIENCE_MS),
		    0);
	}
}

static void expect(const char *text)
{
	for (; *text; text++) {
		char byte;

		ck_assert_int_eq(read_some(&byte, 1), 1);
		ck_assert_int_eq(byte, *text);
	}
}

/* No samples may be left of the page. */
static void expect_end(void)
{
	char byte;

	ck_assert_int_eq(read_some(&byte, 1), 0);
}

/* A page of DATA_SIZE bytes begins with TEXT. */
static void begin_page(uint64_t data_size, const char *text)
{
	begin();
	say_header(data_size);
	say(text, strlen(text));
}

/* --- connecting --- */

TEST(connects_and_waits)
{
	begin();
	ck_assert_uint_eq(session_counts(session).connected, 1);
	session_step(session, now + UINT64_C(3600) * 1000000);
	ck_assert_int_eq(session_state(session), SESSION_WAITING);
}

TEST(name_is_looked_up)
{
	session_free(session);
	strcpy(endpoint.host, "localhost");
	ck_assert_int_eq(session_new(&session, "test", &endpoint, NULL, 0), 0);
	begin();
	ck_assert_str_eq(session_name(session), "test");
}

TEST(name_that_does_not_exist_is_tried_again)
{
	session_free(session);
	strcpy(endpoint.host, "no-such-host.invalid");
	ck_assert_int_eq(session_new(&session, "test", &endpoint, NULL, 0), 0);
	step_until(SESSION_PAUSED);
	ck_assert_uint_gt(session_deadline(session), now);
	ck_assert_uint_eq(session_counts(session).failed, 1);
	now = session_deadline(session);
	step_until(SESSION_PAUSED);
	ck_assert_uint_gt(session_deadline(session), now);
}

TEST(refusal_is_tried_again_in_growing_pauses)
{
	uint64_t pause = 0;

	listener = fd_close(listener);
	for (int i = 0; i < 20; i++) {
		step_until(SESSION_PAUSED);
		pause = session_deadline(session) - now;
		ck_assert_uint_ge(pause, i < 5 ? 100000U << i : 2400000);
		ck_assert_uint_le(pause, 3000000);
		now = session_deadline(session);
	}
	ck_assert_uint_ge(session_counts(session).failed, 20);
}

TEST(server_that_returns_is_found)
{
	begin();
	hang_up();
	step_until(SESSION_PAUSED);
	now = session_deadline(session);
	begin();
	ck_assert_uint_eq(session_counts(session).connected, 2);
}

TEST(connection_that_stands_after_one_that_did_not_is_slept_on)
{
	begin();
	hang_up();
	step_until(SESSION_PAUSED);
	now = session_deadline(session);
	begin();
	now = session_deadline(session);
	ck_assert_uint_lt(now, UINT64_MAX);
	session_step(session, now);
	ck_assert_int_eq(session_state(session), SESSION_WAITING);
	ck_assert_uint_eq(session_deadline(session), UINT64_MAX);
}

TEST(server_that_hangs_up_at_once_is_given_growing_pauses)
{
	uint64_t pause = 0;

	for (int i = 0; i < 8; i++) {
		begin();
		hang_up();
		step_until(SESSION_PAUSED);
		pause = session_deadline(session) - now;
		now = session_deadline(session);
	}
	ck_assert_uint_gt(pause, 2000000);
}

/* --- headers --- */

TEST(header_in_single_bytes)
{
	static const struct wav_format format = {WAV_PCM, 16, 2, 44100};
	uint8_t header[WAV_HEADER_SIZE_MAX];
	size_t size = wav_encode(header, &format, 4, NULL);

	begin();
	for (size_t i = 0; i < size; i++) {
		ck_assert_int_ne(session_state(session), SESSION_PAGE);
		say(&header[i], 1);
		if (i + 1 < size)
			step_until(SESSION_HEADER);
	}
	step_until(SESSION_PAGE);
	ck_assert(wav_format_equal(&session_page(session)->format, &format));
	ck_assert_uint_eq(session_page(session)->data_size, 4);
	ck_assert_uint_eq(session_page(session)->number, 1);
}

TEST(wrong_header_is_left_for_a_pause)
{
	char rubbish[100] = "SSH-2.0-OpenSSH";

	begin();
	say(rubbish, sizeof(rubbish));
	step_until(SESSION_PAUSED);
	ck_assert_uint_eq(session_counts(session).failed, 1);
	hang_up();
	now = session_deadline(session);
	begin_page(4, "");
	step_until(SESSION_PAGE);
}

TEST(header_has_ten_seconds_from_its_first_byte)
{
	begin();
	now += UINT64_C(3600) * 1000000;
	say("RIFF", 4);
	step_until(SESSION_HEADER);
	ck_assert_uint_eq(session_deadline(session), now + 10000000);
	session_step(session, now + 9999999);
	ck_assert_int_eq(session_state(session), SESSION_HEADER);
	session_step(session, now + 10000000);
	ck_assert_int_eq(session_state(session), SESSION_PAUSED);
}

TEST(connection_that_ends_in_a_header_is_tried_again)
{
	begin();
	say("RIFF", 4);
	hang_up();
	step_until(SESSION_PAUSED);
	ck_assert_uint_eq(session_counts(session).failed, 1);
}

/* --- pages --- */

TEST(samples_that_came_with_the_header_are_read_first)
{
	char byte;

	begin_page(8, "abcd");
	step_until(SESSION_PAGE);
	expect("abcd");
	ck_assert_int_eq(session_read(session, &byte, 1, now), -EAGAIN);
	say("efgh", 4);
	expect("efgh");
	expect_end();
	ck_assert_int_eq(session_page(session)->result, SESSION_COMPLETE);
	ck_assert_uint_eq(session_page(session)->received, 8);
}

TEST(queued_counts_what_waits_and_not_what_is_beyond_the_page)
{
	begin_page(8, "abcdefghijkl");
	step_until(SESSION_PAGE);
	while (session_queued(session) < 8)
		session_step(session, now);
	ck_assert_uint_eq(session_queued(session), 8);
	expect("abc");
	ck_assert_uint_eq(session_queued(session), 5);
}

TEST(what_follows_the_stated_size_is_ignored)
{
	begin_page(4, "abcdLIST");
	step_until(SESSION_PAGE);
	expect("abcd");
	expect_end();
	ck_assert_int_eq(session_state(session), SESSION_LINGERING);
	hang_up();
	step_until(SESSION_WAITING); /* at once, without a pause */
	ck_assert_uint_eq(session_counts(session).connected, 2);
}

TEST(server_that_does_not_close_is_left_after_a_second)
{
	begin_page(4, "abcd");
	step_until(SESSION_PAGE);
	expect("abcd");
	expect_end();
	session_step(session, now + 999999);
	ck_assert_int_eq(session_state(session), SESSION_LINGERING);
	now += 1000000;
	step_until(SESSION_WAITING);
	ck_assert_uint_eq(session_counts(session).connected, 2);
}

TEST(endless_page_ends_with_the_connection)
{
	begin_page(WAV_ENDLESS, "abcd");
	hang_up();
	step_until(SESSION_PAGE);
	ck_assert_uint_eq(session_page(session)->data_size, WAV_ENDLESS);
	expect("abcd");
	expect_end();
	ck_assert_int_eq(session_page(session)->result, SESSION_COMPLETE);
}

TEST(size_of_a_recorder_that_writes_a_pipe_is_no_promise)
{
	begin_page(0x7ffffffc, "abcd");
	hang_up();
	step_until(SESSION_PAGE);
	expect("abcd");
	expect_end();
	ck_assert_int_eq(session_page(session)->result, SESSION_COMPLETE);
}

/* The next page may begin at once. */
TEST(page_that_ends_early_is_stopped)
{
	begin_page(8, "abcd");
	hang_up();
	step_until(SESSION_PAGE);
	expect("abcd");
	expect_end();
	ck_assert_int_eq(session_page(session)->result, SESSION_STOPPED);
	ck_assert_str_eq(session_problem(session), "");
	ck_assert_int_eq(session_state(session), SESSION_CONNECTING);
	ck_assert_uint_eq(session_counts(session).failed, 0);
}

static void reset(void)
{
	const struct linger linger = {.l_onoff = 1};

	setsockopt(server, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	hang_up();
}

/* Has read MS of a page that began as long ago as NOW says. */
static void read_for(uint64_t ms)
{
	static uint8_t samples[4 * 44100 * 4], back[sizeof(samples)];
	const size_t size = ms * 44100 / 1000 * 4;
	size_t have = 0;
	char byte;

	ck_assert_uint_le(size, sizeof(samples));
	for (size_t sent = 0; sent < size; sent += MIN(size - sent, 4410 * 4)) {
		say(samples, MIN(size - sent, 4410 * 4));
		while (have < sent + MIN(size - sent, 4410 * 4))
			have += (size_t)read_some(back, sizeof(back));
	}
	ck_assert_int_eq(session_read(session, &byte, 1, now), -EAGAIN);
}

/* Without a size, how much of a recording is not due yet tells a stop. */
TEST(recording_of_unknown_size_is_stopped_while_much_is_not_due)
{
	static const struct {
		uint64_t arrived_ms, then_ms;
		enum session_result result;
	} cases[] = {
	    {2600, 2300, SESSION_COMPLETE}, {2600, 2100, SESSION_COMPLETE},
	    {2600, 2099, SESSION_STOPPED},  {3000, 1000, SESSION_STOPPED},
	    {600, 50, SESSION_STOPPED},	    {400, 0, SESSION_COMPLETE},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		begin();
		say_played_header(WAV_ENDLESS);
		step_until(SESSION_PAGE);
		ck_assert(session_page_is_played(session_page(session)));
		now += MIN(cases[i].arrived_ms, cases[i].then_ms) * 1000;
		read_for(cases[i].arrived_ms);
		hang_up();
		expect_end();
		ck_assert_int_eq(session_page(session)->result,
				 cases[i].result);
	}
	ck_assert_uint_eq(session_counts(session).failed, 0);
}

/* Its first bytes were lost on the way and came a second late. */
TEST(recording_whose_header_was_late_is_not_taken_for_stopped)
{
	begin();
	say_played_header(WAV_ENDLESS);
	step_until(SESSION_PAGE);
	now += 200000;
	read_for(3200); /* 2 s of it before they are due */
	now += 1500000;
	hang_up();
	expect_end();
	ck_assert_int_eq(session_page(session)->result, SESSION_COMPLETE);
}

/* A live page, or one of a server that does not say. */
TEST(page_of_unknown_size_that_is_no_recording_is_never_stopped)
{
	begin();
	say_header(WAV_ENDLESS);
	step_until(SESSION_PAGE);
	ck_assert(!session_page_is_played(session_page(session)));
	read_for(3000);
	hang_up();
	expect_end();
	ck_assert_int_eq(session_page(session)->result, SESSION_COMPLETE);
}

/* All came before the program could look: so nothing tells when. */
TEST(recording_that_is_read_in_one_go_is_heard)
{
	static uint8_t second[44100 * 4];

	begin();
	say_played_header(WAV_ENDLESS);
	say(second, sizeof(second));
	hang_up();
	step_until(SESSION_PAGE);
	for (size_t have = 0; have < sizeof(second);)
		have += (size_t)read_some(second, sizeof(second) - have);
	expect_end();
	ck_assert_int_eq(session_page(session)->result, SESSION_COMPLETE);
}

TEST(page_cut_on_a_healthy_connection_is_soon_forgiven)
{
	listener = fd_close(listener);
	for (int i = 0; i < 8; i++) { /* an outage: the pauses grow */
		step_until(SESSION_PAUSED);
		now = session_deadline(session);
	}
	listen_again();
	begin();
	now += UINT64_C(12) * 1000000;
	session_step(session, now);
	say_header(8);
	step_until(SESSION_PAGE);
	reset();
	expect_end();
	ck_assert_int_eq(session_state(session), SESSION_PAUSED);
	ck_assert_uint_le(session_deadline(session) - now, 200000);
}

TEST(reset_is_cut_short_with_its_reason)
{
	begin_page(WAV_ENDLESS, "");
	step_until(SESSION_PAGE);
	reset();
	expect_end();
	ck_assert_int_eq(session_page(session)->result, SESSION_CUT_SHORT);
	ck_assert_str_eq(session_problem(session), "the connection broke in "
						   "mid-page: Connection reset "
						   "by peer");
}

TEST(page_in_which_nothing_comes_is_cut_short_after_thirty_seconds)
{
	char byte;

	begin_page(WAV_ENDLESS, "");
	step_until(SESSION_PAGE);
	ck_assert_int_eq(session_read(session, &byte, 1, now + 29999999),
			 -EAGAIN);
	ck_assert_int_eq(session_read(session, &byte, 1, now + 30000000), 0);
	ck_assert_int_eq(session_page(session)->result, SESSION_CUT_SHORT);
	ck_assert_str_eq(session_problem(session), "the connection broke in "
						   "mid-page: Connection "
						   "timed out");
}

TEST(page_that_is_not_read_on_purpose_is_not_cut_short)
{
	char byte;

	begin_page(WAV_ENDLESS, "");
	step_until(SESSION_PAGE);
	session_hold_off(session, now + 25000000);
	ck_assert_int_eq(session_read(session, &byte, 1, now + 30000000),
			 -EAGAIN);
}

/* Says a header of mono samples at 8 kHz, in a format that is not plain. */
static void say_foreign_header(uint8_t tag, uint8_t bits, uint8_t block_align,
			       uint32_t data_size)
{
	const struct wav_format format = {WAV_PCM, 16, 1, 8000};
	uint8_t header[WAV_HEADER_SIZE_MAX];
	const size_t size = wav_encode(header, &format, data_size, NULL);

	header[20] = tag;
	header[32] = block_align;
	header[34] = bits;
	say(header, size);
}

TEST(samples_are_made_plain_wherever_they_are_torn)
{
	static const char sent[] = "abc\377def\0ghi-jkl~";

	for (size_t cut = 0; cut <= 16; cut++) {
		begin();
		say_foreign_header(WAV_PCM, 24, 4, 16);
		say(sent, cut);
		step_until(SESSION_PAGE);
		ck_assert_uint_eq(session_page(session)->data_size, 12);
		for (size_t i = 0; i < cut / 4 * 3; i++)
			expect((char[]){(char)('a' + i), 0});
		say(sent + cut, 16 - cut);
		for (size_t i = cut / 4 * 3; i < 12; i++)
			expect((char[]){(char)('a' + i), 0});
		expect_end();
		ck_assert_int_eq(session_page(session)->result,
				 SESSION_COMPLETE);
		hang_up();
		now += 1000000; /* a short page is followed by a pause */
		session_step(session, now);
		now += 1000000;
	}
}

TEST(floats_of_64_bits_are_read_as_shorter_ones)
{
	static const double values[] = {0.25, -1.5};
	float got[2];
	uint8_t *p = (uint8_t *)got;

	begin();
	say_foreign_header(WAV_FLOAT, 64, 8, UINT32_MAX);
	say(values, sizeof(values));
	say(values, 7); /* a torn one is no sample */
	hang_up();
	step_until(SESSION_PAGE);
	for (size_t i = 0; i < sizeof(got); i++)
		ck_assert_int_eq(read_some(p + i, 1), 1);
	expect_end();
	ck_assert(got[0] == 0.25F && got[1] == -1.5F);
	ck_assert_int_eq(session_page(session)->result, SESSION_COMPLETE);
}

TEST(page_without_samples_is_complete)
{
	for (int i = 0; i < 4; i++) {
		begin_page(0, i % 2 ? "abc" : ""); /* no whole frame */
		step_until(SESSION_UNSIZED);
		hang_up();
		step_until(SESSION_PAGE);
		ck_assert_uint_eq(session_page(session)->data_size, 0);
		expect_end();
		ck_assert_int_eq(session_page(session)->result,
				 SESSION_COMPLETE);
	}
	step_until(SESSION_PAUSED); /* or it would spin with such a server */
	ck_assert_uint_ge(session_deadline(session), now + 100000);
}

TEST(page_that_states_no_samples_and_has_some_is_of_unknown_size)
{
	static uint8_t whole[WAV_HEADER_SIZE_MAX + 5000];
	const size_t header = wav_encode(whole, &cd, 0, NULL);

	begin();
	say(whole, header);
	for (const char *byte = "abc"; *byte; byte++) {
		step_until(SESSION_UNSIZED);
		say(byte, 1);
	}
	session_step(session, now + 29999999);
	ck_assert_int_eq(session_state(session), SESSION_UNSIZED);
	say("def", 3);
	step_until(SESSION_PAGE);
	ck_assert_uint_eq(session_page(session)->data_size, WAV_ENDLESS);
	expect("abcdef");
	hang_up();
	expect_end();
	ck_assert_int_eq(session_page(session)->result, SESSION_COMPLETE);

	begin();
	memset(whole + header, 'x', 5000);
	say(whole, header + 5000);
	hang_up();
	step_until(SESSION_PAGE);
	for (int i = 0; i < 5000; i++)
		expect("x");
	expect_end();
}

TEST(page_that_states_no_samples_is_waited_for_thirty_seconds)
{
	begin_page(0, "");
	step_until(SESSION_UNSIZED);
	now += 30000000;
	session_step(session, now);
	ck_assert_int_eq(session_state(session), SESSION_PAGE);
	expect_end();
	ck_assert_int_eq(session_page(session)->result, SESSION_COMPLETE);
}

/* Whoever stops one page and begins another must find the client there. */
TEST(some_short_pages_in_a_row_cost_no_pause)
{
	session_free(session);
	ck_assert_int_eq(session_new(&session, "test", &endpoint, NULL, 100000),
			 0);
	for (int i = 0; i < 4; i++) {
		begin_page(8, "abcd");
		hang_up();
		step_until(SESSION_PAGE);
		expect("abcd");
		expect_end();
		ck_assert_int_eq(session_state(session),
				 i < 3 ? SESSION_CONNECTING : SESSION_PAUSED);
	}
	now = session_deadline(session);
	begin();
	now += 5000000; /* a connection that has stood for long */
	session_step(session, now);
	say_header(8);
	hang_up();
	step_until(SESSION_PAGE);
	expect_end();
	ck_assert_int_eq(session_state(session), SESSION_CONNECTING);
}

TEST(page_after_page)
{
	begin();
	for (int i = 1; i <= 50; i++) {
		say_header(4);
		say("abcd", 4);
		hang_up();
		step_until(SESSION_PAGE);
		ck_assert_uint_eq(session_page(session)->number, (unsigned)i);
		expect("abcd");
		expect_end();
		begin();
	}
	ck_assert_uint_eq(session_counts(session).failed, 0);
}

/* --- receipts --- */

static const struct receipt hall = {
    .name = "hall",
    .result = RECEIPT_COMPLETE,
    .heard_frames = 1,
    .sync_us = RECEIPT_UNKNOWN,
};
static const char hall_line[] =
    "intercom-receipt 1 name=hall result=complete arrived=1 heard=1 dropped=0 "
    "starved_ms=0 card=unknown\n";

/* Takes a page of one frame, whose server goes on listening at the descriptor
 * that is returned. */
static int take_page(void)
{
	begin_page(4, "abcd");
	step_until(SESSION_PAGE);
	expect("abcd");
	expect_end();
	ck_assert_int_eq(shutdown(server, SHUT_WR), 0);
	step_until(SESSION_WAITING); /* at once, without a pause */
	return TAKE_FD(server);
}

/* All that a client says on FD, and that it closes. */
static void expect_said(int fd, const char *text)
{
	char line[2 * RECEIPT_SIZE_MAX];
	size_t size = 0;
	ssize_t n;

	while ((n = recv(fd, line + size, sizeof(line) - size, 0)) > 0)
		size += (size_t)n;
	ck_assert_int_eq(n, 0);
	ck_assert_uint_eq(size, strlen(text));
	ck_assert_mem_eq(line, text, size);
	close(fd);
}

TEST(receipt_goes_to_the_connection_of_its_page)
{
	const int old = take_page();

	begin(); /* meanwhile */
	session_give_receipt(session, 1, &hall);
	session_give_receipt(session, 1, &hall);
	expect_said(old, hall_line);
	ck_assert_int_eq(session_state(session), SESSION_WAITING);
}

TEST(two_receipts_may_be_owed_in_any_order)
{
	const int first = take_page(), second = take_page();

	session_give_receipt(session, 2, &hall);
	expect_said(second, hall_line);
	session_give_receipt(session, 1, &hall);
	expect_said(first, hall_line);
}

TEST(third_receipt_drops_the_oldest)
{
	const int first = take_page(), second = take_page(),
		  third = take_page();

	expect_said(first, "");
	session_give_receipt(session, 1, &hall);
	session_give_receipt(session, 2, &hall);
	session_give_receipt(session, 3, &hall);
	expect_said(second, hall_line);
	expect_said(third, hall_line);
}

TEST(page_that_is_cut_short_by_its_end_is_answered)
{
	struct receipt receipt = hall;

	begin_page(8, "abcdef");
	ck_assert_int_eq(shutdown(server, SHUT_WR), 0);
	step_until(SESSION_PAGE);
	expect("abcdef");
	expect_end();
	receipt.result = RECEIPT_CUT_SHORT;
	session_give_receipt(session, 1, &receipt);
	expect_said(TAKE_FD(server),
		    "intercom-receipt 1 name=hall result=cut-short arrived=1 "
		    "heard=1 dropped=0 starved_ms=0 card=unknown\n");
}

TEST(reset_or_a_server_that_does_not_close_is_owed_nothing)
{
	const struct linger reset = {.l_onoff = 1};

	begin_page(WAV_ENDLESS, "abcd");
	step_until(SESSION_PAGE);
	expect("abcd");
	ck_assert_int_eq(
	    setsockopt(server, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)),
	    0);
	hang_up();
	expect_end();
	now = session_deadline(session);
	begin_page(4, "abcd");
	step_until(SESSION_PAGE);
	expect("abcd");
	expect_end();
	now = session_deadline(session);
	session_step(session, now);
	ck_assert_int_ne(session_state(session), SESSION_LINGERING);
	session_give_receipt(session, 2, &hall);
	expect_said(TAKE_FD(server), "");
}

TEST(server_that_has_gone_does_no_harm)
{
	const int old = take_page();

	close(old);
	session_give_receipt(session, 1, &hall);
	begin();
}
