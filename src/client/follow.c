/* SPDX-License-Identifier: MIT
 * The card's own clock is left alone; the page is stretched to it, by a few
 * parts in a million. */
#include "client/follow.h"

#include <math.h>

#include "base/util.h"

/* A rate that is known from an earlier page is as good as one learned for so
 * long: cards wander by some ppm with their temperature. */
#define KNOWN_AGE_S 3
/* An error of more than so much is not brought back, but jumped over. */
#define JUMP_S 0.020
/* A card may tell its position in steps, and what lies behind its ring may
 * shrink. But when it gains so much on the time, it takes all that it gets. */
#define GAIN_MAX_S 0.5
/* So many slots in a row may be mistaken, of a card that tells its position in
 * steps; in more of them it is the card that is too fast or too slow. */
#define HELD_MAX 8

void follow_init(struct follow *follow, uint32_t rate, double card_rate)
{
	*follow = (struct follow){.rate = rate, .seeks = true};
	trend_init(&follow->card, &trend_of_card, rate,
		   card_rate > 0 ? card_rate : rate);
	if (card_rate > 0)
		follow->card.age_s = KNOWN_AGE_S;
}

void follow_restart(struct follow *follow)
{
	trend_restart(&follow->card);
	follow->seeks = true;
	follow->told = false;
}

void follow_moved(struct follow *follow, double frames)
{
	trend_shift(&follow->card, frames);
	follow->told = false;
}

void follow_look(struct follow *follow, int64_t ns, double sounded)
{
	if (!follow->told) {
		follow->told = true;
		follow->first_ns = ns;
		follow->first = sounded;
	}
	trend_add(&follow->card, ns, sounded);
}

bool follow_has_clock(const struct follow *follow)
{
	const struct trend *card = &follow->card;
	const double passed_s =
	    (double)(card->ns - follow->first_ns) / (double)NSEC_PER_SEC;
	const double gained_s = (card->position - follow->first) / follow->rate;

	if (!card->begun)
		return true;
	return gained_s < passed_s * (1 + TREND_DRIFT_MAX) + GAIN_MAX_S &&
	       card->held < HELD_MAX;
}

static void begin(struct follow *follow, double wanted, double position,
		  double stretch, struct follow_order *ret)
{
	if (wanted < position) {
		ret->what = FOLLOW_SILENCE;
		ret->frames = ceil((position - wanted) * stretch);
		return;
	}
	follow->seeks = false;
	ret->what = FOLLOW_SEEK;
	ret->position = follow->keeps_all ? position : wanted;
	ret->late = wanted - position;
}

void follow_next(struct follow *follow, const struct rendezvous *rendezvous,
		 uint64_t written, double position, struct follow_order *ret)
{
	const int64_t sounds_ns = trend_time(&follow->card, (double)written);
	const double wanted = rendezvous_position(rendezvous, sounds_ns);
	const double ratio = rendezvous_rate(rendezvous) / follow->card.rate;
	const double error_s = (wanted - position) / follow->rate;

	*ret = (struct follow_order){.what = FOLLOW_STEP, .step = ratio};
	if (follow->seeks || error_s < -JUMP_S ||
	    (error_s > JUMP_S && !follow->keeps_all)) {
		follow->seeks = true;
		begin(follow, wanted, position, 1 / ratio, ret);
		return;
	}
	follow->error_s = error_s;
	ret->step = ratio * (1 + trend_pull(error_s, follow->card.age_s));
}
