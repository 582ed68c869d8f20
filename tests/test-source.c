/* SPDX-License-Identifier: MIT
 * A source: the thread that sends, and the loop's side that reads and stops it.
 */
#include "audio/source.h"

#include <poll.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include "test.h"

enum {
	PATIENCE_MS = 30000,
	SAMPLES_SIZE = 300000, /* more than the socket holds */
};

static const struct wav_format cd = {WAV_PCM, 16, 2, 44100};
static uint8_t samples[SAMPLES_SIZE], heard[SAMPLES_SIZE];
static struct source *source;
static atomic_int freed;

static void setup(void)
{
	for (size_t i = 0; i < sizeof(samples); i++)
		samples[i] = (uint8_t)(i * 7 + i / 251);
	atomic_store(&freed, 0);
}

static void teardown(void)
{
	source = source_free(source);
}

FIXTURE(setup, teardown);

static void note_freed(void *userdata)
{
	atomic_fetch_add(&freed, 1);
}

static void start(void (*body)(void *userdata, int fd))
{
	ck_assert_int_eq(
	    source_start(&source, "test", body, note_freed, samples), 0);
}

static void wait_for(short events)
{
	struct pollfd fd = {.fd = source_fd(source), .events = events};

	ck_assert_int_eq(poll(&fd, 1, PATIENCE_MS), 1);
}

static int next_message(struct source_message *message)
{
	int r;

	while ((r = source_next(source, message)) == -EAGAIN)
		wait_for(POLLIN);
	return r;
}

static void read_samples(size_t size)
{
	size_t have = 0;

	while (have < size) {
		ssize_t n = source_read_samples(source, heard + have,
						sizeof(heard) - have);

		if (n == -EAGAIN) {
			wait_for(POLLIN);
			continue;
		}
		ck_assert_int_gt(n, 0);
		have += (size_t)n;
	}
	ck_assert_uint_eq(have, size);
}

/* --- bodies --- */

static void send_all_kinds(void *userdata, int fd)
{
	const struct source_message opened = {
	    .type = SOURCE_OPENED,
	    .u.opened = {.format = cd,
			 .period_frames = 1024,
			 .size = SAMPLES_SIZE},
	};
	const struct source_message gap = {
	    .type = SOURCE_GAP,
	    .u.gap.frames = 77,
	};

	if (source_send(fd, &opened) == 0 &&
	    source_send_samples(fd, userdata, SAMPLES_SIZE) == 0 &&
	    source_send(fd, &gap) == 0)
		(void)source_send_reason(fd, SOURCE_ENDED, -ENODEV,
					 "Card %d is gone", 3);
}

static void send_for_ever(void *userdata, int fd)
{
	while (source_send_samples(fd, userdata, SAMPLES_SIZE) == 0)
		;
}

static void wait_until_stopped(void *userdata, int fd)
{
	struct pollfd wait = {.fd = fd, .events = POLLRDHUP};

	while (!source_stopped(fd))
		(void)poll(&wait, 1, 10);
}

static void send_nothing(void *userdata, int fd)
{
}

static void tell_blocked_signals(void *userdata, int fd)
{
	sigset_t blocked;

	pthread_sigmask(SIG_SETMASK, NULL, &blocked);
	(void)source_send_reason(fd, SOURCE_ENDED,
				 sigismember(&blocked, SIGTERM) ? -EINTR : 0,
				 "%s", "");
}

static void wait_twice(void *userdata, int fd)
{
	if (source_prepared(fd, 441) == 0 &&
	    source_send_reason(fd, SOURCE_BUSY, -EBUSY, "%s", "later") == 0 &&
	    source_wait(fd) == 0)
		(void)source_send_reason(fd, SOURCE_ENDED, 0, "%s", "");
}

/* --- tests --- */

TEST(messages_and_samples_come_in_order)
{
	struct source_message message;

	start(send_all_kinds);
	ck_assert_int_eq(next_message(&message), 1);
	ck_assert_int_eq(message.type, SOURCE_OPENED);
	ck_assert(wav_format_equal(&message.u.opened.format, &cd));
	ck_assert_uint_eq(message.u.opened.period_frames, 1024);
	ck_assert_uint_eq(message.u.opened.size, SAMPLES_SIZE);
	ck_assert_int_eq(next_message(&message), 1);
	ck_assert_int_eq(message.type, SOURCE_SAMPLES);
	ck_assert_uint_eq(message.u.samples.size, SAMPLES_SIZE);
	read_samples(SAMPLES_SIZE);
	ck_assert_mem_eq(heard, samples, SAMPLES_SIZE);
	ck_assert_int_eq(next_message(&message), 1);
	ck_assert_int_eq(message.type, SOURCE_GAP);
	ck_assert_uint_eq(message.u.gap.frames, 77);
	ck_assert_int_eq(next_message(&message), 1);
	ck_assert_int_eq(message.type, SOURCE_ENDED);
	ck_assert_int_eq(message.u.ended.error, -ENODEV);
	ck_assert_str_eq(message.u.ended.reason, "Card 3 is gone");
	ck_assert_int_eq(next_message(&message), 0);
}

TEST(no_more_samples_are_read_than_were_announced)
{
	struct source_message message;

	start(send_all_kinds);
	ck_assert_int_eq(next_message(&message), 1);
	ck_assert_int_eq(source_read_samples(source, heard, sizeof(heard)), 0);
	ck_assert_int_eq(next_message(&message), 1);
	read_samples(SAMPLES_SIZE);
	ck_assert_int_eq(source_read_samples(source, heard, sizeof(heard)), 0);
	ck_assert_int_eq(next_message(&message), 1);
	ck_assert_int_eq(message.type, SOURCE_GAP);
}

TEST(a_thread_that_blocks_in_sending_is_stopped)
{
	start(send_for_ever);
	wait_for(POLLIN);
	source_stop(source);
	wait_for(0); /* POLLHUP comes unasked */
	ck_assert_int_eq(atomic_load(&freed), 1);
}

TEST(a_thread_that_sends_nothing_sees_that_it_is_stopped)
{
	start(wait_until_stopped);
	source_stop(source);
	wait_for(0);
	source = source_free(source);
	ck_assert_int_eq(atomic_load(&freed), 1);
}

TEST(freeing_stops_and_waits)
{
	start(send_for_ever);
	source = source_free(source);
	ck_assert_ptr_null(source);
	ck_assert_int_eq(atomic_load(&freed), 1);
}

TEST(a_thread_that_ends_without_a_word_is_the_end)
{
	struct source_message message;

	start(send_nothing);
	ck_assert_int_eq(next_message(&message), 0);
}

TEST(a_long_reason_is_cut)
{
	struct source_message message;
	char text[400];
	int fds[2];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	ck_assert_int_eq(
	    source_send_reason(fds[0], SOURCE_ENDED, -EIO, "%s", text), 0);
	ck_assert_int_eq(read(fds[1], &message, sizeof(message)),
			 (ssize_t)sizeof(message));
	ck_assert_uint_eq(strlen(message.u.ended.reason),
			  sizeof(message.u.ended.reason) - 1);
	close(fds[1]);
	ck_assert_int_eq(
	    source_send_reason(fds[0], SOURCE_ENDED, -EIO, "%s", text), -EPIPE);
	close(fds[0]);
}

TEST(signals_are_for_the_loop)
{
	struct source_message message;

	start(tell_blocked_signals);
	ck_assert_int_eq(next_message(&message), 1);
	ck_assert_int_eq(message.u.ended.error, -EINTR);
}

TEST(a_thread_waits_until_it_may_go_on)
{
	struct source_message message;

	start(wait_twice);
	ck_assert_int_eq(next_message(&message), 1);
	ck_assert_int_eq(message.type, SOURCE_PREPARED);
	ck_assert_uint_eq(message.u.prepared.chime_frames, 441);
	ck_assert_int_eq(source_next(source, &message), -EAGAIN);
	source_go(source);
	ck_assert_int_eq(next_message(&message), 1);
	ck_assert_int_eq(message.type, SOURCE_BUSY);
	ck_assert_str_eq(message.u.ended.reason, "later");
	source_go(source);
	ck_assert_int_eq(next_message(&message), 1);
	ck_assert_int_eq(message.type, SOURCE_ENDED);
}

TEST(a_thread_that_waits_is_stopped)
{
	struct source_message message;

	start(wait_twice);
	ck_assert_int_eq(next_message(&message), 1);
	source_stop(source);
	wait_for(0);
	ck_assert_int_eq(atomic_load(&freed), 1);
}
