/* SPDX-License-Identifier: MIT
 * Has no state of its own. */
#include "server/bus/signal.h"

#include <string.h>

#include "base/log.h"
#include "base/util.h"
#include "bus/names.h"
#include "server/bus/status.h"

/* Beyond so many messages that the bus has not taken yet nothing is told. */
enum { SIGNALS_MAX = 1024 };

uint64_t bus_signal_queued(sd_bus *bus)
{
	uint64_t count = 0;

	(void)sd_bus_get_n_queued_write(bus, &count);
	return count;
}

/* NULL without the bus or memory. */
static sd_bus_message *new_signal(sd_bus *bus, const char *name)
{
	sd_bus_message *signal = NULL;

	if (!bus || bus_signal_queued(bus) >= SIGNALS_MAX ||
	    sd_bus_message_new_signal(bus, &signal, BUS_PATH, BUS_INTERFACE,
				      name) < 0)
		return NULL;
	return signal;
}

/* One that begins with the page's id. */
static sd_bus_message *new_page_signal(sd_bus *bus, const char *name,
				       uint32_t page)
{
	sd_bus_message *signal = new_signal(bus, name);

	if (signal)
		(void)sd_bus_message_append(signal, "u", page);
	return signal;
}

/* One that begins with the page's id and zones. */
static sd_bus_message *new_zoned_signal(sd_bus *bus, const char *name,
					const struct server *server,
					const struct page_info *page)
{
	sd_bus_message *signal = new_page_signal(bus, name, page->id);

	if (signal &&
	    bus_status_append_zone_names(signal, server, page->zones) < 0)
		signal = sd_bus_message_unref(signal);
	return signal;
}

static void send_signal(sd_bus *bus, sd_bus_message *signal, int result)
{
	if (result >= 0)
		result = sd_bus_send(bus, signal, NULL);
	if (result < 0)
		log_debug("A signal could not be sent: %s", strerror(-result));
}

static void tell_started(sd_bus *bus, const struct server *server,
			 const struct page_info *page)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *signal =
	    new_zoned_signal(bus, "PageStarted", server, page);

	if (signal)
		send_signal(
		    bus, signal,
		    sd_bus_message_append(
			signal, "d",
			wav_seconds(&page->format, page->chime_frames)));
}

static void tell_speech(sd_bus *bus, const struct page_info *page)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *signal =
	    new_page_signal(bus, "PageSpeech", page->id);

	if (signal)
		send_signal(bus, signal, 0);
}

static void tell_ended(sd_bus *bus, const struct server *server,
		       const struct page_info *page)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *signal =
	    new_zoned_signal(bus, "PageEnded", server, page);

	if (signal)
		send_signal(bus, signal,
			    sd_bus_message_append(signal, "tuuts", page->frames,
						  page->reached, page->lost,
						  page->overruns,
						  page_end_name(page->end)));
}

static int append_change(sd_bus_message *signal,
			 const struct roll_member *member)
{
	int r = sd_bus_message_append(signal, "ss", bus_status_identity(member),
				      member->zone);

	if (r >= 0 && member->why != ROLL_THERE)
		r = sd_bus_message_append(signal, "u", member->count);
	if (r >= 0)
		r = sd_bus_message_append(signal, "t",
					  bus_status_since(member));
	if (r >= 0 && member->why != ROLL_THERE)
		r = sd_bus_message_append(signal, "s",
					  roll_why_name(member->why));
	return r;
}

void bus_signal_page(sd_bus *bus, const struct server *server,
		     const struct page_info *page)
{
	if (page->state == PAGE_CHIME)
		tell_started(bus, server, page);
	else if (page->state == PAGE_SPEECH)
		tell_speech(bus, page);
	else if (page->state == PAGE_DONE)
		tell_ended(bus, server, page);
}

void bus_signal_heard(sd_bus *bus, const struct ledger_list *heard)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *signal =
	    new_page_signal(bus, "PageHeard", heard->page);

	if (signal)
		send_signal(
		    bus, signal,
		    bus_status_append_heard(signal, heard, BUS_HEARD_MAX));
}

void bus_signal_roll(sd_bus *bus, const struct roll_member *member)
{
	const bool back = member->why == ROLL_THERE;
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *signal = NULL;

	if (back && member->wanted == 0) /* it is not: nobody expects it */
		return;
	signal = new_signal(bus, back ? "ClientBack" : "ClientMissing");
	if (signal)
		send_signal(bus, signal, append_change(signal, member));
}
