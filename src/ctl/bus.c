/* SPDX-License-Identifier: MIT
 * Has no state of its own. */
#include "ctl/bus.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "base/log.h"
#include "base/util.h"
#include "bus/names.h"

#define BUS_TIMED_OUT "org.freedesktop.DBus.Error.TimedOut"

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
	    SD_BUS_ERROR_SERVICE_UNKNOWN,
	    SD_BUS_ERROR_NAME_HAS_NO_OWNER,
	    SD_BUS_ERROR_NO_REPLY,
	    SD_BUS_ERROR_TIMEOUT,
	    SD_BUS_ERROR_DISCONNECTED,
	    SD_BUS_ERROR_NO_SERVER,
	    SD_BUS_ERROR_UNKNOWN_OBJECT,
	    BUS_TIMED_OUT,
	    NULL,
	};

	/* The bus has systemd start the server, and hands on its errors; sd-bus
	 * reports a broken connection by errno ("System.Error.*"). */
	return is_one_of(name, names) ||
	       strncmp(name, "org.freedesktop.systemd1.", 25) == 0 ||
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

static void log_no_server(const struct ctl *ctl, const char *name,
			  const char *message)
{
	const char *user = ctl->user ? " --user" : "";

	if (strcmp(name, BUS_TIMED_OUT) == 0)
		log_error("The server on the %s bus does not start "
			  "(\"systemctl%s status intercom-server.socket "
			  "intercom-server.service\" tells why): %s",
			  bus_word(ctl), user, message);
	else
		log_error("No server on the %s bus (\"systemctl%s enable --now "
			  "intercom-server.socket\" makes one): %s",
			  bus_word(ctl), user, message);
}

int ctl_refused(const struct ctl *ctl, const sd_bus_error *error)
{
	const char *message = error->message ? error->message : error->name;

	if (means_no_server(error->name)) {
		log_no_server(ctl, error->name, message);
		return CTL_NO_SERVER;
	}
	if (strcmp(error->name, SD_BUS_ERROR_ACCESS_DENIED) == 0)
		log_error("Not allowed: only root and the members of the group "
			  "intercom may do this (\"adduser NAME intercom\", "
			  "then NAME logs in again)");
	else if (strcmp(error->name, BUS_ERROR_BUSY) == 0)
		log_error("%s (--queue waits for other pages to end)", message);
	else
		log_error("%s", message);
	return means_refused(error->name) ? CTL_REFUSED : CTL_FAILED;
}

int ctl_failed(const char *what, int r)
{
	log_error("%s: %s", what, strerror(-r));
	return CTL_FAILED;
}

int ctl_flush(void)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return CTL_DONE;
	return ctl_failed("Cannot write the output", -errno);
}

int ctl_call(struct ctl *ctl, sd_bus_message **ret_reply, const char *method,
	     const char *types, ...)
{
	_cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
	va_list ap;
	int r;

	va_start(ap, types);
	r = sd_bus_call_methodv(ctl->bus, BUS_NAME, BUS_PATH, BUS_INTERFACE,
				method, &error, ret_reply, types, ap);
	va_end(ap);
	return r < 0 ? ctl_refused(ctl, &error) : CTL_DONE;
}

int ctl_read(struct ctl *ctl, const char *method, struct value *ret)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
	int status = ctl_call(ctl, &reply, method, NULL), r;

	if (status != CTL_DONE)
		return status;
	r = value_read(ret, reply);
	return r < 0 ? ctl_failed("The server's answer cannot be read", r)
		     : CTL_DONE;
}

static int catch_signals(sd_event *event, sd_event_signal_handler_t handler,
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

int ctl_follow(struct ctl *ctl, sd_event **ret,
	       sd_event_signal_handler_t on_interrupt,
	       sd_bus_message_handler_t on_signal,
	       sd_bus_message_handler_t on_gone, void *userdata)
{
	int r = sd_event_default(ret);

	if (r >= 0 && on_interrupt)
		r = catch_signals(*ret, on_interrupt, userdata);
	if (r >= 0)
		r = sd_bus_attach_event(ctl->bus, *ret, 0);
	if (r >= 0)
		r = sd_bus_match_signal(ctl->bus, NULL, BUS_NAME, BUS_PATH,
					NULL, NULL, on_signal, userdata);
	if (r < 0)
		return r;
	return sd_bus_add_match(
	    ctl->bus, NULL,
	    "type='signal',sender='org.freedesktop.DBus',"
	    "path='/org/freedesktop/DBus',interface='org.freedesktop.DBus',"
	    "member='NameOwnerChanged',arg0='" BUS_NAME "',arg2=''",
	    on_gone, userdata);
}
