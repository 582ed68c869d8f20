/* SPDX-License-Identifier: MIT
 * Turns the messages of a source into a tape and has the zones send it. */
#include "server/page.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "audio/samples.h"
#include "base/io.h"
#include "base/log.h"
#include "base/util.h"

enum {
	BUFFER_SIZE = 65536,
	/* Limits one wake-up, so that the clients get their turn. */
	TURN_SIZE_MAX = 1 << 20,
	/* The longest silence that replaces an overrun. */
	GAP_SECONDS_MAX = 10,
	/* A single slow turn may be the machine's fault; so many in a row are
	 * the clients'. */
	SLOW_TURNS = 5,
	/* A forgotten page in store mode must not fill the memory. */
	STORE_SIZE_MAX = 512 << 20,
	/* How far the disk may lag before the page goes on without archive. */
	ARCHIVE_LAG_MAX = 256 << 20,
};

/* Jitter of a pipe that brings its sound in real time. */
#define AHEAD_SECONDS_MIN 0.5
#define PATIENCE_SECONDS 60

/* A level that was asked for rarely is that of the last second. */
#define LOOK_USEC_MAX USEC_PER_SEC

/* The time that clients have for what remains of an ended page: so many times
 * its duration, and a spare. Bounded, since the page occupies one of
 * BUS_PAGES_MAX until then. */
#define SENDING_SLOWNESS 4
#define SENDING_SPARE_USEC (15 * USEC_PER_SEC)

const char *page_state_name(enum page_state state)
{
	static const char *const names[] = {
	    [PAGE_PREPARING] = "preparing", [PAGE_QUEUED] = "queued",
	    [PAGE_OPENING] = "opening",	    [PAGE_CHIME] = "chime",
	    [PAGE_SPEECH] = "speech",	    [PAGE_SENDING] = "sending",
	    [PAGE_DONE] = "done",
	};

	return names[state];
}

const char *page_end_name(enum page_end end)
{
	static const char *const names[] = {
	    [PAGE_COMPLETE] = "complete",   [PAGE_STOPPED] = "stopped",
	    [PAGE_PREEMPTED] = "preempted", [PAGE_BUSY] = "busy",
	    [PAGE_NO_DEVICE] = "no-device", [PAGE_NOT_AUDIO] = "not-audio",
	    [PAGE_FAILED] = "failed",
	};

	return names[end];
}

uint64_t page_frames(uint32_t rate, uint32_t chunk_frames, double seconds)
{
	return (uint64_t)floor((double)rate / chunk_frames * seconds) *
	       chunk_frames;
}

void page_request_close(const struct page_request *request)
{
	fd_close(request->chime_fd);
	fd_close(request->file_fd);
	for (unsigned i = 0; i < request->next_count; i++)
		fd_close(request->next_fds[i]);
}

/* --- state --- */

static size_t frame_size(const struct page *p)
{
	return wav_frame_size(&p->info.format);
}

/* Whether it is sent by a clock of its own, not as its source brings it. */
static bool is_paced(const struct page *p)
{
	return p->info.is_file && p->file_kind != FILESOURCE_LIVE;
}

/* Whether it is recorded whole before it is sent. */
static bool is_stored(const struct page *p)
{
	return p->config->mode == PAGE_STORE && !is_paced(p);
}

/* What has come of a live or a stored page is due. */
uint64_t page_due_frames(const struct page *p)
{
	if (!p->tape)
		return p->info.frames;
	return (is_paced(p) ? p->played.due : p->tape->size) / frame_size(p);
}

static uint64_t due_size(const struct page *p)
{
	return page_due_frames(p) * frame_size(p);
}

const struct page_info *page_info(struct page *p)
{
	p->info.frames = page_due_frames(p);
	p->info.skips = p->skips + audience_skips(&p->audience);
	return &p->info;
}

static void set_state(struct page *p, enum page_state state)
{
	p->info.state = state;
	p->callbacks->on_state(p->userdata, p);
}

bool page_has_microphone(const struct page *p)
{
	return !p->info.is_file && p->begun && !p->prepared && p->source;
}

/* --- the zones --- */

uint64_t page_bytes(const struct page *p, uint64_t usec)
{
	return usec_to_frames(usec, p->info.format.rate) * frame_size(p);
}

/* Whether its frames arrive as they are heard, after the lead. */
static bool is_real_time(const struct page *p)
{
	return !is_stored(p) && p->file_kind != FILESOURCE_RELAYED;
}

void page_begin_schedule(struct page *p, int64_t start_ns, uint64_t least_usec,
			 uint64_t held_usec)
{
	const uint64_t budget_usec =
	    MAX((uint64_t)(p->config->sync_ms * 1000), least_usec);
	struct wallclock clock;

	if (p->config->sync_ms <= 0)
		return;
	wallclock_read(&clock);
	schedule_begin(&p->schedule, &clock, start_ns, p->info.format.rate,
		       (uint32_t)budget_usec, (uint32_t)held_usec);
}

/* How late a frame of a microphone can be there: when its chunk is full, and
 * the device has told that at the end of one of its periods. */
static uint64_t gathering_usec(const struct page *p,
			       const struct source_message *opened)
{
	const uint32_t chunk = p->config->microphone.period_frames;
	const uint32_t period = opened->u.opened.period_frames;
	uint32_t a = chunk, b = period;

	while (b > 0) {
		const uint32_t rest = a % b;

		a = b;
		b = rest;
	}
	return frames_to_usec((uint64_t)chunk + period - a,
			      p->info.format.rate);
}

/* Who goes by arrivals would sound as much later than who goes by the clock as
 * the microphone holds frames back. */
static void begin_live_schedule(struct page *p,
				const struct source_message *opened)
{
	const uint64_t held_usec =
	    frames_to_usec(opened->u.opened.held_frames, p->info.format.rate);
	const uint64_t gathering = gathering_usec(p, opened);
	const uint64_t least_usec = schedule_least_usec(gathering + held_usec);

	page_begin_schedule(p, opened->u.opened.start_ns, least_usec,
			    held_usec);
	if (p->schedule.budget_us > p->config->sync_ms * 1000)
		log_notice("Page %u sounds %.0f ms after it is spoken, not %g "
			   "(--sync): its samples come in pieces of %.1f ms, "
			   "and %.1f ms are held back",
			   p->info.id, ceil((double)least_usec / 1000),
			   p->config->sync_ms, (double)gathering / 1000,
			   (double)held_usec / 1000);
}

/* What a connection is told that gets the page from OFFSET on. False: nothing.
 */
static bool describe(const struct page *p, uint64_t offset,
		     struct wav_page *ret)
{
	const uint64_t lead_frames = p->played.lead_max / frame_size(p);

	*ret = (struct wav_page){.clock_error_us = UINT32_MAX};
	if (is_paced(p))
		ret->flags = WAV_PAGE_PLAYED;
	if (is_real_time(p))
		ret->flags |= WAV_PAGE_REAL_TIME;
	if (is_paced(p) && is_real_time(p))
		ret->ahead_us =
		    (uint32_t)frames_to_usec(lead_frames, p->info.format.rate);
	if (p->schedule.rate > 0)
		schedule_describe(&p->schedule, offset / frame_size(p), ret);
	return is_paced(p) || p->schedule.rate > 0;
}

static void attach(struct page *p, unsigned z, uint64_t offset)
{
	struct zone *zone = p->audience.zones[z];
	struct connection_feed feed = {.pacing = CONNECTION_UNPACED};
	struct wav_page description;

	if (describe(p, offset, &description))
		feed.page = &description;
	if (is_paced(p)) {
		feed.pacing = CONNECTION_PACED;
		feed.lead_max = p->played.lead_max;
	} else if (!is_stored(p) && !p->tape->ended) {
		feed.max_lag = (uint64_t)(p->config->max_lag_seconds *
					  p->info.format.rate) *
			       frame_size(p);
		if (p->schedule.rate > 0)
			feed.lagging = CONNECTION_ENDS;
	}
	/* Counted first: a short page may end for them while they attach. */
	p->info.clients += zone->waiting.count;
	zone_attach(zone, p, p->ledger, p->tape, offset, &feed);
}

static void attach_all(struct page *p)
{
	struct zone *const *zones = p->audience.zones;

	for (unsigned z = 0; zones[z]; z++) {
		if (!audience_holds(&p->audience, z))
			continue;
		zone_check_keys(zones[z]);
		attach(p, z, 0);
	}
}

static bool can_be_joined(const struct page *p)
{
	return p->tape && !is_stored(p) &&
	       (!is_paced(p) || played_can_be_joined(p));
}

void page_join(struct page *p, unsigned z)
{
	if (can_be_joined(p))
		attach(p, z, due_size(p));
}

/* Ends it for its clients at once. */
static void cut_short(struct page *p)
{
	tape_cut(p->tape, p->played.due);
	audience_finish(&p->audience);
}

void page_lose(struct page *p, uint64_t zones)
{
	struct audience *audience = &p->audience;

	for (unsigned z = 0; audience->zones[z]; z++) {
		if (!(audience->held & zones & UINT64_C(1) << z))
			continue;
		audience->held &= ~(UINT64_C(1) << z);
		zone_finish(audience->zones[z], p);
		log_notice("Page %u loses zone %s to a page of higher priority",
			   p->info.id, audience->zones[z]->name);
	}
	if (audience->held == 0)
		page_stop(p, PAGE_PREEMPTED);
}

static void done_if_sent(struct page *p)
{
	if (p->info.state == PAGE_SENDING && p->info.clients == 0)
		set_state(p, PAGE_DONE);
	p->callbacks->on_settle(p->userdata);
}

void page_count_end(struct page *p, enum connection_end end,
		    const struct connection *connection)
{
	p->info.clients--;
	p->skips += connection_stats(connection)->skips;
	if (end == CONNECTION_DONE && !connection_is_shed(connection))
		p->info.reached++;
	else
		p->info.lost++;
	p->owed += end == CONNECTION_DONE;
	done_if_sent(p);
}

void page_count_receipt(struct page *p)
{
	p->owed--;
	p->callbacks->on_settle(p->userdata);
}

/* --- the archive --- */

static void begin_archive(struct page *p)
{
	char label[NAME_MAX / 2];
	int r;

	if (!p->config->recorder)
		return;
	audience_label(&p->audience, p->info.zones, label, sizeof(label));
	r = tape_dup(p->tape);
	if (r >= 0)
		r = recording_begin(&p->recording, p->config->recorder, label,
				    &p->info.format, r);
	if (r < 0)
		log_error("Page %u is not archived: %s: %s", p->info.id,
			  p->config->archive.dir, strerror(-r));
}

/* --- the end --- */

/* A live client lags by max_lag at most, one of a played page by
 * PLAYED_BEHIND_USEC_MAX, and of a stored one by the whole page. */
static uint64_t sending_usec(const struct page *p)
{
	double seconds = wav_seconds(&p->info.format, page_due_frames(p));

	if (is_paced(p))
		return PLAYED_BEHIND_USEC_MAX;
	if (!is_stored(p) && seconds > p->config->max_lag_seconds)
		seconds = p->config->max_lag_seconds;
	return SENDING_SPARE_USEC +
	       (uint64_t)(seconds * SENDING_SLOWNESS * (double)USEC_PER_SEC);
}

/* A stored page is yet to be heard. */
static void note_length(const struct page *p)
{
	const uint64_t frames = page_due_frames(p);
	const uint32_t rate = p->info.format.rate;
	uint64_t due_usec = now_usec();

	if (is_stored(p))
		due_usec += frames_to_usec(frames, rate);
	ledger_set_length(p->ledger, rate, frames, due_usec);
}

static void finish_sending(struct page *p)
{
	tape_end(p->tape);
	note_length(p);
	p->deadline_usec = now_usec() + sending_usec(p);
	if (is_stored(p)) {
		page_begin_schedule(p, wallclock_monotonic_ns(), 0, 0);
		attach_all(p);
	} else if (is_paced(p) && p->info.end != PAGE_COMPLETE) {
		cut_short(p);
	} else {
		audience_push(&p->audience);
	}
	recording_push(p->recording, due_size(p));
	recording_finish(p->recording);
}

/* epoll reports EPOLLHUP all the same (epoll_ctl(2)), when the thread has
 * ended. */
static void await_hang_up(const struct page *p)
{
	if (!p->io)
		return;
	(void)sd_event_source_set_io_events(p->io, 0);
	(void)sd_event_source_set_enabled(p->io, SD_EVENT_ON);
}

void page_stop(struct page *p, enum page_end end)
{
	if (p->info.state >= PAGE_SENDING)
		return;
	p->info.end = end;
	if (p->source)
		source_stop(p->source);
	await_hang_up(p);
	played_stop(p);
	if (p->tape)
		finish_sending(p);
	p->audience.held = 0;
	set_state(p, PAGE_SENDING);
	done_if_sent(p);
}

static void fail(struct page *p, enum page_end end, const char *reason)
{
	if (p->info.state >= PAGE_SENDING)
		return;
	snprintf(p->info.reason, sizeof(p->info.reason), "%s", reason);
	log_error("%s", reason);
	page_stop(p, end);
}

void page_refuse(struct page *p)
{
	if (*p->busy_reason)
		fail(p, PAGE_NO_DEVICE, p->busy_reason);
	else
		page_stop(p, PAGE_BUSY);
}

/* --- samples --- */

void page_end_chime(struct page *p)
{
	if (p->info.state == PAGE_CHIME &&
	    page_due_frames(p) >= p->info.chime_frames)
		set_state(p, PAGE_SPEECH);
}

void page_append(struct page *p, const uint8_t *data, size_t size)
{
	uint64_t room = p->planned_size == WAV_ENDLESS
			    ? UINT64_MAX
			    : p->planned_size - p->tape->size;

	if (size > room)
		size = (size_t)room;
	if (tape_append(p->tape, data, size) < 0) {
		fail(p, PAGE_FAILED,
		     "The page's memory ran out; make shorter pages, or use "
		     "--mode live");
		return;
	}
	if (is_paced(p))
		return;
	page_end_chime(p);
	if (size == room)
		page_stop(p, PAGE_COMPLETE);
}

static void append_gap(struct page *p, uint64_t frames)
{
	uint64_t most = (uint64_t)p->info.format.rate * GAP_SECONDS_MAX;

	p->info.overruns++;
	p->info.overrun_frames += frames;
	if (frames > most)
		frames = most;
	memset(p->buffer, wav_silence(&p->info.format), BUFFER_SIZE);
	while (frames > 0 && p->info.state < PAGE_SENDING) {
		size_t n = BUFFER_SIZE / frame_size(p);

		if (n > frames)
			n = (size_t)frames;
		page_append(p, p->buffer, n * frame_size(p));
		frames -= n;
	}
}

/* --- the source's messages --- */

static void on_prepared(struct page *p, const struct source_message *message)
{
	p->info.chime_frames = message->u.prepared.chime_frames;
	if (p->info.state == PAGE_PREPARING)
		p->prepared = true;
	p->callbacks->on_settle(p->userdata);
}

static void on_busy(struct page *p, const struct source_message *message)
{
	snprintf(p->busy_reason, sizeof(p->busy_reason), "%s",
		 message->u.ended.reason);
	p->prepared = true;
	p->audience.held = 0;
	p->callbacks->on_busy(p->userdata, p);
}

/* Sets the length of the page, now that its format is known. */
static void plan(struct page *p, const struct source_message *opened)
{
	const struct microphone_config *microphone = &p->config->microphone;
	uint64_t size = opened->u.opened.size;

	p->info.format = opened->u.opened.format;
	if (!p->info.is_file && p->seconds > 0)
		size = (page_frames(microphone->format.rate,
				    microphone->period_frames, p->seconds) +
			p->info.chime_frames) *
		       frame_size(p);
	p->planned_size = size;
	p->info.planned_frames =
	    size == WAV_ENDLESS ? WAV_ENDLESS : size / frame_size(p);
	p->chunk_usec =
	    frames_to_usec(opened->u.opened.period_frames, p->info.format.rate);
}

static void on_opened(struct page *p, const struct source_message *message)
{
	int r;

	plan(p, message);
	r = tape_new(&p->tape, p->config->shelf, &p->info.format,
		     p->planned_size);
	if (r < 0) {
		fail(
		    p, PAGE_FAILED,
		    "There is not enough memory for the page; make it shorter");
		return;
	}
	ledger_set_length(p->ledger, p->info.format.rate, 0, 0);
	set_state(p, PAGE_CHIME);
	begin_archive(p);
	if (is_paced(p))
		played_begin(p);
	else if (!p->info.is_file && !is_stored(p))
		begin_live_schedule(p, message);
	if (!is_stored(p))
		attach_all(p);
	if (p->info.state == PAGE_CHIME && p->info.chime_frames == 0)
		set_state(p, PAGE_SPEECH);
	if (p->planned_size == 0)
		page_stop(p, PAGE_COMPLETE);
}

enum page_end page_end_of_error(const struct page *p, int error)
{
	if (error == -EBADMSG || error == -EISDIR)
		return PAGE_NOT_AUDIO;
	if (p->info.state == PAGE_OPENING && !p->info.is_file)
		return PAGE_NO_DEVICE;
	return PAGE_FAILED;
}

static void on_ended(struct page *p, const struct source_message *message)
{
	int error = message->u.ended.error;

	if (played_runs(p)) {
		played_source_ended(p, message);
		await_hang_up(p);
	} else if (error == 0) {
		page_stop(p, PAGE_COMPLETE);
	} else {
		fail(p, page_end_of_error(p, error), message->u.ended.reason);
	}
}

static void handle(struct page *p, const struct source_message *message)
{
	switch (message->type) {
	case SOURCE_PREPARED:
		on_prepared(p, message);
		break;
	case SOURCE_BUSY:
		on_busy(p, message);
		break;
	case SOURCE_OPENED:
		on_opened(p, message);
		break;
	case SOURCE_SAMPLES:
		p->expected = message->u.samples.size;
		break;
	case SOURCE_GAP:
		append_gap(p, message->u.gap.frames);
		break;
	case SOURCE_ENDED:
		on_ended(p, message);
		break;
	}
}

/* Reads samples of the current message: 1, or 0 when there are none now. */
static int read_samples(struct page *p)
{
	size_t wish = BUFFER_SIZE - p->have;
	size_t torn, late;
	ssize_t n;

	if (wish > p->expected)
		wish = p->expected;
	n = source_read_samples(p->source, p->buffer + p->have, wish);
	if (n <= 0)
		return 0;
	p->expected -= (uint32_t)n;
	p->have += (size_t)n;
	torn = p->have % frame_size(p);
	late = MIN(p->played.late, (uint64_t)(p->have - torn));
	p->played.late -= late;
	page_append(p, p->buffer + late, p->have - torn - late);
	memmove(p->buffer, p->buffer + p->have - torn, torn);
	p->have = torn;
	return 1;
}

int page_read(struct page *p)
{
	struct source_message message;

	if (p->expected > 0)
		return read_samples(p);
	if (source_next(p->source, &message) <= 0)
		return 0;
	handle(p, &message);
	return 1;
}

/* The source has the highest priority in the loop. When one turn takes longer
 * than a chunk, the loop would serve nothing else: then the source takes turns
 * with the rest, such as clients whose sockets have room again. */
void page_yield_if_slow(struct page *p, uint64_t took_usec)
{
	bool slow = took_usec > p->chunk_usec;

	if (slow != (p->slow_turns > 0))
		(void)sd_event_source_set_priority(
		    p->played.pulse ? p->played.pulse : p->io,
		    slow ? SD_EVENT_PRIORITY_NORMAL
			 : SD_EVENT_PRIORITY_IMPORTANT);
	p->slow_turns = slow ? p->slow_turns + 1 : 0;
	if (p->slow_turns < SLOW_TURNS || p->told_slow)
		return;
	p->told_slow = true;
	log_notice("Page %u: to serve %u client%s takes %" PRIu64
		   " ms, longer than a chunk; they get larger pieces less "
		   "often",
		   p->info.id, p->info.clients, plural_s(p->info.clients),
		   took_usec / 1000);
}

/* Passes on what the tape has gained. */
static void send_on(struct page *p)
{
	uint64_t begin = now_usec();

	recording_push(p->recording, due_size(p));
	if (!is_stored(p)) {
		audience_push(&p->audience);
	} else if (due_size(p) > STORE_SIZE_MAX) {
		log_warning("Page %u ends: --mode store keeps at most %d MiB",
			    p->info.id, STORE_SIZE_MAX >> 20);
		page_stop(p, PAGE_COMPLETE);
	}
	if (p->info.state < PAGE_SENDING)
		page_yield_if_slow(p, now_usec() - begin);
}

static void release(struct page *p)
{
	p->io = sd_event_source_disable_unref(p->io);
	p->source = source_free(p->source);
	p->callbacks->on_settle(p->userdata);
}

static int on_source(sd_event_source *io, int fd, uint32_t revents,
		     void *userdata)
{
	struct page *p = userdata;
	uint64_t before = due_size(p), size = before;

	while (p->info.state < PAGE_SENDING && !played_runs(p) &&
	       size - before < TURN_SIZE_MAX && page_read(p) > 0)
		size = due_size(p);
	if (size > before && p->info.state < PAGE_SENDING)
		send_on(p);
	if (!(revents & EPOLLHUP))
		return 0;
	if (p->info.state < PAGE_SENDING && !played_runs(p) && size == before)
		fail(p, PAGE_FAILED,
		     "The source of the page ended unexpectedly");
	if (p->info.state >= PAGE_SENDING || p->played.source_ended)
		release(p);
	return 0;
}

/* --- life --- */

/* Takes over the descriptors of REQUEST. */
static int start_source(struct page *p, const struct page_request *request)
{
	const double ahead = MAX(p->config->ahead_seconds, AHEAD_SECONDS_MIN);
	const struct filesource_config file = {
	    .kind = request->file_kind,
	    .ahead_seconds = ahead,
	    .patience_seconds = PATIENCE_SECONDS,
	    .chime_fd = request->chime_fd,
	    .gain_db = request->gain_db,
	};
	struct microphone_config microphone = p->config->microphone;
	int fds[BUS_FILES_MAX] = {request->file_fd};

	memcpy(fds + 1, request->next_fds, sizeof(request->next_fds));
	if (p->info.is_file)
		return filesource_start(&p->source, fds,
					1 + request->next_count, &file);
	microphone.gain_db = request->gain_db;
	return microphone_start(&p->source, &microphone, request->chime_fd);
}

static int start(struct page *p, sd_event *event,
		 const struct page_request *request)
{
	int r = start_source(p, request);

	if (r < 0)
		return r;
	p->buffer = malloc(BUFFER_SIZE);
	if (!p->buffer)
		return -ENOMEM;
	r = sd_event_add_io(event, &p->io, source_fd(p->source), EPOLLIN,
			    on_source, p);
	/* The sound goes before everything else in the loop. */
	if (r >= 0)
		r = sd_event_source_set_priority(p->io,
						 SD_EVENT_PRIORITY_IMPORTANT);
	return r >= 0 && is_paced(p) ? played_new(p, event) : r;
}

int page_new(struct page **ret, struct ledger *ledger, sd_event *event,
	     const struct page_config *config, struct zone *const *zones,
	     const struct page_request *request,
	     const struct page_callbacks *callbacks, void *userdata)
{
	struct page *p = calloc(1, sizeof(*p));
	int r;

	if (!p) {
		page_request_close(request);
		return -ENOMEM;
	}
	p->info = (struct page_info){
	    .id = ledger->page,
	    .is_file = request->file_fd >= 0,
	    .priority = request->priority,
	    .zones = request->zones,
	    .planned_frames = WAV_ENDLESS,
	};
	p->ledger = ledger;
	p->config = config;
	p->audience = (struct audience){.zones = zones, .page = p};
	p->when_busy = request->when_busy;
	p->file_kind = request->file_kind;
	/* A microphone without a chime has nothing to prepare. If it waited for
	 * its thread, a later page could overtake it. */
	p->prepared = !p->info.is_file && request->chime_fd < 0;
	p->seconds = request->seconds;
	p->callbacks = callbacks;
	p->userdata = userdata;
	r = start(p, event, request);
	if (r < 0) {
		page_free(p);
		return r;
	}
	*ret = p;
	return 0;
}

void page_shrink(struct page *p)
{
	p->info.frames = page_due_frames(p);
	p->recording = recording_release(p->recording);
	p->tape = tape_unref(p->tape);
	free(TAKE_PTR(p->buffer));
}

struct page *page_free(struct page *p)
{
	if (!p)
		return NULL;
	sd_event_source_disable_unref(p->io);
	played_free(&p->played);
	source_free(p->source);
	page_shrink(p);
	free(p);
	return NULL;
}

void page_begin(struct page *p)
{
	p->prepared = false;
	p->begun = true;
	p->audience.held = p->info.zones;
	set_state(p, PAGE_OPENING);
	source_go(p->source);
}

void page_wait(struct page *p)
{
	if (p->info.state != PAGE_QUEUED)
		set_state(p, PAGE_QUEUED);
}

/* --- once a second --- */

static void watch_archive(struct page *p, uint64_t archived)
{
	if (archived >= due_size(p) ||
	    due_size(p) - archived <= ARCHIVE_LAG_MAX)
		return;
	log_error("Page %u is not archived: the disk is too slow", p->info.id);
	recording_discard(p->recording);
}

/* Gives back the memory that all clients and the archive have consumed. */
static void forget_consumed(struct page *p)
{
	uint64_t slowest, archived;

	if (!p->tape || p->tape->ended || is_stored(p))
		return;
	archived = recording_offset(p->recording);
	watch_archive(p, archived);
	slowest = MIN(archived, audience_slowest(&p->audience));
	slowest = MIN(slowest, due_size(p));
	/* The last minutes stay, so that the page can be saved. */
	if (slowest > TAPE_KEEP_SIZE)
		tape_forget(p->tape, slowest - TAPE_KEEP_SIZE);
}

void page_tick(struct page *p, uint64_t now)
{
	forget_consumed(p);
	if (p->info.state == PAGE_SENDING && now > p->deadline_usec)
		audience_drop(&p->audience, CONNECTION_CRAWLED);
}

/* Reads the samples again, from the tape: so they cost nothing while nobody
 * looks. */
double page_take_peak(struct page *p)
{
	const uint64_t due = due_size(p);
	uint8_t samples[4096];
	double peak = 0;

	if (!p->tape || due <= p->looked)
		return 0;
	if (due - p->looked > page_bytes(p, LOOK_USEC_MAX))
		p->looked = due - page_bytes(p, LOOK_USEC_MAX);
	while (p->looked < due) {
		size_t size =
		    (size_t)MIN(due - p->looked, (uint64_t)sizeof(samples));

		size -= size % frame_size(p);
		if (pread_all(p->tape->fd, samples, size, (off_t)p->looked) < 0)
			break;
		peak = fmax(peak, samples_peak(&p->info.format, samples,
					       size / frame_size(p)));
		p->looked += size;
	}
	return peak;
}

bool page_is_over(const struct page *p)
{
	return p->info.state == PAGE_DONE && !p->source;
}
