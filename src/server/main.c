/* SPDX-License-Identifier: MIT
 * intercom-server: opens sockets, handles signals, puts the parts together and
 * runs the loop. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>

#include "audio/cardstate.h"
#include "audio/chime.h"
#include "base/ending.h"
#include "base/io.h"
#include "base/log.h"
#include "base/notify.h"
#include "base/util.h"
#include "base/wallclock.h"
#include "server/bus/bus.h"
#include "server/console.h"
#include "server/options.h"
#include "server/soundcheck.h"
#include "server/systemd.h"
#include "server/timer.h"
#include "wire/net.h"
#include "wire/tls.h"

#define DEFAULT_LISTEN NET_DEFAULT_PORT

/* After a signal, and within ENDING_SECONDS: for how long clients may crawl,
 * and until when files are waited for. */
#define CRAWL_USEC (2 * USEC_PER_SEC)
#define FILES_USEC (4 * USEC_PER_SEC)

enum { WAIT_PAUSE_NSEC = 100 * 1000 * 1000 };

struct program {
	struct server_options options;
	struct tls_keys *keys;
	sd_event *event;
	struct server *server;
	struct systemd *systemd;
	struct console *console;
	struct server_bus *bus;
	struct recorder *recorder;
	sd_event_source *stop_timer;
	bool stopping;
	uint64_t stop_usec; /* when that began */
	int wait_error;	    /* that was logged last */
};

/* --- the end --- */

static void exit_now(void *userdata)
{
	struct program *p = userdata;

	(void)sd_event_exit(p->event, 0);
}

/* Nothing is in progress, and nothing begins any more. systemd is told first: a
 * server that is called or connected to from now on is to be another one. */
static void leave(void *userdata)
{
	struct program *p = userdata;

	if (!p->stopping)
		p->stop_usec = now_usec();
	p->stopping = true;
	(void)notify_if_read("STOPPING=1");
	server_close(p->server);
	server_bus_leave(p->bus, exit_now, p);
}

static void leave_if_done(struct program *p)
{
	if (p->stopping && server_page_count(p->server) == 0)
		leave(p);
}

/* The first signal ends the pages cleanly; a second one ends the program. */
static int on_signal(sd_event_source *source, const struct signalfd_siginfo *si,
		     void *userdata)
{
	struct program *p = userdata;

	p->stopping = true;
	p->stop_usec = now_usec();
	ending_begin(EXIT_SUCCESS);
	(void)notify_if_read("STOPPING=1");
	server_close(p->server);
	server_stop(p->server, 0);
	timer_set(p->stop_timer, p->stop_usec + CRAWL_USEC);
	leave_if_done(p);
	return 0;
}

static int on_stop_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct program *p = userdata;

	return sd_event_exit(p->event, 0);
}

static void on_page(void *userdata, const struct page_info *page)
{
	if (page->state == PAGE_DONE)
		leave_if_done(userdata);
}

static const struct server_observer stop_observer = {.on_page = on_page};

static int add_signals(struct program *p)
{
	sigset_t mask;
	int r;

	/* sendfile() has no MSG_NOSIGNAL; and write() shall fail with EFBIG
	 * at RLIMIT_FSIZE (setrlimit(2)), not kill the server. */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	sigemptyset(&mask);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGTERM);
	if (sigprocmask(SIG_BLOCK, &mask, NULL) < 0)
		return -errno;
	r = sd_event_add_signal(p->event, NULL, SIGINT, on_signal, p);
	if (r >= 0)
		r = sd_event_add_signal(p->event, NULL, SIGTERM, on_signal, p);
	if (r >= 0)
		r = timer_new(&p->stop_timer, p->event, on_stop_timer, p);
	return r;
}

/* --- listening --- */

static const char *listener_problem(int r)
{
	return r == -E2BIG
		   ? "a server has at most 64 zones, and a zone 64 sockets"
		   : strerror(-r);
}

static int listen_on(struct program *p, const char *text)
{
	struct net_endpoint endpoint;
	char zone[NET_ZONE_SIZE];
	const char *problem;
	int fds[NET_LISTENERS_MAX], count, r;

	/* The options have looked at it. */
	r = net_parse_listen(&endpoint, zone, text, &problem);
	assert(r == 0);
	count = net_listen(&endpoint, fds);
	if (count < 0) {
		log_error("Cannot listen on '%s': %s%s", text,
			  net_strerror(count),
			  count == -EADDRINUSE
			      ? "; another server, such as the system's "
				"service, has it: end that one, or use "
				"another port (-l)"
			      : "");
		return count;
	}
	for (int i = 0; i < count; i++) {
		if (r == 0)
			r = server_add_listener(p->server, fds[i], zone);
		else
			fd_close(fds[i]);
	}
	if (r < 0)
		log_error("Cannot listen on '%s': %s", text,
			  listener_problem(r));
	return r;
}

/* Whether systemd gives this name to a socket that has none
 * (sd_listen_fds_with_names(3)). */
static bool is_default_name(const char *name)
{
	size_t length = strlen(name);

	return strcmp(name, "unknown") == 0 ||
	       strcmp(name, "connection") == 0 ||
	       (length > 7 && strcmp(name + length - 7, ".socket") == 0);
}

/* The name of a socket is its zone. */
static const char *zone_of_name(const char *name)
{
	if (is_default_name(name))
		return "all";
	if (name_valid(name))
		return name;
	log_warning("The inherited socket '%s' is one of the zone all: this "
		    "cannot be the name of a zone",
		    name);
	return "all";
}

static int inherit_one(struct program *p, int fd, const char *name)
{
	int r;

	if (sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, 1) <= 0) {
		log_error("The inherited descriptor '%s' is not a listening "
			  "stream socket; the unit needs Accept=no",
			  name);
		return -EINVAL;
	}
	r = fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	if (r < 0)
		return -errno;
	r = server_add_listener(p->server, fd, zone_of_name(name));
	if (r < 0)
		log_error("Cannot use the inherited socket '%s': %s", name,
			  listener_problem(r));
	return r;
}

/* The number of sockets that systemd handed over, or negative errno after a
 * line. */
static int inherit(struct program *p)
{
	char **names = NULL;
	int count = sd_listen_fds_with_names(1, &names);
	int r = count < 0 ? count : 0;

	if (r < 0)
		log_error("Cannot use the inherited sockets: %s", strerror(-r));
	for (int i = 0; i < count && r == 0; i++)
		r = inherit_one(p, SD_LISTEN_FDS_START + i, names[i]);
	for (int i = 0; names && i < count; i++)
		free(names[i]);
	free(names);
	return r < 0 ? r : count;
}

static int open_listeners(struct program *p)
{
	const struct server_options *o = &p->options;
	int r = inherit(p);

	if (r < 0)
		return r;
	if (r > 0 && o->listen.count > 0)
		log_notice("-l is ignored: systemd passed %d socket%s", r,
			   plural_s((uint64_t)r));
	if (r > 0)
		return 0;
	if (o->listen.count == 0)
		return listen_on(p, DEFAULT_LISTEN);
	for (unsigned i = 0; i < o->listen.count; i++) {
		r = listen_on(p, o->listen.items[i]);
		if (r < 0)
			return r;
	}
	return 0;
}

static int expect(struct program *p)
{
	const struct option_list *list = &p->options.expect;

	for (unsigned i = 0; i < list->count; i++) {
		char zone[NET_ZONE_SIZE];
		unsigned count;
		int r;

		/* The options have looked at it. */
		r = server_options_expected(list->items[i], zone, &count);
		assert(r == 0);
		r = server_expect(p->server, *zone ? zone : NULL, count);
		if (r < 0) {
			log_error("--expect '%s': there is no zone '%s'; -l or "
				  "a socket unit makes one",
				  list->items[i], zone);
			return r;
		}
	}
	server_call_roll(p->server);
	return 0;
}

/* --- start and stop --- */

static int load_chime(struct program *p)
{
	const char *path = p->options.chime_path;
	const struct wav_format plain =
	    wav_plain(&p->options.config.page.microphone.format);
	char problem[CHIME_PROBLEM_SIZE];
	int r;

	if (!path)
		return 0;
	r = chime_open(path, &plain, problem);
	if (r < 0)
		log_error("--chime '%s': %s", path, problem);
	else
		p->options.config.chime_fd = r;
	return r;
}

static int load_keys(struct program *p)
{
	const char *path = p->options.psk_path;
	int r;

	if (!path)
		return 0;
	r = tls_keys_load(&p->keys, path, KEYFILE_SERVER);
	p->options.config.keys = p->keys;
	return r;
}

static int open_archive(struct program *p)
{
	const struct archive_config *archive = &p->options.config.page.archive;
	int r;

	if (!archive->dir)
		return 0;
	r = archive_open(&p->recorder, archive);
	if (r < 0)
		log_error(
		    "--archive '%s': %s; a writable directory is needed%s",
		    archive->dir, strerror(-r),
		    r == -EROFS ? " (for the system's service, with "
				  "ReadWritePaths= in a drop-in)"
				: "");
	p->options.config.page.recorder = p->recorder;
	return r;
}

static int on_recorder(sd_event_source *source, int fd, uint32_t revents,
		       void *userdata)
{
	recorder_dispatch(userdata);
	return 0;
}

static int add_observers(struct program *p)
{
	const struct server_options *o = &p->options;
	const struct systemd_config systemd = {
	    .pages = o->interactive ? SYSTEMD_SILENT : SYSTEMD_LOG_PAGES,
	    .idle_exit_seconds = o->idle_exit_seconds,
	    .on_idle = leave,
	    .userdata = p,
	};
	int r;

	r = systemd_new(&p->systemd, p->event, p->server, &systemd);
	if (r >= 0 && o->interactive)
		r = console_new(&p->console, p->event, p->server,
				o->meter ? CONSOLE_METER : CONSOLE_PLAIN);
	if (r >= 0)
		r = server_observe(p->server, &stop_observer, p);
	if (r >= 0)
		r = server_bus_new(&p->bus, p->event, p->server, o->bus);
	return r;
}

static int set_up(struct program *p)
{
	int r;

	r = sd_event_default(&p->event);
	if (r >= 0)
		r = add_signals(p);
	if (r >= 0)
		r = server_new(&p->server, p->event, &p->options.config);
	if (r >= 0 && p->recorder)
		r = sd_event_add_io(p->event, NULL, recorder_fd(p->recorder),
				    EPOLLIN, on_recorder, p->recorder);
	if (r >= 0)
		r = add_observers(p);
	if (r < 0) {
		log_error("Cannot start: %s", strerror(-r));
		return r;
	}
	/* From here on, functions that fail have logged why. */
	r = open_listeners(p);
	if (r >= 0)
		r = expect(p);
	if (r >= 0)
		(void)sd_event_set_watchdog(p->event, 1);
	return r;
}

static void tell_microphone(const struct microphone_config *microphone)
{
	const struct wav_format *format = &microphone->format;

	log_info("The microphone is '%s': %s, %u Hz, %u channel%s",
		 microphone->device, wav_format_name(format), format->rate,
		 format->channels, plural_s(format->channels));
	cardstate_warn(microphone->device, PCM_CAPTURE);
}

static void tell_sync(double sync_ms)
{
	struct wallclock clock;
	char state[96] = "not known to be right: they go by what arrives when";

	if (sync_ms <= 0)
		return;
	wallclock_read(&clock);
	if (clock.trusted)
		snprintf(state, sizeof(state), "right to about %u us",
			 clock.error_us);
	else if (clock.denied)
		snprintf(state, sizeof(state),
			 "hidden from this service (ProtectClock=): they go by "
			 "what arrives when");
	log_info("All loudspeakers sound in step, %.0f ms after the "
		 "microphone; this machine's clock is %s",
		 sync_ms, state);
}

/* A wait has failed: the signals, which come by it, are read here. */
static void pause_loop(struct program *p, int error)
{
	const struct timespec pause = {.tv_nsec = WAIT_PAUSE_NSEC};
	sigset_t mask;

	if (error != p->wait_error)
		log_error("Cannot wait: %s; trying again", strerror(-error));
	p->wait_error = error;
	sigemptyset(&mask);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGTERM);
	if (sigtimedwait(&mask, NULL, &pause) > 0) {
		(void)on_signal(NULL, NULL, p);
		(void)sd_event_exit(p->event, 0);
	}
}

/* As sd_event_loop(), which the first wait that fails would end. */
static int loop(struct program *p)
{
	int code = 0;

	while (sd_event_get_state(p->event) != SD_EVENT_FINISHED) {
		const int r = sd_event_run(p->event, UINT64_MAX);

		if (r < 0)
			pause_loop(p, r);
	}
	(void)sd_event_get_exit_code(p->event, &code);
	return code;
}

static int start(struct program *p)
{
	int r = load_chime(p);

	net_raise_nofile();
	if (r >= 0)
		r = load_keys(p);
	if (r >= 0)
		r = open_archive(p);
	if (r >= 0)
		r = set_up(p);
	if (r < 0)
		return r;
	if (!p->keys)
		log_notice("No --psk-file: the pages are neither secret nor "
			   "authentic; anybody on the network can hear them, "
			   "and pose as this server");
	server_tell_listeners(p->server);
	tell_microphone(&p->options.config.page.microphone);
	tell_sync(p->options.config.page.sync_ms);
	systemd_ready(p->systemd);
	return 0;
}

static int test_microphone(const struct server_options *o)
{
	signal(SIGPIPE, SIG_IGN); /* of a source that is stopped */
	return soundcheck_run(&o->config.page.microphone, o->test_seconds);
}

static void tear_down(struct program *p)
{
	server_bus_free(p->bus);
	console_free(p->console);
	server_free(p->server);
	recorder_free(p->recorder,
		      (p->stopping ? p->stop_usec : now_usec()) + FILES_USEC);
	systemd_free(p->systemd);
	sd_event_source_disable_unref(p->stop_timer);
	fd_close(p->options.config.chime_fd);
	tls_keys_free(p->keys);
	sd_event_unref(p->event);
}

static int run(struct program *p)
{
	int r = start(p);
	const bool started = r >= 0;

	if (started)
		r = loop(p);
	tear_down(p);
	if (!started)
		notify_failure();
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	/* A thread that a disk holds may look at the options after main(). */
	static struct program program;
	int r = standard_fds_open();

	if (r < 0)
		return EXIT_FAILURE;
	r = server_options_parse(&program.options, argc, argv);
	if (r < 0)
		notify_failure();
	if (r <= 0)
		return option_exit_status(r);
	if (program.options.test_seconds == 0)
		return run(&program);
	return test_microphone(&program.options) < 0 ? EXIT_FAILURE
						     : EXIT_SUCCESS;
}
