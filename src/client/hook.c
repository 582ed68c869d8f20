/* SPDX-License-Identifier: MIT
 * The child has a process group of its own, so that killing it also kills the
 * processes it started. */
#include "client/hook.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "base/log.h"
#include "base/util.h"

enum { HOOK_LIMIT_S = 5, HOOK_FACTS = 4 };

static void free_environment(char **env)
{
	for (size_t i = 0; env && i < HOOK_FACTS; i++)
		free(env[i]);
	free(env);
}

/* The facts, and then the environment of this process without its INTERCOM_
 * variables. The array owns the facts only. NULL when out of memory. */
static char **make_environment(const struct hook_facts *facts)
{
	size_t count = 0, used = HOOK_FACTS;
	char **env;

	while (environ[count])
		count++;
	env = calloc(HOOK_FACTS + count + 1, sizeof(*env));
	if (!env)
		return NULL;
	if (asprintf(&env[0], "INTERCOM_SERVER=%s", facts->server) < 0 ||
	    asprintf(&env[1], "INTERCOM_FORMAT=%s", facts->format) < 0 ||
	    asprintf(&env[2], "INTERCOM_SECONDS=%s", facts->seconds) < 0 ||
	    asprintf(&env[3], "INTERCOM_RESULT=%s", facts->result) < 0) {
		free_environment(env);
		return NULL;
	}
	for (size_t i = 0; i < count; i++)
		if (strncmp(environ[i], "INTERCOM_", 9) != 0)
			env[used++] = environ[i];
	return env;
}

static int spawn(pid_t *ret, const char *command, char **env)
{
	char *const argv[] = {(char *)"sh", (char *)"-c", (char *)command,
			      NULL};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none, defaults;
	int r;

	if (posix_spawn_file_actions_init(&actions) != 0)
		return -ENOMEM;
	if (posix_spawnattr_init(&attributes) != 0) {
		posix_spawn_file_actions_destroy(&actions);
		return -ENOMEM;
	}
	sigemptyset(&none);
	sigemptyset(&defaults);
	sigaddset(&defaults, SIGPIPE);
	sigaddset(&defaults, SIGXFSZ);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &defaults);
	posix_spawnattr_setpgroup(&attributes, 0);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK |
						  POSIX_SPAWN_SETSIGDEF |
						  POSIX_SPAWN_SETPGROUP);
	r = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO,
					     "/dev/null", O_RDONLY, 0);
	if (r == 0)
		r = posix_spawn(ret, "/bin/sh", &actions, &attributes, argv,
				env);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return -r;
}

void hook_start(struct hook *hook, const char *name, const char *command,
		const struct hook_facts *facts, uint64_t now_usec)
{
	char **env = make_environment(facts);
	pid_t pid;
	int r = -ENOMEM;

	assert(hook->pid == 0);
	if (env)
		r = spawn(&pid, command, env);
	free_environment(env);
	if (r < 0) {
		log_warning("Cannot run %s '%s': %s", name, command,
			    strerror(-r));
		return;
	}
	*hook = (struct hook){
	    .pid = pid,
	    .name = name,
	    .limit_usec = now_usec + HOOK_LIMIT_S * USEC_PER_SEC,
	};
}

static void log_end(const struct hook *hook, int status)
{
	if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
		log_warning("%s ended with status %d", hook->name,
			    WEXITSTATUS(status));
	else if (WIFSIGNALED(status))
		log_warning("%s was ended by signal %d (%s)", hook->name,
			    WTERMSIG(status), strsignal(WTERMSIG(status)));
}

bool hook_running(struct hook *hook, uint64_t now_usec)
{
	int status;
	pid_t pid;

	if (hook->pid == 0)
		return false;
	pid = waitpid(hook->pid, &status, WNOHANG);
	if (pid == 0 && now_usec < hook->limit_usec)
		return true;
	if (pid == 0) {
		log_warning("%s took longer than %d s and was killed",
			    hook->name, HOOK_LIMIT_S);
		hook_kill(hook);
		return false;
	}
	if (pid > 0)
		log_end(hook, status);
	*hook = (struct hook){0};
	return false;
}

uint64_t hook_deadline(const struct hook *hook)
{
	return hook->pid ? hook->limit_usec : UINT64_MAX;
}

void hook_kill(struct hook *hook)
{
	if (hook->pid == 0)
		return;
	kill(-hook->pid, SIGKILL);
	/* SIGKILL cannot be refused, so this does not wait for long. */
	TEMP_FAILURE_RETRY(waitpid(hook->pid, NULL, 0));
	*hook = (struct hook){0};
}
