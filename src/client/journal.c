/* SPDX-License-Identifier: MIT
 * Writes the two events that are worth structured fields; base/log.h has all
 * other messages. */
#define SD_JOURNAL_SUPPRESS_LOCATION
#include "client/journal.h"

#include <inttypes.h>
#include <stdio.h>
#include <systemd/sd-journal.h>

#include "base/log.h"
#include "base/util.h"

enum { MESSAGE_SIZE = 512 };

void journal_format(const struct wav_format *format,
		    char text[JOURNAL_FORMAT_SIZE])
{
	snprintf(text, JOURNAL_FORMAT_SIZE, "%s %u Hz %u channel%s",
		 wav_format_name(format), format->rate, format->channels,
		 plural_s(format->channels));
}

static void stated_length(const struct journal_page *page, char *text,
			  size_t size)
{
	const uint64_t frames = page->data_size / wav_frame_size(&page->format);

	if (page->data_size == WAV_ENDLESS)
		snprintf(text, size, "no stated end");
	else
		snprintf(text, size, "%.2f s",
			 wav_seconds(&page->format, frames));
}

void journal_begin(const struct journal_page *page)
{
	char format[JOURNAL_FORMAT_SIZE], length[64], message[MESSAGE_SIZE];

	journal_format(&page->format, format);
	stated_length(page, length, sizeof(length));
	snprintf(message, sizeof(message), "Page from %s begins: %s, %s",
		 page->server, format, length);
	if (!log_takes_fields(LOG_INFO)) {
		log_info("%s", message);
		return;
	}
	sd_journal_send("MESSAGE=%s", message, "PRIORITY=%d", LOG_INFO,
			"INTERCOM_EVENT=page-begin", "INTERCOM_SERVER=%s",
			page->server, "INTERCOM_FORMAT=%s", format, NULL);
}

void journal_end(const struct journal_page *page)
{
	const double seconds =
	    wav_seconds(&page->format, page->received_frames);
	const double heard = wav_seconds(&page->format, page->heard_frames);
	char format[JOURNAL_FORMAT_SIZE], message[MESSAGE_SIZE];
	char part[64] = "", latency[48] = "", sync[24], in_step[48] = "";

	if (page->heard_frames < page->received_frames)
		snprintf(part, sizeof(part), ", %.2f s heard", heard);
	/* Of what has not sounded there is none. */
	if (page->heard_frames > 0)
		snprintf(latency, sizeof(latency), "latency %.1f ms, ",
			 page->latency_ms);
	snprintf(sync, sizeof(sync), "%" PRIu64, page->sync_us);
	if (page->heard_frames > 0 && page->sync_us > 0)
		snprintf(in_step, sizeof(in_step), "in step within %s us, ",
			 sync);
	snprintf(message, sizeof(message),
		 "Page from %s ended (%s): %" PRIu64 " frame%s (%.2f s%s), "
		 "%s%s%" PRIu64 " xrun%s, %" PRIu64 " starvation%s (%" PRIu64
		 " ms), %" PRIu64 " ms dropped, %" PRIu64 " card loss%s",
		 page->server, page->result, page->received_frames,
		 plural_s(page->received_frames), seconds, part, latency,
		 in_step, page->xruns, plural_s(page->xruns), page->starvations,
		 plural_s(page->starvations), page->starved_ms,
		 page->dropped_ms, page->card_losses,
		 plural_es(page->card_losses));
	if (!log_takes_fields(LOG_INFO)) {
		log_info("%s", message);
		return;
	}
	journal_format(&page->format, format);
	sd_journal_send(
	    "MESSAGE=%s", message, "PRIORITY=%d", LOG_INFO,
	    "INTERCOM_EVENT=page-end", "INTERCOM_SERVER=%s", page->server,
	    "INTERCOM_FORMAT=%s", format, "INTERCOM_RESULT=%s", page->result,
	    "INTERCOM_SECONDS=%.3f", seconds, "INTERCOM_FRAMES=%" PRIu64,
	    page->received_frames, "INTERCOM_XRUNS=%" PRIu64, page->xruns,
	    "INTERCOM_STARVATIONS=%" PRIu64, page->starvations,
	    "INTERCOM_STARVED_MS=%" PRIu64, page->starved_ms,
	    "INTERCOM_DROPPED_MS=%" PRIu64, page->dropped_ms,
	    "INTERCOM_CARD_LOSSES=%" PRIu64, page->card_losses,
	    "INTERCOM_HEARD=%.3f", heard,
	    /* The list ends with the first that there is nothing to say of. */
	    page->heard_frames > 0 ? "INTERCOM_LATENCY_MS=%.1f" : NULL,
	    page->latency_ms, page->sync_us > 0 ? "INTERCOM_SYNC_US=%s" : NULL,
	    sync, NULL);
}
