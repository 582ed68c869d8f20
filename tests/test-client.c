/* SPDX-License-Identifier: MIT
 * A client in a thread of its own, between servers played by the test and the
 * virtual card. Its lines on stderr tell the test when to go on. */
#include "client/client.h"
#include "client/saver.h"

#include <poll.h>
#include <pthread.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/log.h"
#include "card.h"
#include "folder.h"
#include "test.h"

enum {
	RATE = 48000,
	COUNT = RATE / 5, /* frames of a page */
	SERVERS = 2,
	PATIENCE_MS = 30000,
};

static const struct wav_format format = {WAV_PCM, 16, 2, RATE};
static struct client_config config;
static struct client *client;
static pthread_t thread;
static int result; /* of client_run() */
static int signal_fd, listeners[SERVERS], servers[SERVERS];
static int lines_fd, stderr_fd, notify_fd; /* stderr_fd: the real one */
static char lines[65536];
static size_t seen; /* bytes in "lines" */
static uint32_t numbers[COUNT], played[4 * COUNT];

/* --- its surroundings --- */

static void open_signals(void)
{
	sigset_t mask;

	sigemptyset(&mask);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGUSR1);
	sigaddset(&mask, SIGCHLD);
	ck_assert_int_eq(sigprocmask(SIG_BLOCK, &mask, NULL), 0);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	signal_fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	ck_assert_int_ge(signal_fd, 0);
}

static void open_stderr(void)
{
	int fds[2];

	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	lines_fd = fds[0];
	stderr_fd = dup(STDERR_FILENO);
	ck_assert_int_ge(stderr_fd, 0);
	ck_assert_int_eq(dup2(fds[1], STDERR_FILENO), STDERR_FILENO);
	close(fds[1]);
}

static void listen_as(unsigned i)
{
	static char names[SERVERS][NET_ADDRESS_SIZE];
	struct client_server *server = &config.servers[i];
	struct sockaddr_storage bound;
	socklen_t size = sizeof(bound);
	char zone[NET_ZONE_SIZE];
	const char *problem;
	int fds[NET_LISTENERS_MAX];

	ck_assert_int_eq(
	    net_parse_listen(&server->endpoint, zone, "127.0.0.1:0", &problem),
	    0);
	ck_assert_int_eq(net_listen(&server->endpoint, fds), 1);
	listeners[i] = fds[0];
	servers[i] = -1;
	ck_assert_int_eq(getsockname(fds[0], (void *)&bound, &size), 0);
	net_address_name(&bound, names[i]);
	ck_assert_int_eq(
	    net_parse_endpoint(&server->endpoint, names[i], &problem), 0);
	server->name = i ? "second" : "first";
}

static void setup(void)
{
	card_setup(0);
	folder_setup("client");
	open_signals();
	open_stderr();
	for (uint32_t i = 0; i < COUNT; i++)
		numbers[i] = i + 1;
	memset(&config, 0, sizeof(config));
	config.speaker.device = "patient";
	config.speaker.latency_ms = 100;
	config.volume = -1;
	config.server_count = 1;
	for (unsigned i = 0; i < SERVERS; i++)
		listen_as(i);
	notify_fd = -1;
	seen = 0;
	lines[0] = '\0';
	log_set_level(LOG_INFO);
}

static void teardown(void)
{
	client = client_free(client);
	for (unsigned i = 0; i < SERVERS; i++) {
		listeners[i] = fd_close(listeners[i]);
		servers[i] = fd_close(servers[i]);
	}
	ck_assert_int_eq(dup2(stderr_fd, STDERR_FILENO), STDERR_FILENO);
	stderr_fd = fd_close(stderr_fd);
	lines_fd = fd_close(lines_fd);
	signal_fd = fd_close(signal_fd);
	notify_fd = fd_close(notify_fd);
	folder_teardown();
	card_teardown();
}

FIXTURE(setup, teardown);

/* --- the client --- */

static void *run(void *userdata)
{
	result = client_run(client);
	return NULL;
}

static void start(void)
{
	ck_assert_int_eq(client_new(&client, &config, signal_fd), 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, run, NULL), 0);
}

/* Waits for the client to end; returns the result of client_run(). */
static int join(void)
{
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	return result;
}

static int stop(void)
{
	ck_assert_int_eq(kill(getpid(), SIGTERM), 0);
	return join();
}

/* Reads more of the client's lines; false when none come for too long. */
static bool read_lines(void)
{
	struct pollfd fd = {.fd = lines_fd, .events = POLLIN};
	ssize_t n;

	if (poll(&fd, 1, PATIENCE_MS) <= 0)
		return false;
	n = read(lines_fd, lines + seen, sizeof(lines) - 1 - seen);
	ck_assert_int_gt(n, 0);
	seen += (size_t)n;
	lines[seen] = '\0';
	return true;
}

/* Waits for a line with WORDS and forgets all up to it. */
static void wait_for(const char *words)
{
	const char *found;
	size_t end;

	while (!(found = strstr(lines, words)) || !strchr(found, '\n'))
		ck_assert_msg(read_lines(), "no \"%s\" in \"%s\"", words,
			      lines);
	end = (size_t)(strchr(found, '\n') - lines) + 1;
	seen -= end;
	memmove(lines, lines + end, seen + 1);
}

/* --- servers --- */

/* Accepts the client's connection to server I. */
static void serve(unsigned i)
{
	struct pollfd fd = {.fd = listeners[i], .events = POLLIN};

	fd_close(servers[i]);
	ck_assert_int_gt(poll(&fd, 1, PATIENCE_MS), 0);
	servers[i] = accept4(listeners[i], NULL, NULL, SOCK_CLOEXEC);
	ck_assert_int_ge(servers[i], 0);
}

static void say(unsigned i, const void *data, size_t size)
{
	ck_assert_int_eq(send(servers[i], data, size, MSG_NOSIGNAL), (int)size);
}

static void say_header(unsigned i, uint64_t data_size)
{
	uint8_t header[WAV_HEADER_SIZE_MAX];

	say(i, header, wav_encode(header, &format, data_size, NULL));
}

static void hang_up(unsigned i)
{
	servers[i] = fd_close(servers[i]);
}

/* Server I sends a page of the numbers 1 .. COUNT. */
static void say_page(unsigned i)
{
	say_header(i, sizeof(numbers));
	say(i, numbers, sizeof(numbers));
	hang_up(i);
}

/* The card must have played all the numbers in a row. */
static void check_played(void)
{
	const size_t total = card_played(played, sizeof(played)) / 4;
	size_t first = 0;

	while (first < total && played[first] != 1)
		first++;
	ck_assert_uint_le(first + COUNT, total);
	ck_assert_mem_eq(&played[first], numbers, sizeof(numbers));
}

/* --- one page --- */

TEST(page_sounds_and_is_reported)
{
	start();
	for (int i = 0; i < 2; i++) {
		serve(0);
		say_page(0);
		wait_for("Page from first begins: S16_LE 48000 Hz 2 channels, "
			 "0.20 s");
		wait_for("Page from first ended (complete): 9600 frames "
			 "(0.20 s)");
	}
	ck_assert_int_eq(stop(), 0);
	check_played();
	ck_assert_uint_eq(card_count("open"), 2);
}

TEST(one_complete_page_is_enough)
{
	config.once = true;
	start();
	serve(0);
	say_page(0);
	ck_assert_int_eq(join(), 0);
	wait_for("ended (complete)");
	check_played();
}

TEST(page_that_is_cut_short_is_a_failure)
{
	config.once = true;
	start();
	serve(0);
	say_header(0, sizeof(numbers));
	say(0, numbers, sizeof(numbers) - 4);
	hang_up(0);
	ck_assert_int_eq(join(), -ECANCELED);
	wait_for("Page from first ended (cut-short): 9599 frames");
}

/* 0 bytes of samples, or 3, which are less than a frame. */
TEST_LOOP(page_without_samples_is_complete, 0, 2)
{
	config.once = true;
	start();
	serve(0);
	say_header(0, _i ? 3 : 0);
	say(0, numbers, _i ? 3 : 0);
	hang_up(0);
	ck_assert_int_eq(join(), 0);
	wait_for("Page from first has no samples");
	ck_assert_uint_eq(card_count("open"), 0);
}

/* The page waits five seconds for a card. */
TEST(page_without_a_card_is_unheard)
{
	card_command("unplugged");
	config.once = true;
	start();
	serve(0);
	say_page(0);
	wait_for("Cannot open the playback device 'patient': No such device");
	ck_assert_int_eq(join(), -ECANCELED);
	wait_for("Page from first ended (unheard): 9600 frames");
	ck_assert_uint_eq(card_count("start"), 0);
}

TEST_LOOP(signal_before_the_first_page_ends_it, 0, 2)
{
	config.once = _i;
	start();
	serve(0);
	ck_assert_int_eq(stop(), _i ? -ECANCELED : 0);
	ck_assert_uint_eq(card_count("open"), 0);
}

TEST(what_is_no_page_does_not_end_it)
{
	config.once = true;
	start();
	serve(0);
	say(0, "HTTP/1.1 200 OK\r\n\r\n", 19);
	wait_for("first");
	hang_up(0);
	serve(0);
	say_page(0);
	ck_assert_int_eq(join(), 0);
	check_played();
}

TEST(page_is_ended_by_the_limit)
{
	config.max_seconds = 0.1;
	config.after = "echo after $INTERCOM_RESULT $INTERCOM_SECONDS >&2";
	start();
	serve(0);
	say_header(0, WAV_ENDLESS);
	say(0, numbers, sizeof(numbers));
	wait_for("Page from first: ended by --max-duration");
	wait_for("Page from first ended (limit): 4800 frames (0.10 s)");
	wait_for("after limit 0.100\n");
	/* The rest of it is not heard; the next page is. */
	say(0, numbers, sizeof(numbers));
	hang_up(0);
	serve(0);
	say_header(0, COUNT / 2 * 4);
	say(0, numbers, COUNT / 2 * 4);
	hang_up(0);
	wait_for("begins");
	wait_for("Page from first ended (complete): 4800 frames");
	wait_for("after complete 0.100\n");
	ck_assert_int_eq(stop(), 0);
}

TEST(page_is_saved_as_it_came)
{
	uint8_t expected[WAV_HEADER_SIZE_MAX], *file = (uint8_t *)played;
	const size_t header =
	    wav_encode(expected, &format, sizeof(numbers), NULL);
	char path[PATH_MAX];
	FILE *f;

	snprintf(path, sizeof(path), "%s", path_of("page.wav"));
	config.save = path;
	ck_assert_int_eq(saver_open(&config.recorder, path), 0);
	config.once = true;
	start();
	serve(0);
	say_page(0);
	ck_assert_int_eq(join(), 0);
	client = client_free(client);
	recorder_free(config.recorder, 0);
	f = fopen(path, "re");
	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fread(file, 1, sizeof(played), f),
			  header + sizeof(numbers));
	fclose(f);
	ck_assert_mem_eq(file, expected, header);
	ck_assert_mem_eq(file + header, numbers, sizeof(numbers));
}

TEST(hooks_are_told_the_facts)
{
	config.before = "echo before $INTERCOM_SERVER, $INTERCOM_FORMAT, "
			"$INTERCOM_SECONDS, $INTERCOM_RESULT >&2";
	config.after = "echo after $INTERCOM_SERVER, $INTERCOM_FORMAT, "
		       "$INTERCOM_SECONDS, $INTERCOM_RESULT >&2";
	start();
	serve(0);
	say_header(0, 2 * sizeof(numbers));
	say(0, numbers, sizeof(numbers));
	wait_for("before first, S16_LE 48000 Hz 2 channels, 0.400, begins\n");
	hang_up(0);
	wait_for("ended (cut-short)");
	wait_for("after first, S16_LE 48000 Hz 2 channels, 0.200, "
		 "cut-short\n");
	ck_assert_int_eq(stop(), 0);
}

/* The hook reads from a FIFO; until then nothing sounds. */
TEST(page_waits_for_its_hook)
{
	char fifo[PATH_MAX], text[2 * PATH_MAX];
	int fd;

	snprintf(fifo, sizeof(fifo), "%s", path_of("fifo"));
	ck_assert_int_eq(mkfifo(fifo, 0600), 0);
	fd = open(fifo, O_RDWR | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	snprintf(text, sizeof(text), "echo waits >&2; read word < '%s'", fifo);
	config.before = text;
	start();
	serve(0);
	say_page(0);
	wait_for("waits");
	ck_assert_int_eq(kill(getpid(), SIGUSR1), 0);
	wait_for("State: waiting for the hook, page from first");
	ck_assert_uint_eq(card_count("open"), 0);
	ck_assert_int_eq(write(fd, "go\n", 3), 3);
	wait_for("ended (complete)");
	close(fd);
	ck_assert_int_eq(stop(), 0);
	check_played();
}

/* --- many servers --- */

TEST(first_server_takes_over_and_gives_back)
{
	static const uint32_t silence[COUNT];

	config.server_count = 2;
	start();
	serve(0);
	serve(1);
	say_header(1, WAV_ENDLESS);
	say(1, silence, sizeof(silence));
	wait_for("Page from second begins");
	say_header(0, sizeof(numbers));
	say(0, numbers, sizeof(numbers));
	hang_up(0);
	wait_for("Page from second ended (taken-over)");
	wait_for("Page from first begins");
	wait_for("Page from first ended (complete)");
	wait_for("Page from second begins");
	hang_up(1);
	wait_for("Page from second ended");
	ck_assert_int_eq(stop(), 0);
	check_played();
}

TEST(second_server_is_not_heard_beside_the_first)
{
	config.server_count = 2;
	start();
	serve(0);
	serve(1);
	say_header(0, WAV_ENDLESS);
	say(0, numbers, sizeof(numbers));
	wait_for("Page from first begins");
	say_page(1);
	wait_for("Page from second was not heard: a server listed earlier "
		 "has priority");
	hang_up(0);
	wait_for("Page from first ended");
	ck_assert_int_eq(stop(), 0);
	ck_assert_uint_eq(card_count("open"), 1);
}

TEST(other_servers_are_called_when_one_is_missing)
{
	config.server_count = 2;
	listeners[0] = fd_close(listeners[0]);
	start();
	serve(1);
	say_page(1);
	wait_for("Page from second ended (complete)");
	ck_assert_int_eq(kill(getpid(), SIGUSR1), 0);
	wait_for("State: idle");
	wait_for("State: server first: ");
	wait_for("State: server second: ");
	wait_for("State: card 'patient' closed");
	wait_for("Counters: 1 page, 1 complete, 9600 frames, 0 xruns");
	ck_assert_int_eq(stop(), 0);
	check_played();
}

TEST(most_servers_that_there_may_be)
{
	for (unsigned i = SERVERS; i < CLIENT_SERVERS_MAX; i++)
		config.servers[i] = config.servers[1];
	config.server_count = CLIENT_SERVERS_MAX;
	listeners[1] = fd_close(listeners[1]);
	start();
	serve(0);
	say_page(0);
	wait_for("Page from first ended (complete)");
	ck_assert_int_eq(kill(getpid(), SIGINT), 0);
	ck_assert_int_eq(join(), 0);
	check_played();
}

/* --- its end --- */

TEST(client_that_is_freed_stops_its_page)
{
	config.after = "echo after $INTERCOM_RESULT >&2";
	start();
	serve(0);
	say_header(0, WAV_ENDLESS);
	say(0, numbers, sizeof(numbers));
	wait_for("Page from first begins");
	ck_assert_int_eq(stop(), 0);
	client = client_free(client);
	ck_assert_ptr_null(client);
	wait_for("Page from first ended (stopped)");
	wait_for("after stopped\n");
	ck_assert_uint_eq(card_count("open"), card_count("close"));
}

TEST(client_that_never_ran_is_freed)
{
	config.server_count = 2;
	config.volume = 50;
	ck_assert_int_eq(client_new(&client, &config, signal_fd), 0);
	client = client_free(client);
	ck_assert_ptr_null(client);
	ck_assert_ptr_null(client_free(NULL));
}

/* --- the service manager --- */

/* In the abstract namespace, where TMPDIR cannot make the path too long. */
static void listen_for_notices(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char name[64];
	const int length =
	    snprintf(name, sizeof(name), "@test-client-%d", (int)getpid());

	memcpy(address.sun_path + 1, name + 1, (size_t)length - 1);
	setenv("NOTIFY_SOCKET", name, 1);
	notify_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ck_assert_int_ge(notify_fd, 0);
	ck_assert_int_eq(
	    bind(notify_fd, (const struct sockaddr *)&address,
		 (socklen_t)offsetof(struct sockaddr_un, sun_path) +
		     (socklen_t)length),
	    0);
}

/* It was discarded up to the middle of a frame. */
TEST(page_that_is_joined_begins_with_a_whole_frame)
{
	const size_t half = COUNT / 2, late = 1000;
	size_t frames, torn = 0;

	for (size_t i = 0; i < COUNT; i++)
		numbers[i] = 0x00010000;
	config.server_count = 2;
	start();
	serve(0);
	serve(1);
	say_header(0, sizeof(numbers));
	say(0, numbers, 4 * half);
	wait_for("Page from first begins");
	say_header(1, sizeof(numbers));
	say(1, numbers, 4 * late + 2);
	/* The second page is read meanwhile, each 0.1 s. */
	ck_assert_int_eq(poll(NULL, 0, 500), 0);
	say(0, numbers, 4 * (COUNT - half));
	wait_for("Page from first ended");
	wait_for("Page from second begins");
	say(1, (const uint8_t *)numbers + 2, 4 * (COUNT - late) - 2);
	wait_for("Page from second ended");
	ck_assert_int_eq(stop(), 0);
	frames = card_played(played, sizeof(played)) / 4;
	for (size_t i = 0; i < frames; i++)
		torn += (played[i] & 0xffff) != 0;
	ck_assert_uint_eq(torn, 0);
}

/* Waits for a notice; others may come before it. */
static void expect_notice(const char *notice)
{
	struct pollfd fd = {.fd = notify_fd, .events = POLLIN};
	char text[512];
	ssize_t n;

	do {
		ck_assert_msg(poll(&fd, 1, PATIENCE_MS) > 0, "no %s", notice);
		n = recv(notify_fd, text, sizeof(text) - 1, 0);
		ck_assert_int_ge(n, 0);
		text[n] = '\0';
	} while (strcmp(text, notice) != 0);
}

TEST(service_manager_is_told_what_it_does)
{
	listen_for_notices();
	start();
	expect_notice("READY=1");
	serve(0);
	expect_notice("STATUS=Connected to 1 of 1 servers, waiting for a page");
	say_page(0);
	expect_notice("STATUS=Page from first: playing");
	wait_for("ended (complete)");
	ck_assert_int_eq(stop(), 0);
	expect_notice("STOPPING=1");
}

TEST(watchdog_is_fed_while_nothing_happens)
{
	listen_for_notices();
	setenv("WATCHDOG_USEC", "20000", 1);
	unsetenv("WATCHDOG_PID");
	start();
	for (int i = 0; i < 5; i++)
		expect_notice("WATCHDOG=1");
	ck_assert_int_eq(stop(), 0);
}
