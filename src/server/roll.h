/* SPDX-License-Identifier: MIT
 * The roll: which loudspeakers are expected, and which of them are missing
 * since when and why. Told at each call who is there. Pure: no clock, no I/O;
 * all times are CLOCK_MONOTONIC. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/util.h"
#include "bus/names.h"
#include "wire/receipt.h"

#define ROLL_START_USEC (100 * USEC_PER_SEC) /* nobody is missing before */
#define ROLL_ABSENT_USEC (30 * USEC_PER_SEC) /* it may be restarting */
#define ROLL_SILENT_USEC (75 * USEC_PER_SEC) /* without a line */
#define ROLL_BUSY_USEC (60 * USEC_PER_SEC)
/* A call that comes so late was not made because the server hung, and then the
 * loudspeakers could not be heard either. */
#define ROLL_LATE_USEC (10 * USEC_PER_SEC)

/* ROLL_THERE, ROLL_ABSENT .. */
enum roll_why {
	ROLL_THERE,
#define ROLL_WHY(why, word, text) ROLL_##why,
	BUS_MISSING_WHYS(ROLL_WHY)
#undef ROLL_WHY
};

/* The members are loudspeakers, called by the identities of their keys; or the
 * zones, each of which expects a number of loudspeakers. */
enum roll_kind { ROLL_OF_IDENTITIES, ROLL_OF_ZONES };

/* A connection that waits for a page or receives one. */
struct roll_sighting {
	const char *zone; /* to stay valid as long as the roll */
	bool on_air;
	bool speaks;	     /* says a line each minute while it waits */
	uint64_t heard_usec; /* its newest line, or when it came */
	bool has_said;	     /* there has been a line, and in it: */
	enum receipt_card card;
};

struct roll_member {
	enum roll_kind kind;
	char name[VALID_NAME_SIZE];
	const char *zone; /* where it was last, or "" */
	unsigned wanted;  /* how many; 0: no longer expected */

	/* Of this call. */
	unsigned present, mute, on_air; /* mute: of these, that do not speak */
	uint64_t heard_usec;
	bool has_said;
	enum receipt_card card;

	/* Since when; 0: it is not so. Absent: at least so many more than were
	 * told. */
	uint64_t absent_usec, card_missing_usec, card_busy_usec, locked_usec;
	unsigned absent_more;

	enum roll_why why;
	unsigned count; /* how many are missing, unless ROLL_THERE */
	uint64_t since_usec;
};

struct roll {
	enum roll_kind kind;
	struct roll_member *members; /* sorted by name */
	size_t count;
	unsigned wanted, present; /* of all members; as of the last call */
	unsigned missing;
	uint64_t quiet_usec; /* until then nobody is missing */
	uint64_t due_usec;   /* when the next call is due; 0: the first one */
};

void roll_init(struct roll *roll, enum roll_kind kind);
void roll_clear(struct roll *roll);

/* A call: begin, expect and see in any order, end. */
void roll_begin(struct roll *roll);
/* COUNT (not 0) loudspeakers of this NAME, a valid one, are expected: 1 for an
 * identity. The name of a zone must stay valid as long as the roll. 0 or
 * -ENOMEM: then it is not supervised. */
int roll_expect(struct roll *roll, const char *name, unsigned count);
/* One that is not expected is ignored. */
void roll_see(struct roll *roll, const char *name,
	      const struct roll_sighting *sighting);
/* Calls ON_CHANGE for each member that is missing or back, or missing for
 * another reason or in another number: see member->why; and for one that was
 * missing and that nobody expects any more: then member->wanted and
 * ->locked_usec are 0. The next call must be at roll->due_usec (MAX_USEC from
 * now at the latest) or earlier. */
void roll_end(struct roll *roll, uint64_t now_usec, uint64_t max_usec,
	      void (*on_change)(void *userdata,
				const struct roll_member *member),
	      void *userdata);

/* Outside of a call: the key of the loudspeaker NAME is no longer accepted. It
 * is missing until it is back, even if nobody expects it any more. */
void roll_lock_out(struct roll *roll, const char *name, uint64_t now_usec);
/* Whether nobody is missing only because the server has begun to look. */
bool roll_is_quiet(const struct roll *roll, uint64_t now_usec);
/* "absent" .., and what a person is told. Not for ROLL_THERE. */
const char *roll_why_name(enum roll_why why);
const char *roll_why_text(enum roll_why why);
