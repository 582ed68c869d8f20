/* SPDX-License-Identifier: MIT
 * What is due by the pacer's clock, in bytes of the tape. */
#include "server/played.h"

#include <stdio.h>
#include <string.h>

#include "audio/filesource.h"
#include "base/log.h"
#include "server/page.h"
#include "server/timer.h"

enum {
	/* Limits one wake-up, so that the clients get their turn. */
	TURN_SIZE_MAX = 1 << 20,
	/* A lead grows only while no client that was keeping up has more chunks
	 * waiting. */
	WAITING_CHUNKS_MAX = 3,
	/* How far a client may fall behind what is due. */
	BEHIND_SIZE_MAX = 64 << 20,
	/* What a relay is allowed to be ahead. */
	RELAYED_SIZE_MAX = BEHIND_SIZE_MAX,
};

/* So much of it in real time, before the lead begins to grow. */
#define QUIET_USEC (USEC_PER_SEC / 5)
/* Its last frame, and with it the end, is sent no sooner before it is due: so
 * until then a stop can be told, and the loudspeakers are back before the next
 * page. */
#define LAST_USEC (3 * USEC_PER_SEC / 10)
/* From when the first frame is due to its sound, at least: a pulse may bring it
 * so late, and the network takes its time. */
#define BUDGET_USEC_MIN (PLAYED_PULSE_USEC + USEC_PER_SEC / 10)
/* Who comes within its last second has just had it. */
#define JOIN_USEC USEC_PER_SEC

static size_t frame_size(const struct page *p)
{
	return wav_frame_size(&p->info.format);
}

static uint64_t due_by(const struct page *p, uint64_t now)
{
	return pacer_due_frames(&p->played.pacer, now) * frame_size(p);
}

/* --- a pulse --- */

/* Reads what is to be in the tape: enough for the clients' leads. */
static void draw(struct page *p, uint64_t now)
{
	const uint64_t before = p->tape->size;
	const uint64_t wish =
	    due_by(p, now) + MAX(p->played.lead_max, page_bytes(p, JOIN_USEC)) +
	    page_bytes(p, 2 * PLAYED_PULSE_USEC);

	while (!p->played.source_ended && p->info.state < PAGE_SENDING &&
	       p->tape->size < wish && p->tape->size - before < TURN_SIZE_MAX &&
	       page_read(p) > 0)
		;
}

/* The source has not brought what is due. The pause of a pipe becomes silence,
 * so that frames stay on their schedule. The size of a file is promised, so it
 * is late; but where every loudspeaker was told the moment, it loses what is
 * late. A relay's page has the silence that it had. */
static void make_up(struct page *p, uint64_t missing, uint64_t since_usec)
{
	const uint64_t most = page_bytes(p, 2 * PLAYED_PULSE_USEC);
	const uint64_t before = p->tape->size;
	const bool is_promised = p->planned_size != WAV_ENDLESS;
	uint8_t silence[4096];
	size_t size;

	if (p->file_kind != FILESOURCE_RECORDING ||
	    (is_promised && p->schedule.rate == 0)) {
		pacer_slip(&p->played.pacer, missing / frame_size(p));
		return;
	}
	/* If it is the loop that was held up, the source may have it. */
	if (since_usec > 4 * PLAYED_PULSE_USEC)
		return;
	missing = MIN(missing, most);
	memset(silence, wav_silence(&p->info.format), sizeof(silence));
	while (missing > 0 && p->info.state < PAGE_SENDING) {
		size = (size_t)MIN(missing, (uint64_t)sizeof(silence));
		size -= size % frame_size(p);
		page_append(p, silence, size);
		missing -= size;
	}
	if (is_promised)
		p->played.late += p->tape->size - before;
}

static void advance(struct page *p, uint64_t now)
{
	uint64_t due = due_by(p, now);

	if (due > p->tape->size && !p->played.source_ended)
		make_up(p, due - p->tape->size, now - p->played.pulse_usec);
	due = MIN(due, p->tape->size);
	p->played.due = MAX(p->played.due, due);
	p->played.pulse_usec = now;
	page_end_chime(p);
}

/* By how many bytes leads may grow now. */
static uint64_t growth(struct page *p, uint64_t now)
{
	enum pacer_network network = PACER_CLEAR;

	if (p->file_kind == FILESOURCE_RELAYED)
		return p->played.lead_max;
	if (p->played.lead_grows && !pacer_pauses(&p->played.pacer, now) &&
	    audience_congests(&p->audience, page_bytes(p, WAITING_CHUNKS_MAX *
							      p->chunk_usec)))
		network = PACER_CONGESTED;
	return pacer_grow(&p->played.pacer, now, network) * frame_size(p);
}

/* What may be sent before it is due: all but the last frame, and that too when
 * the end is near. */
static uint64_t size_to_send(struct page *p)
{
	const uint64_t size = p->tape->size;

	if (p->played.source_ended &&
	    size - p->played.due <= page_bytes(p, LAST_USEC)) {
		tape_end(p->tape);
		return size;
	}
	return size > 0 ? size - frame_size(p) : 0;
}

static void send_ahead(struct page *p, uint64_t now)
{
	const bool is_relayed = p->file_kind == FILESOURCE_RELAYED;
	const uint64_t behind_max = MIN(page_bytes(p, PLAYED_BEHIND_USEC_MAX),
					(uint64_t)BEHIND_SIZE_MAX);
	const struct connection_pace pace = {
	    .due = p->played.due,
	    .end = size_to_send(p),
	    .quiet = is_relayed ? 0 : page_bytes(p, QUIET_USEC),
	    .growth = growth(p, now),
	    .behind_max = behind_max,
	};

	recording_push(p->recording, p->played.due);
	p->played.lead_grows = audience_pace(&p->audience, &pace);
}

static void end_when_due(struct page *p)
{
	if (!p->played.source_ended || p->played.due < p->tape->size)
		return;
	if (p->played.source_error == 0) {
		page_stop(p, PAGE_COMPLETE);
		return;
	}
	log_error("%s", p->info.reason);
	page_stop(p, page_end_of_error(p, p->played.source_error));
}

/* Pulses are a whole number of pulses after the first: a loop that was late
 * leaves the rest some time before the next one. */
static void set_pulse(struct page *p, uint64_t now)
{
	timer_set(p->played.pulse,
		  now + PLAYED_PULSE_USEC -
		      (now - p->played.begun_usec) % PLAYED_PULSE_USEC);
}

static int on_pulse(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct page *p = userdata;
	const uint64_t now = now_usec();

	draw(p, now);
	if (p->info.state < PAGE_SENDING)
		advance(p, now);
	if (p->info.state < PAGE_SENDING)
		send_ahead(p, now);
	if (p->info.state < PAGE_SENDING)
		end_when_due(p);
	if (p->info.state >= PAGE_SENDING)
		return 0;
	page_yield_if_slow(p, now_usec() - now);
	set_pulse(p, now_usec());
	return 0;
}

/* --- its life --- */

/* To the microsecond, and off until it is set. */
int played_new(struct page *p, sd_event *event)
{
	int r = sd_event_add_time(event, &p->played.pulse, CLOCK_MONOTONIC, 0,
				  1, on_pulse, p);

	if (r >= 0)
		r = sd_event_source_set_priority(p->played.pulse,
						 SD_EVENT_PRIORITY_IMPORTANT);
	return r < 0
		   ? r
		   : sd_event_source_set_enabled(p->played.pulse, SD_EVENT_OFF);
}

void played_free(struct played *played)
{
	sd_event_source_disable_unref(played->pulse);
}

static uint64_t lead_max(const struct page *p)
{
	const double seconds = p->config->ahead_seconds;
	const uint64_t wished =
	    (uint64_t)(seconds * p->info.format.rate) * frame_size(p);

	if (p->file_kind == FILESOURCE_RELAYED)
		return RELAYED_SIZE_MAX;
	return MIN(wished, FILESOURCE_AHEAD_SIZE_MAX -
			       FILESOURCE_AHEAD_SIZE_MAX % frame_size(p));
}

void played_begin(struct page *p)
{
	(void)sd_event_source_set_enabled(p->io, SD_EVENT_OFF);
	p->played.begun_usec = p->played.pulse_usec = now_usec();
	pacer_begin(&p->played.pacer, p->info.format.rate,
		    p->played.begun_usec);
	p->played.lead_max = lead_max(p);
	p->played.lead_grows = true;
	timer_set(p->played.pulse, p->played.begun_usec + PLAYED_PULSE_USEC);
	if (p->file_kind == FILESOURCE_RECORDING)
		page_begin_schedule(p, (int64_t)p->played.begun_usec * 1000,
				    BUDGET_USEC_MIN, 0);
}

void played_stop(struct page *p)
{
	if (p->played.pulse)
		timer_stop(p->played.pulse);
}

bool played_runs(const struct page *p)
{
	return p->played.begun_usec > 0;
}

void played_source_ended(struct page *p, const struct source_message *message)
{
	p->played.source_ended = true;
	p->played.source_error = message->u.ended.error;
	if (p->played.source_error < 0)
		snprintf(p->info.reason, sizeof(p->info.reason), "%s",
			 message->u.ended.reason);
}

/* Bytes; WAV_ENDLESS until the end of its source is read, if that is not known
 * before. */
static uint64_t whole_size(const struct page *p)
{
	return p->played.source_ended ? p->tape->size : p->planned_size;
}

bool played_can_be_joined(const struct page *p)
{
	const uint64_t second = page_bytes(p, JOIN_USEC);
	const uint64_t whole = whole_size(p);

	return whole == WAV_ENDLESS ||
	       (whole >= second && whole - p->played.due >= second);
}
