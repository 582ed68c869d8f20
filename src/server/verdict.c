/* SPDX-License-Identifier: MIT
 * In words that tell a person where to look. */
#include "server/verdict.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"

enum {
	/* Who has joined within it has heard the beginning. */
	LATE_SECONDS = 1,
	/* Cards count what they have played in such steps. */
	COUNTING_MS = 50,
};

__attribute__((format(printf, 3, 4))) static void
say(struct ledger_player *player, enum ledger_heard heard, const char *format,
    ...)
{
	va_list ap;

	player->heard = heard;
	va_start(ap, format);
	vsnprintf(player->reason, sizeof(player->reason), format, ap);
	va_end(ap);
}

/* Why some of the page is missing, or "". */
static const char *cause_of(const struct ledger_player *player)
{
	switch (player->result) {
	case RECEIPT_TAKEN_OVER:
		return "another page took the loudspeaker";
	case RECEIPT_LIMIT:
		return "--max-duration ended it there";
	case RECEIPT_STOPPED:
		return "its program was ended";
	default:
		break;
	}
	if (player->card == RECEIPT_CARD_BUSY)
		return "the card is busy";
	if (player->card == RECEIPT_CARD_MISSING)
		return "the card is missing or broken";
	if (player->result == RECEIPT_CUT_SHORT)
		return "the page was cut short";
	if (player->skipped_frames > 0)
		return "the network was too slow";
	if (player->dropped_frames > 0)
		return "sound came too late";
	if (player->result == RECEIPT_RESULT_UNKNOWN)
		return "its receipt does not say what became of it";
	return "the card did not play";
}

/* The frames of the SENT ones that were played, as far as the receipt says;
 * or RECEIPT_UNKNOWN. */
static uint64_t played_of(const struct receipt *receipt, uint64_t sent)
{
	if (receipt->heard_frames != RECEIPT_UNKNOWN)
		return MIN(receipt->heard_frames, sent);
	if (receipt->result != RECEIPT_COMPLETE ||
	    receipt->dropped_frames == RECEIPT_UNKNOWN)
		return RECEIPT_UNKNOWN;
	return sent - MIN(receipt->dropped_frames, sent);
}

static bool has_all_that_was_sent(const struct ledger *ledger,
				  const struct ledger_player *player,
				  uint64_t sent)
{
	const uint64_t blur = (uint64_t)ledger->rate * COUNTING_MS / 1000;

	return player->result == RECEIPT_COMPLETE &&
	       player->dropped_frames == 0 && player->skipped_frames == 0 &&
	       (player->heard_frames > 0 || sent == 0) &&
	       player->heard_frames + blur >= sent;
}

/* All that it was sent was heard; was that all of the page? */
static void judge_span(const struct ledger *ledger,
		       const struct ledger_entry *entry,
		       struct ledger_player *player)
{
	const char *back = entry->returned ? "cut off, then " : "";

	if (entry->joined > (uint64_t)ledger->rate * LATE_SECONDS)
		say(player, LEDGER_PARTLY, "%sall from %.1f s on", back,
		    frames_to_seconds(entry->joined, ledger->rate));
	else if (entry->end < ledger->frames)
		say(player, LEDGER_PARTLY, "all up to %.1f s",
		    frames_to_seconds(entry->end, ledger->rate));
	else
		say(player, LEDGER_ALL, "%s", "");
}

/* "4.0 of 5.0 s", or "all but 20 ms" where both would look the same. */
static void say_partly(const struct ledger *ledger, uint64_t played,
		       struct ledger_player *player)
{
	char heard[24], whole[24];

	snprintf(heard, sizeof(heard), "%.1f",
		 frames_to_seconds(played, ledger->rate));
	snprintf(whole, sizeof(whole), "%.1f",
		 frames_to_seconds(ledger->frames, ledger->rate));
	if (played < ledger->frames && strcmp(heard, whole) == 0)
		say(player, LEDGER_PARTLY, "all but %.0f ms (%s)",
		    ceil(frames_to_seconds(ledger->frames - played,
					   ledger->rate) *
			 1000),
		    cause_of(player));
	else
		say(player, LEDGER_PARTLY, "%s of %s s (%s)", heard, whole,
		    cause_of(player));
}

static void judge_played(const struct ledger *ledger,
			 const struct ledger_entry *entry,
			 struct ledger_player *player)
{
	const uint64_t sent = entry->end - entry->joined - entry->skipped;
	const uint64_t played = played_of(&entry->receipt, sent);

	player->heard_frames = played;
	if (played == RECEIPT_UNKNOWN)
		say(player, LEDGER_UNREPORTED,
		    "its receipt does not say how much was heard");
	else if (has_all_that_was_sent(ledger, player, sent))
		judge_span(ledger, entry, player);
	else if (played == 0)
		say(player, LEDGER_UNHEARD, "%s", cause_of(player));
	else
		say_partly(ledger, played, player);
}

static void judge_receipt(const struct ledger *ledger,
			  const struct ledger_entry *entry,
			  struct ledger_player *player)
{
	const struct receipt *receipt = &entry->receipt;

	player->name = receipt->name;
	player->result = receipt->result;
	player->card = receipt->card;
	player->starved_ms = receipt->starved_ms;
	player->sync_us = receipt->sync_us;
	player->dropped_frames = receipt->dropped_frames == RECEIPT_UNKNOWN
				     ? 0
				     : receipt->dropped_frames;
	switch (receipt->result) {
	case RECEIPT_HUSHED:
		say(player, LEDGER_EXCUSED, "its own microphone was open");
		break;
	case RECEIPT_GROUP:
		say(player, LEDGER_EXCUSED, "sends to a group");
		break;
	case RECEIPT_RELAYED:
		say(player, LEDGER_UNREPORTED,
		    "passes it on, and does not know who heard it");
		break;
	case RECEIPT_UNHEARD:
		player->heard_frames = 0;
		say(player, LEDGER_UNHEARD, "%s", cause_of(player));
		break;
	default:
		judge_played(ledger, entry, player);
	}
}

void verdict_judge(const struct ledger *ledger,
		   const struct ledger_entry *entry,
		   struct ledger_player *player)
{
	*player = (struct ledger_player){
	    .identity = entry->identity,
	    .name = "",
	    .address = entry->address,
	    .zone = entry->zone,
	    .joined_frame = entry->joined,
	    .skipped_frames = entry->skipped,
	    .heard_frames = RECEIPT_UNKNOWN,
	    .starved_ms = RECEIPT_UNKNOWN,
	    .sync_us = RECEIPT_UNKNOWN,
	};
	switch (entry->state) {
	case ENTRY_ON_AIR:
	case ENTRY_OWES:
		say(player, LEDGER_PENDING, "%s", LEDGER_HAS_YET_TO_ANSWER);
		break;
	case ENTRY_LOST:
		say(player, LEDGER_UNHEARD, "lost after %.1f s",
		    frames_to_seconds(entry->end, ledger->rate));
		break;
	case ENTRY_TOLD:
		judge_receipt(ledger, entry, player);
		break;
	case ENTRY_NO_RECEIPT:
		say(player, LEDGER_UNREPORTED, "%s", LEDGER_GIVES_NONE);
		break;
	case ENTRY_REFUSED:
		say(player, LEDGER_UNREPORTED, "its answer is no true receipt");
		break;
	case ENTRY_TIMED_OUT:
		say(player, LEDGER_UNREPORTED, "%s", LEDGER_HAS_NOT_ANSWERED);
		break;
	}
}
