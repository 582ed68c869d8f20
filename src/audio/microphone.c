/* SPDX-License-Identifier: MIT
 * Runs in a thread of its own: ALSA on one side, the source's socket on the
 * other, nothing else is shared. */
#include "audio/microphone.h"

#include <errno.h>
#include <string.h>

#include "audio/pcm.h"
#include "base/util.h"

enum {
	WAIT_MS = 100,	 /* how late a stop may be noticed on a frozen card */
	STALL_MS = 2000, /* a card that gives nothing for so long is lost */
	CHUNK_MS_DEFAULT = 20, /* when the card has no period of its own */
};

struct microphone {
	char *device;
	struct microphone_config config;
};

static void microphone_free(void *userdata)
{
	struct microphone *microphone = userdata;

	free(microphone->device);
	free(microphone);
}

static const char *remedy(int error)
{
	if (error == -EBUSY)
		return "another program has it; end that one, or use a dsnoop "
		       "device";
	if (error == -EINVAL)
		return "it cannot do this format; try the device 'plughw:' or "
		       "other -f, -r, -c";
	if (error == -EACCES || error == -EPERM)
		return "the user must be in the group audio";
	return "intercom-server -L lists the devices";
}

static int send_opened(const struct microphone *microphone,
		       const struct pcm *pcm, int fd)
{
	struct source_message message = {.type = SOURCE_OPENED};

	message.u.opened.format = microphone->config.format;
	message.u.opened.period_frames = pcm_period_frames(pcm);
	message.u.opened.size = WAV_ENDLESS;
	return source_send(fd, &message);
}

static int send_gap(int fd, uint64_t frames)
{
	struct source_message message = {.type = SOURCE_GAP};

	message.u.gap.frames = frames;
	return source_send(fd, &message);
}

/* Fills one chunk. Returns 0 when it is full, or negative errno; an overrun
 * cuts the chunk: what was read is sent, then the gap. */
static int capture_chunk(struct pcm *pcm, int fd, uint8_t *chunk, size_t count,
			 size_t frame_size)
{
	size_t have = 0;
	int waited_ms = 0;

	while (have < count) {
		uint64_t gap;
		ssize_t n = pcm_read(pcm, chunk + have * frame_size,
				     count - have, WAIT_MS, &gap);

		if (n < 0)
			return (int)n;
		have += (size_t)n;
		if (gap > 0) {
			int r = have ? source_send_samples(fd, chunk,
							   have * frame_size)
				     : 0;

			return r < 0 ? r : send_gap(fd, gap);
		}
		waited_ms = n > 0 ? 0 : waited_ms + WAIT_MS;
		if (waited_ms >= STALL_MS)
			return -ETIMEDOUT;
		if (n == 0 && source_stopped(fd))
			return -EPIPE;
	}
	return source_send_samples(fd, chunk, have * frame_size);
}

static int capture(const struct microphone *microphone, struct pcm *pcm, int fd)
{
	size_t frame_size = wav_frame_size(&microphone->config.format);
	size_t count = microphone->config.period_frames;
	_cleanup_free_ uint8_t *chunk = NULL;
	int r;

	if (count == 0)
		count = pcm_period_frames(pcm);
	if (count == 0)
		count =
		    microphone->config.format.rate * CHUNK_MS_DEFAULT / 1000;
	chunk = malloc(count * frame_size);
	if (!chunk)
		return -ENOMEM;
	r = pcm_start(pcm);
	while (r >= 0)
		r = capture_chunk(pcm, fd, chunk, count, frame_size);
	return r;
}

static void body(void *userdata, int fd)
{
	const struct microphone *microphone = userdata;
	const char *device = microphone->device, *step = "open";
	const struct pcm_config config = {
	    .device = device,
	    .format = microphone->config.format,
	    .period_frames = microphone->config.period_frames,
	    .buffer_frames = microphone->config.buffer_frames,
	};
	struct pcm *pcm;
	int r;

	r = pcm_open(&pcm, PCM_CAPTURE, &config, &step);
	if (r < 0) {
		source_send_ended(
		    fd, r,
		    "Cannot open the capture device '%.48s' (%s): %s; %s",
		    device, step, pcm_strerror(r), remedy(r));
		return;
	}
	r = send_opened(microphone, pcm, fd);
	if (r == 0)
		r = capture(microphone, pcm, fd);
	pcm_close(pcm);
	if (r != -EPIPE)
		source_send_ended(
		    fd, r, "The capture device '%.48s' failed: %s; %s", device,
		    r == -ETIMEDOUT ? "it gives no samples" : pcm_strerror(r),
		    "is it plugged in? intercom-server -L lists the devices");
}

int microphone_start(struct source **ret,
		     const struct microphone_config *config)
{
	struct microphone *microphone = calloc(1, sizeof(*microphone));
	int r;

	if (!microphone)
		return -ENOMEM;
	microphone->config = *config;
	microphone->device = strdup(config->device);
	r = microphone->device ? source_start(ret, "microphone", body,
					      microphone_free, microphone)
			       : -ENOMEM;
	if (r < 0)
		microphone_free(microphone);
	return r;
}
