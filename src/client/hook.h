/* SPDX-License-Identifier: MIT
 * A command that the user wants run around a page (--before, --after): started
 * by /bin/sh, told the facts in its environment, ended when it takes too long.
 * One at a time; never waited for in the loop. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct hook_facts {
	const char *server;  /* INTERCOM_SERVER */
	const char *format;  /* INTERCOM_FORMAT */
	const char *seconds; /* INTERCOM_SECONDS */
	const char *result;  /* INTERCOM_RESULT */
};

/* All zero: nothing runs. */
struct hook {
	pid_t pid;
	const char *name;
	uint64_t limit_usec; /* when it is killed */
};

/* Starts COMMAND; NAME ("--before") is for the log and must stay. Logs a
 * failure; a hook that cannot run is over at once. Nothing may be running. */
void hook_start(struct hook *hook, const char *name, const char *command,
		const struct hook_facts *facts, uint64_t now_usec);

/* Looks whether it has ended (SIGCHLD says when) and kills one that is over its
 * limit. True while one runs. */
bool hook_running(struct hook *hook, uint64_t now_usec);

/* When to look again, UINT64_MAX when nothing runs. */
uint64_t hook_deadline(const struct hook *hook);

/* Kills what runs, with all that it started. */
void hook_kill(struct hook *hook);
