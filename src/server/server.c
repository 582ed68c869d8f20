/* SPDX-License-Identifier: MIT
 * Carries out what the arbiter decides. Pages and connections that have ended
 * are freed in on_settle(), never from within a callback. */
#include "server/server.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#include "base/log.h"
#include "base/util.h"
#include "server/arbiter.h"
#include "server/logbook.h"
#include "server/rollcall.h"
#include "server/timer.h"
#include "wire/net.h"
#include "wire/receipt.h"

#define TICK_USEC USEC_PER_SEC
/* Of all pages together, or half of the machine's memory when that is less. */
#define SHELF_SIZE_MAX (UINT64_C(1) << 30)
/* Clients that were told the end of a page are back after this. */
#define BACK_USEC (USEC_PER_SEC / 5)

enum {
	OBSERVERS_MAX = 4,
	PER_ADDRESS_DEFAULT_MIN = 64,
};

TAILQ_HEAD(page_list, page);

struct observer {
	const struct server_observer *is; /* NULL: none */
	void *userdata;
};

struct server {
	sd_event *event;
	struct server_config config;
	struct gate *gate;
	struct zone *zones[BUS_ZONES_MAX + 1]; /* NULL at the end */
	unsigned zone_count;
	struct rollcall *rollcall;
	struct page_list pages; /* in the order of their ids */
	uint32_t last_id;
	bool closed;
	struct tape_shelf shelf;
	struct logbook logbook;
	struct ledger_list last_heard; /* without players; page 0: none */
	struct server_stats stats;
	sd_event_source *tick, *settle, *back;
	struct observer observers[OBSERVERS_MAX + 1]; /* NULL at the end */
};

static uint64_t all_zones(const struct server *server)
{
	return server->zone_count == 64
		   ? UINT64_MAX
		   : (UINT64_C(1) << server->zone_count) - 1;
}

/* Has on_settle() called once the current event is handled. */
static void settle_later(void *userdata)
{
	struct server *server = userdata;

	(void)sd_event_source_set_enabled(server->settle, SD_EVENT_ONESHOT);
}

static void tick_later(struct server *server)
{
	timer_start(server->tick, TICK_USEC);
}

/* --- arbitration --- */

static bool waits(const struct page *p)
{
	return p->prepared && p->info.state < PAGE_SENDING;
}

/* Lists the pages that hold zones or wait for them: for the arbiter in ORDERS,
 * in the same order in RET_PAGES. Returns their number. */
static size_t list_pages(const struct server *server,
			 struct arbiter_page *orders, struct page **ret_pages)
{
	struct page *p;
	size_t count = 0;

	TAILQ_FOREACH (p, &server->pages, entry) {
		enum arbiter_microphone microphone = ARBITER_NO_MICROPHONE;

		if (!waits(p) && p->audience.held == 0)
			continue;
		if (!p->info.is_file)
			microphone = *p->busy_reason ? ARBITER_MICROPHONE_ALONE
						     : ARBITER_MICROPHONE;
		ret_pages[count] = p;
		orders[count++] = (struct arbiter_page){
		    .priority = p->info.priority,
		    .zones = waits(p) ? p->info.zones : p->audience.held,
		    .holds = !waits(p),
		    .queues = !server->closed && p->when_busy == PAGE_QUEUE,
		    .microphone = microphone,
		};
	}
	return count;
}

static enum arbiter_device device(const struct server *server)
{
	const struct page *p;

	TAILQ_FOREACH (p, &server->pages, entry)
		if (page_has_microphone(p) && p->info.state >= PAGE_SENDING)
			return ARBITER_DEVICE_CLOSING;
	return ARBITER_DEVICE_READY;
}

static void take_from(struct page *p, const struct arbiter_page *order)
{
	if (order->verdict == ARBITER_END) {
		log_notice("Page %u ends: a page of higher priority takes the "
			   "microphone",
			   p->info.id);
		page_stop(p, PAGE_PREEMPTED);
	} else if (order->lost) {
		page_lose(p, order->lost);
	}
}

/* When the clients of the pages that its zones had before are back: then all
 * hear it from its first frame on. */
static uint64_t back_usec(const struct server *server, const struct page *p)
{
	uint64_t latest = 0;

	for (unsigned z = 0; z < server->zone_count; z++)
		if (p->info.zones & UINT64_C(1) << z)
			latest = MAX(latest, server->zones[z]->end_usec);
	return latest + BACK_USEC;
}

static void arbitrate_again(struct server *server, uint64_t usec)
{
	uint64_t set;
	int enabled;

	if (sd_event_source_get_enabled(server->back, &enabled) >= 0 &&
	    sd_event_source_get_time(server->back, &set) >= 0 &&
	    (enabled == SD_EVENT_OFF || usec < set))
		timer_set(server->back, usec);
}

/* A page that was ended a moment ago may still have the microphone open, and
 * its clients are not back. */
static bool has_to_wait(struct server *server, const struct page *p)
{
	const uint64_t back = back_usec(server, p);

	if (!p->info.is_file && device(server) == ARBITER_DEVICE_CLOSING)
		return true;
	if (now_usec() >= back)
		return false;
	arbitrate_again(server, back);
	return true;
}

static void grant_to(struct server *server, struct page *p,
		     const struct arbiter_page *order)
{
	if (!waits(p)) /* it was stopped meanwhile */
		return;
	if (order->verdict == ARBITER_BEGIN && !has_to_wait(server, p))
		page_begin(p);
	else if (order->verdict == ARBITER_REFUSE)
		page_refuse(p);
	else if (order->verdict == ARBITER_WAIT)
		page_wait(p);
}

static void arbitrate(struct server *server)
{
	struct arbiter_page orders[BUS_PAGES_MAX];
	struct page *pages[BUS_PAGES_MAX];
	size_t count = list_pages(server, orders, pages);

	arbiter_decide(orders, count, device(server));
	for (size_t i = 0; i < count; i++)
		take_from(pages[i], &orders[i]);
	for (size_t i = 0; i < count; i++)
		grant_to(server, pages[i], &orders[i]);
}

/* Whether REQUEST would be refused if it were arbitrated now. */
static bool is_busy(const struct server *server,
		    const struct page_request *request)
{
	struct arbiter_page orders[BUS_PAGES_MAX + 1];
	struct page *pages[BUS_PAGES_MAX];
	size_t count = list_pages(server, orders, pages);

	orders[count] = (struct arbiter_page){
	    .priority = request->priority,
	    .zones = request->zones,
	    .queues = request->when_busy == PAGE_QUEUE,
	};
	arbiter_decide(orders, count + 1, ARBITER_DEVICE_READY);
	return orders[count].verdict == ARBITER_REFUSE;
}

/* PAGE has found the microphone busy. It waits only for another page: nobody
 * tells when another program closes the device. */
static void on_busy(void *userdata, struct page *page)
{
	struct server *server = userdata;
	const struct page *p;

	TAILQ_FOREACH (p, &server->pages, entry) {
		if (!page_has_microphone(p))
			continue;
		if (p->info.state < PAGE_SENDING &&
		    p->info.priority >= page->info.priority)
			log_notice(
			    "Page %u uses the microphone, which cannot be "
			    "shared%s",
			    p->info.id,
			    page->when_busy == PAGE_QUEUE
				? "; the next page waits"
				: "");
		settle_later(server);
		return;
	}
	page_refuse(page);
}

/* --- telling --- */

static void on_state(void *userdata, struct page *p)
{
	struct server *server = userdata;
	const struct page_info *info = page_info(p);

	if (info->state == PAGE_CHIME)
		server->stats.pages++;
	if (info->state == PAGE_SENDING && p->tape)
		tape_shelf_keep(&server->shelf, p->tape);
	for (const struct observer *o = server->observers; o->is; o++)
		if (o->is->on_page)
			o->is->on_page(o->userdata, info);
	if (info->state == PAGE_DONE)
		logbook_end(&server->logbook, p->ledger,
			    info->format.rate ? LOGBOOK_KEEP : LOGBOOK_FORGET);
}

/* Tells of each page that everybody has answered for. */
static void tell_heard(struct server *server)
{
	const struct ledger *ledger;

	while ((ledger = logbook_next_complete(&server->logbook))) {
		struct ledger_list heard;

		if (ledger_list(ledger, &heard) < 0)
			continue;
		for (const struct observer *o = server->observers; o->is; o++)
			if (o->is->on_heard)
				o->is->on_heard(o->userdata, &heard);
		server->last_heard = heard;
		server->last_heard.players = NULL;
		server->last_heard.player_count = 0;
		ledger_list_clear(&heard);
	}
	logbook_trim(&server->logbook);
}

static const struct page_callbacks page_callbacks = {
    .on_state = on_state,
    .on_busy = on_busy,
    .on_settle = settle_later,
};

static void tell_clients(const struct server *server)
{
	for (const struct observer *o = server->observers; o->is; o++)
		if (o->is->on_clients)
			o->is->on_clients(o->userdata);
}

static void tell_roll(void *userdata, const struct roll_member *member)
{
	const struct server *server = userdata;

	for (const struct observer *o = server->observers; o->is; o++)
		if (o->is->on_roll)
			o->is->on_roll(o->userdata, member);
}

/* --- clients --- */

/* A client that comes during a live page joins it at the newest frame. */
static void on_accepted(void *userdata, const struct zone *zone)
{
	struct server *server = userdata;
	unsigned z = 0;
	struct page *p;

	tell_clients(server);
	rollcall_soon(server->rollcall);
	while (server->zones[z] != zone)
		z++;
	TAILQ_FOREACH (p, &server->pages, entry)
		if (p->audience.held & UINT64_C(1) << z)
			page_join(p, z);
}

static void on_end(void *userdata, struct page *page, enum connection_end end,
		   const struct connection *connection)
{
	struct server *server = userdata;

	if (page)
		page_count_end(page, end, connection);
	settle_later(server);
	if (end == CONNECTION_LOCKED_OUT)
		rollcall_lock_out(server->rollcall,
				  connection_identity(connection));
	if (end == CONNECTION_UNPROVEN || end == CONNECTION_TOO_SLOW)
		return;
	tell_clients(server);
	rollcall_soon(server->rollcall);
}

static void on_card(void *userdata)
{
	const struct server *server = userdata;

	rollcall_soon(server->rollcall);
}

static void on_receipt(void *userdata, struct page *page,
		       const struct connection *connection,
		       const struct receipt *receipt)
{
	const char *peer = connection_peer(connection);

	if (receipt)
		log_debug(
		    "Page %u: receipt of %s: %s, %" PRIu64 " frames heard",
		    page->info.id, peer, receipt_result_name(receipt->result),
		    receipt->heard_frames);
	else
		log_debug("Page %u: no receipt of %s: %s", page->info.id, peer,
			  connection_peer_closed(connection)
			      ? "it closed without"
			      : "none in time");
	page_count_receipt(page);
}

static const struct zone_callbacks zone_callbacks = {
    .on_accepted = on_accepted,
    .on_card = on_card,
    .on_end = on_end,
    .on_receipt = on_receipt,
};

/* --- what is done later --- */

static void drop_page(struct page *p, struct server *server)
{
	TAILQ_REMOVE(&server->pages, p, entry);
	page_free(p);
}

static void settle(struct page *p, struct server *server)
{
	if (!page_is_over(p))
		return;
	if (p->owed == 0)
		drop_page(p, server);
	else
		page_shrink(p);
}

static int on_settle(sd_event_source *source, void *userdata)
{
	struct server *server = userdata;
	struct page *p, *next;

	for (unsigned z = 0; z < server->zone_count; z++)
		zone_reap(server->zones[z]);
	arbitrate(server);
	tell_heard(server);
	for (p = TAILQ_FIRST(&server->pages); p; p = next) {
		next = TAILQ_NEXT(p, entry);
		settle(p, server);
	}
	if (!TAILQ_EMPTY(&server->pages))
		tick_later(server);
	return 0;
}

static int on_tick(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct server *server = userdata;
	uint64_t now = now_usec();
	unsigned active = 0;
	struct page *p;

	for (unsigned z = 0; z < server->zone_count; z++) {
		zone_check_keys(server->zones[z]);
		zone_check_progress(server->zones[z], now);
		active += server->zones[z]->active.count +
			  server->zones[z]->owing.count;
	}
	TAILQ_FOREACH (p, &server->pages, entry)
		page_tick(p, now);
	settle_later(server);
	if (active > 0 || !TAILQ_EMPTY(&server->pages))
		tick_later(server);
	return 0;
}

static int on_back(sd_event_source *source, uint64_t usec, void *userdata)
{
	settle_later(userdata);
	return 0;
}

/* --- public --- */

static int add_event_sources(struct server *server)
{
	int r;

	r = timer_new(&server->tick, server->event, on_tick, server);
	if (r >= 0)
		r = timer_new(&server->back, server->event, on_back, server);
	if (r < 0)
		return r;
	r = sd_event_add_defer(server->event, &server->settle, on_settle,
			       server);
	if (r < 0)
		return r;
	return sd_event_source_set_enabled(server->settle, SD_EVENT_OFF);
}

/* A quarter: a building behind one address fits in and leaves room for others.
 */
static void choose_max_per_address(struct server_config *config)
{
	if (config->max_per_address > 0)
		return;
	config->max_per_address = config->max_clients / 4;
	if (config->max_per_address < PER_ADDRESS_DEFAULT_MIN)
		config->max_per_address = PER_ADDRESS_DEFAULT_MIN;
}

static uint64_t shelf_size(void)
{
	const long pages = sysconf(_SC_PHYS_PAGES);
	const uint64_t half =
	    (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE) / 2;

	return pages > 0 ? MIN(half, SHELF_SIZE_MAX) : SHELF_SIZE_MAX;
}

int server_new(struct server **ret, sd_event *event,
	       const struct server_config *config)
{
	struct server *server = calloc(1, sizeof(*server));
	int r;

	if (!server)
		return -ENOMEM;
	server->event = sd_event_ref(event);
	server->config = *config;
	TAILQ_INIT(&server->pages);
	logbook_init(&server->logbook);
	server->shelf.max_size = shelf_size();
	server->config.page.shelf = &server->shelf;
	choose_max_per_address(&server->config);
	r = gate_new(&server->gate, event, server->config.max_clients,
		     server->config.max_per_address, &server->stats.gate);
	if (r >= 0)
		r = rollcall_new(&server->rollcall, event, server->zones,
				 config->keys, tell_roll, server);
	if (r >= 0)
		r = add_event_sources(server);
	if (r < 0) {
		server_free(server);
		return r;
	}
	*ret = server;
	return 0;
}

struct server *server_free(struct server *server)
{
	if (!server)
		return NULL;
	server->observers[0].is = NULL;
	server->closed = true;
	(void)server_stop(server, 0);
	for (unsigned z = 0; z < server->zone_count; z++)
		server->zones[z] = zone_free(server->zones[z]);
	while (!TAILQ_EMPTY(&server->pages))
		drop_page(TAILQ_FIRST(&server->pages), server);
	logbook_clear(&server->logbook);
	tape_shelf_keep(&server->shelf, NULL);
	rollcall_free(server->rollcall);
	gate_tell_totals(server->gate);
	gate_free(server->gate);
	sd_event_source_disable_unref(server->tick);
	sd_event_source_disable_unref(server->settle);
	sd_event_source_disable_unref(server->back);
	sd_event_unref(server->event);
	free(server);
	return NULL;
}

int server_add_listener(struct server *server, int fd, const char *name)
{
	int z = server_find_zone(server, name), r;

	if (z >= 0)
		return zone_add_listener(server->zones[z], fd);
	r = -E2BIG;
	if (server->zone_count < BUS_ZONES_MAX)
		r = zone_new(&server->zones[server->zone_count], server->event,
			     name, server->gate, server->config.keys,
			     &zone_callbacks, server);
	if (r < 0) {
		fd_close(fd);
		return r;
	}
	return zone_add_listener(server->zones[server->zone_count++], fd);
}

int server_expect(struct server *server, const char *name, unsigned count)
{
	int z = name ? server_find_zone(server, name) : 0;

	if (z < 0)
		return z;
	if (name) {
		server->zones[z]->expected = count;
		return 0;
	}
	for (unsigned i = 0; i < server->zone_count; i++)
		if (server->zones[i]->expected == 0)
			server->zones[i]->expected = count;
	return 0;
}

void server_call_roll(struct server *server)
{
	rollcall_start(server->rollcall);
}

static void tell_listener(const struct zone *zone, int fd)
{
	struct sockaddr_storage address = {0};
	socklen_t size = sizeof(address);
	char name[NET_ADDRESS_SIZE];

	(void)getsockname(fd, (struct sockaddr *)&address, &size);
	net_address_name(&address, name);
	log_info("Zone %s listens on %s", zone->name, name);
}

void server_tell_listeners(const struct server *server)
{
	for (unsigned z = 0; z < server->zone_count; z++) {
		const struct zone *zone = server->zones[z];

		for (unsigned i = 0; i < zone->listener_count; i++)
			tell_listener(zone, sd_event_source_get_io_fd(
						zone->listeners[i]));
	}
}

int server_observe(struct server *server,
		   const struct server_observer *observer, void *userdata)
{
	struct observer *o = server->observers;

	while (o->is)
		o++;
	if (o == server->observers + OBSERVERS_MAX)
		return -E2BIG;
	*o = (struct observer){observer, userdata};
	return 0;
}

/* Pages that are over but for a file that hangs count as well, in the end. */
static bool has_too_many(const struct server *server)
{
	const struct page *p;
	unsigned count = 0;

	TAILQ_FOREACH (p, &server->pages, entry)
		count += !page_is_over(p);
	return server_page_count(server) >= BUS_PAGES_MAX ||
	       count >= 2 * BUS_PAGES_MAX;
}

static int check_request(const struct server *server,
			 const struct page_request *request)
{
	if (server->closed)
		return -ESHUTDOWN;
	if (request->zones == 0 || request->zones & ~all_zones(server))
		return -ENOENT;
	if (has_too_many(server))
		return -E2BIG;
	return is_busy(server, request) ? -EBUSY : 0;
}

/* A microphone page without a chime of its own gets the server's. */
static int choose_chime(const struct server *server,
			struct page_request *request)
{
	if (server->config.chime_fd < 0 || request->chime_fd >= 0 ||
	    request->file_fd >= 0)
		return 0;
	request->chime_fd = fcntl(server->config.chime_fd, F_DUPFD_CLOEXEC, 3);
	return request->chime_fd < 0 ? -errno : 0;
}

/* Those that are lost must find room beside those that are connected. */
static int begin_ledger(struct server *server, struct ledger **ret)
{
	return logbook_begin(&server->logbook, server->last_id + 1,
			     2 * (size_t)server->config.max_clients, ret);
}

int server_page(struct server *server, const struct page_request *wish,
		uint32_t *ret_id)
{
	struct page_request request = *wish;
	struct ledger *ledger = NULL;
	struct page *p;
	int r;

	if (request.zones == 0)
		request.zones = all_zones(server);
	r = check_request(server, &request);
	if (r == 0)
		r = choose_chime(server, &request);
	if (r == 0)
		r = begin_ledger(server, &ledger);
	if (r < 0) {
		page_request_close(&request);
		return r;
	}
	r = page_new(&p, ledger, server->event, &server->config.page,
		     server->zones, &request, &page_callbacks, server);
	if (r < 0) {
		logbook_end(&server->logbook, ledger, LOGBOOK_FORGET);
		return r;
	}
	TAILQ_INSERT_TAIL(&server->pages, p, entry);
	*ret_id = ++server->last_id;
	settle_later(server);
	return 0;
}

int server_stop(struct server *server, uint32_t id)
{
	struct page *p;
	int count = 0;

	TAILQ_FOREACH (p, &server->pages, entry) {
		if ((id != 0 && p->info.id != id) ||
		    p->info.state >= PAGE_SENDING)
			continue;
		page_stop(p, PAGE_STOPPED);
		count++;
	}
	return count > 0 || id == 0 ? count : -ENOENT;
}

void server_close(struct server *server)
{
	struct page *p;

	server->closed = true;
	TAILQ_FOREACH (p, &server->pages, entry)
		if (waits(p) && p->info.state >= PAGE_QUEUED)
			page_stop(p, PAGE_STOPPED);
}

unsigned server_page_count(const struct server *server)
{
	const struct page *p;
	unsigned count = 0;

	TAILQ_FOREACH (p, &server->pages, entry)
		count += p->info.state != PAGE_DONE;
	return count;
}

bool server_page_at(const struct server *server, unsigned n,
		    struct page_info *ret)
{
	struct page *p;

	TAILQ_FOREACH (p, &server->pages, entry) {
		if (p->info.state == PAGE_DONE || n-- > 0)
			continue;
		*ret = *page_info(p);
		return true;
	}
	return false;
}

double server_take_peak(struct server *server, uint32_t id)
{
	struct page *p;

	TAILQ_FOREACH (p, &server->pages, entry)
		if (p->info.id == id)
			return page_take_peak(p);
	return 0;
}

const struct tape *server_last_tape(const struct server *server)
{
	return server->shelf.last;
}

int server_heard(const struct server *server, uint32_t id,
		 struct ledger_list *ret)
{
	const struct ledger *ledger = logbook_find(&server->logbook, id);

	return ledger ? ledger_list(ledger, ret) : -ENOENT;
}

const struct ledger_list *server_last_heard(const struct server *server)
{
	return server->last_heard.page ? &server->last_heard : NULL;
}

bool server_last_receipt(const struct server *server, const char *zone,
			 const struct connection *connection,
			 struct ledger_player *ret, uint32_t *ret_page,
			 uint32_t *ret_rate)
{
	const struct ledger *ledger = logbook_last(
	    &server->logbook, zone, connection_identity(connection),
	    connection_peer(connection), ret);

	if (!ledger)
		return false;
	*ret_page = ledger->page;
	*ret_rate = ledger->rate;
	return true;
}

bool server_awaits_receipts(const struct server *server)
{
	return logbook_waits(&server->logbook);
}

unsigned server_zone_count(const struct server *server)
{
	return server->zone_count;
}

const char *server_zone_name(const struct server *server, unsigned zone)
{
	return server->zones[zone]->name;
}

unsigned server_zone_clients(const struct server *server, unsigned zone)
{
	const struct zone *z = server->zones[zone];

	return z->waiting.count + z->active.count;
}

int server_find_zone(const struct server *server, const char *name)
{
	for (unsigned z = 0; z < server->zone_count; z++)
		if (strcmp(server->zones[z]->name, name) == 0)
			return (int)z;
	return -ENOENT;
}

bool server_supervises(const struct server *server)
{
	return rollcall_is_on(server->rollcall);
}

const struct roll *server_roll(const struct server *server)
{
	return rollcall_roll(server->rollcall);
}

unsigned server_zone_expected(const struct server *server, unsigned zone)
{
	return server->zones[zone]->expected;
}

unsigned server_client_count(const struct server *server)
{
	return server->gate->clients;
}

const struct server_stats *server_stats(const struct server *server)
{
	return &server->stats;
}

const struct server_config *server_config(const struct server *server)
{
	return &server->config;
}

void server_each_client(const struct server *server,
			void (*each)(void *userdata, const char *zone,
				     const struct connection *connection),
			void *userdata)
{
	for (unsigned z = 0; z < server->zone_count; z++)
		zone_each_client(server->zones[z], each, userdata);
}
