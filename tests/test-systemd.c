/* SPDX-License-Identifier: MIT
 * What the journal gets of who has heard a page: the linker puts functions here
 * in the place of the journal's. A server with one loudspeaker on loopback. */
#include "server/systemd.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "capture.h"
#include "folder.h"
#include "test.h"
#include "wire/net.h"

enum { RATE = 8000, FRAMES = 800, PATIENCE_USEC = 60 * 1000000 };

static bool journal; /* whether stderr is one */
static char fields[65536], text[65536];
static sd_event *event;
static struct server *server;
static struct systemd *observer;
static struct sockaddr_in address;

bool __wrap_log_takes_fields(int level);
bool __wrap_log_takes_fields(int level)
{
	return journal;
}

int __wrap_sd_journal_send(const char *format, ...);
int __wrap_sd_journal_send(const char *format, ...)
{
	return 0;
}

/* One line for each field. */
int __wrap_sd_journal_sendv(const struct iovec *items, int count);
int __wrap_sd_journal_sendv(const struct iovec *items, int count)
{
	for (int i = 0; i < count; i++) {
		strncat(fields, items[i].iov_base, items[i].iov_len);
		strcat(fields, "\n");
	}
	return 0;
}

static void listen_on_loopback(void)
{
	const struct net_endpoint endpoint = {"127.0.0.1", "0"};
	socklen_t size = sizeof(address);
	int fds[NET_LISTENERS_MAX];

	ck_assert_int_eq(net_listen(&endpoint, fds), 1);
	ck_assert_int_eq(
	    getsockname(fds[0], (struct sockaddr *)&address, &size), 0);
	ck_assert_int_eq(server_add_listener(server, fds[0], "lobby"), 0);
}

static void setup(void)
{
	const struct server_config config = {
	    .page = {.microphone = {.period_frames = 256},
		     .max_lag_seconds = 2},
	    .chime_fd = -1,
	    .max_clients = 100,
	    .max_per_address = 100,
	};
	const struct systemd_config log_pages = {.pages = SYSTEMD_LOG_PAGES};

	signal(SIGPIPE, SIG_IGN);
	*fields = '\0';
	ck_assert_int_ge(sd_event_new(&event), 0);
	ck_assert_int_eq(server_new(&server, event, &config), 0);
	ck_assert_int_eq(systemd_new(&observer, event, server, &log_pages), 0);
	listen_on_loopback();
}

static void teardown(void)
{
	server = server_free(server);
	observer = systemd_free(observer);
	event = sd_event_unref(event);
}

FIXTURE(setup, teardown);
TIME_LIMIT(120);

static void turn(uint64_t begin)
{
	ck_assert_int_ge(sd_event_run(event, PATIENCE_USEC / 100), 0);
	ck_assert_uint_lt(now_usec(), begin + PATIENCE_USEC);
}

static int come(void)
{
	const unsigned before = server_client_count(server);
	const uint64_t begin = now_usec();
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(
	    connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	while (server_client_count(server) == before)
		turn(begin);
	return fd;
}

static void play(void)
{
	static const uint8_t samples[2 * FRAMES];
	const struct wav_format format = {WAV_PCM, 16, 1, RATE};
	const struct page_request request = {
	    .chime_fd = -1,
	    .file_fd =
		memory_wav(&format, sizeof(samples), samples, sizeof(samples)),
	};
	uint32_t id;

	ck_assert_int_eq(server_page(server, &request, &id), 0);
}

/* Takes the page to its end; the loop runs meanwhile. */
static void receive(int fd)
{
	const uint64_t begin = now_usec();
	uint8_t scratch[4096];
	ssize_t n;

	while ((n = recv(fd, scratch, sizeof(scratch), MSG_DONTWAIT)) != 0) {
		ck_assert(n > 0 || errno == EAGAIN);
		turn(begin);
	}
}

static void say(int fd, const char *line)
{
	const uint64_t begin = now_usec();

	ck_assert_int_eq(send(fd, line, strlen(line), 0),
			 (ssize_t)strlen(line));
	fd_close(fd);
	while (!server_last_heard(server))
		turn(begin);
}

static void page_is_heard(void)
{
	int fd = come();

	play();
	receive(fd);
	say(fd, "intercom-receipt 1 name=gym result=unheard arrived=800 "
		"heard=0 dropped=0 card=busy\n");
}

TEST(the_journal_has_fields_of_who_heard_a_page)
{
	journal = true;
	page_is_heard();
	ck_assert_str_eq(
	    fields, "MESSAGE=Page 1: gym (127.0.0.1): the card is busy\n"
		    "PRIORITY=6\n"
		    "INTERCOM_EVENT=page-heard\n"
		    "INTERCOM_PAGE=1\n"
		    "INTERCOM_HEARD_ALL=0\n"
		    "INTERCOM_HEARD_PARTLY=0\n"
		    "INTERCOM_UNHEARD=1\n"
		    "INTERCOM_UNREPORTED=0\n"
		    "INTERCOM_LOUDSPEAKER=gym (127.0.0.1): unheard, the card "
		    "is busy\n");
}
END_TEST

TEST(a_page_of_nobody_has_no_loudspeakers)
{
	const uint64_t begin = now_usec();

	journal = true;
	play();
	while (!*fields)
		turn(begin);
	ck_assert_ptr_nonnull(
	    strstr(fields, "MESSAGE=Page 1: no loudspeaker was on the air\n"));
	ck_assert_ptr_null(strstr(fields, "INTERCOM_LOUDSPEAKER"));
}
END_TEST

TEST(without_a_journal_it_is_a_line)
{
	struct capture capture = capture_begin(STDERR_FILENO);

	journal = false;
	page_is_heard();
	capture_end(capture, text, sizeof(text));
	ck_assert_ptr_nonnull(
	    strstr(text, "Page 1: gym (127.0.0.1): the card is busy\n"));
	ck_assert_str_eq(fields, "");
}
END_TEST
