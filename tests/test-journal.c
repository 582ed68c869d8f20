/* SPDX-License-Identifier: MIT
 * The client's messages about its pages, on stderr and to a journal whose
 * socket the test holds. */
#include "client/journal.h"

#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include "base/log.h"
#include "capture.h"
#include "test.h"

#define SOCKET "/run/systemd/journal/socket"

enum { TEXT_SIZE = 8192 };

static int journal[2]; /* to write to, to read from; -1: no journal runs */
static char text[TEXT_SIZE];

static const struct journal_page page = {
    .server = "lobby:2348",
    .format = {WAV_PCM, 16, 2, 44100},
    .data_size = 44100 * 4 * 5 / 2,
    .result = "cut-short",
    .received_frames = 66150,
    .heard_frames = 66150,
    .xruns = 1,
    .starvations = 2,
    .starved_ms = 3,
    .dropped_ms = 4,
    .card_losses = 5,
    .latency_ms = 99.96,
};

/* Replaces libc's: messages to the journal of the machine, which need not have
 * one, go to the test. */
ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
	const struct sockaddr_un *to = message->msg_name;
	struct msghdr ours = *message;

	ck_assert_str_eq(to->sun_path, SOCKET);
	ours.msg_name = NULL;
	ours.msg_namelen = 0;
	return (ssize_t)syscall(SYS_sendmsg, journal[0], &ours, flags);
}

int connect(int fd, const struct sockaddr *address, socklen_t size)
{
	const struct sockaddr_un *to = (const void *)address;

	ck_assert_str_eq(to->sun_path, SOCKET);
	errno = ENOENT;
	return journal[0] < 0 ? -1 : dup2(journal[0], fd) - fd;
}

static void setup(void)
{
	journal[0] = journal[1] = -1;
	unsetenv("JOURNAL_STREAM");
	log_set_level(LOG_INFO);
}

static void teardown(void)
{
	journal[0] = fd_close(journal[0]);
	journal[1] = fd_close(journal[1]);
}

FIXTURE(setup, teardown);

static void start_journal(void)
{
	ck_assert_int_eq(socketpair(AF_UNIX,
				    SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
				    0, journal),
			 0);
}

/* The next event, one line for each field; NULL when there is none. */
static const char *received(void)
{
	const ssize_t n = recv(journal[1], text, sizeof(text) - 1, 0);

	if (n < 0)
		return NULL;
	text[n] = '\0';
	return text;
}

/* The text that TELL writes to stderr. */
static const char *told(void (*tell)(const struct journal_page *told_page),
			const struct journal_page *told_page)
{
	struct capture capture = capture_begin(STDERR_FILENO);

	tell(told_page);
	capture_end(capture, text, sizeof(text));
	return text;
}

/* The same when stderr is a stream of the journal. */
static const char *
told_journal(void (*tell)(const struct journal_page *told_page),
	     const struct journal_page *told_page)
{
	struct capture capture = capture_begin(STDERR_FILENO);
	struct stat st;
	char stream[64];

	ck_assert_int_eq(fstat(STDERR_FILENO, &st), 0);
	snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)st.st_dev,
		 (uintmax_t)st.st_ino);
	setenv("JOURNAL_STREAM", stream, 1);
	tell(told_page);
	capture_end(capture, text, sizeof(text));
	return text;
}

/* --- words --- */

TEST(format_is_in_words)
{
	static const struct {
		struct wav_format format;
		const char *words;
	} cases[] = {
	    {{WAV_PCM, 16, 2, 44100}, "S16_LE 44100 Hz 2 channels"},
	    {{WAV_PCM, 8, 1, WAV_RATE_MIN}, "U8 4000 Hz 1 channel"},
	    {{WAV_PCM, 24, WAV_CHANNELS_MAX, WAV_RATE_MAX},
	     "S24_3LE 384000 Hz 32 channels"},
	    {{WAV_FLOAT, 32, 1, 48000}, "FLOAT_LE 48000 Hz 1 channel"},
	    {{WAV_MULAW, 8, 3, 8000}, "MU_LAW 8000 Hz 3 channels"},
	};
	char words[JOURNAL_FORMAT_SIZE];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		journal_format(&cases[i].format, words);
		ck_assert_str_eq(words, cases[i].words);
	}
}

/* --- stderr --- */

TEST(beginning_states_the_length)
{
	static const struct {
		uint64_t data_size;
		const char *length;
	} cases[] = {
	    {0, "0.00 s"},
	    {44100 * 4 * 5 / 2, "2.50 s"},
	    {WAV_DATA_SIZE_MAX, "24347.89 s"},
	    {WAV_ENDLESS, "no stated end"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct journal_page told_page = page;
		char line[256];

		told_page.data_size = cases[i].data_size;
		snprintf(line, sizeof(line),
			 "%s: Page from lobby:2348 begins: "
			 "S16_LE 44100 Hz 2 channels, %s\n",
			 program_invocation_short_name, cases[i].length);
		ck_assert_str_eq(told(journal_begin, &told_page), line);
	}
}

TEST(end_tells_what_there_was)
{
	char line[512];

	snprintf(line, sizeof(line),
		 "%s: Page from lobby:2348 ended (cut-short): 66150 frames "
		 "(1.50 s), latency 100.0 ms, 1 xrun, 2 starvations (3 ms), "
		 "4 ms dropped, 5 card losses\n",
		 program_invocation_short_name);
	ck_assert_str_eq(told(journal_end, &page), line);
}

TEST(page_on_schedule_tells_how_far_from_it_it_was)
{
	struct journal_page in_step = page;

	in_step.sync_us = 85;
	ck_assert_ptr_nonnull(strstr(told(journal_end, &in_step),
				     "latency 100.0 ms, in step within 85 us, "
				     "1 xrun, "));
	start_journal();
	ck_assert_str_eq(told_journal(journal_end, &in_step), "");
	ck_assert_ptr_nonnull(strstr(received(), "INTERCOM_SYNC_US=85\n"));
}

TEST(what_was_not_heard_is_told)
{
	struct journal_page half = page;
	const char *event;

	half.heard_frames = 22050;
	check_line(told(journal_end, &half),
		   (const char *const[]){
		       "66150 frames (1.50 s, 0.50 s heard), ", NULL});
	start_journal();
	ck_assert_str_eq(told_journal(journal_end, &half), "");
	event = received();
	ck_assert_ptr_nonnull(event);
	ck_assert_ptr_nonnull(strstr(event, "\nINTERCOM_HEARD=0.500\n"));
}

TEST(what_has_not_sounded_has_no_latency)
{
	struct journal_page unheard = page;
	const char *event;

	unheard.heard_frames = unheard.latency_ms = 0;
	check_line(told(journal_end, &unheard),
		   (const char *const[]){"0.00 s heard), 1 xrun", NULL});
	start_journal();
	ck_assert_str_eq(told_journal(journal_end, &unheard), "");
	event = received();
	ck_assert_ptr_nonnull(event);
	ck_assert_ptr_null(strstr(event, "LATENCY"));
}

TEST(largest_numbers_fit)
{
	const struct journal_page longest = {
	    .server = "s",
	    .format = {WAV_FLOAT, 32, WAV_CHANNELS_MAX, WAV_RATE_MIN},
	    .data_size = WAV_ENDLESS - 1,
	    .result = "taken-over",
	    .received_frames = UINT64_MAX,
	    .heard_frames = UINT64_MAX,
	    .xruns = UINT64_MAX,
	    .starvations = UINT64_MAX,
	    .starved_ms = UINT64_MAX,
	    .sync_us = UINT64_MAX,
	    .dropped_ms = UINT64_MAX,
	    .card_losses = UINT64_MAX,
	    .latency_ms = 1e15,
	};

	check_line(told(journal_begin, &longest),
		   (const char *const[]){" s begins: ", " s\n", NULL});
	check_line(told(journal_end, &longest),
		   (const char *const[]){"18446744073709551615 ms dropped, "
					 "18446744073709551615 card losses\n",
					 NULL});
}

TEST(quiet_clients_tell_nothing)
{
	log_set_level(LOG_NOTICE);
	ck_assert_str_eq(told(journal_begin, &page), "");
	ck_assert_str_eq(told(journal_end, &page), "");
	start_journal();
	ck_assert_str_eq(told_journal(journal_begin, &page), "");
	ck_assert_str_eq(told_journal(journal_end, &page), "");
	ck_assert_ptr_null(received());
}

TEST(name_of_a_server_is_no_second_line)
{
	struct journal_page told_page = page;
	char name[2000];

	told_page.server = "a\nb\033c";
	check_line(told(journal_begin, &told_page),
		   (const char *const[]){"Page from a?b?c begins", NULL});
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	told_page.server = name;
	check_line(told(journal_begin, &told_page),
		   (const char *const[]){"Page from nnn", NULL});
	check_line(told(journal_end, &told_page),
		   (const char *const[]){"Page from nnn", NULL});
}

/* --- the journal --- */

TEST(journal_gets_the_fields_of_a_beginning)
{
	char event[1024];

	start_journal();
	ck_assert_str_eq(told_journal(journal_begin, &page), "");
	snprintf(event, sizeof(event),
		 "MESSAGE=Page from lobby:2348 begins: "
		 "S16_LE 44100 Hz 2 channels, 2.50 s\n"
		 "PRIORITY=6\n"
		 "INTERCOM_EVENT=page-begin\n"
		 "INTERCOM_SERVER=lobby:2348\n"
		 "INTERCOM_FORMAT=S16_LE 44100 Hz 2 channels\n"
		 "SYSLOG_IDENTIFIER=%s\n",
		 program_invocation_short_name);
	ck_assert_str_eq(received(), event);
	ck_assert_ptr_null(received());
}

TEST(journal_gets_the_fields_of_an_end)
{
	static const char fields[] = "PRIORITY=6\n"
				     "INTERCOM_EVENT=page-end\n"
				     "INTERCOM_SERVER=lobby:2348\n"
				     "INTERCOM_FORMAT=S16_LE 44100 Hz "
				     "2 channels\n"
				     "INTERCOM_RESULT=cut-short\n"
				     "INTERCOM_SECONDS=1.500\n"
				     "INTERCOM_FRAMES=66150\n"
				     "INTERCOM_XRUNS=1\n"
				     "INTERCOM_STARVATIONS=2\n"
				     "INTERCOM_STARVED_MS=3\n"
				     "INTERCOM_DROPPED_MS=4\n"
				     "INTERCOM_CARD_LOSSES=5\n"
				     "INTERCOM_HEARD=1.500\n"
				     "INTERCOM_LATENCY_MS=100.0\n";
	const char *event, *rest;

	start_journal();
	ck_assert_str_eq(told_journal(journal_end, &page), "");
	event = received();
	ck_assert_ptr_nonnull(event);
	ck_assert_ptr_nonnull(
	    strstr(event, "MESSAGE=Page from lobby:2348 ended (cut-short)"));
	rest = strstr(event, "PRIORITY");
	ck_assert_ptr_nonnull(rest);
	ck_assert_mem_eq(rest, fields, sizeof(fields) - 1);
	ck_assert_ptr_null(received());
}

TEST(stderr_that_is_not_the_journals_gets_the_line)
{
	start_journal();
	setenv("JOURNAL_STREAM", "1:1", 1);
	check_line(told(journal_begin, &page),
		   (const char *const[]){": Page from lobby:2348", NULL});
	ck_assert_ptr_null(received());
}

TEST(journal_that_does_not_read_is_not_waited_for)
{
	start_journal();
	while (send(journal[0], "", 1, MSG_DONTWAIT) == 1)
		;
	ck_assert_int_eq(errno, EAGAIN);
	check_line(told_journal(journal_begin, &page),
		   (const char *const[]){"<6>Page from lobby:2348", NULL});
}

TEST(journal_that_does_not_answer_loses_no_line)
{
	ck_assert_str_eq(told_journal(journal_begin, &page),
			 "<6>Page from lobby:2348 begins: "
			 "S16_LE 44100 Hz 2 channels, 2.50 s\n");
	check_line(told_journal(journal_end, &page),
		   (const char *const[]){"<6>Page from lobby:2348 ended",
					 "5 card losses\n", NULL});
}
