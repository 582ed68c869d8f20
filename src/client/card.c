/* SPDX-License-Identifier: MIT
 * Runs in the client's loop and never waits for the ring. */
#include "client/card.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "base/util.h"

enum {
	STALL_USEC = 2000 * 1000, /* a card without progress is lost */
	RECOVER_LIMIT_USEC = 5000 * 1000,
	STOP_USEC = 10 * 1000,	   /* left in the ring to be faded after */
	STOP_USEC_MAX = 35 * 1000, /* what may sound before the fade */
};

static uint64_t frames_of(const struct card *card, uint64_t usec)
{
	return usec_to_frames(usec, card->format.rate);
}

/* --- the card comes and goes --- */

int card_open(struct card *card, const struct wav_format *format,
	      uint32_t period_frames, uint32_t buffer_frames)
{
	const struct pcm_config config = {
	    .device = card->device,
	    .format = *format,
	    .period_frames = period_frames,
	    .buffer_frames = buffer_frames,
	};
	const char *step = "open";
	int r;

	if (card->pcm)
		return 0;
	r = pcm_open(&card->pcm, PCM_PLAYBACK, &config, &step);
	if (r < 0 && r != card->error)
		log_error("Cannot open the playback device '%s': %s at %s; %s; "
			  "trying again",
			  card->device, pcm_strerror(r), step,
			  pcm_remedy(PCM_PLAYBACK, r));
	if (r == 0 && card->error)
		log_notice("The playback device '%s' is back", card->device);
	card->error = r;
	if (r < 0)
		return r;
	card->format = *format;
	log_debug("Opened '%s': %u frames a period, %u in the ring",
		  card->device, pcm_period_frames(card->pcm),
		  pcm_buffer_frames(card->pcm));
	return 0;
}

void card_close(struct card *card)
{
	card->pcm = pcm_close(card->pcm);
}

void card_lose(struct card *card, int error)
{
	card->error = error;
	log_warning("The playback device '%s' is lost: %s; trying again",
		    card->device, pcm_strerror(error));
	card_close(card);
}

void card_begin_ring(struct card *card)
{
	card->ring = (struct card_ring){0};
	card->suspended = false;
	card->recover_limit_usec = 0;
}

/* After a suspend, what is in the ring either sounds after all or is gone. */
static bool resumed_in_place(struct card *card)
{
	struct pcm_position position;

	return pcm_look(card->pcm, &position) == 0 && position.ring_frames > 0;
}

int card_recover(struct card *card, bool *ret_forgotten, uint64_t now_usec)
{
	const int r = pcm_recover(card->pcm);

	if (r == 0) {
		*ret_forgotten = card->suspended && !resumed_in_place(card);
		return 0;
	}
	if (card->recover_limit_usec == 0)
		card->recover_limit_usec = now_usec + RECOVER_LIMIT_USEC;
	return r == -EAGAIN && now_usec >= card->recover_limit_usec ? -ETIMEDOUT
								    : r;
}

/* --- writing --- */

ssize_t card_write(struct card *card, const void *data, size_t count)
{
	const ssize_t n = pcm_write(card->pcm, data, count);

	if (n > 0) {
		card->ring.written += (uint64_t)n;
		card->ring.fill_frames += (uint64_t)n;
		card->ring.delay_frames += (uint64_t)n;
	}
	return n;
}

ssize_t card_write_silence(struct card *card, size_t count)
{
	uint8_t silence[8192];
	const size_t most = sizeof(silence) / wav_frame_size(&card->format);
	size_t done = 0;
	ssize_t n;

	memset(silence, wav_silence(&card->format), sizeof(silence));
	do {
		n = card_write(card, silence, MIN(most, count - done));
		if (n < 0)
			return n;
		done += (size_t)n;
	} while ((size_t)n == most && done < count); /* less: a full ring */
	return (ssize_t)done;
}

void card_count_page(struct card *card, size_t count)
{
	card->ring.page_frames += count;
	card->ring.page_end = card->ring.written;
}

int card_start(struct card *card, uint64_t now_usec)
{
	const int r = pcm_start(card->pcm);

	if (r == 0)
		card->ring.progress_usec = card->ring.looked_usec = now_usec;
	return r;
}

bool card_take_back(struct card *card, uint64_t *ret_pages)
{
	struct card_ring *ring = &card->ring;
	const uint64_t left = frames_of(card, STOP_USEC);
	const uint64_t most = frames_of(card, STOP_USEC_MAX);
	uint64_t count;

	*ret_pages = 0;
	if (ring->delay_frames <= most)
		return true;
	if (card_behind_frames(card) + left > most)
		return false;
	count = pcm_rewind(card->pcm, surplus(ring->fill_frames, left));
	if (count == 0)
		return false;
	ring->written -= count;
	ring->fill_frames -= count;
	ring->delay_frames -= count;
	*ret_pages = MIN(count, ring->page_frames);
	ring->page_frames -= *ret_pages;
	ring->page_end = ring->written;
	return ring->delay_frames <= most;
}

/* --- where it stands --- */

/* What is in the ring has not sounded, whatever delay a sound server tells in
 * its first moments. */
static void note_position(struct card_ring *ring,
			  const struct pcm_position *position)
{
	ring->fill_frames = position->ring_frames;
	ring->delay_frames = MAX(position->delay_frames, position->ring_frames);
}

int card_look_first(struct card *card)
{
	struct pcm_position position;
	const int r = pcm_look(card->pcm, &position);

	if (r == 0)
		note_position(&card->ring, &position);
	return r;
}

int card_look(struct card *card, struct pcm_position *ret, uint64_t now_usec)
{
	struct card_ring *ring = &card->ring;
	const int r = pcm_look(card->pcm, ret);
	uint64_t taken;

	if (r < 0)
		return r;
	taken = surplus(ring->written, ret->ring_frames);
	note_position(ring, ret);
	ring->looked_usec = now_usec;
	if (taken <= ring->taken)
		return now_usec < ring->progress_usec + STALL_USEC ? 0
								   : -ETIMEDOUT;
	ring->taken = taken;
	ring->played =
	    MAX(ring->played, surplus(ring->written, ring->delay_frames));
	ring->progress_usec = now_usec;
	backoff_reset(&card->backoff);
	return 0;
}

void card_note_empty(struct card *card, uint64_t now_usec)
{
	struct card_ring *ring = &card->ring;
	const uint64_t since = surplus(now_usec, ring->progress_usec);

	ring->played =
	    MIN(ring->written, ring->taken + pcm_period_frames(card->pcm) +
				   frames_of(card, since));
	ring->fill_frames = ring->delay_frames = 0;
}

bool card_learn_step(struct card *card, uint64_t target_frames,
		     uint64_t now_usec)
{
	const struct card_ring *ring = &card->ring;
	/* It is a period at most, or one of USB's milliseconds. */
	const uint64_t step =
	    MAX(pcm_period_frames(card->pcm), frames_of(card, 1000));
	const uint64_t passed = frames_of(card, now_usec - ring->looked_usec);

	if (card->step_usec || 2 * step <= target_frames ||
	    ring->fill_frames <= passed + step / 8 ||
	    ring->fill_frames > passed + step)
		return false;
	card->step_usec = frames_to_usec(step, card->format.rate) + 1;
	log_notice("The playback device '%s' tells its position in steps of "
		   "up to %.1f ms: the latency is %.1f ms more than --latency "
		   "from now on",
		   card->device, (double)card->step_usec / 1000,
		   (double)card->step_usec / 1000);
	return true;
}

/* --- what has sounded --- */

uint64_t card_heard_frames(const struct card *card)
{
	const struct card_ring *ring = &card->ring;
	const uint64_t silence = ring->page_end - ring->page_frames;

	return MIN(surplus(ring->played, silence), ring->page_frames);
}

uint64_t card_behind_frames(const struct card *card)
{
	return card->ring.delay_frames - card->ring.fill_frames;
}

bool card_page_has_sounded(struct card *card, uint64_t now_usec)
{
	struct card_ring *ring = &card->ring;
	const bool seems = ring->played >= ring->page_end;
	const bool known = seems && pcm_delay_known(card->pcm);

	if (!seems)
		return false;
	if (known && ring->unknown_usec == 0)
		return true;
	if (ring->unknown_usec == 0)
		ring->unknown_usec = now_usec;
	if (now_usec >= ring->unknown_usec + STALL_USEC)
		return true;
	if (known)
		ring->unknown_usec = 0;
	ring->played = 0;
	return false;
}

/* Enough to push the page out of what lies behind the ring, up to a period
 * boundary and a period more, since hardware may stop at once when the ring is
 * empty, with the last frames unheard. */
uint64_t card_padding_frames(const struct card *card, uint64_t target_frames)
{
	const uint64_t period = pcm_period_frames(card->pcm);
	const uint64_t end = card->ring.page_end + card_behind_frames(card);
	uint64_t padded = (end + period - 1) / period * period + period;

	if (card->ring.unknown_usec)
		padded = MAX(padded, card->ring.taken + target_frames);
	return surplus(padded, card->ring.written);
}
