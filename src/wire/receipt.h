/* SPDX-License-Identifier: MIT
 * What a client says at the end of a page: how much of it was heard. All of it
 * is a claim. Pure. */
#pragma once

#include "wire/line.h"

enum {
	RECEIPT_SIZE_MAX = LINE_SIZE_MAX,
	RECEIPT_NAME_SIZE = 65, /* with the terminating zero */
};

/* A number that was not said. */
#define RECEIPT_UNKNOWN UINT64_MAX

/* The words of INTERCOM_RESULT, and what else becomes of a page. */
enum receipt_result {
	RECEIPT_RESULT_UNKNOWN,
	RECEIPT_COMPLETE,
	RECEIPT_CUT_SHORT,  /* the connection ended early */
	RECEIPT_UNHEARD,    /* no card has played a frame of it */
	RECEIPT_TAKEN_OVER, /* by another server's page */
	RECEIPT_LIMIT,	    /* --max-duration */
	RECEIPT_STOPPED,    /* the client ended */
	RECEIPT_HUSHED,	    /* silent on purpose, as its microphone is open */
	RECEIPT_RELAYED,    /* passed on to another site */
	RECEIPT_GROUP,	    /* sent to a multicast group: nobody can know */
};

enum receipt_card {
	RECEIPT_CARD_UNKNOWN,
	RECEIPT_CARD_READY,
	RECEIPT_CARD_BUSY,
	RECEIPT_CARD_MISSING,
};

struct receipt {
	char name[RECEIPT_NAME_SIZE]; /* UTF-8 to be shown, or "": not said */
	enum receipt_result result;
	/* Each may be RECEIPT_UNKNOWN. Of those that arrived on the connection,
	 * heard are those that a card with a moving clock has played. */
	uint64_t arrived_frames, heard_frames, dropped_frames;
	uint64_t starved_ms;
	uint64_t sync_us; /* how far from its moment it was, estimated */
	enum receipt_card card;
};

/* Writes the whole line with its newline, and returns its size. Numbers that
 * are unknown are left out. */
size_t receipt_format(char line[RECEIPT_SIZE_MAX],
		      const struct receipt *receipt);
/* Reads a line of SIZE bytes. Keys and words that it does not know are skipped.
 * 0; or -EBADMSG: it is no receipt, or one that cannot be true. */
int receipt_parse(struct receipt *ret, const char *line, size_t size);

/* "complete", "ready" and so on; "unknown". */
const char *receipt_result_name(enum receipt_result result);
const char *receipt_card_name(enum receipt_card card);
/* The card that the word NAME means, or RECEIPT_CARD_UNKNOWN. */
enum receipt_card receipt_card_of(const char *name);
