/* SPDX-License-Identifier: MIT */
#include "base/ending.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

static void end_well(int signal_number)
{
	_exit(EXIT_SUCCESS);
}

static void end_badly(int signal_number)
{
	_exit(EXIT_FAILURE);
}

void ending_begin(int status)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGALRM};
	const struct sigaction action = {
	    .sa_handler = status == EXIT_SUCCESS ? end_well : end_badly,
	};
	sigset_t mask;

	sigemptyset(&mask);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		sigaction(signals[i], &action, NULL);
		sigaddset(&mask, signals[i]);
	}
	alarm(ENDING_SECONDS);
	sigprocmask(SIG_UNBLOCK, &mask, NULL);
}
