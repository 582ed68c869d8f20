/* SPDX-License-Identifier: MIT
 * The keys of STATUS in org.alsaintercom1(5), in the same order. */
#include "server/bus/status.h"

#include "config.h"

#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "server/bus/text.h"
#include "server/summary.h"

/* Opens the entry KEY of a dictionary of variants. Its value, of TYPE, is to be
 * appended before close_entry(). */
static int open_entry(sd_bus_message *m, const char *key, const char *type)
{
	int r = sd_bus_message_open_container(m, 'e', "sv");

	if (r >= 0)
		r = sd_bus_message_append(m, "s", key);
	return r < 0 ? r : sd_bus_message_open_container(m, 'v', type);
}

static int close_entry(sd_bus_message *m)
{
	int r = sd_bus_message_close_container(m);

	return r < 0 ? r : sd_bus_message_close_container(m);
}

/* --- the roll --- */

uint64_t bus_status_since(const struct roll_member *member)
{
	const uint64_t ago = now_usec() - member->since_usec;

	/* Not time(): what it leaves out would be in it the next time. */
	return surplus(clock_usec(CLOCK_REALTIME), ago) / USEC_PER_SEC;
}

const char *bus_status_identity(const struct roll_member *member)
{
	return member->kind == ROLL_OF_IDENTITIES ? member->name : "";
}

int bus_status_append_missing(sd_bus_message *m, const struct server *server)
{
	const struct roll *roll = server_roll(server);
	int r = sd_bus_message_open_container(m, 'a', "a{sv}");

	for (size_t i = 0; r >= 0 && i < roll->count; i++) {
		const struct roll_member *member = &roll->members[i];

		if (member->why == ROLL_THERE)
			continue;
		r = sd_bus_message_append(
		    m, "a{sv}", 5, "identity", "s", bus_status_identity(member),
		    "zone", "s", member->zone, "count", "u", member->count,
		    "since", "t", bus_status_since(member), "why", "s",
		    roll_why_name(member->why));
	}
	return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_roll(sd_bus_message *m, const struct server *server)
{
	const struct roll *roll = server_roll(server);
	const char *state = "off";

	if (server_supervises(server))
		state = roll_is_quiet(roll, now_usec()) ? "starting" : "on";
	return sd_bus_message_append(m, "{sv}{sv}{sv}", "roll_call", "s", state,
				     "expected", "u", roll->wanted, "present",
				     "u", roll->present);
}

/* --- zones --- */

int bus_status_append_zone_names(sd_bus_message *m, const struct server *server,
				 uint64_t zones)
{
	int r = sd_bus_message_open_container(m, 'a', "s");

	for (unsigned z = 0; r >= 0 && z < server_zone_count(server); z++)
		if (zones & UINT64_C(1) << z)
			r = sd_bus_message_append(m, "s",
						  server_zone_name(server, z));
	return r < 0 ? r : sd_bus_message_close_container(m);
}

int bus_status_append_zones(sd_bus_message *m, const struct server *server)
{
	int r = sd_bus_message_open_container(m, 'a', "a{sv}");

	for (unsigned z = 0; r >= 0 && z < server_zone_count(server); z++)
		r = sd_bus_message_append(
		    m, "a{sv}", 3, "name", "s", server_zone_name(server, z),
		    "clients", "u", server_zone_clients(server, z), "expected",
		    "u", server_zone_expected(server, z));
	return r < 0 ? r : sd_bus_message_close_container(m);
}

/* --- who has heard a page --- */

/* Of a page that was on schedule. */
static int append_sync(sd_bus_message *m, uint64_t sync_us)
{
	if (sync_us == RECEIPT_UNKNOWN)
		return 0;
	return sd_bus_message_append(m, "{sv}", "sync_us", "t", sync_us);
}

static int append_card(sd_bus_message *m, enum receipt_card card)
{
	return sd_bus_message_append(m, "{sv}", "card", "s",
				     receipt_card_name(card));
}

/* Frames and times of a receipt, as far as it tells them. */
static int append_receipt(sd_bus_message *m, const struct ledger_player *player,
			  uint32_t rate)
{
	int r = 0;

	if (player->heard_frames != RECEIPT_UNKNOWN)
		r = sd_bus_message_append(
		    m, "{sv}", "heard_seconds", "d",
		    frames_to_seconds(player->heard_frames, rate));
	if (r >= 0 && player->starved_ms != RECEIPT_UNKNOWN)
		r = sd_bus_message_append(m, "{sv}", "starved_seconds", "d",
					  (double)player->starved_ms / 1000);
	if (r >= 0)
		r = append_sync(m, player->sync_us);
	return r < 0 ? r
		     : sd_bus_message_append(
			   m, "{sv}{sv}", "result", "s",
			   receipt_result_name(player->result),
			   "dropped_seconds", "d",
			   frames_to_seconds(player->dropped_frames +
						 player->skipped_frames,
					     rate));
}

static int append_player(sd_bus_message *m, const struct ledger_player *player,
			 uint32_t rate)
{
	int r = sd_bus_message_open_container(m, 'a', "{sv}");

	if (r >= 0)
		r = sd_bus_message_append(
		    m, "{sv}{sv}{sv}{sv}{sv}{sv}{sv}", "label", "s",
		    bus_text(player->label, "?"), "identity", "s",
		    bus_text(player->identity, "?"), "name", "s",
		    bus_text(player->name, "?"), "address", "s",
		    bus_text(player->address, "?"), "heard", "s",
		    ledger_heard_name(player->heard), "reason", "s",
		    player->reason, "joined_seconds", "d",
		    frames_to_seconds(player->joined_frame, rate));
	if (r >= 0)
		r = append_receipt(m, player, rate);
	if (r >= 0)
		r = append_card(m, player->card);
	return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_heard_counts(sd_bus_message *m,
			       const struct ledger_list *heard)
{
	const uint32_t *counts = heard->counts;
	const int r = append_sync(m, heard->sync_us);

	if (r < 0)
		return r;
	return sd_bus_message_append(
	    m, "{sv}{sv}{sv}{sv}{sv}{sv}{sv}", "total", "u", heard->total,
	    "heard_all", "u", counts[LEDGER_ALL], "heard_partly", "u",
	    counts[LEDGER_PARTLY], "unheard", "u", counts[LEDGER_UNHEARD],
	    "unreported", "u", counts[LEDGER_UNREPORTED], "pending", "u",
	    counts[LEDGER_PENDING], "excused", "u", counts[LEDGER_EXCUSED]);
}

static int append_players(sd_bus_message *m, const struct ledger_list *heard,
			  size_t max)
{
	int r = open_entry(m, "loudspeakers", "aa{sv}");

	if (r >= 0)
		r = sd_bus_message_open_container(m, 'a', "a{sv}");
	for (size_t i = 0; r >= 0 && i < MIN(heard->player_count, max); i++)
		r = append_player(m, &heard->players[i], heard->rate);
	if (r >= 0)
		r = sd_bus_message_close_container(m);
	return r < 0 ? r : close_entry(m);
}

/* How long the page is still to be heard. */
static double due_seconds(const struct ledger_list *heard)
{
	return (double)surplus(heard->due_usec, now_usec()) /
	       (double)USEC_PER_SEC;
}

int bus_status_append_heard(sd_bus_message *m, const struct ledger_list *heard,
			    size_t max)
{
	_cleanup_free_ char *text = summary_heard(heard);
	int r;

	if (!text)
		return -ENOMEM;
	r = sd_bus_message_open_container(m, 'a', "{sv}");
	if (r >= 0)
		r = append_heard_counts(m, heard);
	if (r >= 0)
		r = sd_bus_message_append(m, "{sv}{sv}", "text", "s",
					  bus_text(text, "?"), "due_seconds",
					  "d", due_seconds(heard));
	if (r >= 0)
		r = append_players(m, heard, max);
	return r < 0 ? r : sd_bus_message_close_container(m);
}

/* The counts of the last page, without names: anybody may see them. */
static int append_last_heard(sd_bus_message *m, const struct server *server)
{
	const struct ledger_list *heard = server_last_heard(server);
	int r;

	if (!heard)
		return 0;
	r = open_entry(m, "last_heard", "a{sv}");
	if (r >= 0)
		r = sd_bus_message_open_container(m, 'a', "{sv}");
	if (r >= 0)
		r = sd_bus_message_append(m, "{sv}", "id", "u", heard->page);
	if (r >= 0)
		r = append_heard_counts(m, heard);
	if (r >= 0)
		r = sd_bus_message_close_container(m);
	return r < 0 ? r : close_entry(m);
}

/* --- clients --- */

/* Where a connection comes from, of which there may be several. */
struct place {
	const char *zone, *identity, *peer;
	bool is_shared;
};

struct client_list {
	sd_bus_message *message;
	const struct server *server;
	uint64_t now_usec;
	void *places; /* a tree */
	int result;   /* of the first call that failed, or of the last */
};

/* Ports are no part of it. */
static int compare_places(const void *a, const void *b)
{
	const struct place *first = a, *second = b;
	const char *colon = strrchr(first->peer, ':');
	const size_t length =
	    colon ? (size_t)(colon + 1 - first->peer) : SIZE_MAX;
	int r = strcmp(first->zone, second->zone);

	if (r == 0)
		r = strcmp(first->identity, second->identity);
	return r != 0 ? r : strncmp(first->peer, second->peer, length);
}

static struct place place_of(const char *zone,
			     const struct connection *connection)
{
	const char *identity = connection_identity(connection);

	return (struct place){zone, identity ? identity : "",
			      connection_peer(connection), false};
}

static void note_place(void *userdata, const char *zone,
		       const struct connection *connection)
{
	struct client_list *list = userdata;
	const struct place key = place_of(zone, connection);
	struct place **found = tsearch(&key, &list->places, compare_places);
	struct place *place;

	if (found && *found != &key) {
		(*found)->is_shared = true;
		return;
	}
	place = found ? malloc(sizeof(*place)) : NULL;
	if (place) {
		*place = key;
		*found = place;
		return;
	}
	(void)tdelete(&key, &list->places, compare_places);
	list->result = -ENOMEM;
}

static bool is_alone(const struct client_list *list, const char *zone,
		     const struct connection *connection)
{
	const struct place place = place_of(zone, connection);
	struct place *const *found =
	    tfind(&place, &list->places, compare_places);

	return found && !(*found)->is_shared;
}

/* What it says of itself while it waits. */
static int append_vitals(sd_bus_message *m, const struct vitals *vitals)
{
	const struct heartbeat *said;
	int r;

	if (!vitals || vitals->said_usec == 0)
		return 0;
	said = &vitals->said;
	r = append_card(m, said->card);
	if (r >= 0)
		r = sd_bus_message_append(m, "{sv}", "version", "s",
					  said->version);
	if (r < 0 || said->latency_ms == HEARTBEAT_LATENCY_UNKNOWN)
		return r;
	return sd_bus_message_append(m, "{sv}", "latency_ms", "u",
				     said->latency_ms);
}

/* What it last said of a page. */
static int append_last_receipt(struct client_list *list, const char *zone,
			       const struct connection *connection)
{
	const struct vitals *vitals = connection_vitals(connection);
	sd_bus_message *m = list->message;
	struct ledger_player player;
	uint32_t page, rate;
	int r;

	if (!is_alone(list, zone, connection) ||
	    !server_last_receipt(list->server, zone, connection, &player, &page,
				 &rate))
		return 0;
	r = sd_bus_message_append(m, "{sv}{sv}{sv}{sv}", "last_page", "u", page,
				  "name", "s", bus_text(player.name, "?"),
				  "heard", "s", ledger_heard_name(player.heard),
				  "reason", "s", player.reason);
	if (r >= 0)
		r = append_receipt(m, &player, rate);
	/* What it has said since is newer. */
	if (r >= 0 && !(vitals && vitals->said_usec > 0))
		r = append_card(m, player.card);
	return r;
}

static int append_connection(sd_bus_message *m, uint64_t now, const char *zone,
			     const struct connection *connection)
{
	const struct connection_stats *stats = connection_stats(connection);
	const char *identity = connection_identity(connection);
	uint64_t age = now - connection_since_usec(connection);

	return sd_bus_message_append(
	    m, "{sv}{sv}{sv}{sv}{sv}{sv}{sv}{sv}", "peer", "s",
	    connection_peer(connection), "identity", "s",
	    identity ? identity : "", "zone", "s", zone, "connected_seconds",
	    "d", (double)age / (double)USEC_PER_SEC, "on_air", "b",
	    connection_state(connection) == CONNECTION_ON_AIR, "sent_bytes",
	    "t", stats->sent, "skips", "t", stats->skips, "skipped_bytes", "t",
	    stats->skipped);
}

static void append_client(void *userdata, const char *zone,
			  const struct connection *connection)
{
	struct client_list *list = userdata;
	sd_bus_message *m = list->message;
	int r;

	if (list->result < 0)
		return;
	r = sd_bus_message_open_container(m, 'a', "{sv}");
	if (r >= 0)
		r = append_connection(m, list->now_usec, zone, connection);
	if (r >= 0)
		r = append_vitals(m, connection_vitals(connection));
	if (r >= 0)
		r = append_last_receipt(list, zone, connection);
	if (r >= 0)
		r = sd_bus_message_close_container(m);
	list->result = r;
}

int bus_status_append_clients(sd_bus_message *m, const struct server *server)
{
	struct client_list list = {
	    .message = m, .server = server, .now_usec = now_usec()};

	server_each_client(server, note_place, &list);
	if (list.result >= 0)
		list.result = sd_bus_message_open_container(m, 'a', "a{sv}");
	server_each_client(server, append_client, &list);
	tdestroy(list.places, free);
	return list.result < 0 ? list.result
			       : sd_bus_message_close_container(m);
}

/* --- pages --- */

static int append_page_request(sd_bus_message *m, const struct server *server,
			       const struct page_info *page)
{
	int r;

	r = sd_bus_message_append(m, "{sv}{sv}{sv}{sv}", "id", "u", page->id,
				  "state", "s", page_state_name(page->state),
				  "source", "s",
				  page->is_file ? "file" : "microphone",
				  "priority", "i", page->priority);
	if (r >= 0)
		r = open_entry(m, "zones", "as");
	if (r >= 0)
		r = bus_status_append_zone_names(m, server, page->zones);
	return r < 0 ? r : close_entry(m);
}

/* Appends nothing until the source is open. */
static int append_page_sound(sd_bus_message *m, const struct page_info *page)
{
	const struct wav_format *format = &page->format;
	int r;

	if (format->rate == 0)
		return 0;
	r = sd_bus_message_append(
	    m, "{sv}{sv}{sv}{sv}{sv}{sv}", "format", "s",
	    wav_format_name(format), "rate", "u", format->rate, "channels", "u",
	    (uint32_t)format->channels, "frames", "t", page->frames,
	    "chime_frames", "t", page->chime_frames, "seconds", "d",
	    wav_seconds(format, page->frames));
	if (r < 0 || page->planned_frames == WAV_ENDLESS)
		return r;
	return sd_bus_message_append(
	    m, "{sv}{sv}", "planned_frames", "t", page->planned_frames,
	    "planned_seconds", "d", wav_seconds(format, page->planned_frames));
}

static int append_page_counts(sd_bus_message *m, const struct page_info *page)
{
	return sd_bus_message_append(
	    m, "{sv}{sv}{sv}{sv}{sv}{sv}", "clients", "u", page->clients,
	    "reached", "u", page->reached, "lost", "u", page->lost, "skips",
	    "t", page->skips, "overruns", "t", page->overruns, "overrun_frames",
	    "t", page->overrun_frames);
}

static int append_page(sd_bus_message *m, const struct server *server,
		       const struct page_info *page)
{
	int r;

	r = sd_bus_message_open_container(m, 'a', "{sv}");
	if (r >= 0)
		r = append_page_request(m, server, page);
	if (r >= 0)
		r = append_page_sound(m, page);
	if (r >= 0)
		r = append_page_counts(m, page);
	return r < 0 ? r : sd_bus_message_close_container(m);
}

int bus_status_append_pages(sd_bus_message *m, const struct server *server)
{
	struct page_info page;
	int r = sd_bus_message_open_container(m, 'a', "a{sv}");

	for (unsigned n = 0; r >= 0 && server_page_at(server, n, &page); n++)
		r = append_page(m, server, &page);
	return r < 0 ? r : sd_bus_message_close_container(m);
}

/* --- everything --- */

static int append_constants(sd_bus_message *m, const struct server *server)
{
	const struct server_config *config = server_config(server);
	const struct wav_format format =
	    wav_plain(&config->page.microphone.format);

	return sd_bus_message_append(
	    m, "{sv}{sv}{sv}{sv}{sv}{sv}{sv}{sv}{sv}", "version", "s",
	    PACKAGE_VERSION, "device", "s",
	    bus_text(config->page.microphone.device, "?"), "format", "s",
	    wav_format_name(&format), "rate", "u", format.rate, "channels", "u",
	    (uint32_t)format.channels, "mode", "s",
	    config->page.mode == PAGE_LIVE ? "live" : "store",
	    "default_seconds", "d", config->seconds, "max_clients", "u",
	    config->max_clients, "max_per_address", "u",
	    config->max_per_address);
}

static int append_stats(sd_bus_message *m, const struct server *server)
{
	const struct server_stats *stats = server_stats(server);
	const struct gate_stats *gate = &stats->gate;

	return sd_bus_message_append(
	    m, "{sv}{sv}{sv}{sv}{sv}{sv}{sv}{sv}", "clients", "u",
	    server_client_count(server), "accepted", "t", gate->accepted,
	    "refused", "t", gate->refused, "refused_address", "t",
	    gate->refused_address, "unproven", "t", gate->unproven, "abused",
	    "t", gate->abused, "stuck", "t", gate->stuck, "pages_begun", "t",
	    stats->pages);
}

static int
append_list(sd_bus_message *m, const struct server *server, const char *key,
	    int (*append)(sd_bus_message *message, const struct server *server))
{
	int r = open_entry(m, key, "aa{sv}");

	if (r >= 0)
		r = append(m, server);
	return r < 0 ? r : close_entry(m);
}

int bus_status_append_all(sd_bus_message *m, const struct server *server)
{
	int r = sd_bus_message_open_container(m, 'a', "{sv}");

	if (r >= 0)
		r = append_constants(m, server);
	if (r >= 0)
		r = append_stats(m, server);
	if (r >= 0)
		r = append_roll(m, server);
	if (r >= 0)
		r = append_list(m, server, "missing",
				bus_status_append_missing);
	if (r >= 0)
		r = append_list(m, server, "zones", bus_status_append_zones);
	if (r >= 0)
		r = append_list(m, server, "pages", bus_status_append_pages);
	if (r >= 0)
		r = append_last_heard(m, server);
	return r < 0 ? r : sd_bus_message_close_container(m);
}
