/* SPDX-License-Identifier: MIT
 * The receipts that are still owed to a server: each holds the connection that
 * its page came on, whose sending side the server has ended. Never blocks. */
#pragma once

#include "wire/receipt.h"
#include "wire/transport.h"

enum { DEBTS_MAX = 2 };

struct debt {
	struct transport *transport; /* NULL: none */
	uint64_t number;	     /* of the page */
	uint64_t arrived_frames;
};

/* Starts as all zero. */
struct debts {
	struct debt list[DEBTS_MAX]; /* the oldest first */
};

/* Takes over DEBT's transport. An older one gives way. */
void debts_add(struct debts *debts, struct debt debt);
/* Gives RECEIPT, with the number of frames that have arrived, for page NUMBER,
 * and closes. Does nothing unless it is owed. */
void debts_pay(struct debts *debts, uint64_t number,
	       const struct receipt *receipt);
/* Closes all of them. */
void debts_clear(struct debts *debts);
