/* SPDX-License-Identifier: MIT
 * Threads are started with their name and without signals, or not at all. */
#include "base/thread.h"

#include <stdatomic.h>
#include <stdint.h>

#include "test.h"

static int go[2]; /* what a thread waits for */
static atomic_int handled_by, calls;

static void setup(void)
{
	ck_assert_int_eq(pipe(go), 0);
	handled_by = calls = 0;
}

static void teardown(void)
{
	go[0] = fd_close(go[0]);
	go[1] = fd_close(go[1]);
}

FIXTURE(setup, teardown);

static void *count_call(void *userdata)
{
	calls++;
	return userdata;
}

/* The thread runs until the pipe is closed. */
static void *wait_for_end(void *userdata)
{
	char byte;

	(void)read(go[0], &byte, 1);
	return userdata;
}

static void *get_mask(void *userdata)
{
	pthread_sigmask(SIG_SETMASK, NULL, userdata);
	return NULL;
}

static void on_signal(int signal)
{
	handled_by = gettid();
}

TEST(body_gets_the_userdata_and_is_joined)
{
	pthread_t thread;
	void *back = NULL;
	int data;

	ck_assert_int_eq(thread_start(&thread, "test", count_call, &data), 0);
	ck_assert_int_eq(pthread_join(thread, &back), 0);
	ck_assert_ptr_eq(back, &data);
	ck_assert_int_eq(calls, 1);
}

TEST(every_signal_is_blocked_in_it)
{
	pthread_t thread;
	sigset_t mask;

	sigemptyset(&mask);
	ck_assert_int_eq(thread_start(&thread, "test", get_mask, &mask), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	for (int i = 1; i <= SIGRTMAX; i++) {
		/* The C library reserves the signals just below SIGRTMIN. */
		if (i == SIGKILL || i == SIGSTOP ||
		    (i > SIGSYS && i < SIGRTMIN))
			continue;
		ck_assert_msg(sigismember(&mask, i) == 1, "signal %d", i);
	}
}

TEST(mask_of_the_starter_stays)
{
	pthread_t thread;
	sigset_t mask, old;

	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR2);
	pthread_sigmask(SIG_SETMASK, &mask, &old);
	ck_assert_int_eq(thread_start(&thread, "test", count_call, NULL), 0);
	pthread_sigmask(SIG_SETMASK, &old, &mask);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_int_eq(sigismember(&mask, SIGUSR2), 1);
	ck_assert_int_eq(sigismember(&mask, SIGUSR1), 0);
	ck_assert_int_eq(sigismember(&mask, SIGTERM), 0);
}

TEST(signals_of_the_process_go_to_the_starter)
{
	const struct sigaction action = {.sa_handler = on_signal};
	pthread_t threads[4];

	ck_assert_int_eq(sigaction(SIGUSR1, &action, NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		ck_assert_int_eq(
		    thread_start(&threads[i], "test", wait_for_end, NULL), 0);
	for (int i = 0; i < 100; i++) {
		handled_by = 0;
		ck_assert_int_eq(kill(getpid(), SIGUSR1), 0);
		/* A signal not blocked here arrives before kill() returns. */
		ck_assert_int_eq(handled_by, gettid());
	}
	go[1] = fd_close(go[1]);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
}

TEST(thread_has_its_name)
{
	static const struct {
		const char *given, *shown;
	} cases[] = {
	    {"microphone", "microphone"},
	    {"123456789012345", "123456789012345"},
	    {"", ""},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		pthread_t thread;
		char name[64];

		ck_assert_int_eq(
		    thread_start(&thread, cases[i].given, wait_for_end, NULL),
		    0);
		ck_assert_int_eq(pthread_getname_np(thread, name, sizeof(name)),
				 0);
		ck_assert_str_eq(name, cases[i].shown);
		ck_assert_int_eq(write(go[1], "x", 1), 1);
		ck_assert_int_eq(pthread_join(thread, NULL), 0);
	}
}

TEST(name_that_is_too_long_is_only_not_shown)
{
	pthread_t thread;

	ck_assert_int_eq(
	    thread_start(&thread, "1234567890123456", count_call, NULL), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_int_eq(calls, 1);
}

/* Asks for a larger stack than any machine has room for. */
TEST(thread_that_cannot_be_has_seen_nothing)
{
	const pthread_t nobody = pthread_self();
	pthread_t thread = nobody;
	pthread_attr_t attributes;
	sigset_t mask;

	ck_assert_int_eq(pthread_attr_init(&attributes), 0);
	ck_assert_int_eq(
	    pthread_attr_setstacksize(&attributes, SIZE_MAX / 4 * 3), 0);
	ck_assert_int_eq(pthread_setattr_default_np(&attributes), 0);
	ck_assert_int_eq(thread_start(&thread, "test", count_call, NULL),
			 -EAGAIN);
	ck_assert(pthread_equal(thread, nobody));
	ck_assert_int_eq(calls, 0);
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	ck_assert_int_eq(sigismember(&mask, SIGTERM), 0);
	pthread_attr_destroy(&attributes);
}
