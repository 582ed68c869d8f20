/* SPDX-License-Identifier: MIT
 * The signals of org.alsaintercom1(5). BUS may be NULL: then nobody is told,
 * and neither while too many messages wait for a bus that does not take them.
 */
#pragma once

#include <systemd/sd-bus.h>

#include "server/server.h"

/* Messages that the bus has yet to take. */
uint64_t bus_signal_queued(sd_bus *bus);

/* PageStarted, PageSpeech or PageEnded, if PAGE has just entered such a state.
 */
void bus_signal_page(sd_bus *bus, const struct server *server,
		     const struct page_info *page);
/* PageHeard. */
void bus_signal_heard(sd_bus *bus, const struct ledger_list *heard);
/* ClientMissing or ClientBack. */
void bus_signal_roll(sd_bus *bus, const struct roll_member *member);
