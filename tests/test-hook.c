/* SPDX-License-Identifier: MIT
 * Hooks, with real shells. The clock is the test's, so that a limit passes
 * without waiting. */
#include "client/hook.h"

#include <poll.h>
#include <sys/wait.h>

#include "base/log.h"
#include "test.h"

#define SECOND UINT64_C(1000000)

static const struct hook_facts facts = {
    .server = "attic:2348",
    .format = "S16_LE 44100 Hz 2 channels",
    .seconds = "5.000",
    .result = "complete",
    .heard = "4.000",
};
static struct hook hook;
static int out; /* what the hook prints */

/* The hook inherits fd 9, a pipe to the test. */
static void setup(void)
{
	int fds[2];

	log_set_level(LOG_EMERG);
	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	out = fcntl(fds[0], F_DUPFD_CLOEXEC, 20);
	ck_assert_int_ge(out, 0);
	close(fds[0]);
	ck_assert_int_eq(dup2(fds[1], 9), 9);
	close(fds[1]);
	hook = (struct hook){0};
}

static void teardown(void)
{
	hook_kill(&hook);
	close(out);
	close(9);
}

FIXTURE(setup, teardown);
TIME_LIMIT(60);

/* All that the hook and its children print until the last one has ended. */
static const char *printed(void)
{
	static char text[512];
	size_t used = 0;
	ssize_t n;

	close(9);
	while ((n = read(out, text + used, sizeof(text) - 1 - used)) > 0)
		used += (size_t)n;
	ck_assert_int_eq(n, 0);
	text[used] = '\0';
	return text;
}

static void start(const char *command)
{
	hook_start(&hook, "--before", command, &facts, SECOND);
}

TEST(facts_are_in_the_environment)
{
	setenv("INTERCOM_RESULT", "old", 1);
	setenv("OTHER", "kept", 1);
	start("echo \"$INTERCOM_SERVER|$INTERCOM_FORMAT|$INTERCOM_SECONDS|"
	      "$INTERCOM_RESULT|$INTERCOM_HEARD|$OTHER\" >&9");
	ck_assert_str_eq(
	    printed(),
	    "attic:2348|S16_LE 44100 Hz 2 channels|5.000|complete|4.000|"
	    "kept\n");
}

TEST(text_of_a_fact_is_no_command)
{
	static const struct hook_facts evil = {"$(echo evil)", "`id`", ";", "",
					       ""};

	hook_start(&hook, "--before", "echo \"$INTERCOM_SERVER\" >&9", &evil,
		   SECOND);
	ck_assert_str_eq(printed(), "$(echo evil)\n");
}

TEST(end_is_seen)
{
	start("exit 0");
	printed();
	/* The shell closes the pipe a moment before it can be reaped. */
	while (hook_running(&hook, SECOND))
		;
	ck_assert_uint_eq(hook_deadline(&hook), UINT64_MAX);
}

TEST(one_that_hangs_is_killed_with_its_children)
{
	start("sleep 1000 & sleep 1000");
	ck_assert(hook_running(&hook, SECOND));
	ck_assert_uint_eq(hook_deadline(&hook), 6 * SECOND);
	ck_assert(hook_running(&hook, 6 * SECOND - 1));
	ck_assert(!hook_running(&hook, 6 * SECOND));
	/* Returns only when both processes have closed the pipe. */
	printed();
	ck_assert(!hook_running(&hook, 7 * SECOND));
}

/* In sessions of their own, orphans, and orphans of those. */
TEST(one_that_hangs_is_killed_with_what_has_left_its_group)
{
	start("setsid sleep 1000 & (setsid sh -c 'sleep 1000 & setsid sleep "
	      "1000 & sleep 1000' &) ; setsid -f sleep 1000; echo >&9; "
	      "sleep 1000");
	ck_assert_int_eq(read(out, (char[1]){0}, 1), 1);
	ck_assert(!hook_running(&hook, 6 * SECOND));
	printed();
	/* None is left to be waited for. */
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
}

TEST(what_a_hook_leaves_behind_when_it_ends_goes_on)
{
	start("(sleep 0.3; echo later >&9) &");
	while (hook_running(&hook, SECOND))
		;
	hook_start(&hook, "--after", "sleep 1000", &facts, SECOND);
	ck_assert(!hook_running(&hook, 6 * SECOND));
	ck_assert_str_eq(printed(), "later\n");
}

TEST(signals_that_the_client_does_not_want_work_in_a_hook)
{
	sigset_t mask;

	sigemptyset(&mask);
	sigaddset(&mask, SIGTERM);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	signal(SIGCHLD, SIG_IGN);
	start(
	    "sh -c 'kill -TERM $$; echo lives >&9'; echo $? >&9; "
	    "sh -c 'kill -PIPE $$; echo lives >&9'; echo $? >&9; "
	    "ulimit -c 0; sh -c 'kill -XFSZ $$; echo lives >&9'; echo $? >&9");
	ck_assert_str_eq(printed(), "143\n141\n153\n");
	signal(SIGCHLD, SIG_DFL);
}

TEST(killing_nothing_is_fine)
{
	hook_kill(&hook);
	ck_assert(!hook_running(&hook, 0));
}
