/* SPDX-License-Identifier: MIT
 * The two events of a page that are worth fields. */
#define SD_JOURNAL_SUPPRESS_LOCATION
#include "report.h"

#include <inttypes.h>
#include <stdio.h>
#include <systemd/sd-journal.h>

#include "log.h"
#include "util.h"

const char *report_result_name(enum report_result result)
{
	static const char *const names[] = {
	    [REPORT_COMPLETE] = "complete",
	    [REPORT_CUT_SHORT] = "cut-short",
	    [REPORT_TAKEN_OVER] = "taken-over",
	    [REPORT_LIMIT] = "limit",
	    [REPORT_UNHEARD] = "unheard",
	    [REPORT_STOPPED] = "stopped",
	};

	return names[result];
}

double report_seconds(const struct report *report)
{
	return (double)report->received_frames / report->format.rate;
}

void report_format(const struct wav_format *format,
		   char text[REPORT_FORMAT_SIZE])
{
	snprintf(text, REPORT_FORMAT_SIZE, "%s %u Hz %u channel%s",
		 wav_format_name(format), format->rate, format->channels,
		 format->channels == 1 ? "" : "s");
}

static void stated_length(const struct report *report, char *text, size_t size)
{
	const size_t frame_size = wav_frame_size(&report->format);

	if (report->data_size == WAV_ENDLESS)
		snprintf(text, size, "no stated end");
	else
		snprintf(text, size, "%.2f s",
			 (double)(report->data_size / frame_size) /
			     report->format.rate);
}

void report_begin(const struct report *report)
{
	char format[REPORT_FORMAT_SIZE], length[64];

	report_format(&report->format, format);
	stated_length(report, length, sizeof(length));
	if (!log_is_journal()) {
		log_info("Page from %s begins: %s, %s", report->server, format,
			 length);
		return;
	}
	if (log_get_level() < LOG_INFO)
		return;
	sd_journal_send("MESSAGE=Page from %s begins: %s, %s", report->server,
			format, length, "PRIORITY=%d", LOG_INFO,
			"INTERCOM_EVENT=page-begin", "INTERCOM_SERVER=%s",
			report->server, "INTERCOM_FORMAT=%s", format, NULL);
}

void report_end(const struct report *report)
{
	char format[REPORT_FORMAT_SIZE], text[320];
	const char *result = report_result_name(report->result);

	snprintf(text, sizeof(text),
		 "Page from %s ended (%s): %" PRIu64 " frames (%.2f s), "
		 "latency %.1f ms, %" PRIu64 " xruns, %" PRIu64
		 " starvations (%" PRIu64 " ms), %" PRIu64 " ms dropped, "
		 "%" PRIu64 " card losses",
		 report->server, result, report->received_frames,
		 report_seconds(report), report->latency_ms, report->xruns,
		 report->starvations, report->starved_ms, report->dropped_ms,
		 report->card_losses);
	if (!log_is_journal()) {
		log_info("%s", text);
		return;
	}
	if (log_get_level() < LOG_INFO)
		return;
	report_format(&report->format, format);
	sd_journal_send("MESSAGE=%s", text, "PRIORITY=%d", LOG_INFO,
			"INTERCOM_EVENT=page-end", "INTERCOM_SERVER=%s",
			report->server, "INTERCOM_FORMAT=%s", format,
			"INTERCOM_RESULT=%s", result,
			"INTERCOM_FRAMES=%" PRIu64, report->received_frames,
			"INTERCOM_SECONDS=%.3f", report_seconds(report),
			"INTERCOM_XRUNS=%" PRIu64, report->xruns,
			"INTERCOM_STARVATIONS=%" PRIu64, report->starvations,
			"INTERCOM_STARVED_MS=%" PRIu64, report->starved_ms,
			"INTERCOM_DROPPED_MS=%" PRIu64, report->dropped_ms,
			"INTERCOM_CARD_LOSSES=%" PRIu64, report->card_losses,
			"INTERCOM_LATENCY_MS=%.1f", report->latency_ms, NULL);
}
