/* SPDX-License-Identifier: MIT
 * Which page gets which zone and the microphone, case by case. */
#include "server/arbiter.h"

#include "test.h"

enum { LOBBY = 1 << 0, YARD = 1 << 1, GYM = 1 << 2, PAGES_MAX = 8 };

static struct arbiter_page pages[PAGES_MAX];
static size_t count;

static void setup(void)
{
	count = 0;
}

FIXTURE(setup, NULL);

/* Each adds a page and returns its index. */

static size_t on_air(int priority, uint64_t zones)
{
	pages[count] = (struct arbiter_page){
	    .priority = priority, .zones = zones, .holds = true};
	return count++;
}

static size_t waiting(int priority, uint64_t zones)
{
	pages[count] = (struct arbiter_page){
	    .priority = priority, .zones = zones, .queues = true};
	return count++;
}

static size_t asking(int priority, uint64_t zones)
{
	pages[count] =
	    (struct arbiter_page){.priority = priority, .zones = zones};
	return count++;
}

static size_t with(enum arbiter_microphone microphone, size_t page)
{
	pages[page].microphone = microphone;
	return page;
}

static void decide(void)
{
	arbiter_decide(pages, count, ARBITER_DEVICE_READY);
}

static enum arbiter_verdict verdict(size_t page)
{
	return pages[page].verdict;
}

TEST(nobody_is_no_case)
{
	decide();
}

TEST(a_free_zone_is_given_to_whoever_asks)
{
	size_t page = asking(0, LOBBY);

	decide();
	ck_assert_int_eq(verdict(page), ARBITER_BEGIN);
}

TEST(an_equal_page_is_refused_or_waits)
{
	size_t first = on_air(5, LOBBY), second = asking(5, LOBBY),
	       third = waiting(5, LOBBY), elsewhere = asking(5, YARD);

	decide();
	ck_assert_int_eq(verdict(first), ARBITER_KEEP);
	ck_assert_uint_eq(pages[first].lost, 0);
	ck_assert_int_eq(verdict(second), ARBITER_REFUSE);
	ck_assert_int_eq(verdict(third), ARBITER_WAIT);
	ck_assert_int_eq(verdict(elsewhere), ARBITER_BEGIN);
}

TEST(a_higher_page_takes_only_what_it_needs)
{
	size_t low = on_air(5, LOBBY | YARD | GYM), high = asking(6, YARD);

	decide();
	ck_assert_int_eq(verdict(high), ARBITER_BEGIN);
	ck_assert_int_eq(verdict(low), ARBITER_KEEP);
	ck_assert_uint_eq(pages[low].lost, YARD);
}

TEST(of_two_that_ask_at_once_the_first_wins)
{
	size_t first = asking(5, LOBBY | YARD), second = asking(5, YARD),
	       third = asking(5, GYM);

	decide();
	ck_assert_int_eq(verdict(first), ARBITER_BEGIN);
	ck_assert_int_eq(verdict(second), ARBITER_REFUSE);
	ck_assert_int_eq(verdict(third), ARBITER_BEGIN);
}

TEST(of_those_that_wait_the_highest_comes_first_then_the_oldest)
{
	size_t low = waiting(2, LOBBY), old = waiting(5, LOBBY),
	       young = waiting(5, LOBBY), high = waiting(9, LOBBY);

	decide();
	ck_assert_int_eq(verdict(high), ARBITER_BEGIN);
	ck_assert_int_eq(verdict(old), ARBITER_WAIT);
	pages[high] = pages[--count];
	decide();
	ck_assert_int_eq(verdict(old), ARBITER_BEGIN);
	ck_assert_int_eq(verdict(young), ARBITER_WAIT);
	ck_assert_int_eq(verdict(low), ARBITER_WAIT);
}

TEST(a_page_for_two_zones_waits_for_both_and_is_not_overtaken)
{
	size_t first = on_air(5, LOBBY), both = waiting(5, LOBBY | YARD),
	       later = waiting(5, YARD), lower = waiting(4, YARD),
	       higher = waiting(6, YARD);

	decide();
	ck_assert_int_eq(verdict(first), ARBITER_KEEP);
	ck_assert_int_eq(verdict(both), ARBITER_WAIT);
	ck_assert_int_eq(verdict(later), ARBITER_WAIT);
	ck_assert_int_eq(verdict(lower), ARBITER_WAIT);
	ck_assert_int_eq(verdict(higher), ARBITER_BEGIN);
}

TEST(who_does_not_wait_is_refused_for_those_who_do)
{
	on_air(5, LOBBY);
	size_t both = waiting(5, LOBBY | YARD), asks = asking(5, YARD);

	decide();
	ck_assert_int_eq(verdict(both), ARBITER_WAIT);
	ck_assert_int_eq(verdict(asks), ARBITER_REFUSE);
}

TEST(who_does_not_wait_is_not_waited_for)
{
	on_air(5, LOBBY);
	size_t refused = asking(5, LOBBY | YARD), other = waiting(1, YARD);

	decide();
	ck_assert_int_eq(verdict(refused), ARBITER_REFUSE);
	ck_assert_int_eq(verdict(other), ARBITER_BEGIN);
}

TEST(a_chain_of_higher_pages_leaves_the_highest)
{
	size_t low = on_air(1, LOBBY), middle = asking(5, LOBBY),
	       high = asking(9, LOBBY);

	decide();
	ck_assert_int_eq(verdict(high), ARBITER_BEGIN);
	ck_assert_int_eq(verdict(middle), ARBITER_REFUSE);
	ck_assert_uint_eq(pages[low].lost, LOBBY);
}

TEST(a_microphone_that_can_be_shared_is_no_obstacle)
{
	size_t first = with(ARBITER_MICROPHONE, on_air(5, LOBBY)),
	       second = with(ARBITER_MICROPHONE, asking(5, YARD));

	decide();
	ck_assert_int_eq(verdict(first), ARBITER_KEEP);
	ck_assert_int_eq(verdict(second), ARBITER_BEGIN);
}

TEST(an_exclusive_microphone_is_taken_from_a_lower_page)
{
	size_t low = with(ARBITER_MICROPHONE, on_air(5, LOBBY)),
	       file = on_air(5, GYM),
	       high = with(ARBITER_MICROPHONE_ALONE, asking(6, YARD));

	decide();
	ck_assert_int_eq(verdict(low), ARBITER_END);
	ck_assert_int_eq(verdict(file), ARBITER_KEEP);
	/* The microphone has yet to be closed. */
	ck_assert_int_eq(verdict(high), ARBITER_WAIT);
	pages[low] = pages[--count];
	high = low;
	arbiter_decide(pages, count, ARBITER_DEVICE_CLOSING);
	ck_assert_int_eq(verdict(high), ARBITER_WAIT);
	decide();
	ck_assert_int_eq(verdict(high), ARBITER_BEGIN);
}

TEST(an_exclusive_microphone_is_not_taken_from_an_equal_page)
{
	size_t first = with(ARBITER_MICROPHONE, on_air(5, LOBBY)),
	       asks = with(ARBITER_MICROPHONE_ALONE, asking(5, YARD)),
	       waits = with(ARBITER_MICROPHONE_ALONE, waiting(4, GYM));

	decide();
	ck_assert_int_eq(verdict(first), ARBITER_KEEP);
	ck_assert_int_eq(verdict(asks), ARBITER_REFUSE);
	ck_assert_int_eq(verdict(waits), ARBITER_WAIT);
}

TEST(whoever_waits_for_an_exclusive_microphone_is_not_overtaken)
{
	size_t holder = with(ARBITER_MICROPHONE, on_air(1, YARD)),
	       alone = with(ARBITER_MICROPHONE_ALONE, waiting(5, YARD)),
	       younger = with(ARBITER_MICROPHONE, waiting(5, GYM)),
	       lower = with(ARBITER_MICROPHONE, waiting(4, GYM)),
	       file = waiting(5, LOBBY);

	decide();
	ck_assert_int_eq(verdict(holder), ARBITER_END);
	ck_assert_int_eq(verdict(alone), ARBITER_WAIT);
	ck_assert_int_eq(verdict(younger), ARBITER_WAIT);
	ck_assert_int_eq(verdict(lower), ARBITER_WAIT);
	ck_assert_int_eq(verdict(file), ARBITER_BEGIN);
}

TEST(a_page_that_cannot_have_its_zone_takes_no_microphone)
{
	size_t low = with(ARBITER_MICROPHONE, on_air(1, LOBBY)),
	       file = on_air(9, YARD),
	       high = with(ARBITER_MICROPHONE_ALONE, waiting(5, YARD));

	decide();
	ck_assert_int_eq(verdict(low), ARBITER_KEEP);
	ck_assert_int_eq(verdict(file), ARBITER_KEEP);
	ck_assert_int_eq(verdict(high), ARBITER_WAIT);
}
