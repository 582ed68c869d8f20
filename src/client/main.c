/* SPDX-License-Identifier: MIT
 * intercom-client: options, signals, and what a crash has left behind. */
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>

#include "audio/wavfile.h"
#include "base/log.h"
#include "base/util.h"
#include "client/mixer.h"
#include "client/options.h"
#include "client/saver.h"
#include "wire/transport.h"

/* A descriptor for the signals that the loop handles, or negative errno. */
static int open_signals(void)
{
	sigset_t mask;
	int fd;

	/* Hooks and pipes may go away, and a full disk is an error. */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
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

static void mend(const struct client_config *config)
{
	int r;

	mixer_restore_left_over();
	if (!config->save || !saver_path_is_directory(config->save))
		return;
	r = wavfile_repair(config->save);
	if (r < 0)
		log_warning("--save '%s': %s", config->save, strerror(-r));
	else if (r > 0)
		log_notice("--save '%s': completed %d files that were left "
			   "behind",
			   config->save, r);
}

static int load_keys(struct client_config *config)
{
	if (config->psk_path)
		return transport_keys_load(&config->keys, config->psk_path,
					   KEYFILE_CLIENT);
	log_notice("No --psk-file: anybody on the network can hear the pages, "
		   "and pose as the server");
	return 0;
}

static int run(const struct client_config *config)
{
	_cleanup_close_ int signal_fd = open_signals();
	struct client *client;
	int r = signal_fd;

	if (r >= 0) {
		mend(config);
		r = client_new(&client, config, signal_fd);
	}
	if (r < 0) {
		log_error("Cannot start: %s", strerror(-r));
		return r;
	}
	r = client_run(client);
	client_free(client);
	return r;
}

int main(int argc, char **argv)
{
	struct client_config config;
	int r = client_options_parse(&config, argc, argv);

	if (r <= 0)
		return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
	/* The threads are few and idle: one heap is enough. And what a page
	 * needs goes back to the system after it, as mallopt(3) has it. */
	mallopt(M_ARENA_MAX, 1);
	mallopt(M_MMAP_THRESHOLD, 128 * 1024);
	r = load_keys(&config);
	if (r >= 0)
		r = run(&config);
	transport_keys_free(config.keys);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
