/* SPDX-License-Identifier: MIT
 * Who is missing, since when and why, on the test's own clock: each fault is
 * known within 100 s. A call is made when it is due, as the server does, and
 * earlier when somebody comes or goes. */
#include "server/roll.h"

#include "test.h"

#define S USEC_PER_SEC
#define START (50 * S)
#define MAX_USEC (30 * S)
/* Later than the start, when somebody may be missing. */
#define LATER (START + 200 * S)

/* A loudspeaker as the server sees it. */
struct loudspeaker {
	const char *name;
	bool there, on_air, mute, hung;
	uint64_t came_usec;
	bool has_said;
	uint64_t said_usec;
	enum receipt_card card;
};

static struct roll roll;
static struct loudspeaker gate, hall;
static uint64_t now;
static unsigned changes;
static char told[256]; /* all changes, as "gate absent 1; " */

static void on_change(void *userdata, const struct roll_member *member)
{
	size_t length = strlen(told);

	changes++;
	snprintf(
	    told + length, sizeof(told) - length, "%s %s %u; ", member->name,
	    member->wanted || member->locked_usec ? roll_why_name(member->why)
						  : "unexpected",
	    member->count);
}

static void see(const struct loudspeaker *speaker)
{
	struct roll_sighting sighting = {
	    .zone = "all",
	    .on_air = speaker->on_air,
	    .speaks = !speaker->mute,
	    .heard_usec =
		speaker->has_said ? speaker->said_usec : speaker->came_usec,
	    .has_said = speaker->has_said,
	    .card = speaker->card,
	};

	if (speaker->there)
		roll_see(&roll, speaker->name, &sighting);
}

static void call(void)
{
	roll_begin(&roll);
	ck_assert_int_eq(roll_expect(&roll, "gate", 1), 0);
	ck_assert_int_eq(roll_expect(&roll, "hall", 1), 0);
	see(&gate);
	see(&hall);
	roll_end(&roll, now, MAX_USEC, on_change, NULL);
}

static void say(struct loudspeaker *speaker, enum receipt_card card)
{
	speaker->has_said = true;
	speaker->said_usec = now;
	speaker->card = card;
}

static void come(struct loudspeaker *speaker)
{
	speaker->there = true;
	speaker->came_usec = now;
	speaker->has_said = false;
	if (!speaker->mute && !speaker->hung)
		say(speaker, RECEIPT_CARD_READY);
	call();
}

static void leave(struct loudspeaker *speaker)
{
	speaker->there = speaker->on_air = false;
	call();
}

/* Lets a second pass at a time; each loudspeaker speaks every 60 s. Returns how
 * long it took until something was told; 0: it was not within SECONDS. */
static unsigned pass(unsigned seconds)
{
	const unsigned before = changes;

	for (unsigned i = 1; i <= seconds; i++) {
		now += S;
		for (unsigned k = 0; k < 2; k++) {
			struct loudspeaker *l = k ? &hall : &gate;

			if (l->there && l->has_said && !l->hung && !l->on_air &&
			    now >= l->said_usec + 60 * S)
				say(l, l->card);
		}
		if (now >= roll.due_usec)
			call();
		if (changes > before)
			return i;
	}
	return 0;
}

static void setup(void)
{
	roll_init(&roll, ROLL_OF_IDENTITIES);
	gate = (struct loudspeaker){.name = "gate"};
	hall = (struct loudspeaker){.name = "hall"};
	changes = 0;
	*told = '\0';
	now = START;
	come(&gate);
	come(&hall);
	ck_assert_uint_eq(pass(200), 0);
}

static void teardown(void)
{
	roll_clear(&roll);
}

FIXTURE(setup, teardown);

/* Within 100 s of the fault, exactly this was told. */
static void check_told(const char *what)
{
	ck_assert_uint_gt(pass(100), 0);
	ck_assert_str_eq(told, what);
	*told = '\0';
}

/* --- the start --- */

TEST(who_never_came_is_missing_100_s_after_the_start)
{
	roll_clear(&roll);
	roll_init(&roll, ROLL_OF_IDENTITIES);
	gate.there = false;
	call();
	ck_assert(roll_is_quiet(&roll, now));
	ck_assert_uint_eq(pass(99), 0);
	ck_assert_uint_eq(pass(1), 1);
	ck_assert_str_eq(told, "gate absent 1; ");
	ck_assert_uint_eq(roll.wanted, 2);
	ck_assert_uint_eq(roll.present, 1);
	ck_assert_uint_eq(roll.missing, 1);
	ck_assert_str_eq(roll.members[0].zone, "");
}

TEST(clock_that_begins_at_nought_is_no_exception)
{
	roll_clear(&roll);
	roll_init(&roll, ROLL_OF_IDENTITIES);
	gate.there = false;
	now = 0;
	call();
	ck_assert_uint_eq(pass(99), 0);
	ck_assert_uint_eq(pass(1), 1);
}

TEST(who_is_there_is_never_missing)
{
	ck_assert_uint_eq(pass(86400), 0);
	ck_assert_uint_eq(roll.missing, 0);
}

TEST(who_is_not_expected_is_nobody)
{
	struct loudspeaker stranger = {.name = "stranger", .there = true};

	roll_begin(&roll);
	see(&stranger);
	ck_assert_uint_eq(roll.count, 2);
}

/* --- faults --- */

TEST(who_is_gone_is_missing_after_30_s_and_then_back)
{
	leave(&gate);
	ck_assert_uint_eq(pass(29), 0);
	check_told("gate absent 1; ");
	ck_assert(roll.members[0].since_usec == now - 30 * S);
	ck_assert_str_eq(roll.members[0].zone, "all");
	ck_assert_uint_eq(pass(1000), 0);
	come(&gate);
	ck_assert_str_eq(told, "gate there 0; ");
}

TEST(who_is_back_within_30_s_was_not_missing)
{
	for (int i = 0; i < 5; i++) {
		leave(&gate);
		ck_assert_uint_eq(pass(29), 0);
		come(&gate);
		ck_assert_uint_eq(pass(5), 0);
	}
}

TEST(who_is_silent_is_missing_after_75_s)
{
	const uint64_t heard = gate.said_usec;

	gate.hung = true;
	check_told("gate silent 1; ");
	ck_assert(now == heard + ROLL_SILENT_USEC);
	ck_assert(roll.members[0].since_usec == heard);
	/* Its kernel still answers; then the power goes. */
	leave(&gate);
	check_told("gate absent 1; ");
	ck_assert(roll.members[0].since_usec == heard);
	gate.hung = false;
	come(&gate);
	ck_assert_str_eq(told, "gate there 0; ");
}

TEST(who_hangs_from_the_beginning_is_missing)
{
	leave(&gate);
	gate.hung = true;
	come(&gate);
	check_told("gate silent 1; ");
}

/* Version 1. */
TEST(who_has_not_agreed_to_speak_may_be_silent)
{
	leave(&gate);
	gate.mute = true;
	come(&gate);
	ck_assert_uint_eq(pass(1000), 0);
	leave(&gate);
	check_told("gate absent 1; ");
}

/* Nobody speaks on the air; who is stuck there is dropped by the server. */
TEST(who_is_on_the_air_may_be_silent)
{
	gate.on_air = true;
	call();
	ck_assert_uint_eq(pass(3600), 0);
	leave(&gate);
	ck_assert_uint_eq(pass(1), 0);
	come(&gate);
	ck_assert_uint_eq(pass(1000), 0);
}

TEST(who_hangs_in_a_page_is_missing_after_it)
{
	gate.hung = gate.on_air = true;
	call();
	ck_assert_uint_eq(pass(3600), 0);
	leave(&gate);
	check_told("gate absent 1; ");
}

TEST(card_that_is_gone_is_told_at_once)
{
	ck_assert_uint_eq(pass(10), 0);
	say(&gate, RECEIPT_CARD_MISSING);
	call();
	ck_assert_str_eq(told, "gate card-missing 1; ");
	ck_assert(roll.members[0].since_usec == now);
	ck_assert_uint_eq(pass(100), 0);
	say(&gate, RECEIPT_CARD_READY);
	call();
	ck_assert_str_eq(told, "gate card-missing 1; gate there 0; ");
}

TEST(card_that_is_busy_is_told_after_a_minute)
{
	say(&gate, RECEIPT_CARD_BUSY);
	call();
	ck_assert_uint_eq(pass(59), 0);
	check_told("gate card-busy 1; ");
	ck_assert(roll.members[0].since_usec == now - 60 * S);
	ck_assert_uint_eq(pass(1000), 0);
}

TEST(card_that_is_busy_for_less_than_a_minute_is_not_told)
{
	for (int i = 0; i < 5; i++) {
		say(&gate, RECEIPT_CARD_BUSY);
		call();
		ck_assert_uint_eq(pass(55), 0);
		say(&gate, RECEIPT_CARD_READY);
		call();
		ck_assert_uint_eq(pass(55), 0);
	}
}

/* Pages come more often than lines. */
TEST(card_that_is_busy_stays_so_from_one_connection_to_the_next)
{
	for (int i = 0; i < 6; i++) {
		leave(&gate);
		come(&gate);
		say(&gate, RECEIPT_CARD_BUSY);
		call();
		ck_assert_uint_eq(pass(9), 0);
	}
	check_told("gate card-busy 1; ");
}

/* Its connection is new, and its line is on the way. */
TEST(who_has_said_nothing_yet_is_what_it_was)
{
	say(&gate, RECEIPT_CARD_MISSING);
	call();
	*told = '\0';
	leave(&gate);
	gate.hung = true;
	come(&gate);
	ck_assert_str_eq(told, "");
	gate.hung = false;
	say(&gate, RECEIPT_CARD_MISSING);
	call();
	ck_assert_str_eq(told, "");
	say(&gate, RECEIPT_CARD_READY);
	call();
	ck_assert_str_eq(told, "gate there 0; ");
}

TEST(unknown_card_is_no_fault)
{
	say(&gate, RECEIPT_CARD_UNKNOWN);
	call();
	ck_assert_uint_eq(pass(1000), 0);
}

/* The second program of a machine, or a connection that its cable cut off. */
TEST(one_connection_that_speaks_is_enough)
{
	struct loudspeaker old = gate;

	for (unsigned i = 0; i < 300; i++) {
		now += S;
		if (now >= gate.said_usec + 60 * S)
			say(&gate, RECEIPT_CARD_READY);
		say(&hall, RECEIPT_CARD_READY);
		roll_begin(&roll);
		ck_assert_int_eq(roll_expect(&roll, "gate", 1), 0);
		ck_assert_int_eq(roll_expect(&roll, "hall", 1), 0);
		see(&gate);
		see(&old);
		see(&hall);
		roll_end(&roll, now, MAX_USEC, on_change, NULL);
	}
	ck_assert_str_eq(told, "");
}

TEST(who_is_locked_out_is_missing_at_once)
{
	roll_lock_out(&roll, "gate", now);
	roll_lock_out(&roll, "nobody", now);
	leave(&gate);
	ck_assert_str_eq(told, "gate locked-out 1; ");
	ck_assert_uint_eq(pass(1000), 0);
	come(&gate);
	ck_assert_str_eq(told, "gate locked-out 1; gate there 0; ");
}

/* --- who is expected --- */

static void expect_hall_alone(void)
{
	roll_begin(&roll);
	ck_assert_int_eq(roll_expect(&roll, "hall", 1), 0);
	see(&gate);
	see(&hall);
	roll_end(&roll, now, MAX_USEC, on_change, NULL);
}

TEST(who_is_locked_out_is_missing_although_nobody_expects_it)
{
	roll_lock_out(&roll, "gate", now);
	gate.there = false;
	expect_hall_alone();
	ck_assert_str_eq(told, "gate locked-out 1; ");
	ck_assert_uint_eq(roll.wanted, 1);
	ck_assert_uint_eq(roll.missing, 1);
	*told = '\0';
	now += 100 * S;
	expect_hall_alone();
	ck_assert_str_eq(told, "");
}

TEST(who_is_missing_and_no_longer_expected_is_struck_off)
{
	leave(&gate);
	check_told("gate absent 1; ");
	expect_hall_alone();
	ck_assert_str_eq(told, "gate unexpected 1; ");
	ck_assert_uint_eq(roll.count, 1);
	ck_assert_uint_eq(roll.missing, 0);
}

/* --- the server's own faults --- */

TEST(server_that_hung_cannot_say_who_is_missing)
{
	now += 600 * S; /* stopped, and the lines wait to be read */
	call();
	ck_assert_str_eq(told, "");
	gate.hung = true;
	say(&hall, RECEIPT_CARD_READY);
	call();
	check_told("gate silent 1; ");
}

/* --- zones --- */

static unsigned in_yard;

/* Lets so many seconds pass, a call in each. */
static void yard(unsigned seconds)
{
	const struct roll_sighting sighting = {.zone = "yard"};

	for (unsigned i = 0; i < seconds; i++) {
		now += S;
		roll_begin(&roll);
		ck_assert_int_eq(roll_expect(&roll, "yard", 3), 0);
		for (unsigned k = 0; k < in_yard; k++)
			roll_see(&roll, "yard", &sighting);
		roll_end(&roll, now, MAX_USEC, on_change, NULL);
	}
}

static void begin_yard(void)
{
	roll_clear(&roll);
	roll_init(&roll, ROLL_OF_ZONES);
	in_yard = 3;
	yard(150);
	ck_assert_str_eq(told, "");
}

TEST(zone_with_too_few_is_told_with_their_number)
{
	begin_yard();
	in_yard = 2;
	yard(30);
	ck_assert_str_eq(told, "");
	yard(1);
	ck_assert_str_eq(told, "yard absent 1; ");
	in_yard = 0;
	yard(30);
	ck_assert_str_eq(told, "yard absent 1; ");
	yard(1);
	ck_assert_str_eq(told, "yard absent 1; yard absent 3; ");
	ck_assert_uint_eq(roll.missing, 3);
	*told = '\0';
	in_yard = 1;
	yard(1);
	ck_assert_str_eq(told, "yard absent 2; ");
	in_yard = 4;
	yard(1);
	ck_assert_str_eq(told, "yard absent 2; yard there 0; ");
	ck_assert_uint_eq(roll.present, 3);
}

/* After a page all connect again. */
TEST(zone_counts_who_is_absent_all_the_time)
{
	begin_yard();
	for (int i = 0; i < 10; i++) {
		in_yard = 0;
		yard(1);
		in_yard = 2;
		yard(9);
	}
	ck_assert_str_eq(told, "yard absent 1; ");
}

TEST(zone_gives_each_loudspeaker_its_30_s)
{
	begin_yard();
	in_yard = 2;
	yard(20);
	in_yard = 1;
	yard(11);
	ck_assert_str_eq(told, "yard absent 1; ");
	yard(10); /* the other one is only restarting */
	in_yard = 2;
	yard(100);
	ck_assert_str_eq(told, "yard absent 1; ");
	in_yard = 1;
	yard(31);
	ck_assert_str_eq(told, "yard absent 1; yard absent 2; ");
}
