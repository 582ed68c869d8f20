/* SPDX-License-Identifier: MIT
 * The child adopts its own orphans, so that killing it reaches all that it has
 * started. */
#include "client/hook.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "base/log.h"
#include "base/util.h"

enum {
	HOOK_LIMIT_S = 5,
	HOOK_FACTS = 5,
	KILL_ROUNDS = 100,
};

/* Nobody else forbids /bin/sh. */
static const char sandbox_hint[] =
    "; the unit's sandbox lets programs run only with ExecPaths=/usr/bin in a "
    "drop-in, see intercom-client(1), HOOKS";

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
	    asprintf(&env[3], "INTERCOM_RESULT=%s", facts->result) < 0 ||
	    asprintf(&env[4], "INTERCOM_HEARD=%s", facts->heard) < 0) {
		free_environment(env);
		return NULL;
	}
	for (size_t i = 0; i < count; i++)
		if (strncmp(environ[i], "INTERCOM_", 9) != 0)
			env[used++] = environ[i];
	return env;
}

/* In the child, after fork(): becomes the shell, with the signals as they are
 * by default. What a hook orphans stays its child (prctl(2)), also behind the
 * exec: so all of it is there to be killed. */
_Noreturn static void run(const char *command, char **env)
{
	static const int signals[] = {SIGPIPE, SIGXFSZ, SIGCHLD};
	const int fd = open("/dev/null", O_RDONLY);
	sigset_t none;

	(void)prctl(PR_SET_CHILD_SUBREAPER, 1);
	setpgid(0, 0);
	if (fd >= 0)
		dup2(fd, STDIN_FILENO);
	fd_close(fd);
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		signal(signals[i], SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execle("/bin/sh", "sh", "-c", command, NULL, env);
	_exit(127);
}

void hook_start(struct hook *hook, const char *name, const char *command,
		const struct hook_facts *facts, uint64_t now_usec)
{
	char **env;
	pid_t pid;

	assert(hook->pid == 0);
	if (access("/bin/sh", X_OK) < 0) {
		log_warning("Cannot run %s '%s': %s%s", name, command,
			    strerror(errno),
			    errno == EACCES ? sandbox_hint : "");
		return;
	}
	env = make_environment(facts);
	pid = env ? fork() : -1;
	if (pid == 0)
		run(command, env);
	free_environment(env);
	if (pid < 0) {
		log_warning("Cannot run %s '%s': %s", name, command,
			    strerror(errno));
		return;
	}
	setpgid(pid, pid); /* whichever comes first */
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

/* Kills what are children of this process. Whether there were any. */
static bool kill_children(void)
{
	bool any = false;
	glob_t tasks;

	if (glob("/proc/self/task/*/children", 0, NULL, &tasks) != 0)
		return false;
	for (size_t i = 0; i < tasks.gl_pathc; i++) {
		_cleanup_file_ FILE *file = fopen(tasks.gl_pathv[i], "re");
		_cleanup_free_ char *word = NULL;
		size_t size = 0;

		while (file && getdelim(&word, &size, ' ', file) > 0) {
			const long pid = strtol(word, NULL, 10);

			any = any || pid > 0;
			if (pid > 0)
				kill((pid_t)pid, SIGKILL);
		}
	}
	globfree(&tasks);
	return any;
}

static bool reap_children(void)
{
	bool any = false;

	while (waitpid(-1, NULL, WNOHANG) > 0)
		any = true;
	return any;
}

/* The hook's orphans become children of this process, generation after
 * generation; it has no others. */
void hook_kill(struct hook *hook)
{
	if (hook->pid == 0)
		return;
	(void)prctl(PR_SET_CHILD_SUBREAPER, 1);
	kill(-hook->pid, SIGKILL);
	/* One that the kernel holds (a disk that hangs) is not waited for. */
	for (int round = 0; round < KILL_ROUNDS && kill_children(); round++)
		if (!reap_children())
			(void)poll(NULL, 0, 1);
	(void)prctl(PR_SET_CHILD_SUBREAPER, 0);
	*hook = (struct hook){0};
}
