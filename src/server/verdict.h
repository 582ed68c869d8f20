/* SPDX-License-Identifier: MIT
 * How much of a page one loudspeaker has heard, and why not all of it: by its
 * entry in the ledger, and the receipt that is noted there. Pure. */
#pragma once

#include "server/ledger.h"

/* *PLAYER becomes all but its label, and refers to ENTRY. */
void verdict_judge(const struct ledger *ledger,
		   const struct ledger_entry *entry,
		   struct ledger_player *player);
