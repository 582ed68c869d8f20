/* SPDX-License-Identifier: MIT
 * Has no state of its own. */
#include "client/pulse.h"

#include "config.h"

#include <math.h>

#include "audio/cardstate.h"
#include "wire/heartbeat.h"

/* Busy by what is played here is ready, so a card that is open is not asked. */
static enum receipt_card card_of(const struct speaker *speaker)
{
	if (speaker->card.pcm)
		return speaker_card(speaker);
	switch (cardstate_look(speaker->config.device, PCM_PLAYBACK)) {
	case CARDSTATE_READY:
		return RECEIPT_CARD_READY;
	case CARDSTATE_BUSY:
		return RECEIPT_CARD_BUSY;
	case CARDSTATE_MISSING:
		return RECEIPT_CARD_MISSING;
	case CARDSTATE_UNKNOWN:
		break;
	}
	return speaker_card(speaker); /* by the last page */
}

void pulse_step(const struct speaker *speaker, struct session *session,
		uint64_t now_usec)
{
	struct heartbeat heartbeat = {.version = PACKAGE_VERSION};
	char line[LINE_SIZE_MAX];
	size_t size;

	if (!session_wants_status(session, now_usec))
		return;
	heartbeat.card = card_of(speaker);
	heartbeat.latency_ms = speaker->config.latency_ms +
			       (uint32_t)fmax(0, speaker->config.delay_ms);
	size = heartbeat_format(line, &heartbeat);
	session_say(session, line, size, now_usec);
}
