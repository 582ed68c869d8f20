/* SPDX-License-Identifier: MIT
 * What the client says of itself once a minute to a server that has agreed to
 * it. Runs in the client's loop. */
#pragma once

#include "client/speaker.h"
#include "feed/session.h"

/* Says it, if SESSION wants to be told now. Does not open the card: where ALSA
 * cannot tell without that, the last page's result counts. */
void pulse_step(const struct speaker *speaker, struct session *session,
		uint64_t now_usec);
