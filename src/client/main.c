/* SPDX-License-Identifier: MIT
 * intercom-client: reads the options, blocks the signals that the loop handles,
 * and mends partial files that a crash left behind. */
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>

#include "audio/cardstate.h"
#include "base/io.h"
#include "base/log.h"
#include "base/notify.h"
#include "base/options.h"
#include "base/util.h"
#include "client/client.h"
#include "client/options.h"
#include "client/saver.h"
#include "client/soundtest.h"
#include "wire/tls.h"

/* For the files, when the client ends; within ENDING_SECONDS. */
#define FILES_USEC (3 * USEC_PER_SEC)

/* A signalfd for the signals that the loop handles, or negative errno. */
static int open_signals(void)
{
	sigset_t mask;
	int fd;

	/* A broken pipe and a file at its size limit are errors to handle. */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	/* Ignored, it would not tell of a hook's end. */
	signal(SIGCHLD, SIG_DFL);
	sigemptyset(&mask);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGUSR1);
	sigaddset(&mask, SIGCHLD);
	if (sigprocmask(SIG_BLOCK, &mask, NULL) < 0)
		return -errno;
	fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

/* The test is the only server. 0 or an error, logged. */
static int begin_test(struct client_config *config, struct soundtest **ret)
{
	int r;

	if (!config->test)
		return 0;
	r = soundtest_start(ret, &config->servers[0]);
	if (r < 0)
		log_error("Cannot begin the test: %s", net_strerror(r));
	config->server_count = 1;
	config->once = true;
	return r;
}

static int load_keys(struct client_config *config)
{
	if (config->test)
		return 0;
	if (config->psk_path)
		return tls_keys_load(&config->keys, config->psk_path,
				     KEYFILE_CLIENT);
	log_notice("No --psk-file: anybody on the network can hear the pages, "
		   "and pose as the server");
	return 0;
}

static int run(struct client_config *config)
{
	_cleanup_close_ int signal_fd = open_signals();
	struct client *client = NULL;
	int r = signal_fd;

	if (r >= 0 && !config->test)
		cardstate_warn(config->speaker.device, PCM_PLAYBACK);
	if (r >= 0)
		r = config->save ? saver_open(&config->recorder, config->save)
				 : 0;
	if (r >= 0)
		r = client_new(&client, config, signal_fd);
	if (r < 0)
		log_error("Cannot start: %s", strerror(-r));
	else
		r = client_run(client);
	client_free(client);
	recorder_free(config->recorder, now_usec() + FILES_USEC);
	return r;
}

int main(int argc, char **argv)
{
	struct client_config config;
	struct soundtest *test = NULL;
	int r = standard_fds_open();

	if (r < 0)
		return EXIT_FAILURE;
	r = client_options_parse(&config, argc, argv);
	if (r <= 0)
		return option_exit_status(r);
	/* The threads allocate little: one heap is enough. Setting a threshold,
	 * even its default, keeps glibc from raising it (mallopt(3)): so the
	 * large buffers of a page return to the system when it ends. */
	mallopt(M_ARENA_MAX, 1);
	mallopt(M_MMAP_THRESHOLD, 128 * 1024);
	r = load_keys(&config);
	if (r >= 0)
		r = begin_test(&config, &test);
	if (r < 0)
		notify_failure();
	else
		r = run(&config);
	soundtest_free(test);
	tls_keys_free(config.keys);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
