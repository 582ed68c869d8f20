/* SPDX-License-Identifier: MIT
 * The two events of a page that are worth fields. */
#include "client/journal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/util.h"
#include "client/service.h"

enum { FIELD_SIZE = 512, FIELDS_MAX = 16 };

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
	const uint64_t frames =
	    report->data_size / wav_frame_size(&report->format);

	if (report->data_size == WAV_ENDLESS)
		snprintf(text, size, "no stated end");
	else
		snprintf(text, size, "%.2f s",
			 (double)frames / report->format.rate);
}

/* LINES are fields, the message first: as a line of the log, or with all of
 * them when that is the journal. */
static void tell(char (*lines)[FIELD_SIZE], size_t count)
{
	const char *fields[FIELDS_MAX + 2];
	char priority[16], identifier[64];

	if (log_get_level() < LOG_INFO)
		return;
	snprintf(priority, sizeof(priority), "PRIORITY=%d", LOG_INFO);
	snprintf(identifier, sizeof(identifier), "SYSLOG_IDENTIFIER=%s",
		 program_invocation_short_name);
	fields[0] = priority;
	fields[1] = identifier;
	for (size_t i = 0; i < count; i++)
		fields[2 + i] = lines[i];
	if (!log_is_journal() ||
	    service_journal(SERVICE_JOURNAL, fields, 2 + count) < 0)
		log_info("%s", lines[0] + strlen("MESSAGE="));
}

void report_begin(const struct report *report)
{
	char format[REPORT_FORMAT_SIZE], length[64];
	char lines[FIELDS_MAX][FIELD_SIZE];
	size_t count = 0;

	report_format(&report->format, format);
	stated_length(report, length, sizeof(length));
	snprintf(lines[count++], FIELD_SIZE,
		 "MESSAGE=Page from %s begins: %s, %s", report->server, format,
		 length);
	snprintf(lines[count++], FIELD_SIZE, "INTERCOM_EVENT=page-begin");
	snprintf(lines[count++], FIELD_SIZE, "INTERCOM_SERVER=%s",
		 report->server);
	snprintf(lines[count++], FIELD_SIZE, "INTERCOM_FORMAT=%s", format);
	tell(lines, count);
}

static void end_message(const struct report *report, char *text, size_t size)
{
	snprintf(text, size,
		 "MESSAGE=Page from %s ended (%s): %" PRIu64
		 " frames (%.2f s), latency %.1f ms, %" PRIu64
		 " xruns, %" PRIu64 " starvations (%" PRIu64 " ms), %" PRIu64
		 " ms dropped, %" PRIu64 " card losses",
		 report->server, report_result_name(report->result),
		 report->received_frames, report_seconds(report),
		 report->latency_ms, report->xruns, report->starvations,
		 report->starved_ms, report->dropped_ms, report->card_losses);
}

void report_end(const struct report *report)
{
	const struct {
		const char *name;
		uint64_t value;
	} numbers[] = {
	    {"FRAMES", report->received_frames},
	    {"XRUNS", report->xruns},
	    {"STARVATIONS", report->starvations},
	    {"STARVED_MS", report->starved_ms},
	    {"DROPPED_MS", report->dropped_ms},
	    {"CARD_LOSSES", report->card_losses},
	};
	char format[REPORT_FORMAT_SIZE], lines[FIELDS_MAX][FIELD_SIZE];
	size_t count = 0;

	report_format(&report->format, format);
	end_message(report, lines[count++], FIELD_SIZE);
	snprintf(lines[count++], FIELD_SIZE, "INTERCOM_EVENT=page-end");
	snprintf(lines[count++], FIELD_SIZE, "INTERCOM_SERVER=%s",
		 report->server);
	snprintf(lines[count++], FIELD_SIZE, "INTERCOM_FORMAT=%s", format);
	snprintf(lines[count++], FIELD_SIZE, "INTERCOM_RESULT=%s",
		 report_result_name(report->result));
	snprintf(lines[count++], FIELD_SIZE, "INTERCOM_SECONDS=%.3f",
		 report_seconds(report));
	snprintf(lines[count++], FIELD_SIZE, "INTERCOM_LATENCY_MS=%.1f",
		 report->latency_ms);
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		snprintf(lines[count++], FIELD_SIZE, "INTERCOM_%s=%" PRIu64,
			 numbers[i].name, numbers[i].value);
	tell(lines, count);
}
