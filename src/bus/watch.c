/* SPDX-License-Identifier: MIT
 * First subscribes to the loss of the name, and then asks whether the name is
 * still there: in this order no loss is missed. */
#include "bus/watch.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"

#define DBUS_SERVICE "org.freedesktop.DBus"
#define DBUS_PATH "/org/freedesktop/DBus"

struct bus_watch {
	char *name;
	sd_bus_slot *match, *query;
	void (*on_gone)(void *userdata);
	void *userdata;
};

/* Reports once: the callback of the other slot may still be pending. */
static int gone(struct bus_watch *watch)
{
	void (*on_gone)(void *userdata) = watch->on_gone;

	watch->on_gone = NULL;
	if (on_gone)
		on_gone(watch->userdata);
	return 0;
}

static int on_name_lost(sd_bus_message *message, void *userdata,
			sd_bus_error *error)
{
	return gone(userdata);
}

static int on_has_owner(sd_bus_message *reply, void *userdata,
			sd_bus_error *error)
{
	int has_owner = 1;

	if (!sd_bus_message_is_method_error(reply, NULL) &&
	    sd_bus_message_read(reply, "b", &has_owner) >= 0 && !has_owner)
		return gone(userdata);
	return 0;
}

static int on_match_installed(sd_bus_message *reply, void *userdata,
			      sd_bus_error *error)
{
	struct bus_watch *watch = userdata;

	/* If this fails, a loss before the match goes unnoticed. */
	(void)sd_bus_call_method_async(sd_bus_message_get_bus(reply),
				       &watch->query, DBUS_SERVICE, DBUS_PATH,
				       DBUS_SERVICE, "NameHasOwner",
				       on_has_owner, watch, "s", watch->name);
	return 0;
}

static int add_match(struct bus_watch *watch, sd_bus *bus)
{
	_cleanup_free_ char *rule = NULL;

	if (asprintf(&rule,
		     "type='signal',sender='" DBUS_SERVICE "',path='" DBUS_PATH
		     "',interface='" DBUS_SERVICE
		     "',member='NameOwnerChanged',arg0='%s',arg2=''",
		     watch->name) < 0) {
		rule = NULL;
		return -ENOMEM;
	}
	return sd_bus_add_match_async(bus, &watch->match, rule, on_name_lost,
				      on_match_installed, watch);
}

int bus_watch_new(struct bus_watch **ret, sd_bus *bus, const char *name,
		  void (*on_gone)(void *userdata), void *userdata)
{
	struct bus_watch *watch = calloc(1, sizeof(*watch));
	int r;

	if (!watch)
		return -ENOMEM;
	watch->on_gone = on_gone;
	watch->userdata = userdata;
	watch->name = strdup(name);
	r = watch->name ? add_match(watch, bus) : -ENOMEM;
	if (r < 0) {
		bus_watch_free(watch);
		return r;
	}
	*ret = watch;
	return 0;
}

struct bus_watch *bus_watch_free(struct bus_watch *watch)
{
	if (!watch)
		return NULL;
	sd_bus_slot_unref(watch->match);
	sd_bus_slot_unref(watch->query);
	free(watch->name);
	free(watch);
	return NULL;
}
