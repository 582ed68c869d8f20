/* SPDX-License-Identifier: MIT
 * Who was on the air of a page, and what became of it at each loudspeaker: what
 * the server knows, and what the receipt says. Pure; a stranger's names come
 * in here. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "wire/receipt.h"

enum { LEDGER_BUCKETS = 256 };

enum ledger_entry_state {
	ENTRY_ON_AIR,
	ENTRY_OWES,
	ENTRY_LOST,
	ENTRY_TOLD,
	ENTRY_NO_RECEIPT,
	ENTRY_TIMED_OUT,
	ENTRY_REFUSED
};

/* One connection of a loudspeaker to the page. NULL stands for one that there
 * was no memory for: it is only counted. Valid until ledger_end() with
 * LEDGER_LOST, ledger_receipt() or ledger_silent(). Two connections may have
 * one entry, when it was shed. */
struct ledger_entry {
	TAILQ_ENTRY(ledger_entry) in_state; /* of the lost ones, or the rest */
	LIST_ENTRY(ledger_entry) in_bucket;
	const char *zone;
	enum ledger_entry_state state;
	bool returned;	      /* was cut off before */
	bool shed;	      /* lagged, and has yet to return */
	unsigned connections; /* that are on the air or owe a receipt */
	bool has_receipt;     /* of one of them */
	/* How many more that were cut off it may be the return of: 1 for one
	 * that came during the page, and what those had that it continues. */
	unsigned vacancies;
	uint64_t joined, end, skipped; /* frames of the page */
	struct receipt receipt;
	char *address; /* behind the identity in .identity */
	char identity[];
};

TAILQ_HEAD(ledger_queue, ledger_entry);

struct ledger {
	uint32_t page;
	uint32_t rate; /* 0 before ledger_set_length() */
	uint64_t frames, due_usec;
	struct ledger_queue entries, lost; /* each is in one of the two */
	LIST_HEAD(, ledger_entry) buckets[LEDGER_BUCKETS];
	size_t count, max, size;
	size_t open;
	uint32_t forgotten; /* lost ones that made room */
	uint32_t unlisted;  /* without an entry, and not lost */
};

enum ledger_end {
	LEDGER_SENT, /* got all that was meant for it; it owes a receipt */
	LEDGER_LOST, /* broke, left or was dropped */
};

enum ledger_silence {
	LEDGER_NO_RECEIPT, /* closed without one: it does not know them */
	LEDGER_TIMED_OUT,  /* has not answered as long as it could, or died */
	LEDGER_REFUSED,	   /* has said something that cannot be true */
};

/* How much of the page one loudspeaker has played. In the order of lists: those
 * that failed come first. */
enum ledger_heard {
	LEDGER_UNHEARD,	   /* nothing, or it was lost */
	LEDGER_PARTLY,	   /* not all; or all, but from later than 1 s on */
	LEDGER_UNREPORTED, /* it gives no receipts, or did not in time */
	LEDGER_PENDING,	   /* may still tell */
	LEDGER_ALL,
	LEDGER_EXCUSED, /* was not meant to: hushed, or hears a group */
};
enum { LEDGER_HEARD_COUNT = LEDGER_EXCUSED + 1 };
/* "unheard", "partly" and so on. */
const char *ledger_heard_name(enum ledger_heard heard);

/* At most MAX connections are remembered, the others only counted. 0 or
 * -ENOMEM. */
int ledger_new(struct ledger **ret, uint32_t page_id, size_t max);
/* Takes NULL; returns NULL. */
struct ledger *ledger_free(struct ledger *ledger);

/* A connection from PEER ("192.0.2.1:40000") gets the page from FRAME on in
 * ZONE, which is the caller's. IDENTITY is its key's name, or NULL. When it is
 * a loudspeaker that was cut off or shed, it continues that one's entry. */
struct ledger_entry *ledger_join(struct ledger *ledger, const char *zone,
				 const char *identity, const char *peer,
				 uint64_t frame);
/* Its sound ends before FRAME of the page, SKIPPED_FRAMES of it were left out
 * on the way. Called once. */
void ledger_end(struct ledger *ledger, struct ledger_entry *entry,
		enum ledger_end end, uint64_t frame, uint64_t skipped_frames);
/* In the place of ledger_end(): its sound ends before FRAME, since it lags.
 * When it joins again, it continues this entry. */
void ledger_shed(struct ledger *ledger, struct ledger_entry *entry,
		 uint64_t frame);
/* After LEDGER_SENT or ledger_shed(), one of these, once. */
void ledger_receipt(struct ledger *ledger, struct ledger_entry *entry,
		    const struct receipt *receipt);
void ledger_silent(struct ledger *ledger, struct ledger_entry *entry,
		   enum ledger_silence why);
/* What the page is: FRAMES at RATE, the last of which is due at DUE_USEC
 * (CLOCK_MONOTONIC). While it goes on both are 0. */
void ledger_set_length(struct ledger *ledger, uint32_t rate, uint64_t frames,
		       uint64_t due_usec);

/* How many connections are still on the air or owe a receipt. */
size_t ledger_open_count(const struct ledger *ledger);
/* Bytes of memory, about. */
size_t ledger_size(const struct ledger *ledger);

#define LEDGER_GIVES_NONE "gives no receipts"
#define LEDGER_HAS_NOT_ANSWERED "has not answered"
#define LEDGER_HAS_YET_TO_ANSWER "has not answered yet"

enum { LEDGER_LABEL_SIZE = 256, LEDGER_REASON_SIZE = 160 };

/* One loudspeaker, whatever the number of its connections. The texts belong to
 * the ledger. */
struct ledger_player {
	enum ledger_heard heard;
	const char *identity; /* "" without a key */
	const char *name;     /* that it claims, or ""; no control characters */
	const char *address;  /* "192.0.2.1" */
	bool anonymous;	      /* has no key, and says no name */
	const char *zone;
	unsigned rank; /* of those in its zone that are called the same */
	/* For a person: the identity, or else the name with the address. */
	char label[LEDGER_LABEL_SIZE];
	/* Why it is not LEDGER_ALL, or "": "the card is busy", "all from 3.1 s
	 * on", LEDGER_GIVES_NONE and so on. */
	char reason[LEDGER_REASON_SIZE];
	enum receipt_result result; /* unknown without a receipt */
	enum receipt_card card;
	uint64_t joined_frame; /* of its last connection */
	uint64_t heard_frames; /* RECEIPT_UNKNOWN without a receipt */
	uint64_t dropped_frames, skipped_frames;
	uint64_t starved_ms;
	uint64_t sync_us; /* see struct receipt; or RECEIPT_UNKNOWN */
};

struct ledger_list {
	uint32_t page;
	uint32_t rate;	   /* of the page; 0: it had no sound */
	uint64_t due_usec; /* see ledger_set_length() */
	/* Of each kind; with those that are not in .players. */
	uint32_t counts[LEDGER_HEARD_COUNT];
	uint32_t total;	  /* that were to hear it: all but LEDGER_EXCUSED */
	uint64_t sync_us; /* the greatest of all; or RECEIPT_UNKNOWN */
	struct ledger_player *players; /* those that failed first */
	size_t player_count;
};

/* Lists the loudspeakers, merged: one that was cut off and came back, or that
 * is in several zones, is one. The caller clears *ret, before LEDGER is freed.
 * 0 or -ENOMEM. */
int ledger_list(const struct ledger *ledger, struct ledger_list *ret);
void ledger_list_clear(struct ledger_list *list);

/* The loudspeaker of a connection like that of ledger_join(), once it has
 * answered or is given up. It cannot be told from others that were at its
 * address in the same zone. */
enum ledger_found { LEDGER_NONE, LEDGER_ONE, LEDGER_SEVERAL };
enum ledger_found ledger_find(const struct ledger *ledger, const char *zone,
			      const char *identity, const char *peer,
			      struct ledger_player *ret);
