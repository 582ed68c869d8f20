/* SPDX-License-Identifier: MIT
 * Turns a source's messages into a page. The chime is paced by the microphone
 * itself: while it lasts, its frames take the place of those captured. */
#include "server/announcement.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "audio/filesource.h"
#include "audio/samples.h"
#include "base/util.h"

enum {
	BUFFER_SIZE = 65536,
	/* What one wake-up may take, so that clients get their turn. */
	TURN_SIZE_MAX = 1 << 20,
	/* The longest silence that stands in for an overrun. */
	GAP_SECONDS_MAX = 10,
	/* One may be the machine's; these are the clients'. */
	SLOW_TURNS = 5,
};

struct announcement {
	enum { MICROPHONE, WAV_FILE } kind;
	struct source *source;
	sd_event_source *io;
	struct tape *tape;
	struct chime *chime;
	size_t chime_sent;
	uint64_t limit_frames; /* without the chime; WAV_ENDLESS */
	uint64_t planned_size; /* bytes with the chime; WAV_ENDLESS */
	enum announcement_state state;
	enum announcement_end end;
	int error;
	char reason[160];
	uint64_t overruns, overrun_frames;
	uint64_t chunk_usec;
	unsigned slow_turns; /* in a row */
	bool told_slow;
	double peak;
	uint8_t *buffer; /* BUFFER_SIZE; a message's samples, as they come */
	size_t have;	 /* bytes in buffer: less than a frame between calls */
	uint32_t expected; /* bytes of the message still to be read */
	struct announcement_callbacks callbacks;
	void *userdata;
};

const char *announcement_end_name(enum announcement_end end)
{
	static const char *const names[] = {
	    [ANNOUNCEMENT_COMPLETE] = "complete",
	    [ANNOUNCEMENT_STOPPED] = "stopped",
	    [ANNOUNCEMENT_PREEMPTED] = "preempted",
	    [ANNOUNCEMENT_NO_DEVICE] = "no-device",
	    [ANNOUNCEMENT_NOT_AUDIO] = "not-audio",
	    [ANNOUNCEMENT_FAILED] = "failed",
	};

	return names[end];
}

uint64_t announcement_frames(uint32_t rate, uint32_t chunk_frames,
			     double seconds)
{
	return (uint64_t)floor((double)rate / chunk_frames * seconds) *
	       chunk_frames;
}

void announcement_stop(struct announcement *a, enum announcement_end end)
{
	if (a->state == ANNOUNCEMENT_ENDED)
		return;
	a->state = ANNOUNCEMENT_ENDED;
	a->end = end;
	if (a->tape)
		tape_end(a->tape);
	source_stop(a->source);
	/* EPOLLHUP always comes: the thread has ended. */
	(void)sd_event_source_set_io_events(a->io, 0);
	a->callbacks.on_ended(a->userdata);
}

static void fail(struct announcement *a, enum announcement_end end, int error,
		 const char *reason)
{
	if (a->state == ANNOUNCEMENT_ENDED)
		return;
	a->error = error;
	snprintf(a->reason, sizeof(a->reason), "%s", reason);
	announcement_stop(a, end);
}

static void begin_speech(struct announcement *a)
{
	a->state = ANNOUNCEMENT_SPEECH;
	if (a->callbacks.on_speech)
		a->callbacks.on_speech(a->userdata);
}

/* Appends as much as the page has room for; ends it when it is full. */
static void append(struct announcement *a, const uint8_t *data, size_t size)
{
	uint64_t room = a->planned_size == WAV_ENDLESS
			    ? UINT64_MAX
			    : a->planned_size - tape_size(a->tape);
	const struct wav_format *format = tape_format(a->tape);
	double peak;
	int r;

	if (size > room)
		size = (size_t)room;
	r = tape_append(a->tape, data, size);
	if (r < 0) {
		fail(a, ANNOUNCEMENT_FAILED, r,
		     "The page's memory ran out; make shorter pages, or use "
		     "--mode live");
		return;
	}
	peak = samples_peak(format, data, size / wav_frame_size(format));
	if (peak > a->peak)
		a->peak = peak;
	if (size == room)
		announcement_stop(a, ANNOUNCEMENT_COMPLETE);
}

/* SIZE bytes (whole frames) of the microphone: the chime's turn comes first. */
static void take(struct announcement *a, const uint8_t *data, size_t size)
{
	if (a->state == ANNOUNCEMENT_CHIME) {
		size_t left = chime_size(a->chime) - a->chime_sent;
		size_t n = size < left ? size : left;

		append(a, chime_data(a->chime) + a->chime_sent, n);
		a->chime_sent += n;
		data += n;
		size -= n;
		if (n == left && a->state == ANNOUNCEMENT_CHIME)
			begin_speech(a);
	}
	if (size > 0 && a->state == ANNOUNCEMENT_SPEECH)
		append(a, data, size);
}

static void take_gap(struct announcement *a, uint64_t frames)
{
	const struct wav_format *format = tape_format(a->tape);
	size_t frame_size = wav_frame_size(format);
	uint64_t most = (uint64_t)format->rate * GAP_SECONDS_MAX;

	a->overruns++;
	a->overrun_frames += frames;
	if (frames > most)
		frames = most;
	memset(a->buffer, wav_silence(format), BUFFER_SIZE);
	while (frames > 0 && a->state != ANNOUNCEMENT_ENDED) {
		size_t n = BUFFER_SIZE / frame_size;

		if (n > frames)
			n = (size_t)frames;
		take(a, a->buffer, n * frame_size);
		frames -= n;
	}
}

static uint64_t plan_size(const struct announcement *a,
			  const struct source_message *opened)
{
	size_t frame_size = wav_frame_size(&opened->u.opened.format);

	if (opened->u.opened.size != WAV_ENDLESS)
		return opened->u.opened.size;
	if (a->limit_frames == WAV_ENDLESS)
		return WAV_ENDLESS;
	return a->limit_frames * frame_size +
	       (a->chime ? chime_size(a->chime) : 0);
}

static void on_source_opened(struct announcement *a,
			     const struct source_message *message)
{
	int r;

	a->planned_size = plan_size(a, message);
	a->chunk_usec = frames_to_usec(message->u.opened.period_frames,
				       message->u.opened.format.rate);
	r = tape_new(&a->tape, &message->u.opened.format, a->planned_size);
	if (r < 0) {
		fail(
		    a, ANNOUNCEMENT_FAILED, r,
		    "There is not enough memory for the page; make it shorter");
		return;
	}
	a->state = ANNOUNCEMENT_CHIME;
	a->callbacks.on_opened(a->userdata);
	if (a->state != ANNOUNCEMENT_CHIME)
		return;
	if (!a->chime)
		begin_speech(a);
	if (a->planned_size == 0)
		announcement_stop(a, ANNOUNCEMENT_COMPLETE);
}

/* Why a page fails when its source ended with an error. */
static enum announcement_end end_of_error(const struct announcement *a,
					  int error)
{
	if (error == -EBADMSG || error == -EISDIR)
		return ANNOUNCEMENT_NOT_AUDIO;
	if (a->state == ANNOUNCEMENT_OPENING && a->kind == MICROPHONE)
		return ANNOUNCEMENT_NO_DEVICE;
	return ANNOUNCEMENT_FAILED;
}

static void on_source_ended(struct announcement *a,
			    const struct source_message *message)
{
	int error = message->u.ended.error;

	if (error == 0)
		announcement_stop(a, ANNOUNCEMENT_COMPLETE);
	else
		fail(a, end_of_error(a, error), error, message->u.ended.reason);
}

/* Reads samples of the current message. 1 when some came, 0 when none. */
static int read_samples(struct announcement *a)
{
	size_t frame_size = wav_frame_size(tape_format(a->tape));
	size_t wish = BUFFER_SIZE - a->have;
	size_t torn;
	ssize_t n;

	if (wish > a->expected)
		wish = a->expected;
	n = source_read_samples(a->source, a->buffer + a->have, wish);
	if (n <= 0)
		return 0;
	a->expected -= (uint32_t)n;
	a->have += (size_t)n;
	torn = a->have % frame_size;
	take(a, a->buffer, a->have - torn);
	memmove(a->buffer, a->buffer + a->have - torn, torn);
	a->have = torn;
	return 1;
}

static void handle(struct announcement *a, const struct source_message *message)
{
	switch (message->type) {
	case SOURCE_OPENED:
		on_source_opened(a, message);
		break;
	case SOURCE_SAMPLES:
		a->expected = message->u.samples.size;
		break;
	case SOURCE_GAP:
		take_gap(a, message->u.gap.frames);
		break;
	case SOURCE_ENDED:
		on_source_ended(a, message);
		break;
	}
}

/* 1 when something was read, 0 when there is nothing more now. */
static int read_one(struct announcement *a)
{
	struct source_message message;

	if (a->expected > 0)
		return read_samples(a);
	if (source_next(a->source, &message) <= 0)
		return 0;
	handle(a, &message);
	return 1;
}

static void release(struct announcement *a)
{
	a->io = sd_event_source_disable_unref(a->io);
	a->source = source_free(a->source);
	if (a->callbacks.on_released)
		a->callbacks.on_released(a->userdata);
}

/* Sound goes before all else in the loop. But when serving the clients takes
 * longer than a chunk, it would be all that the loop does: then it waits for
 * its turn, and whoever has waited for room in a socket is served meanwhile. */
static void yield_if_slow(struct announcement *a, uint64_t took_usec)
{
	bool slow = took_usec > a->chunk_usec;

	if (slow != (a->slow_turns > 0))
		(void)sd_event_source_set_priority(
		    a->io, slow ? SD_EVENT_PRIORITY_NORMAL
				: SD_EVENT_PRIORITY_IMPORTANT);
	a->slow_turns = slow ? a->slow_turns + 1 : 0;
	if (a->slow_turns >= SLOW_TURNS && !a->told_slow &&
	    a->callbacks.on_slow) {
		a->told_slow = true;
		a->callbacks.on_slow(a->userdata, took_usec);
	}
}

static void tell_grown(struct announcement *a)
{
	uint64_t begin = now_usec();

	a->callbacks.on_grown(a->userdata);
	if (a->state != ANNOUNCEMENT_ENDED)
		yield_if_slow(a, now_usec() - begin);
}

static int on_source(sd_event_source *io, int fd, uint32_t revents,
		     void *userdata)
{
	struct announcement *a = userdata;
	uint64_t before = a->tape ? tape_size(a->tape) : 0, size = before;

	(void)io;
	(void)fd;
	while (a->state != ANNOUNCEMENT_ENDED &&
	       size - before < TURN_SIZE_MAX && read_one(a) > 0)
		size = a->tape ? tape_size(a->tape) : 0;
	if (size > before && a->state != ANNOUNCEMENT_ENDED)
		tell_grown(a);
	if (!(revents & EPOLLHUP))
		return 0;
	if (a->state != ANNOUNCEMENT_ENDED && size == before)
		fail(a, ANNOUNCEMENT_FAILED, -EIO, "The source ended at once");
	if (a->state == ANNOUNCEMENT_ENDED)
		release(a);
	return 0;
}

static struct announcement *
announcement_new(const struct announcement_callbacks *callbacks, void *userdata)
{
	struct announcement *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	a->callbacks = *callbacks;
	a->userdata = userdata;
	a->limit_frames = WAV_ENDLESS;
	a->planned_size = WAV_ENDLESS;
	a->buffer = malloc(BUFFER_SIZE);
	return a->buffer ? a : announcement_free(a);
}

static int watch(struct announcement *a, sd_event *event,
		 struct announcement **ret)
{
	int r = sd_event_add_io(event, &a->io, source_fd(a->source), EPOLLIN,
				on_source, a);

	if (r < 0) {
		announcement_free(a);
		return r;
	}
	/* Sound before everything else that the loop has to do. */
	(void)sd_event_source_set_priority(a->io, SD_EVENT_PRIORITY_IMPORTANT);
	*ret = a;
	return 0;
}

int announcement_new_microphone(struct announcement **ret, sd_event *event,
				const struct microphone_config *config,
				double seconds, struct chime *chime,
				const struct announcement_callbacks *callbacks,
				void *userdata)
{
	struct announcement *a = announcement_new(callbacks, userdata);
	int r;

	if (!a)
		return -ENOMEM;
	a->chime = chime_ref(chime);
	if (seconds > 0)
		a->limit_frames = announcement_frames(
		    config->format.rate, config->period_frames, seconds);
	r = microphone_start(&a->source, config);
	if (r < 0) {
		announcement_free(a);
		return r;
	}
	return watch(a, event, ret);
}

int announcement_new_file(struct announcement **ret, sd_event *event, int fd,
			  enum announcement_pace pace,
			  const struct announcement_callbacks *callbacks,
			  void *userdata)
{
	struct announcement *a = announcement_new(callbacks, userdata);
	int r;

	if (!a) {
		fd_close(fd);
		return -ENOMEM;
	}
	a->kind = WAV_FILE;
	r = filesource_start(&a->source, fd,
			     pace == ANNOUNCEMENT_PACED ? FILESOURCE_PACED
							: FILESOURCE_AT_ONCE);
	if (r < 0) {
		announcement_free(a);
		return r;
	}
	return watch(a, event, ret);
}

struct announcement *announcement_free(struct announcement *a)
{
	if (!a)
		return NULL;
	sd_event_source_disable_unref(a->io);
	source_free(a->source);
	tape_unref(a->tape);
	chime_unref(a->chime);
	free(a->buffer);
	free(a);
	return NULL;
}

void announcement_info(const struct announcement *a,
		       struct announcement_info *ret)
{
	*ret = (struct announcement_info){
	    .state = a->state,
	    .end = a->end,
	    .error = a->error,
	    .reason = a->reason,
	    .planned_frames = WAV_ENDLESS,
	    .overruns = a->overruns,
	    .overrun_frames = a->overrun_frames,
	};
	if (a->tape) {
		const struct wav_format *format = tape_format(a->tape);
		size_t frame_size = wav_frame_size(format);

		ret->format = *format;
		ret->frames = tape_size(a->tape) / frame_size;
		if (a->planned_size != WAV_ENDLESS)
			ret->planned_frames = a->planned_size / frame_size;
		ret->chime_frames =
		    a->chime ? chime_size(a->chime) / frame_size : 0;
	}
}

struct tape *announcement_tape(const struct announcement *a)
{
	return a->tape;
}

bool announcement_released(const struct announcement *a)
{
	return !a->source;
}

double announcement_take_peak(struct announcement *a)
{
	double peak = a->peak;

	a->peak = 0;
	return peak;
}
