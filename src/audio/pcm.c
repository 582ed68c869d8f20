/* SPDX-License-Identifier: MIT
 * Owns a non-blocking ALSA handle. Waits only in pcm_read(), and with a
 * deadline, since a frozen card wakes nobody. */
#include "audio/pcm.h"

#include <alsa/asoundlib.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#include "base/log.h"
#include "base/util.h"

enum {
	PERIOD_MS_DEFAULT = 20,
	BUFFER_MS_DEFAULT = 500, /* as aplay and arecord */
	BUFFER_PERIODS_DEFAULT = 4,
	NAP_MS = 1, /* after a PCM has woken us too early */
	RESUME_NAP_MS = 10,
};

struct pcm {
	snd_pcm_t *handle;
	uint32_t rate;
	snd_pcm_uframes_t period_frames, buffer_frames;
	bool recovered; /* and has captured or played no frame since */
	bool timed;	/* positions come with CLOCK_MONOTONIC */

	/* capture */
	uint64_t last_read_usec; /* or the time of the start */
	uint64_t pending_frames; /* in the ring after that read */
	uint64_t told_usec;	 /* when that was known */

	/* playback */
	uint64_t last_write_usec;
	uint64_t written_frames; /* since prepare */
	uint64_t played_frames;	 /* of these, until the last recovery */
	size_t room_frames;	 /* at the last look; 0: to be asked for */
};

/* alsa-lib prints to stderr by itself; its return values say the same. */
__attribute__((format(printf, 5, 6))) static void
on_alsa_message(const char *file, int line, const char *function, int error,
		const char *format, ...)
{
	char message[256];
	va_list ap;

	va_start(ap, format);
	vsnprintf(message, sizeof(message), format, ap);
	va_end(ap);
	log_debug("ALSA: %s: %s%s%s", function, message, error ? ": " : "",
		  error ? snd_strerror(error) : "");
}

static void redirect_alsa_messages(void)
{
	snd_lib_error_set_handler(on_alsa_message);
}

void pcm_silence_alsa(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, redirect_alsa_messages);
}

static snd_pcm_format_t alsa_format(const struct wav_format *format)
{
	if (format->encoding == WAV_FLOAT)
		return format->bits == 64 ? SND_PCM_FORMAT_FLOAT64_LE
					  : SND_PCM_FORMAT_FLOAT_LE;
	if (format->encoding == WAV_PADDED)
		return SND_PCM_FORMAT_S24_LE;
	if (format->encoding == WAV_ALAW)
		return SND_PCM_FORMAT_A_LAW;
	if (format->encoding == WAV_MULAW)
		return SND_PCM_FORMAT_MU_LAW;
	switch (format->bits) {
	case 8:
		return SND_PCM_FORMAT_U8;
	case 16:
		return SND_PCM_FORMAT_S16_LE;
	case 24:
		return SND_PCM_FORMAT_S24_3LE;
	default:
		return SND_PCM_FORMAT_S32_LE;
	}
}

/* By itself ALSA takes the card's shortest period, which wakes the processor
 * thousands of times a second, and its largest buffer. */
static int set_sizes(struct pcm *pcm, snd_pcm_hw_params_t *params,
		     const struct pcm_config *config, const char **ret_step)
{
	snd_pcm_uframes_t period = config->period_frames;
	snd_pcm_uframes_t buffer = config->buffer_frames;
	int r;

	if (period == 0)
		period = buffer ? buffer / BUFFER_PERIODS_DEFAULT
				: pcm->rate * PERIOD_MS_DEFAULT / 1000;
	*ret_step = "period size";
	r = snd_pcm_hw_params_set_period_size_near(pcm->handle, params, &period,
						   NULL);
	if (r < 0)
		return r;
	if (buffer == 0)
		buffer = pcm->rate * BUFFER_MS_DEFAULT / 1000;
	if (config->buffer_frames == 0 &&
	    buffer < period * BUFFER_PERIODS_DEFAULT)
		buffer = period * BUFFER_PERIODS_DEFAULT;
	*ret_step = "buffer size";
	return snd_pcm_hw_params_set_buffer_size_near(pcm->handle, params,
						      &buffer);
}

static int set_format(struct pcm *pcm, snd_pcm_hw_params_t *params,
		      const struct wav_format *format, const char **ret_step)
{
	int r;

	*ret_step = "interleaved access";
	r = snd_pcm_hw_params_set_access(pcm->handle, params,
					 SND_PCM_ACCESS_RW_INTERLEAVED);
	if (r < 0)
		return r;
	*ret_step = "sample format";
	r = snd_pcm_hw_params_set_format(pcm->handle, params,
					 alsa_format(format));
	if (r < 0)
		return r;
	*ret_step = "channels";
	r = snd_pcm_hw_params_set_channels(pcm->handle, params,
					   format->channels);
	if (r < 0)
		return r;
	*ret_step = "rate";
	return snd_pcm_hw_params_set_rate(pcm->handle, params, format->rate, 0);
}

static int set_hw_params(struct pcm *pcm, const struct pcm_config *config,
			 const char **ret_step)
{
	snd_pcm_hw_params_t *params;
	int r;

	snd_pcm_hw_params_alloca(&params);
	*ret_step = "configurations";
	r = snd_pcm_hw_params_any(pcm->handle, params);
	if (r >= 0)
		r = set_format(pcm, params, &config->format, ret_step);
	if (r >= 0)
		r = set_sizes(pcm, params, config, ret_step);
	if (r < 0)
		return r;
	*ret_step = "hardware parameters";
	r = snd_pcm_hw_params(pcm->handle, params);
	/* dmix and pulse choose the sizes themselves. */
	if (r >= 0)
		r = snd_pcm_hw_params_get_buffer_size(params,
						      &pcm->buffer_frames);
	if (r >= 0)
		r = snd_pcm_hw_params_get_period_size(
		    params, &pcm->period_frames, NULL);
	return r;
}

/* Has positions told with the time that they are of. A device that cannot is
 * used as well. */
static void ask_for_times(struct pcm *pcm, snd_pcm_sw_params_t *params)
{
	(void)snd_pcm_sw_params_set_tstamp_mode(pcm->handle, params,
						SND_PCM_TSTAMP_ENABLE);
	pcm->timed =
	    snd_pcm_sw_params_set_tstamp_type(
		pcm->handle, params, SND_PCM_TSTAMP_TYPE_MONOTONIC) == 0;
}

/* Until the ring is full, only pcm_start() starts the PCM. */
static int set_sw_params(struct pcm *pcm, const char **ret_step)
{
	snd_pcm_sw_params_t *params;
	int r;

	snd_pcm_sw_params_alloca(&params);
	*ret_step = "software parameters";
	r = snd_pcm_sw_params_current(pcm->handle, params);
	if (r >= 0)
		ask_for_times(pcm, params);
	if (r >= 0)
		r = snd_pcm_sw_params_set_start_threshold(pcm->handle, params,
							  pcm->buffer_frames);
	if (r >= 0)
		r = snd_pcm_sw_params_set_stop_threshold(pcm->handle, params,
							 pcm->buffer_frames);
	if (r >= 0)
		r = snd_pcm_sw_params_set_avail_min(pcm->handle, params,
						    pcm->period_frames);
	return r < 0 ? r : snd_pcm_sw_params(pcm->handle, params);
}

static int configure(struct pcm *pcm, const struct pcm_config *config,
		     const char **ret_step)
{
	int r = set_hw_params(pcm, config, ret_step);

	if (r >= 0)
		r = set_sw_params(pcm, ret_step);
	if (r < 0)
		return r;
	/* snd_pcm_hw_params() has prepared the PCM. */
	*ret_step = "prepare";
	return snd_pcm_state(pcm->handle) == SND_PCM_STATE_PREPARED ? 0 : -EIO;
}

int pcm_open(struct pcm **ret, enum pcm_direction direction,
	     const struct pcm_config *config, const char **ret_step)
{
	struct pcm *pcm = calloc(1, sizeof(*pcm));
	const char *step = "open";
	int r;

	if (!pcm)
		return -ENOMEM;
	pcm_silence_alsa();
	pcm->rate = config->format.rate;
	r = snd_pcm_open(&pcm->handle, config->device,
			 direction == PCM_CAPTURE ? SND_PCM_STREAM_CAPTURE
						  : SND_PCM_STREAM_PLAYBACK,
			 SND_PCM_NONBLOCK);
	if (r >= 0)
		r = configure(pcm, config, &step);
	if (r < 0) {
		if (ret_step)
			*ret_step = step;
		/* The next try reads a configuration that was mended. */
		if (r != -EBUSY)
			snd_config_update_free_global();
		pcm_close(pcm);
		return r;
	}
	*ret = pcm;
	return 0;
}

struct pcm *pcm_close(struct pcm *pcm)
{
	if (!pcm)
		return NULL;
	/* Drops the frames in the ring, as the handle is non-blocking. */
	if (pcm->handle)
		snd_pcm_close(pcm->handle);
	free(pcm);
	return NULL;
}

uint32_t pcm_period_frames(const struct pcm *pcm)
{
	return pcm->period_frames;
}

uint32_t pcm_buffer_frames(const struct pcm *pcm)
{
	return pcm->buffer_frames;
}

const char *pcm_strerror(int error)
{
	return snd_strerror(error);
}

const char *pcm_remedy(enum pcm_direction direction, int error)
{
	const bool capture = direction == PCM_CAPTURE;

	if (error == -EBUSY)
		return capture
			   ? "another program uses it; end that one, or use "
			     "a dsnoop device"
			   : "another program uses it; end that one, or use "
			     "a dmix device";
	if (error == -EINVAL)
		return capture
			   ? "it does not support this format; try the device "
			     "'plughw:' or other -f, -r, -c"
			   : "it does not support the page's format; use "
			     "plughw:..., or plug:'...' around another device";
	if (error == -EACCES || error == -EPERM)
		return "the user must be in the group audio";
	return capture ? "intercom-server -L lists the devices"
		       : "intercom-client -L lists the devices";
}

/* Some plug-ins report a fault by their state only. */
static int state_error(const struct pcm *pcm)
{
	switch (snd_pcm_state(pcm->handle)) {
	case SND_PCM_STATE_PREPARED:
	case SND_PCM_STATE_RUNNING:
	case SND_PCM_STATE_DRAINING:
	case SND_PCM_STATE_PAUSED:
		return 0;
	case SND_PCM_STATE_XRUN:
		return -EPIPE;
	case SND_PCM_STATE_SUSPENDED:
		return -ESTRPIPE;
	case SND_PCM_STATE_DISCONNECTED:
		return -ENODEV;
	default:
		return -EBADFD;
	}
}

/* snd_pcm_avail() with a check of the state before and after. */
static snd_pcm_sframes_t avail_frames(const struct pcm *pcm)
{
	snd_pcm_sframes_t avail;
	int r = state_error(pcm);

	if (r < 0)
		return r;
	avail = snd_pcm_avail(pcm->handle);
	r = state_error(pcm);
	return r < 0 ? r : avail;
}

/* Leaves an xrun or a suspend for PREPARED, or for RUNNING when the card has
 * resumed. 0, -EAGAIN while the card is not yet awake, or a negative errno. */
static int leave_fault(struct pcm *pcm)
{
	bool suspended = snd_pcm_state(pcm->handle) == SND_PCM_STATE_SUSPENDED;
	int r = -ENOSYS;

	if (suspended)
		r = snd_pcm_resume(pcm->handle);
	if (r == -EAGAIN)
		return r;
	/* The resume of an I/O plug-in returns 0 whatever happened. */
	if (r < 0 || state_error(pcm) < 0)
		r = snd_pcm_prepare(pcm->handle);
	return r < 0 ? r : 0;
}

static void note_read(struct pcm *pcm, uint64_t usec, uint64_t pending)
{
	pcm->last_read_usec = usec;
	pcm->pending_frames = pending;
}

int pcm_start(struct pcm *pcm)
{
	const uint64_t start_usec = now_usec();
	int r = state_error(pcm);

	if (r < 0 || snd_pcm_state(pcm->handle) != SND_PCM_STATE_PREPARED)
		return r;
	r = snd_pcm_start(pcm->handle);
	if (r < 0)
		return r;
	note_read(pcm, start_usec, 0);
	return 0;
}

/* --- capture --- */

/* Drops the frames that a resumed card still holds: they were captured before a
 * suspend of unknown length. */
static int restart_capture(struct pcm *pcm)
{
	int r;

	if (snd_pcm_state(pcm->handle) != SND_PCM_STATE_PREPARED) {
		snd_pcm_drop(pcm->handle);
		r = snd_pcm_prepare(pcm->handle);
		if (r < 0)
			return r;
	}
	return snd_pcm_start(pcm->handle);
}

static int recover_capture(struct pcm *pcm, uint64_t *ret_gap_frames)
{
	uint64_t now;
	int r;

	if (pcm->recovered)
		return -EIO;
	r = leave_fault(pcm);
	if (r < 0)
		return r;
	r = restart_capture(pcm);
	if (r < 0)
		return r;
	pcm->recovered = true;
	now = now_usec();
	*ret_gap_frames = pcm->pending_frames +
			  usec_to_frames(now - pcm->last_read_usec, pcm->rate);
	note_read(pcm, now, 0);
	return 0;
}

/* Reads up to COUNT of AVAIL frames. Returns frames, 0 for none, or negative
 * errno. */
static ssize_t read_avail(struct pcm *pcm, void *buffer, size_t count,
			  size_t avail, uint64_t avail_usec)
{
	snd_pcm_sframes_t n;

	n = snd_pcm_readi(pcm->handle, buffer, count < avail ? count : avail);
	if (n == -EAGAIN || n == -EINTR)
		return 0;
	if (n <= 0)
		return n;
	pcm->recovered = false;
	note_read(pcm, avail_usec, avail - (size_t)n);
	return n;
}

static int remaining_ms(uint64_t deadline_usec)
{
	uint64_t now = now_usec();

	return now < deadline_usec ? (int)((deadline_usec - now + 999) / 1000)
				   : 0;
}

/* Sleeps a little and waits again: some PCMs wake again and again before they
 * have a period. 0 or negative errno. */
static int wait_again(struct pcm *pcm, int timeout_ms)
{
	int r;

	poll(NULL, 0, NAP_MS);
	r = snd_pcm_wait(pcm->handle, timeout_ms - NAP_MS);
	return r < 0 ? r : 0;
}

/* Waits for COUNT frames or a period, whichever is less, and reads all that are
 * there, so that one late interrupt does not cause odd-sized reads for ever. */
static ssize_t read_until(struct pcm *pcm, void *buffer, size_t count,
			  uint64_t deadline_usec)
{
	size_t wish = count < pcm->period_frames ? count : pcm->period_frames;

	for (bool again = false;; again = true) {
		uint64_t avail_usec = now_usec();
		snd_pcm_sframes_t avail = avail_frames(pcm);
		int left_ms = remaining_ms(deadline_usec);
		int r;

		pcm->told_usec = now_usec();
		if (avail < 0)
			return avail;
		if ((size_t)avail >= wish || (avail > 0 && left_ms == 0))
			return read_avail(pcm, buffer, count, (size_t)avail,
					  avail_usec);
		if (left_ms == 0)
			return 0;
		r = again ? wait_again(pcm, left_ms)
			  : snd_pcm_wait(pcm->handle, left_ms);
		if (r < 0)
			return r;
	}
}

/* Recovers; tries again until the deadline while the card is asleep. */
static int recover_until(struct pcm *pcm, uint64_t deadline_usec,
			 uint64_t *ret_gap_frames)
{
	for (;;) {
		int r = recover_capture(pcm, ret_gap_frames);
		int left_ms = remaining_ms(deadline_usec);

		if (r != -EAGAIN)
			return r;
		if (left_ms == 0)
			return 0;
		poll(NULL, 0,
		     left_ms < RESUME_NAP_MS ? left_ms : RESUME_NAP_MS);
	}
}

ssize_t pcm_read(struct pcm *pcm, void *buffer, size_t count, int timeout_ms,
		 uint64_t *ret_gap_frames)
{
	uint64_t deadline_usec = now_usec() + (uint64_t)timeout_ms * 1000;
	ssize_t n;

	*ret_gap_frames = 0;
	if (count == 0)
		return 0;
	n = read_until(pcm, buffer, count, deadline_usec);
	if (n == -EPIPE || n == -ESTRPIPE)
		return recover_until(pcm, deadline_usec, ret_gap_frames);
	return n;
}

uint64_t pcm_waiting_frames(const struct pcm *pcm, uint64_t *ret_usec)
{
	*ret_usec = pcm->told_usec;
	return pcm->pending_frames;
}

/* --- playback --- */

/* Notes whether the ring, of which AVAIL frames are free, has played a frame
 * since the last recovery. */
static void note_avail(struct pcm *pcm, snd_pcm_uframes_t avail)
{
	uint64_t in_ring = surplus(pcm->buffer_frames, avail);

	if (pcm->written_frames > in_ring + pcm->played_frames)
		pcm->recovered = false;
}

ssize_t pcm_room(struct pcm *pcm)
{
	snd_pcm_sframes_t avail = avail_frames(pcm);

	if (avail < 0)
		return avail;
	note_avail(pcm, (snd_pcm_uframes_t)avail);
	return avail;
}

/* A write that follows a look need not ask again: there is no less room. */
static ssize_t known_room(struct pcm *pcm)
{
	const size_t room = pcm->room_frames;
	const int r = room > 0 ? state_error(pcm) : 0;

	pcm->room_frames = 0;
	if (room == 0)
		return pcm_room(pcm);
	return r < 0 ? r : (ssize_t)room;
}

ssize_t pcm_write(struct pcm *pcm, const void *buffer, size_t count)
{
	ssize_t room = known_room(pcm);
	snd_pcm_sframes_t n;

	if (room <= 0)
		return room;
	n = snd_pcm_writei(pcm->handle, buffer,
			   count < (size_t)room ? count : (size_t)room);
	if (n == -EAGAIN || n == -EINTR)
		return 0;
	if (n <= 0)
		return n;
	pcm->written_frames += (uint64_t)n;
	pcm->last_write_usec = now_usec();
	return n;
}

static int64_t time_of(const snd_pcm_status_t *status)
{
	snd_htimestamp_t time;

	snd_pcm_status_get_htstamp(status, &time);
	return (int64_t)time.tv_sec * (int64_t)NSEC_PER_SEC + time.tv_nsec;
}

/* The status has position and delay of one moment. And snd_pcm_delay() may fail
 * while all is well: that of PulseAudio's plug-in does until the server has
 * told a time (alsa-plugins#65). The status has the ring's fill then. */
int pcm_look(struct pcm *pcm, struct pcm_position *ret)
{
	snd_pcm_status_t *status;
	snd_pcm_sframes_t delay;
	snd_pcm_uframes_t avail;
	int r = state_error(pcm);

	snd_pcm_status_alloca(&status);
	if (r == 0)
		r = snd_pcm_status(pcm->handle, status);
	if (r == 0)
		r = state_error(pcm);
	if (r < 0)
		return r;
	avail = snd_pcm_status_get_avail(status);
	delay = snd_pcm_status_get_delay(status);
	note_avail(pcm, avail);
	pcm->room_frames = avail;
	ret->ns = pcm->timed ? time_of(status) : 0;
	ret->ring_frames = surplus(pcm->buffer_frames, avail);
	ret->delay_frames = ret->ring_frames;
	/* Negative when a plug-in has played silence after an underrun. */
	if (snd_pcm_status_get_state(status) != SND_PCM_STATE_PREPARED)
		ret->delay_frames = delay > 0 ? (uint64_t)delay : 0;
	return 0;
}

bool pcm_delay_known(const struct pcm *pcm)
{
	snd_pcm_sframes_t delay;

	return snd_pcm_delay(pcm->handle, &delay) == 0;
}

/* An I/O plug-in that has handed the frames on already (PulseAudio's) rewinds
 * nothing but its counters. Its delay gives it away: it stays the same. */
size_t pcm_rewind(struct pcm *pcm, size_t count)
{
	snd_pcm_sframes_t before, after, n = snd_pcm_rewindable(pcm->handle);

	pcm->room_frames = 0;
	if (n <= 0 || snd_pcm_delay(pcm->handle, &before) < 0)
		return 0;
	n = snd_pcm_rewind(pcm->handle, MIN(count, (size_t)n));
	if (n <= 0 || snd_pcm_delay(pcm->handle, &after) < 0 ||
	    after > before - n / 2)
		return 0;
	pcm->written_frames -= (uint64_t)n;
	return (size_t)n;
}

static snd_pcm_uframes_t frames_in_ring(const struct pcm *pcm)
{
	snd_pcm_status_t *status;

	snd_pcm_status_alloca(&status);
	if (snd_pcm_status(pcm->handle, status) < 0)
		return 0;
	return surplus(pcm->buffer_frames, snd_pcm_status_get_avail(status));
}

/* Some plug-ins keep the position from before an underrun. Then the time since
 * the last write decides whether playing can have emptied the ring. */
static bool has_played(const struct pcm *pcm, snd_pcm_uframes_t in_ring)
{
	if (pcm->written_frames == 0)
		return false;
	if (pcm->written_frames > in_ring + pcm->played_frames)
		return true;
	return now_usec() - pcm->last_write_usec >=
	       frames_to_usec(in_ring, pcm->rate);
}

int pcm_recover(struct pcm *pcm)
{
	snd_pcm_uframes_t in_ring;
	int r = state_error(pcm);

	if (r != -EPIPE && r != -ESTRPIPE)
		return r;
	in_ring = frames_in_ring(pcm);
	if (pcm->recovered && !has_played(pcm, in_ring))
		return -EIO;
	r = leave_fault(pcm);
	if (r < 0)
		return r;
	pcm->recovered = true;
	if (snd_pcm_state(pcm->handle) == SND_PCM_STATE_PREPARED) {
		pcm->written_frames = 0;
		pcm->played_frames = 0;
	} else {
		pcm->played_frames = pcm->written_frames - in_ring;
	}
	return 0;
}

/* --- listing --- */

static void print_description(FILE *out, const char *text)
{
	fputs("    ", out);
	for (; *text; text++) {
		fputc(*text, out);
		if (*text == '\n')
			fputs("    ", out);
	}
	fputc('\n', out);
}

static void print_hint(FILE *out, const void *hint, const char *direction)
{
	_cleanup_free_ char *name = snd_device_name_get_hint(hint, "NAME");
	_cleanup_free_ char *text = snd_device_name_get_hint(hint, "DESC");
	_cleanup_free_ char *only = snd_device_name_get_hint(hint, "IOID");

	/* No IOID: both directions. */
	if (!name || (only && strcmp(only, direction) != 0))
		return;
	fprintf(out, "%s\n", name);
	if (text)
		print_description(out, text);
}

int pcm_list(FILE *out, enum pcm_direction direction)
{
	void **hints;
	int r;

	pcm_silence_alsa();
	r = snd_device_name_hint(-1, "pcm", &hints);
	if (r < 0)
		return r;
	for (void **hint = hints; *hint; hint++)
		print_hint(out, *hint,
			   direction == PCM_CAPTURE ? "Input" : "Output");
	snd_device_name_free_hint(hints);
	return 0;
}
