/* SPDX-License-Identifier: MIT
 * The loop and the thread share one socket pair. There is at most one order of
 * each recording on its way, and each is answered: so the socket has room, and
 * an order that is old tells that the disk hangs. */
#include "audio/recorder.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "audio/wavfile.h"
#include "base/io.h"
#include "base/log.h"
#include "base/thread.h"
#include "base/util.h"

#define CHECK_USEC (3 * USEC_PER_SEC) /* that the start waits for the disk */
#define HANG_USEC                                                              \
	(10 * USEC_PER_SEC) /* so old an order is a disk that hangs            \
			     */

enum {
	RECORDINGS_MAX = 128,
	PIECE_SIZE = 1 << 20, /* what one order copies: all get their turn */
};

enum verb { VERB_WRITE, VERB_FINISH, VERB_DISCARD };

struct order {
	uint64_t id;   /* 0: the check */
	uint64_t size; /* bytes of samples that are there */
	enum verb verb;
	uint32_t is_first; /* comes with the samples' descriptor */
	struct wav_format format;
	char name[NAME_MAX + 1];
};

struct answer {
	uint64_t id, written;
	uint32_t is_last;
	int32_t error;
	char path[PATH_MAX]; /* of a file that is complete, or "" */
};

struct recording {
	TAILQ_ENTRY(recording) entry;
	struct recorder *recorder;
	struct order order; /* the next one */
	int samples_fd;	    /* until it is sent */
	uint64_t written;
	uint64_t sent_usec; /* of the order that is on its way; 0: none is */
	bool over, released;
};

TAILQ_HEAD(recording_list, recording);

struct recorder {
	struct recorder_config config;
	int fd;
	uint64_t last_id;
	struct recording check; /* recording 0 */
	int check_error;
	struct recording_list recordings; /* that are not over */
	unsigned count;
	bool told_hang;
	unsigned refused; /* since then */
};

/* --- the thread --- */

struct stream {
	TAILQ_ENTRY(stream) entry;
	uint64_t id, written;
	int samples_fd;
	struct wavfile *file;
};

struct writer {
	int fd;
	struct recorder_config config;
	bool is_directory;
	TAILQ_HEAD(, stream) streams;
};

static int check_place(struct writer *writer)
{
	const struct recorder_config *config = &writer->config;
	const size_t length = strlen(config->path);
	struct stat st;

	writer->is_directory =
	    config->kind == RECORDER_DIRECTORY ||
	    (length > 0 && config->path[length - 1] == '/') ||
	    (stat(config->path, &st) == 0 && S_ISDIR(st.st_mode));
	return writer->is_directory ? config->check(config->userdata) : 0;
}

static int open_file(const struct writer *writer, struct stream *stream,
		     const struct order *order)
{
	const char *path = writer->config.path;
	_cleanup_free_ char *in_directory = NULL;

	if (!writer->is_directory)
		return wavfile_create(&stream->file, path, &order->format);
	if (asprintf(&in_directory, "%s/%s", path, order->name) < 0) {
		in_directory = NULL;
		return -ENOMEM;
	}
	return wavfile_create(&stream->file, in_directory, &order->format);
}

static void drop_stream(struct writer *writer, struct stream *stream)
{
	TAILQ_REMOVE(&writer->streams, stream, entry);
	wavfile_discard(stream->file);
	fd_close(stream->samples_fd);
	free(stream);
}

/* Takes over SAMPLES_FD. */
static struct stream *add_stream(struct writer *writer, uint64_t id,
				 int samples_fd)
{
	struct stream *stream = calloc(1, sizeof(*stream));

	if (!stream) {
		fd_close(samples_fd);
		return NULL;
	}
	stream->id = id;
	stream->samples_fd = samples_fd;
	TAILQ_INSERT_TAIL(&writer->streams, stream, entry);
	return stream;
}

static struct stream *find_stream(const struct writer *writer, uint64_t id)
{
	struct stream *stream;

	TAILQ_FOREACH (stream, &writer->streams, entry)
		if (stream->id == id)
			return stream;
	return NULL;
}

/* A piece of what is there up to SIZE. 0 or negative errno. */
static int copy_piece(struct stream *stream, uint64_t size)
{
	uint8_t buffer[16384];
	const uint64_t end = MIN(size, stream->written + PIECE_SIZE);

	while (stream->written < end) {
		const uint64_t left = end - stream->written;
		const ssize_t n = pread_all(stream->samples_fd, buffer,
					    (size_t)MIN(left, sizeof(buffer)),
					    (off_t)stream->written);
		int r;

		if (n <= 0)
			return n < 0 ? (int)n : -EIO;
		r = wavfile_write(stream->file, buffer, (size_t)n);
		if (r < 0)
			return r;
		stream->written += (uint64_t)n;
	}
	return 0;
}

static int finish_file(const struct writer *writer, struct stream *stream,
		       struct answer *answer)
{
	_cleanup_free_ char *path = NULL;
	const int r = wavfile_finish(
	    TAKE_PTR(stream->file),
	    writer->is_directory ? WAVFILE_KEEP : WAVFILE_REPLACE, &path);

	if (path)
		snprintf(answer->path, sizeof(answer->path), "%s", path);
	return r;
}

/* Carries ORDER out for its stream. 0, or negative errno: the file is lost. */
static int carry_out(const struct writer *writer, struct stream *stream,
		     const struct order *order, struct answer *answer)
{
	int r = order->is_first ? open_file(writer, stream, order) : 0;

	if (r == 0)
		r = copy_piece(stream, order->size);
	answer->written = stream->written;
	if (r == 0 && order->verb == VERB_FINISH &&
	    stream->written == order->size) {
		answer->is_last = true;
		r = finish_file(writer, stream, answer);
	}
	return r;
}

static void answer_to(const struct writer *writer, const struct answer *answer)
{
	const size_t size =
	    offsetof(struct answer, path) + strlen(answer->path) + 1;

	(void)TEMP_FAILURE_RETRY(send(writer->fd, answer, size, MSG_NOSIGNAL));
}

/* Takes over SAMPLES_FD. */
static void serve(struct writer *writer, const struct order *order,
		  int samples_fd)
{
	struct answer answer = {.id = order->id};
	struct stream *stream = order->is_first
				    ? add_stream(writer, order->id, samples_fd)
				    : find_stream(writer, order->id);

	if (order->id == 0)
		answer.error = check_place(writer);
	else if (!stream)
		answer.error = -ENOMEM;
	else if (order->verb == VERB_DISCARD)
		answer.is_last = true;
	else
		answer.error = carry_out(writer, stream, order, &answer);
	answer.is_last |= answer.error < 0;
	if (answer.is_last && stream)
		drop_stream(writer, stream);
	answer_to(writer, &answer);
	if (*answer.path && writer->config.tidy)
		writer->config.tidy(writer->config.userdata);
}

/* Waits for the next order. Whether there is one; *ret_fd is -1 without. */
static bool next_order(const struct writer *writer, struct order *ret,
		       int *ret_fd)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec part = {ret, sizeof(*ret)};
	struct msghdr message = {
	    .msg_iov = &part,
	    .msg_iovlen = 1,
	    .msg_control = &control,
	    .msg_controllen = sizeof(control),
	};
	const ssize_t n =
	    TEMP_FAILURE_RETRY(recvmsg(writer->fd, &message, MSG_CMSG_CLOEXEC));
	const struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	*ret_fd = -1;
	if (n == (ssize_t)sizeof(*ret) && header)
		memcpy(ret_fd, CMSG_DATA(header), sizeof(*ret_fd));
	return n == (ssize_t)sizeof(*ret);
}

static void *writer_main(void *userdata)
{
	struct writer *writer = userdata;
	struct order order;
	int samples_fd;

	while (next_order(writer, &order, &samples_fd))
		serve(writer, &order, samples_fd);
	while (!TAILQ_EMPTY(&writer->streams))
		drop_stream(writer, TAILQ_FIRST(&writer->streams));
	close(writer->fd);
	free(writer);
	return NULL;
}

/* --- the loop's side: orders --- */

static bool has_to_tell(const struct recording *recording)
{
	const struct order *order = &recording->order;

	return recording->sent_usec == 0 && !recording->over &&
	       (order->is_first || order->verb != VERB_WRITE ||
		order->size > recording->written);
}

static void send_order(struct recording *recording)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {.header = {.cmsg_len = CMSG_LEN(sizeof(int)),
				.cmsg_level = SOL_SOCKET,
				.cmsg_type = SCM_RIGHTS}};
	struct order *order = &recording->order;
	struct iovec part = {order, sizeof(*order)};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

	if (!has_to_tell(recording))
		return;
	if (order->is_first) {
		memcpy(CMSG_DATA(&control.header), &recording->samples_fd,
		       sizeof(int));
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
	}
	/* Without room it is sent when something is answered. */
	if (sendmsg(recording->recorder->fd, &message,
		    MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		return;
	recording->sent_usec = now_usec();
	recording->samples_fd = fd_close(recording->samples_fd);
	order->is_first = false;
}

static void free_if_unused(struct recording *recording)
{
	if (recording->over && recording->released)
		free(recording);
}

static void end_recording(struct recording *recording)
{
	struct recorder *recorder = recording->recorder;

	TAILQ_REMOVE(&recorder->recordings, recording, entry);
	recorder->count--;
	recording->samples_fd = fd_close(recording->samples_fd);
	recording->over = true;
	free_if_unused(recording);
}

/* --- a disk that hangs --- */

static bool is_late(const struct recording *recording)
{
	return recording->sent_usec > 0 &&
	       now_usec() - recording->sent_usec > HANG_USEC;
}

static bool hangs(const struct recorder *recorder)
{
	const struct recording *recording;
	uint64_t backlog = 0;

	if (recorder->count >= RECORDINGS_MAX || is_late(&recorder->check))
		return true;
	TAILQ_FOREACH (recording, &recorder->recordings, entry) {
		if (is_late(recording))
			return true;
		backlog += recording->order.size - recording->written;
	}
	return backlog > recorder->config.backlog_max;
}

static void tell_hang(struct recorder *recorder)
{
	if (!recorder->told_hang)
		log_warning("The disk of '%s' hangs or is too slow: pages are "
			    "not kept until it is back",
			    recorder->config.path);
	recorder->told_hang = true;
}

static void tell_if_back(struct recorder *recorder)
{
	if (!recorder->told_hang || hangs(recorder))
		return;
	log_notice("The disk of '%s' is back: %u page%s not kept",
		   recorder->config.path, recorder->refused,
		   recorder->refused == 1 ? " was" : "s were");
	recorder->told_hang = false;
	recorder->refused = 0;
}

/* --- answers --- */

static struct recording *find_recording(struct recorder *recorder, uint64_t id)
{
	struct recording *recording;

	if (id == 0)
		return &recorder->check;
	TAILQ_FOREACH (recording, &recorder->recordings, entry)
		if (recording->order.id == id)
			return recording;
	return NULL;
}

static void on_answer(struct recorder *recorder, const struct answer *answer)
{
	struct recording *recording = find_recording(recorder, answer->id);

	assert(recording);
	recording->sent_usec = 0;
	recording->written = answer->written;
	if (recording == &recorder->check) {
		recording->over = true;
		recorder->check_error = answer->error;
	} else if (answer->is_last) {
		if (recording->order.verb != VERB_DISCARD)
			recorder->config.on_file(&recorder->config,
						 answer->path, answer->error);
		end_recording(recording);
	}
}

int recorder_fd(const struct recorder *recorder)
{
	return recorder ? recorder->fd : -1;
}

void recorder_dispatch(struct recorder *recorder)
{
	struct recording *recording;
	struct answer answer;

	if (!recorder)
		return;
	while (recv(recorder->fd, &answer, sizeof(answer), MSG_DONTWAIT) > 0)
		on_answer(recorder, &answer);
	TAILQ_FOREACH (recording, &recorder->recordings, entry)
		send_order(recording);
	tell_if_back(recorder);
}

bool recorder_is_idle(const struct recorder *recorder)
{
	const struct recording *recording;

	if (recorder)
		TAILQ_FOREACH (recording, &recorder->recordings, entry)
			if (recording->order.verb != VERB_WRITE)
				return false;
	return true;
}

/* --- its life --- */

/* One answer may have come, or the time is up: then false. */
static bool wait_for_answer(struct recorder *recorder, uint64_t until_usec)
{
	struct pollfd fd = {.fd = recorder->fd, .events = POLLIN};
	const uint64_t now = now_usec();

	if (now >= until_usec)
		return false;
	(void)poll(&fd, 1, (int)((until_usec - now) / 1000 + 1));
	recorder_dispatch(recorder);
	return true;
}

/* What comes of the check within a time. */
static int wait_for_check(struct recorder *recorder)
{
	const uint64_t until = now_usec() + CHECK_USEC;

	recorder->check.recorder = recorder;
	recorder->check.samples_fd = -1;
	recorder->check.order.verb = VERB_FINISH;
	send_order(&recorder->check);
	while (!recorder->check.over && wait_for_answer(recorder, until))
		;
	if (!recorder->check.over)
		tell_hang(recorder);
	return recorder->check_error;
}

static int start_writer(struct recorder *recorder)
{
	struct writer *writer = calloc(1, sizeof(*writer));
	pthread_t thread;
	int fds[2], r;

	if (!writer)
		return -ENOMEM;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0) {
		r = -errno;
		free(writer);
		return r;
	}
	recorder->fd = fds[0];
	writer->fd = fds[1];
	writer->config = recorder->config;
	TAILQ_INIT(&writer->streams);
	r = thread_start(&thread, "recorder", writer_main, writer);
	if (r < 0) {
		close(writer->fd);
		free(writer);
		return r;
	}
	pthread_detach(thread);
	return 0;
}

int recorder_new(struct recorder **ret, const struct recorder_config *config)
{
	struct recorder *recorder = calloc(1, sizeof(*recorder));
	int r;

	if (!recorder)
		return -ENOMEM;
	recorder->config = *config;
	recorder->fd = -1;
	TAILQ_INIT(&recorder->recordings);
	r = start_writer(recorder);
	if (r == 0)
		r = wait_for_check(recorder);
	if (r < 0) {
		recorder_free(recorder, 0);
		return r;
	}
	*ret = recorder;
	return 0;
}

struct recorder *recorder_free(struct recorder *recorder, uint64_t until_usec)
{
	struct recording *recording;

	if (!recorder)
		return NULL;
	while (recorder->count > 0 && wait_for_answer(recorder, until_usec))
		;
	if (recorder->count > 0)
		log_warning("The disk of '%s' hangs or is too slow: %u page%s "
			    "not kept",
			    recorder->config.path, recorder->count,
			    recorder->count == 1 ? " is" : "s are");
	while ((recording = TAILQ_FIRST(&recorder->recordings)))
		end_recording(recording);
	fd_close(recorder->fd);
	free(recorder);
	return NULL;
}

/* --- one page --- */

/* In a directory: YYYYMMDD-HHMMSS, LABEL, ".wav". */
static void name_file(char name[NAME_MAX + 1], const char *label)
{
	const time_t now = time(NULL);
	char stamp[32];
	struct tm tm;

	localtime_r(&now, &tm);
	strftime(stamp, sizeof(stamp), "%Y%m%d-%H%M%S", &tm);
	snprintf(name, NAME_MAX + 1, "%s%s.wav", stamp, label);
}

int recording_begin(struct recording **ret, struct recorder *recorder,
		    const char *label, const struct wav_format *format,
		    int samples_fd)
{
	_cleanup_close_ int fd = samples_fd;
	struct recording *recording;

	*ret = NULL;
	if (hangs(recorder)) {
		tell_hang(recorder);
		recorder->refused++;
		return 0;
	}
	recording = calloc(1, sizeof(*recording));
	if (!recording)
		return -ENOMEM;
	recording->recorder = recorder;
	recording->samples_fd = TAKE_FD(fd);
	recording->order.id = ++recorder->last_id;
	recording->order.is_first = true;
	recording->order.format = *format;
	name_file(recording->order.name, label);
	TAILQ_INSERT_TAIL(&recorder->recordings, recording, entry);
	recorder->count++;
	send_order(recording);
	*ret = recording;
	return 0;
}

void recording_push(struct recording *recording, uint64_t size)
{
	if (!recording || recording->order.verb != VERB_WRITE)
		return;
	recording->order.size = size;
	send_order(recording);
}

static void end_with(struct recording *recording, enum verb verb)
{
	if (!recording || recording->order.verb != VERB_WRITE)
		return;
	recording->order.verb = verb;
	send_order(recording);
}

void recording_finish(struct recording *recording)
{
	end_with(recording, VERB_FINISH);
}

void recording_discard(struct recording *recording)
{
	end_with(recording, VERB_DISCARD);
}

uint64_t recording_offset(const struct recording *recording)
{
	return recording && !recording->over &&
		       recording->order.verb != VERB_DISCARD
		   ? recording->written
		   : UINT64_MAX;
}

struct recording *recording_release(struct recording *recording)
{
	if (!recording)
		return NULL;
	recording_finish(recording);
	recording->released = true;
	free_if_unused(recording);
	return NULL;
}
