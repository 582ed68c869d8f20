/* SPDX-License-Identifier: MIT
 * A sound card without a card: an ALSA I/O plug-in paced by CLOCK_MONOTONIC.
 * Its configuration and its faults on demand are described in vcard.h. */
#include "vcard.h"

#include <alsa/asoundlib.h>
#include <alsa/pcm_external.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "audio/samples.h"
#include "base/util.h"

enum {
	CLICK_FRAMES = 8,
	MARK_NS = 50 * 1000 * 1000,
	RATE_MIN = 4000,
	RATE_MAX = 384000,
	CHANNELS_MAX = 32,
	PERIOD_BYTES_MAX = 1 << 20,
	BUFFER_BYTES_MAX = 4 << 20,
	PERIODS_MAX = 1024,
	JUMPS_MAX = 4,
	PATIENT_LOOKS = 16, /* one turn of a program's loop is a few */
	PATIENT_NS = 20 * 1000 * 1000,
};

/* What the configuration says; strings belong to the configuration tree and
 * are only valid while the card is opened. */
struct vcard_config {
	const char *control, *file, *log, *format;
	double drift_ppm, tone_hz;
	long clicks, loop, open_delay_ms, can_resume, patient, rate, channels;
	long delay_ms, jump_ms, timing_ms, step, start_delay_ms, stall_after_ms;
	long handed_on;
	long period_bytes_min, period_bytes_max;
	long buffer_bytes_min, buffer_bytes_max;
};

struct vcard {
	snd_pcm_ioplug_t io;
	char *control;
	int control_fd, lock_fd, inotify_fd, timer_fd, file_fd, log_fd;
	double drift_ppm, tone_hz;
	bool clicks, loop, can_resume, patient, handed_on;
	snd_pcm_uframes_t handed; /* up to which frame: no rewind undoes that */
	snd_pcm_ioplug_callback_t callbacks;
	uint64_t delay_ns, jump_ns; /* behind the ring; what a jump adds */
	uint64_t start_delay_ns, stall_after_ns;
	uint64_t timing_ns; /* how long after the start the delay is unknown */
	bool timing_late;
	long step;	      /* of the position that is told; -1: a period */
	const uint8_t *input; /* mmap of the file to capture */
	size_t input_size;
	uint8_t *ring; /* playback: transferred and not yet played */
	struct wav_format format;
	size_t frame_size;
	double true_rate; /* with the drift */
	snd_pcm_uframes_t boundary, avail_min, stop_threshold;
	uint64_t position;     /* frames since start */
	uint8_t *behind;       /* taken from the ring, and not yet heard */
	size_t behind_frames;  /* its size */
	uint64_t heard;	       /* frames since start */
	uint64_t start_ns;     /* when frame 0 was captured or played */
	uint64_t origin_ns;    /* of the first start; 0: not yet started */
	uint64_t content_base; /* frame of the file that is frame 0 */
	uint64_t file_base;    /* frames in the playback file before start */
	uint64_t halted_ns;    /* since when the clock stands; 0: it runs */
	uint64_t waiting_ns;   /* since when it waits for the program */
	unsigned looks;	       /* that the program has had since then */
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

static uint64_t frames_in(const struct vcard *card, uint64_t ns)
{
	return (uint64_t)((long double)ns * card->true_rate / NSEC_PER_SEC);
}

static uint64_t time_of(const struct vcard *card, uint64_t frame)
{
	return card->start_ns + (uint64_t)ceill((long double)frame *
						NSEC_PER_SEC / card->true_rate);
}

static const char *direction_name(const struct vcard *card)
{
	return card->io.stream == SND_PCM_STREAM_PLAYBACK ? "playback"
							  : "capture";
}

/* One line to the log in the control directory and, as a comment, to the log
 * of what was played. */
static void log_event(const struct vcard *card, const char *format, ...)
{
	char event[128];
	uint64_t now = now_ns();
	va_list ap;
	int fd;

	va_start(ap, format);
	vsnprintf(event, sizeof(event), format, ap);
	va_end(ap);
	if (card->log_fd >= 0)
		dprintf(card->log_fd, "# %llu %s\n", (unsigned long long)now,
			event);
	if (card->control_fd < 0)
		return;
	fd = openat(card->control_fd, "log",
		    O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
	if (fd < 0)
		return;
	dprintf(fd, "%llu %s %s\n", (unsigned long long)now, event,
		direction_name(card));
	close(fd);
}

/* --- the clock --- */

static void arm_timer(const struct vcard *card, uint64_t ns)
{
	const struct itimerspec when = {
	    .it_value = {.tv_sec = (time_t)(ns / NSEC_PER_SEC),
			 .tv_nsec = (long)(ns % NSEC_PER_SEC)},
	};

	timerfd_settime(card->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

/* The next "interrupt": at the end of the period that now runs. */
static void arm_next_period(const struct vcard *card)
{
	uint64_t period = card->io.period_size;

	if (card->halted_ns)
		arm_timer(card, 0);
	else
		arm_timer(card, time_of(card, (card->position / period + 1) *
						  period));
}

static void halt(struct vcard *card)
{
	if (!card->halted_ns)
		card->halted_ns = now_ns();
}

static void unhalt(struct vcard *card)
{
	if (!card->halted_ns)
		return;
	card->start_ns += now_ns() - card->halted_ns;
	card->halted_ns = 0;
	arm_next_period(card);
}

/* --- what is captured --- */

/* On each whole second, and MARK_NS after each tenth: so that a listener can
 * tell delays of more than a second too. */
static bool is_click(const struct vcard *card, uint64_t frame)
{
	uint64_t ns = time_of(card, frame);
	uint64_t phase_ns = ns % NSEC_PER_SEC;

	if (ns / NSEC_PER_SEC % 10 == 0 && phase_ns >= MARK_NS)
		phase_ns -= MARK_NS;
	return frames_in(card, phase_ns) < CLICK_FRAMES;
}

/* Between clicks: quiet, and quieter for a fifth of each second, as in a pause
 * of speech. */
static double hum_level(const struct vcard *card, uint64_t frame)
{
	uint64_t tenth =
	    time_of(card, frame) % NSEC_PER_SEC * 10 / NSEC_PER_SEC;

	return tenth == 6 || tenth == 7 ? 0.003 : 0.02;
}

static double generate(const struct vcard *card, uint64_t frame)
{
	double value = 0;

	if (card->tone_hz > 0)
		value =
		    (card->clicks ? hum_level(card, frame) : 0.5) *
		    sin(2 * M_PI * card->tone_hz *
			(double)(card->content_base + frame) / card->io.rate);
	if (card->clicks && is_click(card, frame))
		value = 1;
	return value;
}

static void generate_frame(const struct vcard *card, uint64_t frame,
			   uint8_t *to)
{
	size_t sample_size = card->frame_size / card->io.channels;

	samples_put(&card->format, to, generate(card, frame));
	for (size_t i = 1; i < card->io.channels; i++)
		memcpy(to + i * sample_size, to, sample_size);
}

/* Copies frame FRAME of the file; past its end, the beginning or silence. */
static void copy_frame(const struct vcard *card, uint64_t frame, uint8_t *to)
{
	uint64_t frames = card->input_size / card->frame_size;

	if (card->loop && frames > 0)
		frame %= frames;
	if (frame < frames)
		memcpy(to, card->input + frame * card->frame_size,
		       card->frame_size);
	else
		snd_pcm_format_set_silence(card->io.format, to,
					   card->io.channels);
}

static void fill(const struct vcard *card, uint8_t *to, size_t count)
{
	/* The boundary is about 2^62 frames: appl_ptr does not wrap. */
	uint64_t frame = card->io.appl_ptr;

	for (size_t i = 0; i < count; i++, frame++, to += card->frame_size) {
		if (card->input)
			copy_frame(card, card->content_base + frame, to);
		else
			generate_frame(card, frame, to);
	}
}

/* --- what is played --- */

static void write_all(int fd, const uint8_t *data, size_t size)
{
	while (size > 0) {
		ssize_t n = write(fd, data, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		data += n;
		size -= (size_t)n;
	}
}

/* COUNT frames reach the loudspeaker: into the file with them, and their time
 * into the log. */
static void sound(struct vcard *card, uint64_t count)
{
	const uint8_t *from = card->behind ? card->behind : card->ring;
	size_t size = card->behind ? card->behind_frames : card->io.buffer_size;
	uint64_t offset = card->heard % size;
	uint64_t head = count < size - offset ? count : size - offset;

	if (count == 0)
		return;
	if (card->file_fd >= 0) {
		write_all(card->file_fd, from + offset * card->frame_size,
			  head * card->frame_size);
		write_all(card->file_fd, from,
			  (count - head) * card->frame_size);
	}
	if (card->log_fd >= 0)
		dprintf(card->log_fd, "%llu %llu %llu\n",
			(unsigned long long)(card->file_base + card->heard),
			(unsigned long long)count,
			(unsigned long long)(time_of(card, card->heard) +
					     card->delay_ns));
	card->heard += count;
}

/* Those of the frames behind the ring that are due. */
static void sound_due(struct vcard *card)
{
	uint64_t since = card->start_ns + card->delay_ns;
	uint64_t now = card->halted_ns ? card->halted_ns : now_ns();
	uint64_t due = now > since ? frames_in(card, now - since) : 0;

	if (due > card->position)
		due = card->position;
	if (due > card->heard)
		sound(card, due - card->heard);
}

/* The card takes COUNT frames out of the ring. */
static void play(struct vcard *card, uint64_t count)
{
	if (!card->behind) {
		sound(card, count);
		card->position += count;
		return;
	}
	sound_due(card);
	for (uint64_t i = 0; i < count; i++, card->position++)
		memcpy(card->behind + card->position % card->behind_frames *
					  card->frame_size,
		       card->ring + card->position % card->io.buffer_size *
					card->frame_size,
		       card->frame_size);
	sound_due(card);
}

/* --- faults --- */

static bool control_has(const struct vcard *card, const char *name)
{
	return card->control_fd >= 0 &&
	       faccessat(card->control_fd, name, F_OK, 0) == 0;
}

static bool control_take(const struct vcard *card, const char *name)
{
	return card->control_fd >= 0 &&
	       unlinkat(card->control_fd, name, 0) == 0;
}

static bool is_active(const struct vcard *card)
{
	return card->io.state == SND_PCM_STATE_RUNNING ||
	       card->io.state == SND_PCM_STATE_DRAINING;
}

/* The state of a fault; poll must wake to it at once and stay awake. */
static void enter_fault(struct vcard *card, snd_pcm_state_t state,
			const char *name)
{
	snd_pcm_ioplug_set_state(&card->io, state);
	log_event(card, "%s", name);
	arm_timer(card, 1);
}

static void look_for_faults(struct vcard *card)
{
	if (control_has(card, "unplugged") &&
	    card->io.state != SND_PCM_STATE_DISCONNECTED)
		enter_fault(card, SND_PCM_STATE_DISCONNECTED, "unplug");
	if (!is_active(card))
		return;
	if (control_take(card, "xrun")) {
		enter_fault(card, SND_PCM_STATE_XRUN, "xrun");
	} else if (control_take(card, "suspend")) {
		halt(card);
		enter_fault(card, SND_PCM_STATE_SUSPENDED, "suspend");
	} else if (control_has(card, "stalled")) {
		halt(card);
	} else if (control_take(card, "jump")) {
		card->delay_ns += card->jump_ns;
		log_event(card, "jump");
	} else {
		unhalt(card);
	}
}

static bool control_changed(const struct vcard *card)
{
	char events[4096];
	bool changed = false;

	while (card->inotify_fd >= 0 &&
	       read(card->inotify_fd, events, sizeof(events)) > 0)
		changed = true;
	return changed;
}

/* --- the position --- */

/* The position is that of now. */
static void wait_for_program(struct vcard *card)
{
	uint64_t now = now_ns();

	if (card->looks++ == 0)
		card->waiting_ns = now;
	card->start_ns += now - time_of(card, card->position);
}

/* All but the last frame is played while the program may still write. */
static bool wait_for_frames(struct vcard *card, uint64_t ready)
{
	if (!card->patient || ready == 0 ||
	    (card->looks > PATIENT_LOOKS &&
	     now_ns() > card->waiting_ns + PATIENT_NS))
		return false;
	play(card, ready - 1);
	wait_for_program(card);
	return true;
}

/* What the program is told of the position. */
static snd_pcm_uframes_t told_position(const struct vcard *card)
{
	uint64_t step =
	    card->step < 0 ? card->io.period_size : (uint64_t)card->step;
	uint64_t told =
	    step ? card->position - card->position % step : card->position;

	return told % card->boundary;
}

static void advance_playback(struct vcard *card, uint64_t passed)
{
	uint64_t ready = snd_pcm_ioplug_hw_avail(
	    &card->io, card->position % card->boundary, card->io.appl_ptr);
	bool draining = card->io.state == SND_PCM_STATE_DRAINING;

	if (passed < ready || card->stop_threshold > card->io.buffer_size) {
		play(card, passed < ready ? passed : ready);
		card->looks = 0;
		return;
	}
	if (!draining && wait_for_frames(card, ready))
		return;
	play(card, ready);
	if (!draining)
		enter_fault(card, SND_PCM_STATE_XRUN, "xrun");
}

static void advance_capture(struct vcard *card, uint64_t passed)
{
	uint64_t pending = snd_pcm_ioplug_avail(
	    &card->io, card->position % card->boundary, card->io.appl_ptr);

	if (pending + passed < card->stop_threshold ||
	    card->stop_threshold > card->io.buffer_size) {
		card->position += passed;
	} else if (card->patient) {
		card->position += card->stop_threshold - 1 - pending;
		wait_for_program(card);
	} else {
		enter_fault(card, SND_PCM_STATE_XRUN, "xrun");
	}
}

/* The clock stops for good when the time for it has come. */
static uint64_t stop_in_time(struct vcard *card, uint64_t target)
{
	uint64_t last = frames_in(card, card->stall_after_ns);
	int fd;

	if (card->stall_after_ns == 0 || target < last)
		return target;
	fd = openat(card->control_fd, "stalled", O_CREAT | O_CLOEXEC | O_WRONLY,
		    0666);
	fd_close(fd);
	halt(card);
	return last;
}

/* Brings the position up to the clock. */
static void advance(struct vcard *card)
{
	uint64_t target, now;

	if (control_changed(card))
		look_for_faults(card);
	if (!is_active(card) || card->halted_ns)
		return;
	now = now_ns();
	if (now < card->start_ns)
		return;
	target = stop_in_time(card, frames_in(card, now - card->start_ns));
	if (target <= card->position)
		return;
	if (card->io.stream == SND_PCM_STREAM_PLAYBACK)
		advance_playback(card, target - card->position);
	else
		advance_capture(card, target - card->position);
}

/* --- callbacks of ALSA --- */

/* An error returned from here would become an xrun: the state says it. */
static snd_pcm_sframes_t on_pointer(snd_pcm_ioplug_t *io)
{
	struct vcard *card = io->private_data;

	advance(card);
	return (snd_pcm_sframes_t)told_position(card);
}

/* As PulseAudio's: no delay before there is a time. */
static int on_delay(snd_pcm_ioplug_t *io, snd_pcm_sframes_t *delay)
{
	struct vcard *card = io->private_data;

	advance(card);
	if (card->timing_late &&
	    (!is_active(card) || now_ns() < card->start_ns + card->timing_ns))
		return -EIO;
	*delay = (snd_pcm_sframes_t)frames_in(card, card->delay_ns);
	*delay += (snd_pcm_sframes_t)snd_pcm_ioplug_hw_avail(
	    io, told_position(card),
	    card->handed_on ? card->handed : io->appl_ptr);
	return 0;
}

static int on_start(snd_pcm_ioplug_t *io)
{
	struct vcard *card = io->private_data;

	if (control_has(card, "unplugged"))
		return -ENODEV;
	card->start_ns = now_ns() + card->start_delay_ns;
	card->halted_ns = 0;
	if (!card->origin_ns)
		card->origin_ns = card->start_ns;
	card->content_base = frames_in(card, card->start_ns - card->origin_ns);
	log_event(card, "start");
	snd_pcm_ioplug_set_state(io, SND_PCM_STATE_RUNNING);
	arm_next_period(card);
	look_for_faults(card);
	/* alsa-lib sets RUNNING when this succeeds: a fault must not. */
	if (io->state == SND_PCM_STATE_RUNNING)
		return 0;
	return io->state == SND_PCM_STATE_XRUN ? -EPIPE : -ESTRPIPE;
}

static int on_stop(snd_pcm_ioplug_t *io)
{
	struct vcard *card = io->private_data;

	arm_timer(card, 0);
	if (card->behind)
		sound_due(card);
	/* As a sound server: what it has not played goes with the program. */
	if (card->position > card->heard)
		log_event(card, "lost");
	card->heard = card->position;
	if (card->io.state != SND_PCM_STATE_DISCONNECTED)
		log_event(card, "stop");
	return 0;
}

static uint8_t *area_address(const snd_pcm_channel_area_t *areas,
			     snd_pcm_uframes_t offset)
{
	return (uint8_t *)areas->addr + areas->first / 8 +
	       offset * (areas->step / 8);
}

static snd_pcm_sframes_t on_transfer(snd_pcm_ioplug_t *io,
				     const snd_pcm_channel_area_t *areas,
				     snd_pcm_uframes_t offset,
				     snd_pcm_uframes_t size)
{
	struct vcard *card = io->private_data;
	uint8_t *data = area_address(areas, offset);
	uint64_t at = io->appl_ptr % io->buffer_size;
	uint64_t head =
	    size < io->buffer_size - at ? size : io->buffer_size - at;

	if (io->stream == SND_PCM_STREAM_CAPTURE) {
		fill(card, data, size);
		return (snd_pcm_sframes_t)size;
	}
	card->handed = MAX(card->handed, io->appl_ptr + size);
	memcpy(card->ring + at * card->frame_size, data,
	       head * card->frame_size);
	memcpy(card->ring, data + head * card->frame_size,
	       (size - head) * card->frame_size);
	return (snd_pcm_sframes_t)size;
}

/* For what is between the ring and the loudspeaker. */
static int make_room_behind(struct vcard *card)
{
	uint64_t longest_ns = card->delay_ns + JUMPS_MAX * card->jump_ns;

	free(card->behind);
	card->behind = NULL;
	if (longest_ns == 0 || card->io.stream != SND_PCM_STREAM_PLAYBACK)
		return 0;
	card->behind_frames =
	    card->io.buffer_size + frames_in(card, longest_ns);
	card->behind = calloc(card->behind_frames, card->frame_size);
	return card->behind ? 0 : -ENOMEM;
}

static int on_hw_params(snd_pcm_ioplug_t *io, snd_pcm_hw_params_t *params)
{
	struct vcard *card = io->private_data;

	if (wav_format_parse_name(&card->format,
				  snd_pcm_format_name(io->format)) < 0)
		return -EINVAL;
	card->format.channels = (uint16_t)io->channels;
	card->frame_size = wav_frame_size(&card->format);
	card->true_rate = io->rate * (1 + card->drift_ppm * 1e-6);
	card->origin_ns = 0;
	free(card->ring);
	card->ring = calloc(io->buffer_size, card->frame_size);
	if (!card->ring || make_room_behind(card) < 0)
		return -ENOMEM;
	log_event(card, "hw_params %s %u %u %lu %lu",
		  snd_pcm_format_name(io->format), io->channels, io->rate,
		  io->period_size, io->buffer_size);
	return 0;
}

static int on_sw_params(snd_pcm_ioplug_t *io, snd_pcm_sw_params_t *params)
{
	struct vcard *card = io->private_data;

	snd_pcm_sw_params_get_boundary(params, &card->boundary);
	snd_pcm_sw_params_get_avail_min(params, &card->avail_min);
	return snd_pcm_sw_params_get_stop_threshold(params,
						    &card->stop_threshold);
}

static int on_prepare(snd_pcm_ioplug_t *io)
{
	struct vcard *card = io->private_data;
	struct stat st;

	if (io->state == SND_PCM_STATE_DISCONNECTED ||
	    control_has(card, "unplugged"))
		return -ENODEV;
	if (control_has(card, "asleep"))
		return -EAGAIN;
	/* What is behind the ring is heard also when that has run empty. */
	if (io->stream == SND_PCM_STREAM_PLAYBACK)
		sound(card, card->position - card->heard);
	if (card->file_fd >= 0 && fstat(card->file_fd, &st) == 0)
		card->file_base = (uint64_t)st.st_size / card->frame_size;
	else
		card->file_base += card->position;
	card->position = card->heard = 0;
	card->handed = 0;
	card->halted_ns = 0;
	card->looks = 0;
	/* An empty ring can be written to. */
	arm_timer(card, io->stream == SND_PCM_STREAM_PLAYBACK ? 1 : 0);
	return 0;
}

/* alsa-lib ignores the result: only the state tells. */
static int on_resume(snd_pcm_ioplug_t *io)
{
	struct vcard *card = io->private_data;

	if (!card->can_resume || control_has(card, "asleep"))
		return -ENOSYS;
	if (io->state != SND_PCM_STATE_SUSPENDED)
		return 0;
	snd_pcm_ioplug_set_state(io, SND_PCM_STATE_RUNNING);
	log_event(card, "resume");
	unhalt(card);
	return 0;
}

static int on_poll_descriptors_count(snd_pcm_ioplug_t *io)
{
	const struct vcard *card = io->private_data;

	return card->inotify_fd >= 0 ? 2 : 1;
}

static int on_poll_descriptors(snd_pcm_ioplug_t *io, struct pollfd *pfd,
			       unsigned int space)
{
	const struct vcard *card = io->private_data;
	const int fds[] = {card->timer_fd, card->inotify_fd};
	unsigned int count = (unsigned int)on_poll_descriptors_count(io);

	if (space < count)
		return -EINVAL;
	for (unsigned int i = 0; i < count; i++)
		pfd[i] = (struct pollfd){.fd = fds[i], .events = POLLIN};
	return (int)count;
}

static bool is_ready(const struct vcard *card)
{
	return snd_pcm_ioplug_avail(&card->io, told_position(card),
				    card->io.appl_ptr) >= card->avail_min;
}

/* The timer stays readable while there is something to do. A card that is
 * stalled wakes nobody: snd_pcm_wait() begins its time-out anew on each vain
 * wake-up. */
static int on_poll_revents(snd_pcm_ioplug_t *io, struct pollfd *pfd,
			   unsigned int nfds, unsigned short *revents)
{
	struct vcard *card = io->private_data;
	unsigned short ready =
	    io->stream == SND_PCM_STREAM_PLAYBACK ? POLLOUT : POLLIN;

	advance(card);
	*revents = 0;
	switch (io->state) {
	case SND_PCM_STATE_XRUN:
	case SND_PCM_STATE_SUSPENDED:
	case SND_PCM_STATE_DISCONNECTED:
		*revents = ready | POLLERR;
		break;
	case SND_PCM_STATE_DRAINING:
		*revents = ready;
		arm_next_period(card);
		break;
	case SND_PCM_STATE_RUNNING:
		if (is_ready(card) && !card->halted_ns)
			*revents = ready;
		else
			arm_next_period(card);
		break;
	default:
		if (io->stream == SND_PCM_STREAM_PLAYBACK && is_ready(card))
			*revents = ready;
		else
			arm_timer(card, 0);
		break;
	}
	return 0;
}

static void vcard_free(struct vcard *card)
{
	if (card->input)
		munmap((void *)card->input, card->input_size);
	fd_close(card->timer_fd);
	fd_close(card->inotify_fd);
	fd_close(card->file_fd);
	fd_close(card->log_fd);
	fd_close(card->lock_fd);
	fd_close(card->control_fd);
	free(card->control);
	free(card->ring);
	free(card->behind);
	free(card);
}

static int on_close(snd_pcm_ioplug_t *io)
{
	struct vcard *card = io->private_data;

	/* Whoever reads the line may open the card: unlock it first. */
	card->lock_fd = fd_close(card->lock_fd);
	log_event(card, "close");
	vcard_free(card);
	return 0;
}

static const snd_pcm_ioplug_callback_t callbacks = {
    .start = on_start,
    .stop = on_stop,
    .pointer = on_pointer,
    .transfer = on_transfer,
    .close = on_close,
    .hw_params = on_hw_params,
    .sw_params = on_sw_params,
    .prepare = on_prepare,
    .resume = on_resume,
    .poll_descriptors_count = on_poll_descriptors_count,
    .poll_descriptors = on_poll_descriptors,
    .poll_revents = on_poll_revents,
};

/* --- configuration --- */

/* What any PCM may have. */
static bool is_generic_field(const char *id)
{
	return strcmp(id, "type") == 0 || strcmp(id, "comment") == 0 ||
	       strcmp(id, "hint") == 0;
}

static int read_field(struct vcard_config *config, const char *id,
		      snd_config_t *node)
{
	const struct {
		const char *name;
		const char **string;
		long *integer;
		double *real;
	} fields[] = {
	    {.name = "control", .string = &config->control},
	    {.name = "file", .string = &config->file},
	    {.name = "log", .string = &config->log},
	    {.name = "format", .string = &config->format},
	    {.name = "drift", .real = &config->drift_ppm},
	    {.name = "tone", .real = &config->tone_hz},
	    {.name = "clicks", .integer = &config->clicks},
	    {.name = "loop", .integer = &config->loop},
	    {.name = "open_delay", .integer = &config->open_delay_ms},
	    {.name = "patient", .integer = &config->patient},
	    {.name = "resume", .integer = &config->can_resume},
	    {.name = "delay", .integer = &config->delay_ms},
	    {.name = "jump", .integer = &config->jump_ms},
	    {.name = "timing", .integer = &config->timing_ms},
	    {.name = "step", .integer = &config->step},
	    {.name = "start_delay", .integer = &config->start_delay_ms},
	    {.name = "stall_after", .integer = &config->stall_after_ms},
	    {.name = "handed_on", .integer = &config->handed_on},
	    {.name = "rate", .integer = &config->rate},
	    {.name = "channels", .integer = &config->channels},
	    {.name = "period_bytes_min", .integer = &config->period_bytes_min},
	    {.name = "period_bytes_max", .integer = &config->period_bytes_max},
	    {.name = "buffer_bytes_min", .integer = &config->buffer_bytes_min},
	    {.name = "buffer_bytes_max", .integer = &config->buffer_bytes_max},
	};

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		if (strcmp(fields[i].name, id) != 0)
			continue;
		if (fields[i].string)
			return snd_config_get_string(node, fields[i].string);
		if (fields[i].real)
			return snd_config_get_ireal(node, fields[i].real);
		return snd_config_get_integer(node, fields[i].integer);
	}
	SNDERR("vcard: unknown field %s", id);
	return -EINVAL;
}

/* The fields of CONF, and those in the compound of this direction. */
static int read_config(struct vcard_config *config, snd_config_t *conf,
		       const char *direction)
{
	snd_config_iterator_t i, next;

	snd_config_for_each(i, next, conf)
	{
		snd_config_t *node = snd_config_iterator_entry(i);
		const char *id;
		int r;

		if (snd_config_get_id(node, &id) < 0 || is_generic_field(id))
			continue;
		if (strcmp(id, "capture") == 0 || strcmp(id, "playback") == 0)
			r = strcmp(id, direction) == 0
				? read_config(config, node, direction)
				: 0;
		else
			r = read_field(config, id, node);
		if (r < 0)
			return r;
	}
	return 0;
}

static int open_control(struct vcard *card, const char *path)
{
	char name[32];

	card->control_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	card->inotify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (card->control_fd < 0 || card->inotify_fd < 0)
		return -errno;
	if (inotify_add_watch(card->inotify_fd, path,
			      IN_CREATE | IN_DELETE | IN_MOVED_FROM |
				  IN_MOVED_TO) < 0)
		return -errno;
	if (control_has(card, "unplugged"))
		return -ENODEV;
	snprintf(name, sizeof(name), "lock-%s", direction_name(card));
	card->lock_fd =
	    openat(card->control_fd, name, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
	if (card->lock_fd < 0)
		return -errno;
	if (!control_has(card, "busy") &&
	    flock(card->lock_fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	log_event(card, "refused");
	return -EBUSY;
}

static int open_input(struct vcard *card, const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	void *data;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size == 0)
		return 0;
	data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (data == MAP_FAILED)
		return -errno;
	card->input = data;
	card->input_size = (size_t)st.st_size;
	return 0;
}

static int open_append(int *ret, const char *path)
{
	if (!path)
		return 0;
	*ret = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
	return *ret < 0 ? -errno : 0;
}

static int open_files(struct vcard *card, const struct vcard_config *config)
{
	int r;

	if (card->io.stream == SND_PCM_STREAM_CAPTURE)
		return config->file ? open_input(card, config->file) : 0;
	r = open_append(&card->file_fd, config->file);
	return r < 0 ? r : open_append(&card->log_fd, config->log);
}

static uint64_t ms_to_ns(long ms)
{
	return (uint64_t)ms * 1000 * 1000;
}

static void be_awkward(struct vcard *card, const struct vcard_config *config)
{
	card->delay_ns = ms_to_ns(config->delay_ms);
	card->jump_ns = ms_to_ns(config->jump_ms);
	card->start_delay_ns = ms_to_ns(config->start_delay_ms);
	card->stall_after_ns = ms_to_ns(config->stall_after_ms);
	card->step = config->step;
	card->handed_on = config->handed_on;
	card->timing_late = config->timing_ms >= 0;
	if (card->timing_late)
		card->timing_ns = ms_to_ns(config->timing_ms);
	card->callbacks = callbacks;
	if (card->io.stream == SND_PCM_STREAM_PLAYBACK &&
	    (card->delay_ns || card->jump_ns || card->timing_late ||
	     card->handed_on))
		card->callbacks.delay = on_delay;
}

static int vcard_new(struct vcard **ret, const struct vcard_config *config,
		     snd_pcm_stream_t stream)
{
	struct vcard *card = calloc(1, sizeof(*card));
	int r;

	if (!card)
		return -ENOMEM;
	card->control_fd = card->lock_fd = card->inotify_fd = -1;
	card->file_fd = card->log_fd = -1;
	card->io.stream = stream;
	card->drift_ppm = config->drift_ppm;
	card->tone_hz = config->tone_hz;
	card->clicks = config->clicks;
	card->loop = config->loop;
	card->can_resume = config->can_resume;
	card->patient = config->patient;
	card->boundary = LONG_MAX;
	be_awkward(card, config);
	card->timer_fd =
	    timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	r = card->timer_fd < 0 ? -errno : 0;
	if (r == 0 && config->control)
		r = open_control(card, config->control);
	if (r == 0)
		r = open_files(card, config);
	if (r < 0)
		vcard_free(card);
	else
		*ret = card;
	return r;
}

static int restrict_range(struct vcard *card, int type, long min, long max)
{
	return snd_pcm_ioplug_set_param_minmax(
	    &card->io, type, (unsigned int)min, (unsigned int)max);
}

static int restrict_format(struct vcard *card, const char *name)
{
	static const unsigned int formats[] = {
	    SND_PCM_FORMAT_U8,	       SND_PCM_FORMAT_S16_LE,
	    SND_PCM_FORMAT_S24_3LE,    SND_PCM_FORMAT_S32_LE,
	    SND_PCM_FORMAT_FLOAT_LE,   SND_PCM_FORMAT_A_LAW,
	    SND_PCM_FORMAT_MU_LAW,     SND_PCM_FORMAT_S24_LE,
	    SND_PCM_FORMAT_FLOAT64_LE,
	};
	unsigned int only;

	if (!name)
		return snd_pcm_ioplug_set_param_list(
		    &card->io, SND_PCM_IOPLUG_HW_FORMAT, ARRAY_SIZE(formats),
		    formats);
	only = (unsigned int)snd_pcm_format_value(name);
	return snd_pcm_ioplug_set_param_list(
	    &card->io, SND_PCM_IOPLUG_HW_FORMAT, 1, &only);
}

static int restrict_params(struct vcard *card,
			   const struct vcard_config *config)
{
	static const unsigned int accesses[] = {
	    SND_PCM_ACCESS_RW_INTERLEAVED,
	    SND_PCM_ACCESS_MMAP_INTERLEAVED,
	};
	int r;

	r = snd_pcm_ioplug_set_param_list(&card->io, SND_PCM_IOPLUG_HW_ACCESS,
					  ARRAY_SIZE(accesses), accesses);
	if (r >= 0)
		r = restrict_format(card, config->format);
	if (r >= 0)
		r = restrict_range(card, SND_PCM_IOPLUG_HW_CHANNELS,
				   config->channels ? config->channels : 1,
				   config->channels ? config->channels
						    : CHANNELS_MAX);
	if (r >= 0)
		r = restrict_range(card, SND_PCM_IOPLUG_HW_RATE,
				   config->rate ? config->rate : RATE_MIN,
				   config->rate ? config->rate : RATE_MAX);
	if (r >= 0)
		r = restrict_range(card, SND_PCM_IOPLUG_HW_PERIOD_BYTES,
				   config->period_bytes_min,
				   config->period_bytes_max);
	if (r >= 0)
		r = restrict_range(card, SND_PCM_IOPLUG_HW_BUFFER_BYTES,
				   config->buffer_bytes_min,
				   config->buffer_bytes_max);
	if (r >= 0)
		r = restrict_range(card, SND_PCM_IOPLUG_HW_PERIODS, 2,
				   PERIODS_MAX);
	return r;
}

static void sleep_ms(long ms)
{
	struct timespec left = {.tv_sec = ms / 1000,
				.tv_nsec = ms % 1000 * 1000000};

	while (nanosleep(&left, &left) < 0 && errno == EINTR)
		;
}

static int vcard_open(snd_pcm_t **ret, const char *name,
		      const struct vcard_config *config,
		      snd_pcm_stream_t stream, int mode)
{
	struct vcard *card;
	int r;

	sleep_ms(config->open_delay_ms);
	r = vcard_new(&card, config, stream);
	if (r < 0)
		return r;
	card->io.version = SND_PCM_IOPLUG_VERSION;
	card->io.name = "virtual card";
	card->io.callback = &card->callbacks;
	card->io.private_data = card;
	card->io.flags =
	    SND_PCM_IOPLUG_FLAG_MONOTONIC | SND_PCM_IOPLUG_FLAG_BOUNDARY_WA;
	card->io.poll_fd = card->timer_fd;
	card->io.poll_events = POLLIN;
	r = snd_pcm_ioplug_create(&card->io, name, stream, mode);
	if (r < 0) {
		vcard_free(card);
		return r;
	}
	log_event(card, "open");
	r = restrict_params(card, config);
	if (r < 0) {
		snd_pcm_ioplug_delete(&card->io);
		return r;
	}
	*ret = card->io.pcm;
	return 0;
}

SND_PCM_PLUGIN_DEFINE_FUNC(vcard);
SND_PCM_PLUGIN_DEFINE_FUNC(vcard)
{
	struct vcard_config config = {
	    .timing_ms = -1,
	    .period_bytes_min = 16,
	    .period_bytes_max = PERIOD_BYTES_MAX,
	    .buffer_bytes_min = 32,
	    .buffer_bytes_max = BUFFER_BYTES_MAX,
	};
	int r;

	r = read_config(&config, conf,
			stream == SND_PCM_STREAM_PLAYBACK ? "playback"
							  : "capture");
	if (r < 0)
		return r;
	return vcard_open(pcmp, name, &config, stream, mode);
}
SND_PCM_PLUGIN_SYMBOL(vcard);
