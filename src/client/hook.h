/* SPDX-License-Identifier: MIT
 * A command to run before or after a page (--before, --after): run by /bin/sh
 * with the facts of the page in its environment, killed after 5 s. One at a
 * time; the loop never waits for it to end. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct hook_facts {
	const char *server;  /* INTERCOM_SERVER */
	const char *format;  /* INTERCOM_FORMAT */
	const char *seconds; /* INTERCOM_SECONDS */
	const char *result;  /* INTERCOM_RESULT */
	const char *heard;   /* INTERCOM_HEARD */
};

/* All zero: no hook is running. */
struct hook {
	pid_t pid;
	const char *name;
	uint64_t limit_usec; /* when it is killed */
};

/* Starts COMMAND when no hook is running. NAME ("--before") is for the log and
 * must outlive the hook; COMMAND and FACTS need not. A failure is logged, and
 * then hook_running() is false. */
void hook_start(struct hook *hook, const char *name, const char *command,
		const struct hook_facts *facts, uint64_t now_usec);

/* True while the hook runs. Reaps a hook that has ended (SIGCHLD says when) and
 * kills one that has run into its limit; logs either, unless it succeeded. */
bool hook_running(struct hook *hook, uint64_t now_usec);

/* When to call hook_running() at the latest, UINT64_MAX when no hook runs. */
uint64_t hook_deadline(const struct hook *hook);

/* Kills a running hook with everything that it has started. The process must
 * not have other children. */
void hook_kill(struct hook *hook);
