/* SPDX-License-Identifier: MIT
 * No state of its own. */
#include "ctl/bus.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "base/log.h"
#include "base/util.h"
#include "bus/names.h"

/* Copying a page of hundreds of megabytes takes its time. */
#define CALL_USEC (120 * USEC_PER_SEC)

static const char *bus_word(const struct ctl *ctl)
{
	return ctl->user ? "user" : "system";
}

int ctl_connect(struct ctl *ctl)
{
	int r = ctl->user ? sd_bus_open_user(&ctl->bus)
			  : sd_bus_open_system(&ctl->bus);

	if (r >= 0)
		return CTL_DONE;
	log_error("Cannot connect to the %s bus: %s", bus_word(ctl),
		  strerror(-r));
	return CTL_NO_SERVER;
}

static bool is_one_of(const char *name, const char *const *names)
{
	for (; *names; names++)
		if (strcmp(name, *names) == 0)
			return true;
	return false;
}

static bool means_no_server(const char *name)
{
	static const char *const names[] = {
	    SD_BUS_ERROR_SERVICE_UNKNOWN, SD_BUS_ERROR_NAME_HAS_NO_OWNER,
	    SD_BUS_ERROR_NO_REPLY,	  SD_BUS_ERROR_TIMEOUT,
	    SD_BUS_ERROR_DISCONNECTED,	  SD_BUS_ERROR_NO_SERVER,
	    SD_BUS_ERROR_UNKNOWN_OBJECT,  NULL,
	};

	/* A connection that breaks is an errno to sd-bus. */
	return is_one_of(name, names) ||
	       strncmp(name, "org.freedesktop.DBus.Error.Spawn.", 33) == 0 ||
	       strcmp(name, "System.Error.ECONNRESET") == 0 ||
	       strcmp(name, "System.Error.ENOTCONN") == 0;
}

static bool means_refused(const char *name)
{
	static const char *const names[] = {
	    BUS_ERROR_BUSY,
	    BUS_ERROR_LIMIT,
	    BUS_ERROR_STOPPED,
	    SD_BUS_ERROR_ACCESS_DENIED,
	    NULL,
	};

	return is_one_of(name, names);
}

int ctl_refused(const struct ctl *ctl, const sd_bus_error *error)
{
	const char *message = error->message ? error->message : error->name;

	if (means_no_server(error->name)) {
		log_error("No server on the %s bus (intercom-server --bus %s "
			  "makes one): %s",
			  bus_word(ctl), bus_word(ctl), message);
		return CTL_NO_SERVER;
	}
	if (strcmp(error->name, SD_BUS_ERROR_ACCESS_DENIED) == 0)
		log_error("Not allowed; root and the members of group intercom "
			  "may command");
	else
		log_error("%s", message);
	return means_refused(error->name) ? CTL_REFUSED : CTL_FAILED;
}

int ctl_failed(const char *what, int r)
{
	log_error("%s: %s", what, strerror(-r));
	return CTL_FAILED;
}

int ctl_call(struct ctl *ctl, const char *method, sd_bus_message **ret_reply)
{
	sd_bus_message *m = NULL;
	sd_bus_error error = SD_BUS_ERROR_NULL;
	int status = CTL_DONE, r;

	r = sd_bus_message_new_method_call(ctl->bus, &m, BUS_NAME, BUS_PATH,
					   BUS_INTERFACE, method);
	if (r < 0)
		return ctl_failed(method, r);
	r = sd_bus_call(ctl->bus, m, CALL_USEC, &error, ret_reply);
	if (r < 0)
		status = ctl_refused(ctl, &error);
	sd_bus_error_free(&error);
	sd_bus_message_unref(m);
	return status;
}

int ctl_follow(struct ctl *ctl, sd_bus_message_handler_t on_signal,
	       sd_bus_message_handler_t on_gone, void *userdata)
{
	int r;

	r = sd_bus_match_signal(ctl->bus, NULL, BUS_NAME, BUS_PATH, NULL, NULL,
				on_signal, userdata);
	if (r < 0)
		return r;
	return sd_bus_add_match(
	    ctl->bus, NULL,
	    "type='signal',sender='org.freedesktop.DBus',"
	    "path='/org/freedesktop/DBus',interface='org.freedesktop.DBus',"
	    "member='NameOwnerChanged',arg0='" BUS_NAME "',arg2=''",
	    on_gone, userdata);
}

int ctl_catch_signals(sd_event *event, sd_event_signal_handler_t handler,
		      void *userdata)
{
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
	sigset_t mask;
	int r = 0;

	sigemptyset(&mask);
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		sigaddset(&mask, numbers[i]);
	if (sigprocmask(SIG_BLOCK, &mask, NULL) < 0)
		return -errno;
	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(numbers); i++)
		r = sd_event_add_signal(event, NULL, numbers[i], handler,
					userdata);
	return r;
}
