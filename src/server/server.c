/* SPDX-License-Identifier: MIT
 * Zones, clients and pages, and who gets what. Everything that ends is freed
 * in one deferred place, never from within a callback. */
#include "server/server.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <sys/queue.h>

#include "base/log.h"
#include "base/util.h"
#include "server/archive.h"
#include "server/zone.h"
#include "wire/transport.h"

#define TICK_USEC USEC_PER_SEC
#define STUCK_USEC (10 * USEC_PER_SEC)
/* Whoever still takes a complete page may be so many times slower than sound,
 * and so much later. A page that somebody holds is one of BUS_PAGES_MAX. */
#define SENDING_SLOWNESS 4
#define SENDING_SPARE_USEC (15 * USEC_PER_SEC)

enum {
	OBSERVERS_MAX = 4,
	PER_ADDRESS_DEFAULT_MIN = 64,
	/* A forgotten page in store mode must not fill the machine. */
	STORE_SIZE_MAX = 512 << 20,
	/* What a disk may be behind before the page goes on without it. */
	ARCHIVE_LAG_MAX = 256 << 20,
};

struct server_page {
	TAILQ_ENTRY(server_page) entry;
	struct server *server;
	uint32_t id;
	int priority;
	uint64_t wanted; /* zones, a bit each */
	uint64_t held;	 /* of these, the ones it is on the air in */
	double seconds;
	struct chime *chime;
	int file_fd;
	bool is_file;
	struct announcement *announcement; /* NULL until its turn comes */
	bool queues; /* waits its turn, for the microphone as for a zone */
	bool waits;  /* for a microphone that was busy */
	bool again;  /* the attempt that found it so is not yet released */
	struct archive_writer *archive;
	enum server_page_state state;
	enum announcement_end unstarted_end; /* without an announcement */
	uint32_t clients, reached, lost;
	uint64_t skips;
	uint64_t deadline_usec; /* of SENDING */
};
TAILQ_HEAD(server_page_list, server_page);

struct server {
	sd_event *event;
	struct server_config config;
	struct gate *gate;
	struct zone *zones[BUS_ZONES_MAX];
	struct server_page *on_air[BUS_ZONES_MAX];
	unsigned zone_count;
	struct server_page_list pages; /* in the order of their ids */
	uint32_t last_id;
	bool closed, paused;
	uint64_t paused_until_usec;
	struct tape *last_tape;
	struct server_stats stats;
	sd_event_source *tick, *settle;
	struct {
		const struct server_observer *observer;
		void *userdata;
	} observers[OBSERVERS_MAX];
	unsigned observer_count;
};

const char *server_page_state_name(enum server_page_state state)
{
	static const char *const names[] = {
	    [SERVER_PAGE_QUEUED] = "queued",
	    [SERVER_PAGE_OPENING] = "opening",
	    [SERVER_PAGE_CHIME] = "chime",
	    [SERVER_PAGE_SPEECH] = "speech",
	    [SERVER_PAGE_SENDING] = "sending",
	    [SERVER_PAGE_DONE] = "done",
	};

	return names[state];
}

static uint64_t all_zones(const struct server *server)
{
	return server->zone_count == 64
		   ? UINT64_MAX
		   : (UINT64_C(1) << server->zone_count) - 1;
}

/* --- telling --- */

static void fill_info(const struct server_page *p, struct server_page_info *ret)
{
	*ret = (struct server_page_info){
	    .id = p->id,
	    .state = p->state,
	    .is_file = p->is_file,
	    .priority = p->priority,
	    .zones = p->wanted,
	    .clients = p->clients,
	    .reached = p->reached,
	    .lost = p->lost,
	    .skips = p->skips,
	};
	if (p->announcement && !p->again)
		announcement_info(p->announcement, &ret->source);
	else
		ret->source = (struct announcement_info){
		    .state = p->state == SERVER_PAGE_DONE
				 ? ANNOUNCEMENT_ENDED
				 : ANNOUNCEMENT_OPENING,
		    .end = p->unstarted_end,
		    .reason = "",
		};
	for (unsigned z = 0; z < p->server->zone_count; z++)
		ret->skips += zone_skips(p->server->zones[z], p);
}

static void set_state(struct server_page *p, enum server_page_state state)
{
	struct server *server = p->server;
	struct server_page_info info;

	p->state = state;
	fill_info(p, &info);
	for (unsigned i = 0; i < server->observer_count; i++)
		if (server->observers[i].observer->on_page)
			server->observers[i].observer->on_page(
			    server->observers[i].userdata, &info);
}

static void tell_clients(const struct server *server)
{
	for (unsigned i = 0; i < server->observer_count; i++)
		if (server->observers[i].observer->on_clients)
			server->observers[i].observer->on_clients(
			    server->observers[i].userdata);
}

/* Asks for on_settle() when the present event is dealt with. */
static void settle_later(struct server *server)
{
	(void)sd_event_source_set_enabled(server->settle, SD_EVENT_ONESHOT);
}

static void tick_later(struct server *server)
{
	int enabled;

	if (sd_event_source_get_enabled(server->tick, &enabled) >= 0 &&
	    enabled == SD_EVENT_OFF) {
		(void)sd_event_source_set_time(server->tick,
					       now_usec() + TICK_USEC);
		(void)sd_event_source_set_enabled(server->tick,
						  SD_EVENT_ONESHOT);
	}
}

/* --- a page on the air --- */

static bool is_live(const struct server_page *p)
{
	return p->server->config.mode == SERVER_LIVE;
}

static uint64_t max_lag_bytes(const struct server_page *p,
			      const struct tape *tape)
{
	const struct wav_format *format = tape_format(tape);

	if (!is_live(p) || tape_ended(tape))
		return 0;
	return (uint64_t)(p->server->config.max_lag_seconds * format->rate) *
	       wav_frame_size(format);
}

static void attach_zone(struct server_page *p, unsigned z, uint64_t offset)
{
	struct tape *tape = announcement_tape(p->announcement);
	struct zone *zone = p->server->zones[z];
	unsigned waiting = zone_client_count(zone) - zone_active_count(zone);

	/* Before attaching: a short page may end for them at once. */
	p->clients += waiting;
	zone_attach(zone, p, tape, offset, max_lag_bytes(p, tape));
}

static void attach_held_zones(struct server_page *p)
{
	transport_keys_refresh(p->server->config.keys);
	for (unsigned z = 0; z < p->server->zone_count; z++)
		if (p->held & UINT64_C(1) << z) {
			zone_check_keys(p->server->zones[z]);
			attach_zone(p, z, 0);
		}
}

static void for_held_zones(struct server_page *p,
			   void (*act)(struct zone *zone, const void *owner))
{
	for (unsigned z = 0; z < p->server->zone_count; z++)
		if (p->held & UINT64_C(1) << z)
			act(p->server->zones[z], p);
}

static void release_zone(struct server_page *p, unsigned z)
{
	if (p->server->on_air[z] == p)
		p->server->on_air[z] = NULL;
}

static void release_zones(struct server_page *p)
{
	for (unsigned z = 0; z < p->server->zone_count; z++)
		release_zone(p, z);
}

static void done_if_sent(struct server_page *p)
{
	if (p->state == SERVER_PAGE_SENDING && p->clients == 0)
		set_state(p, SERVER_PAGE_DONE);
	settle_later(p->server);
}

/* "all", or the zones' names with "+" between them. */
static void label_zones(const struct server *server, uint64_t zones,
			char *label, size_t size)
{
	size_t length = 0;

	snprintf(label, size, "all");
	if (zones == all_zones(server))
		return;
	for (unsigned z = 0; z < server->zone_count && length < size; z++)
		if (zones & UINT64_C(1) << z)
			length += (size_t)snprintf(
			    label + length, size - length, "%s%s",
			    length ? "+" : "", zone_name(server->zones[z]));
}

static void begin_archive(struct server_page *p)
{
	const struct archive_config *config = &p->server->config.archive;
	char label[NAME_MAX / 2];
	int r;

	if (!config->dir)
		return;
	label_zones(p->server, p->wanted, label, sizeof(label));
	r = archive_begin(&p->archive, config, label,
			  announcement_tape(p->announcement));
	if (r < 0)
		log_error("Page %u is not archived: %s: %s", p->id, config->dir,
			  strerror(-r));
}

static void stop_page(struct server_page *p, enum announcement_end end);

/* A microphone that a page has ended with, but not yet closed. */
static bool microphone_closing(const struct server *server)
{
	const struct server_page *p;

	TAILQ_FOREACH (p, &server->pages, entry)
		if (p->announcement && !p->is_file &&
		    p->state >= SERVER_PAGE_SENDING &&
		    !announcement_released(p->announcement))
			return true;
	return false;
}

static bool found_microphone_busy(const struct server_page *p)
{
	struct announcement_info info;

	announcement_info(p->announcement, &info);
	return !p->is_file && info.end == ANNOUNCEMENT_NO_DEVICE &&
	       info.error == -EBUSY;
}

static bool has_microphone(const struct server_page *p)
{
	return p->announcement && !p->again && !p->is_file &&
	       p->state < SERVER_PAGE_SENDING;
}

static bool waits_for_microphone(const struct server_page *p)
{
	return p->waits && p->state == SERVER_PAGE_OPENING &&
	       (p->again || !p->announcement);
}

/* The page that has the microphone and that P cannot take it from, or NULL. */
static const struct server_page *microphone_owner(const struct server_page *p)
{
	const struct server_page *other;

	TAILQ_FOREACH (other, &p->server->pages, entry)
		if (other != p && has_microphone(other) &&
		    other->priority >= p->priority)
			return other;
	return NULL;
}

/* One that cannot be shared goes to the page of higher priority, as a zone
 * does. Whether it is worth trying again. */
static bool take_microphone(struct server_page *p)
{
	const struct server_page *owner = microphone_owner(p);
	struct server_page *other;

	if (owner) {
		log_notice("Page %u has the microphone, which cannot be "
			   "shared%s",
			   owner->id, p->queues ? ": the next one waits" : "");
		return p->queues;
	}
	TAILQ_FOREACH (other, &p->server->pages, entry) {
		if (other == p || !has_microphone(other))
			continue;
		log_notice("Page %u gives the microphone to one of higher "
			   "priority",
			   other->id);
		stop_page(other, ANNOUNCEMENT_PREEMPTED);
	}
	return microphone_closing(p->server);
}

static void on_opened(void *userdata)
{
	struct server_page *p = userdata;

	p->server->stats.pages++;
	set_state(p, SERVER_PAGE_CHIME);
	begin_archive(p);
	if (is_live(p))
		attach_held_zones(p);
}

static void on_speech(void *userdata)
{
	set_state(userdata, SERVER_PAGE_SPEECH);
}

static void on_grown(void *userdata)
{
	struct server_page *p = userdata;

	archive_push(p->archive);
	if (is_live(p)) {
		for_held_zones(p, zone_push);
	} else if (tape_size(announcement_tape(p->announcement)) >
		   STORE_SIZE_MAX) {
		log_warning("Page %u ends: --mode store keeps at most %d MiB",
			    p->id, STORE_SIZE_MAX >> 20);
		announcement_stop(p->announcement, ANNOUNCEMENT_COMPLETE);
	}
}

static void on_slow(void *userdata, uint64_t took_usec)
{
	const struct server_page *p = userdata;

	log_notice("Page %u: %u clients take %" PRIu64 " ms, longer than a "
		   "chunk: they get larger pieces, less often",
		   p->id, p->clients, took_usec / 1000);
}

static void log_failure(const struct server_page *p)
{
	struct announcement_info info;

	announcement_info(p->announcement, &info);
	if (*info.reason)
		log_error("%s", info.reason);
}

static void keep_last(struct server_page *p, struct tape *tape)
{
	tape_unref(p->server->last_tape);
	p->server->last_tape = tape_ref(tape);
}

/* A live client is at most max_lag behind, one in store mode by all of it. */
static void set_deadline(struct server_page *p, const struct tape *tape)
{
	const struct wav_format *format = tape_format(tape);
	double seconds = (double)tape_size(tape) /
			 ((double)wav_frame_size(format) * format->rate);

	if (is_live(p) && seconds > p->server->config.max_lag_seconds)
		seconds = p->server->config.max_lag_seconds;
	p->deadline_usec =
	    now_usec() + SENDING_SPARE_USEC +
	    (uint64_t)(seconds * SENDING_SLOWNESS * (double)USEC_PER_SEC);
}

static void on_ended(void *userdata)
{
	struct server_page *p = userdata;
	struct tape *tape = announcement_tape(p->announcement);

	if (found_microphone_busy(p) && take_microphone(p)) {
		p->waits = p->again = true;
		return;
	}
	log_failure(p);
	release_zones(p);
	if (tape) {
		keep_last(p, tape);
		set_deadline(p, tape);
		if (is_live(p))
			for_held_zones(p, zone_push);
		else
			attach_held_zones(p);
	}
	archive_push(p->archive);
	set_state(p, SERVER_PAGE_SENDING);
	done_if_sent(p);
}

static void on_released(void *userdata)
{
	struct server_page *p = userdata;

	settle_later(p->server);
}

static const struct announcement_callbacks announcement_callbacks = {
    .on_opened = on_opened,
    .on_speech = on_speech,
    .on_grown = on_grown,
    .on_slow = on_slow,
    .on_ended = on_ended,
    .on_released = on_released,
};

/* --- arbitration --- */

/* A page that ends without ever having had a source. */
static void end_unstarted(struct server_page *p, enum announcement_end end)
{
	p->unstarted_end = end;
	release_zones(p);
	p->file_fd = fd_close(p->file_fd);
	set_state(p, SERVER_PAGE_DONE);
	settle_later(p->server);
}

static void stop_page(struct server_page *p, enum announcement_end end)
{
	if (p->announcement && !p->again)
		announcement_stop(p->announcement, end);
	else if (p->state != SERVER_PAGE_DONE)
		end_unstarted(p, end);
}

static void take_zone_from(struct server_page *p, unsigned z)
{
	struct server *server = p->server;

	release_zone(p, z);
	p->held &= ~(UINT64_C(1) << z);
	zone_finish(server->zones[z], p);
	log_notice("Page %u gives zone %s to a page of higher priority", p->id,
		   zone_name(server->zones[z]));
	if (p->held == 0)
		stop_page(p, ANNOUNCEMENT_PREEMPTED);
}

/* The zones in which a page of this priority would have to wait. */
static uint64_t busy_zones(const struct server *server, int priority)
{
	uint64_t busy = 0;

	for (unsigned z = 0; z < server->zone_count; z++)
		if (server->on_air[z] &&
		    server->on_air[z]->priority >= priority)
			busy |= UINT64_C(1) << z;
	return busy;
}

static void take_zones(struct server_page *p)
{
	struct server *server = p->server;

	for (unsigned z = 0; z < server->zone_count; z++) {
		if (!(p->wanted & UINT64_C(1) << z))
			continue;
		if (server->on_air[z])
			take_zone_from(server->on_air[z], z);
		server->on_air[z] = p;
	}
	p->held = p->wanted;
	set_state(p, SERVER_PAGE_OPENING);
}

static void launch(struct server_page *p)
{
	const struct server_config *config = &p->server->config;
	int r;

	if (p->is_file)
		r = announcement_new_file(
		    &p->announcement, p->server->event, TAKE_FD(p->file_fd),
		    is_live(p) ? ANNOUNCEMENT_PACED : ANNOUNCEMENT_AT_ONCE,
		    &announcement_callbacks, p);
	else
		r = announcement_new_microphone(
		    &p->announcement, p->server->event, &config->microphone,
		    p->seconds, p->chime, &announcement_callbacks, p);
	if (r < 0) {
		log_error("Page %u cannot begin: %s", p->id, strerror(-r));
		end_unstarted(p, ANNOUNCEMENT_FAILED);
	}
}

/* Gives zones to whoever waits for them and may have them: the highest priority
 * first, then the oldest. */
static void grant_priority(struct server *server, int priority,
			   uint64_t *reserved)
{
	struct server_page *p;

	TAILQ_FOREACH (p, &server->pages, entry) {
		if (p->state != SERVER_PAGE_QUEUED || p->priority != priority)
			continue;
		if (!(p->wanted & (*reserved | busy_zones(server, priority))))
			take_zones(p);
		*reserved |= p->wanted;
	}
}

static void grant(struct server *server)
{
	uint64_t reserved = 0;

	for (int priority = BUS_PRIORITY_MAX; priority >= BUS_PRIORITY_MIN;
	     priority--)
		grant_priority(server, priority, &reserved);
}

static void forget_attempt(struct server_page *p)
{
	if (!announcement_released(p->announcement))
		return;
	p->announcement = announcement_free(p->announcement);
	p->again = false;
}

static bool has_to_wait(const struct server_page *p)
{
	const struct server_page *other;

	if (p->is_file)
		return false;
	if (microphone_closing(p->server) || (p->waits && microphone_owner(p)))
		return true;
	TAILQ_FOREACH (other, &p->server->pages, entry)
		if (waits_for_microphone(other) &&
		    other->priority > p->priority)
			return true;
	return false;
}

static void launch_granted(struct server *server)
{
	struct server_page *p;

	TAILQ_FOREACH (p, &server->pages, entry) {
		if (p->state != SERVER_PAGE_OPENING)
			continue;
		if (p->again)
			forget_attempt(p);
		if (!p->announcement && !has_to_wait(p))
			launch(p);
	}
}

/* --- clients --- */

static void pause_accepting(struct server *server)
{
	server->paused = true;
	server->paused_until_usec = now_usec() + TICK_USEC;
	for (unsigned z = 0; z < server->zone_count; z++)
		zone_pause(server->zones[z]);
	tick_later(server);
}

static void resume_accepting(struct server *server)
{
	server->paused = false;
	for (unsigned z = 0; z < server->zone_count; z++)
		zone_resume(server->zones[z]);
}

static void on_exhausted(void *userdata, int error)
{
	struct server *server = userdata;

	gate_note_pause(server->gate, server_client_count(server), error);
	pause_accepting(server);
}

/* What the gate holds back is told in the end, whether or not more happens. */
static void tell_later(struct server *server)
{
	if (gate_tell(server->gate))
		tick_later(server);
}

static int enter(void *userdata, int fd, const struct sockaddr_storage *address,
		 struct peer **ret_peer)
{
	struct server *server = userdata;
	int r = gate_enter(server->gate, fd, address,
			   server_client_count(server), ret_peer);

	if (r < 0)
		tell_later(server);
	return r;
}

static bool has_room(void *userdata)
{
	struct server *server = userdata;
	bool room = gate_has_room(server->gate, server_client_count(server));

	tell_later(server);
	return room;
}

static unsigned zone_number(const struct server *server,
			    const struct zone *zone)
{
	unsigned z = 0;

	while (server->zones[z] != zone)
		z++;
	return z;
}

/* Whoever comes during a live page joins it at the newest frame. */
static void on_accepted(void *userdata, struct zone *zone)
{
	struct server *server = userdata;
	unsigned z = zone_number(server, zone);
	struct server_page *p = server->on_air[z];

	gate_note_accepted(server->gate);
	tell_clients(server);
	if (p && is_live(p) && p->announcement &&
	    announcement_tape(p->announcement))
		attach_zone(p, z,
			    tape_size(announcement_tape(p->announcement)));
}

static void count_end(struct server_page *p, enum connection_end end,
		      const struct connection *connection)
{
	p->clients--;
	p->skips += connection_stats(connection)->skips;
	if (end == CONNECTION_DONE)
		p->reached++;
	else
		p->lost++;
	done_if_sent(p);
}

static void on_end(void *userdata, struct zone *zone, void *owner,
		   enum connection_end end, const struct connection *connection)
{
	struct server *server = userdata;

	(void)zone;
	gate_note_end(server->gate, end, connection);
	tell_later(server);
	if (owner)
		count_end(owner, end, connection);
	if (server->paused)
		resume_accepting(server);
	settle_later(server);
	if (end != CONNECTION_UNPROVEN && end != CONNECTION_TOO_SLOW)
		tell_clients(server);
}

static const struct zone_callbacks zone_callbacks = {
    .enter = enter,
    .has_room = has_room,
    .on_accepted = on_accepted,
    .on_end = on_end,
    .on_exhausted = on_exhausted,
};

/* --- what is done later --- */

static bool page_is_over(struct server_page *p)
{
	return p->state == SERVER_PAGE_DONE && archive_done(p->archive) &&
	       (!p->announcement || announcement_released(p->announcement));
}

static void free_page(struct server_page *p)
{
	release_zones(p);
	TAILQ_REMOVE(&p->server->pages, p, entry);
	announcement_free(p->announcement);
	archive_free(p->archive);
	chime_unref(p->chime);
	fd_close(p->file_fd);
	free(p);
}

static int on_settle(sd_event_source *source, void *userdata)
{
	struct server *server = userdata;
	struct server_page *p, *next;

	(void)source;
	for (unsigned z = 0; z < server->zone_count; z++)
		zone_reap(server->zones[z]);
	grant(server);
	launch_granted(server);
	for (p = TAILQ_FIRST(&server->pages); p; p = next) {
		next = TAILQ_NEXT(p, entry);
		if (page_is_over(p))
			free_page(p);
	}
	if (!TAILQ_EMPTY(&server->pages))
		tick_later(server);
	return 0;
}

/* Gives back the memory that everybody has consumed. */
static void forget_consumed(struct server_page *p)
{
	struct tape *tape =
	    p->announcement ? announcement_tape(p->announcement) : NULL;
	uint64_t slowest, archived;

	if (!tape || !is_live(p))
		return;
	archived = archive_offset(p->archive);
	if (!tape_ended(tape) && archived < tape_size(tape) &&
	    tape_size(tape) - archived > ARCHIVE_LAG_MAX) {
		log_error("Page %u is not archived: the disk is too slow",
			  p->id);
		archive_give_up(p->archive);
	}
	slowest = tape_size(tape);
	if (archived < slowest)
		slowest = archived;
	for (unsigned z = 0; z < p->server->zone_count; z++) {
		uint64_t offset = zone_slowest(p->server->zones[z], p);

		if (offset < slowest)
			slowest = offset;
	}
	/* The last minutes stay, for whoever wants to save the page. */
	if (slowest > TAPE_KEEP_SIZE)
		tape_forget(tape, slowest - TAPE_KEEP_SIZE);
}

static void end_crawlers(struct server_page *p, uint64_t now)
{
	if (p->state == SERVER_PAGE_SENDING && now > p->deadline_usec)
		for (unsigned z = 0; z < p->server->zone_count; z++)
			zone_drop(p->server->zones[z], p, CONNECTION_CRAWLED);
}

static int on_tick(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct server *server = userdata;
	uint64_t now = now_usec();
	unsigned active = 0;
	struct server_page *p;

	(void)source;
	(void)usec;
	transport_keys_refresh(server->config.keys);
	for (unsigned z = 0; z < server->zone_count; z++) {
		zone_check_keys(server->zones[z]);
		zone_check_progress(server->zones[z], now - STUCK_USEC);
		active += zone_active_count(server->zones[z]);
	}
	TAILQ_FOREACH (p, &server->pages, entry) {
		archive_push(p->archive);
		forget_consumed(p);
		end_crawlers(p, now);
	}
	if (server->paused && now >= server->paused_until_usec)
		resume_accepting(server);
	settle_later(server);
	if (gate_tell(server->gate) || active > 0 || server->paused ||
	    !TAILQ_EMPTY(&server->pages))
		tick_later(server);
	return 0;
}

/* --- public --- */

static int add_event_sources(struct server *server)
{
	int r;

	r = sd_event_add_time(server->event, &server->tick, CLOCK_MONOTONIC, 0,
			      USEC_PER_SEC / 20, on_tick, server);
	if (r < 0)
		return r;
	r = sd_event_source_set_enabled(server->tick, SD_EVENT_OFF);
	if (r < 0)
		return r;
	r = sd_event_add_defer(server->event, &server->settle, on_settle,
			       server);
	if (r < 0)
		return r;
	return sd_event_source_set_enabled(server->settle, SD_EVENT_OFF);
}

/* A building behind one address fits in, and leaves room for others. */
static void choose_max_per_address(struct server_config *config)
{
	if (config->max_per_address > 0)
		return;
	config->max_per_address = config->max_clients / 4;
	if (config->max_per_address < PER_ADDRESS_DEFAULT_MIN)
		config->max_per_address = PER_ADDRESS_DEFAULT_MIN;
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
	choose_max_per_address(&server->config);
	r = gate_new(&server->gate, server->config.max_clients,
		     server->config.max_per_address, &server->stats.gate);
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
	for (unsigned z = 0; z < server->zone_count; z++)
		zone_free(server->zones[z]);
	server->zone_count = 0;
	server->observer_count = 0;
	while (!TAILQ_EMPTY(&server->pages)) {
		struct server_page *p = TAILQ_FIRST(&server->pages);

		if (p->announcement)
			announcement_stop(p->announcement,
					  ANNOUNCEMENT_STOPPED);
		free_page(p);
	}
	tape_unref(server->last_tape);
	if (server->gate)
		gate_tell_totals(server->gate);
	gate_free(server->gate);
	sd_event_source_disable_unref(server->tick);
	sd_event_source_disable_unref(server->settle);
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
			     name, server->config.keys, &zone_callbacks,
			     server);
	if (r < 0) {
		fd_close(fd);
		return r;
	}
	return zone_add_listener(server->zones[server->zone_count++], fd);
}

int server_observe(struct server *server,
		   const struct server_observer *observer, void *userdata)
{
	if (server->observer_count == OBSERVERS_MAX)
		return -E2BIG;
	server->observers[server->observer_count].observer = observer;
	server->observers[server->observer_count].userdata = userdata;
	server->observer_count++;
	return 0;
}

static int check_request(const struct server *server,
			 const struct server_request *request, uint64_t wanted)
{
	if (server->closed)
		return -ESHUTDOWN;
	if (wanted == 0 || wanted & ~all_zones(server))
		return -ENOENT;
	if (server_page_count(server) >= BUS_PAGES_MAX)
		return -E2BIG;
	if (request->when_busy == SERVER_REFUSE &&
	    busy_zones(server, request->priority) & wanted)
		return -EBUSY;
	return 0;
}

int server_page(struct server *server, const struct server_request *request,
		uint32_t *ret_id)
{
	uint64_t wanted = request->zones ? request->zones : all_zones(server);
	struct server_page *p = NULL;
	int r;

	r = check_request(server, request, wanted);
	if (r == 0) {
		p = calloc(1, sizeof(*p));
		r = p ? 0 : -ENOMEM;
	}
	if (r < 0) {
		fd_close(request->file_fd);
		return r;
	}
	*p = (struct server_page){
	    .server = server,
	    .id = ++server->last_id,
	    .priority = request->priority,
	    .wanted = wanted,
	    .seconds = request->seconds,
	    .chime = chime_ref(request->chime ? request->chime
					      : server->config.chime),
	    .file_fd = request->file_fd,
	    .is_file = request->file_fd >= 0,
	    .queues = request->when_busy == SERVER_QUEUE,
	    .state = SERVER_PAGE_QUEUED,
	};
	TAILQ_INSERT_TAIL(&server->pages, p, entry);
	*ret_id = p->id;
	grant(server);
	if (p->state == SERVER_PAGE_QUEUED)
		set_state(p, SERVER_PAGE_QUEUED); /* it has to wait */
	settle_later(server);
	return 0;
}

int server_stop(struct server *server, uint32_t id)
{
	struct server_page *p;
	int count = 0;

	TAILQ_FOREACH (p, &server->pages, entry) {
		if ((id != 0 && p->id != id) || p->state >= SERVER_PAGE_SENDING)
			continue;
		stop_page(p, ANNOUNCEMENT_STOPPED);
		count++;
	}
	return count > 0 || id == 0 ? count : -ENOENT;
}

void server_close(struct server *server)
{
	struct server_page *p;

	server->closed = true;
	TAILQ_FOREACH (p, &server->pages, entry)
		if (p->state == SERVER_PAGE_QUEUED || waits_for_microphone(p))
			end_unstarted(p, ANNOUNCEMENT_STOPPED);
}

unsigned server_page_count(const struct server *server)
{
	const struct server_page *p;
	unsigned count = 0;

	TAILQ_FOREACH (p, &server->pages, entry)
		count += p->state != SERVER_PAGE_DONE;
	return count;
}

bool server_page_at(const struct server *server, unsigned n,
		    struct server_page_info *ret)
{
	const struct server_page *p;

	TAILQ_FOREACH (p, &server->pages, entry) {
		if (p->state == SERVER_PAGE_DONE)
			continue;
		if (n-- == 0) {
			fill_info(p, ret);
			return true;
		}
	}
	return false;
}

double server_take_peak(struct server *server, uint32_t id)
{
	const struct server_page *p;

	TAILQ_FOREACH (p, &server->pages, entry)
		if (p->id == id && p->announcement)
			return announcement_take_peak(p->announcement);
	return 0;
}

const struct tape *server_last_tape(const struct server *server)
{
	return server->last_tape;
}

unsigned server_zone_count(const struct server *server)
{
	return server->zone_count;
}

const char *server_zone_name(const struct server *server, unsigned zone)
{
	return zone_name(server->zones[zone]);
}

unsigned server_zone_clients(const struct server *server, unsigned zone)
{
	return zone_client_count(server->zones[zone]);
}

int server_find_zone(const struct server *server, const char *name)
{
	for (unsigned z = 0; z < server->zone_count; z++)
		if (strcmp(zone_name(server->zones[z]), name) == 0)
			return (int)z;
	return -ENOENT;
}

unsigned server_client_count(const struct server *server)
{
	unsigned count = 0;

	for (unsigned z = 0; z < server->zone_count; z++)
		count += zone_client_count(server->zones[z]);
	return count;
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
