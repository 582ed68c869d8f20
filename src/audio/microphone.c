/* SPDX-License-Identifier: MIT
 * Runs in a thread of its own: ALSA on one side, the source's socket on the
 * other. Shares nothing else. */
#include "audio/microphone.h"

#include <errno.h>
#include <string.h>

#include "audio/chime.h"
#include "audio/gain.h"
#include "audio/pcm.h"
#include "audio/retimer.h"
#include "audio/samples.h"
#include "base/util.h"
#include "base/wallclock.h"

/* The last of the silence before a card that is late is not sent, since the
 * card may have begun. */
#define SURE_NS ((int64_t)NSEC_PER_SEC / 80)

enum {
	WAIT_MS = 100,	 /* the longest delay of a stop on a frozen card */
	STALL_MS = 2000, /* a card without samples for so long is lost */
	BEGIN_MS = 5,	 /* so long after its first chunk it is late */
	CHUNK_MS_DEFAULT = 20, /* when the device names no period */
	/* A longer silence is not made up for: the card is lost. */
	SILENCE_SECONDS_MAX = 10,
	BLOCK_SIZE = 16384, /* of retimed samples */
};

struct microphone {
	char *device;
	struct microphone_config config;
	struct wav_format format; /* of the page: the config's made plain */
	size_t frame_size;	  /* of what is captured */
	int chime_fd;
	struct chime chime;
	size_t replaced;   /* bytes that have come in its place */
	size_t chime_sent; /* bytes */
	struct gain *gain; /* NULL: what is captured is sent as it is */
	size_t held;	   /* bytes that it holds back, and so does a chime */
	uint8_t *chunk;
	struct retimer *retimer; /* of MICROPHONE_MONOTONIC, or NULL */
	bool has_begun;		 /* to capture */
	bool has_lost;		 /* frames, before those that come next */
	int64_t opened_ns;	 /* the device is open since then */
};

static void microphone_free(void *userdata)
{
	struct microphone *microphone = userdata;

	fd_close(microphone->chime_fd);
	chime_clear(&microphone->chime);
	gain_free(microphone->gain);
	retimer_free(microphone->retimer);
	free(microphone->chunk);
	free(microphone->device);
	free(microphone);
}

static int send_opened(struct microphone *microphone, const struct pcm *pcm,
		       int fd)
{
	struct source_message message = {.type = SOURCE_OPENED};
	const int64_t start_ns = wallclock_monotonic_ns();

	if (microphone->retimer)
		retimer_start(microphone->retimer, start_ns);
	microphone->opened_ns = message.u.opened.start_ns = start_ns;
	message.u.opened.format = microphone->format;
	message.u.opened.period_frames = pcm_period_frames(pcm);
	message.u.opened.size = WAV_ENDLESS;
	message.u.opened.held_frames =
	    (uint32_t)(microphone->held / wav_frame_size(&microphone->format)) +
	    (microphone->retimer ? RETIMER_AHEAD : 0);
	return source_send(fd, &message);
}

/* Alters SIZE bytes of what was captured. Returns how many of them there are
 * now: a limiter holds some back. */
static size_t amplify(const struct microphone *m, uint8_t *data, size_t size)
{
	const size_t frame_size = wav_frame_size(&m->format);

	return m->gain
		   ? gain_apply(m->gain, data, size / frame_size) * frame_size
		   : size;
}

/* Sends the chime up to SIZE. */
static int send_chime(struct microphone *m, int fd, size_t size)
{
	const size_t from = m->chime_sent;

	m->chime_sent = size;
	return size > from
		   ? source_send_samples(fd, m->chime.data + from, size - from)
		   : 0;
}

/* Sends SIZE bytes of samples, which are plain, or those of the chime in their
 * place while it lasts. What a limiter holds back of the one, the other is late
 * by, so that all frames of a page come at the same pace. */
static int send_samples(struct microphone *m, int fd, uint8_t *data,
			size_t size)
{
	const size_t left = m->chime.size - MIN(m->replaced, m->chime.size);
	const size_t n = MIN(size, left);
	int r;

	m->replaced = MIN(m->replaced + size, m->chime.size + m->held);
	r = send_chime(m, fd, m->replaced - MIN(m->replaced, m->held));
	size = amplify(m, data + n, size - n);
	return r == 0 && size > 0 ? source_send_samples(fd, data + n, size) : r;
}

/* Sends what is held back for a limiter. The chime is over. */
static int send_held(struct microphone *m, int fd)
{
	void *data;
	const size_t count = m->gain ? gain_drain(m->gain, &data) : 0;
	const int r = send_chime(m, fd, m->chime.size);

	m->replaced = m->chime.size + m->held;
	return r == 0 && count > 0
		   ? source_send_samples(fd, data,
					 count * wav_frame_size(&m->format))
		   : r;
}

/* Fills BLOCK with what the retimer has. Bytes. */
static size_t take_block(const struct microphone *m, uint8_t block[BLOCK_SIZE])
{
	const size_t frame_size = wav_frame_size(&m->format);
	size_t have = 0, n;

	do {
		n = frame_size * retimer_take(m->retimer, block + have,
					      (BLOCK_SIZE - have) / frame_size);
		have += n;
	} while (n > 0);
	return have;
}

/* Sends what the retimer makes of COUNT frames. */
static int send_retimed(struct microphone *m, int fd, const uint8_t *data,
			size_t count)
{
	const size_t frame_size = wav_frame_size(&m->format);
	uint8_t block[BLOCK_SIZE];
	size_t n;
	int r = 0;

	while (r == 0 && count > 0) {
		n = retimer_put(m->retimer, data, count);
		data += n * frame_size;
		count -= n;
		while (r == 0 && (n = take_block(m, block)) > 0)
			r = send_samples(m, fd, block, n);
	}
	return r;
}

static void note_lost(struct microphone *m)
{
	m->has_lost = true;
	retimer_lost(m->retimer);
}

/* Sends COUNT frames of the chunk. */
static int send_chunk(struct microphone *m, int fd, size_t count)
{
	const size_t size = samples_to_plain(&m->config.format, m->chunk,
					     count * m->frame_size);
	int r;

	if (!m->retimer)
		return send_samples(m, fd, m->chunk, size);
	r = send_retimed(m, fd, m->chunk, count);
	if (r == 0 && retimer_is_astray(m->retimer))
		note_lost(m);
	return r;
}

/* The chime continues through a gap; only frames after its end are lost. */
static int send_gap(struct microphone *m, int fd, uint64_t frames,
		    size_t chunk_frames)
{
	struct source_message message = {.type = SOURCE_GAP};
	const size_t plain_size = wav_frame_size(&m->format);
	int r = 0;

	while (r == 0 && frames > 0 && m->replaced < m->chime.size) {
		size_t left = (m->chime.size - m->replaced) / plain_size;
		size_t n = chunk_frames < left ? chunk_frames : left;

		if (n > frames)
			n = (size_t)frames;
		r = send_samples(m, fd, m->chunk, n * plain_size);
		frames -= n;
	}
	if (r == 0 && frames > 0)
		r = send_held(m, fd);
	message.u.gap.frames = frames;
	return r < 0 ? r : source_send(fd, &message);
}

static int send_silence(struct microphone *m, int fd, uint64_t frames)
{
	const size_t frame_size = wav_frame_size(&m->format);
	uint8_t block[BLOCK_SIZE];
	int r = 0;

	while (r == 0 && frames > 0) {
		const size_t n =
		    (size_t)MIN(frames, (uint64_t)(BLOCK_SIZE / frame_size));

		memset(block, wav_silence(&m->format), n * frame_size);
		r = send_samples(m, fd, block, n * frame_size);
		frames -= n;
	}
	return r;
}

/* COUNT frames more are there. What is due before them is silence: a card takes
 * a moment to begin, and an overrun has a length. */
static int note_read(struct microphone *m, const struct pcm *pcm, int fd,
		     size_t count, size_t chunk_frames)
{
	const bool begins = !m->has_begun;
	uint64_t silence, waiting, usec;

	if (!m->retimer || count == 0)
		return 0;
	m->has_begun = true;
	waiting = pcm_waiting_frames(pcm, &usec);
	silence =
	    retimer_read(m->retimer, (int64_t)usec * 1000, count, waiting);
	if (silence > (uint64_t)m->format.rate * SILENCE_SECONDS_MAX)
		return -ETIMEDOUT;
	if (begins)
		return send_silence(m, fd, silence);
	if (!m->has_lost)
		return 0;
	m->has_lost = false;
	return send_gap(m, fd, silence, chunk_frames);
}

static bool makes_wait(const struct microphone *m)
{
	return m->retimer && !m->has_begun;
}

static int64_t chunk_ns(const struct microphone *m, const struct pcm *pcm,
			size_t count)
{
	return (int64_t)(MAX(count, (size_t)pcm_period_frames(pcm)) *
			 NSEC_PER_SEC / m->format.rate);
}

/* Sends the silence before a card that begins late: loudspeakers would give up
 * a page of which nothing comes. */
static int send_waiting(struct microphone *m, const struct pcm *pcm, int fd,
			size_t count)
{
	const int64_t chunk = chunk_ns(m, pcm, count);
	const int64_t now_ns = wallclock_monotonic_ns();

	if (!makes_wait(m) || now_ns < m->opened_ns + chunk)
		return 0;
	return send_silence(
	    m, fd, retimer_await(m->retimer, now_ns - MIN(chunk, SURE_NS)));
}

/* A chunk is not to be torn by a wait that is too short. */
static int patience_ms(const struct microphone *m, const struct pcm *pcm,
		       size_t count)
{
	const int64_t chunk = chunk_ns(m, pcm, count) * 1000;

	return makes_wait(m)
		   ? (int)MIN((int64_t)WAIT_MS,
			      chunk / (int64_t)NSEC_PER_SEC + BEGIN_MS)
		   : WAIT_MS;
}

/* After an overrun of FRAMES: sends the COUNT frames before it, and the gap, if
 * its length is not yet to be found. */
static int end_chunk(struct microphone *m, int fd, size_t count,
		     uint64_t frames, size_t chunk_frames)
{
	const int r = send_chunk(m, fd, count);

	if (r < 0 || !m->retimer)
		return r < 0 ? r : send_gap(m, fd, frames, chunk_frames);
	note_lost(m);
	return 0;
}

/* Captures and sends one chunk; after an overrun, the frames read so far and
 * then the gap. 0 or negative errno. */
static int capture_chunk(struct microphone *m, struct pcm *pcm, int fd,
			 size_t count)
{
	size_t have = 0;
	int waited_ms = 0, r;

	while (have < count) {
		const int wait_ms = patience_ms(m, pcm, count);
		uint64_t gap;
		ssize_t n = pcm_read(pcm, m->chunk + have * m->frame_size,
				     count - have, wait_ms, &gap);

		if (n < 0)
			return (int)n;
		have += (size_t)n;
		if (gap > 0)
			return end_chunk(m, fd, have, gap, count);
		r = note_read(m, pcm, fd, (size_t)n, count);
		if (r < 0)
			return r;
		if (n == 0)
			r = send_waiting(m, pcm, fd, count);
		if (r < 0)
			return r;
		waited_ms = n > 0 ? 0 : waited_ms + wait_ms;
		if (waited_ms >= STALL_MS)
			return -ETIMEDOUT;
		if (n == 0 && source_stopped(fd))
			return -EPIPE;
	}
	return send_chunk(m, fd, have);
}

static int capture(struct microphone *m, struct pcm *pcm, int fd)
{
	size_t count = m->config.period_frames;
	int r;

	if (count == 0)
		count = pcm_period_frames(pcm);
	if (count == 0)
		count = m->config.format.rate * CHUNK_MS_DEFAULT / 1000;
	m->chunk = malloc(count * m->frame_size);
	if (!m->chunk)
		return -ENOMEM;
	r = pcm_start(pcm);
	while (r >= 0)
		r = capture_chunk(m, pcm, fd, count);
	return r;
}

/* Waits for source_go() and opens the device; while another program has it,
 * reports SOURCE_BUSY and waits again. */
static int open_device(const struct microphone *m, int fd, struct pcm **ret)
{
	const struct pcm_config config = {
	    .device = m->device,
	    .format = m->config.format,
	    .period_frames = m->config.period_frames,
	    .buffer_frames = m->config.buffer_frames,
	};
	int r = source_prepared(fd, m->chime.size / wav_frame_size(&m->format));

	while (r == 0) {
		const char *step = "open";
		int error = pcm_open(ret, PCM_CAPTURE, &config, &step);

		if (error >= 0)
			return 0;
		r = source_send_reason(
		    fd, error == -EBUSY ? SOURCE_BUSY : SOURCE_ENDED, error,
		    "Cannot open the capture device '%.48s' (%s): %s; %s",
		    m->device, step, pcm_strerror(error),
		    pcm_remedy(PCM_CAPTURE, error));
		if (r == 0)
			r = error == -EBUSY ? source_wait(fd) : -EPIPE;
	}
	return r;
}

static void body(void *userdata, int fd)
{
	struct microphone *m = userdata;
	struct pcm *pcm = NULL;
	int r = chime_load_for(&m->chime, m->chime_fd, &m->format, fd);

	if (r == 0)
		r = open_device(m, fd, &pcm);
	if (r < 0)
		return;
	if (m->config.clock == MICROPHONE_MONOTONIC)
		r = retimer_new(&m->retimer, &m->format);
	if (r == 0)
		r = send_opened(m, pcm, fd);
	if (r == 0)
		r = capture(m, pcm, fd);
	pcm_close(pcm);
	if (r != -EPIPE)
		source_send_reason(
		    fd, SOURCE_ENDED, r,
		    "The capture device '%.48s' failed: %s; %s", m->device,
		    r == -ETIMEDOUT ? "it gives no samples" : pcm_strerror(r),
		    "is it plugged in? intercom-server -L lists the devices");
}

int microphone_start(struct source **ret,
		     const struct microphone_config *config, int chime_fd)
{
	struct microphone *m = calloc(1, sizeof(*m));
	int r;

	if (!m) {
		fd_close(chime_fd);
		return -ENOMEM;
	}
	m->config = *config;
	m->format = wav_plain(&config->format);
	m->frame_size = wav_frame_size(&config->format);
	m->chime_fd = chime_fd;
	m->device = strdup(config->device);
	r = m->device ? 0 : -ENOMEM;
	if (r == 0 && config->gain_db != 0)
		r = gain_new(&m->gain, &m->format, config->gain_db);
	if (m->gain)
		m->held = gain_ahead(m->gain) * wav_frame_size(&m->format);
	if (r == 0)
		r = source_start(ret, "microphone", body, microphone_free, m);
	if (r < 0)
		microphone_free(m);
	return r;
}
