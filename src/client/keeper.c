/* SPDX-License-Identifier: MIT
 * The loop and the thread share one socket pair. There is at most one order on
 * its way: the loop only knows what is wished, and orders it when the last one
 * is answered. So a volume is never changed before the old one is on the disk,
 * and what was wished meanwhile and is not any more is never done. */
#include "client/keeper.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/log.h"
#include "base/thread.h"
#include "base/util.h"
#include "client/cardrate.h"
#include "client/mixer.h"

/* So old an order is a disk that hangs. A page waits for no more. */
#define HANG_USEC USEC_PER_SEC

enum verb { VERB_BEGIN, VERB_SET_VOLUME, VERB_RESTORE_VOLUME, VERB_SAVE_RATE };

struct order {
	enum verb verb;
	double rate; /* also of the answer to VERB_BEGIN */
};

struct keeper {
	int fd;
	int volume;
	uint64_t sent_usec; /* of the order that is on its way; 0: none is */
	bool wants_volume, has_volume; /* of a page */
	double rate, kept_rate;
	bool told_hang;
};

/* --- the thread --- */

struct worker {
	int fd;
	const char *device;
	struct mixer *mixer; /* NULL: the volume is left alone */
	unsigned percent;
};

static void carry_out(struct worker *worker, struct order *order)
{
	switch (order->verb) {
	case VERB_BEGIN:
		mixer_restore_left_over();
		order->rate = cardrate_load(worker->device);
		break;
	case VERB_SET_VOLUME:
		mixer_set(worker->mixer, worker->percent);
		break;
	case VERB_RESTORE_VOLUME:
		mixer_restore(worker->mixer);
		break;
	case VERB_SAVE_RATE:
		cardrate_save(worker->device, order->rate);
		break;
	}
}

static struct worker *worker_free(struct worker *worker)
{
	mixer_free(worker->mixer);
	fd_close(worker->fd);
	free(worker);
	return NULL;
}

static void *worker_main(void *userdata)
{
	struct worker *worker = userdata;
	struct order order;

	while (TEMP_FAILURE_RETRY(recv(worker->fd, &order, sizeof(order), 0)) ==
	       (ssize_t)sizeof(order)) {
		carry_out(worker, &order);
		(void)TEMP_FAILURE_RETRY(
		    send(worker->fd, &order, sizeof(order), MSG_NOSIGNAL));
	}
	return worker_free(worker);
}

/* --- the loop's side --- */

/* The socket has room, since what was sent before is answered. */
static void send_order(struct keeper *keeper, enum verb verb)
{
	const struct order order = {.verb = verb, .rate = keeper->rate};

	if (send(keeper->fd, &order, sizeof(order),
		 MSG_NOSIGNAL | MSG_DONTWAIT) > 0)
		keeper->sent_usec = now_usec();
}

/* Orders what is wished and not done, if anything. */
static void send_next(struct keeper *keeper)
{
	if (keeper->sent_usec > 0)
		return;
	if (keeper->wants_volume && !keeper->has_volume) {
		send_order(keeper, VERB_SET_VOLUME);
	} else if (!keeper->wants_volume && keeper->has_volume) {
		/* From now on: the next page must not rely on it. */
		keeper->has_volume = false;
		send_order(keeper, VERB_RESTORE_VOLUME);
	} else if (keeper->rate != keeper->kept_rate) {
		send_order(keeper, VERB_SAVE_RATE);
	}
}

static void on_answer(struct keeper *keeper, const struct order *answer)
{
	keeper->sent_usec = 0;
	if (keeper->told_hang)
		log_notice("The disk of the state directory is back");
	keeper->told_hang = false;
	switch (answer->verb) {
	case VERB_BEGIN:
		/* What was learned meanwhile is newer. */
		if (keeper->rate == 0)
			keeper->rate = answer->rate;
		keeper->kept_rate = answer->rate;
		break;
	case VERB_SET_VOLUME:
		keeper->has_volume = true;
		break;
	case VERB_RESTORE_VOLUME:
		break;
	case VERB_SAVE_RATE:
		keeper->kept_rate = answer->rate;
		break;
	}
}

int keeper_fd(const struct keeper *keeper)
{
	return keeper->fd;
}

void keeper_dispatch(struct keeper *keeper)
{
	struct order answer;

	if (keeper->sent_usec > 0 &&
	    recv(keeper->fd, &answer, sizeof(answer), MSG_DONTWAIT) > 0)
		on_answer(keeper, &answer);
	send_next(keeper);
}

static bool hangs(const struct keeper *keeper, uint64_t now_usec)
{
	return keeper->sent_usec > 0 &&
	       now_usec >= keeper->sent_usec + HANG_USEC;
}

bool keeper_volume_is_set(struct keeper *keeper, uint64_t now_usec)
{
	if (keeper->volume < 0)
		return true;
	keeper->wants_volume = true;
	send_next(keeper);
	if (keeper->has_volume)
		return true;
	if (!hangs(keeper, now_usec))
		return false;
	if (!keeper->told_hang)
		log_warning("The disk of the state directory hangs: pages play "
			    "at the present volume until it is back");
	keeper->told_hang = true;
	return true;
}

uint64_t keeper_deadline(const struct keeper *keeper, uint64_t now_usec)
{
	return keeper->sent_usec > 0 && !hangs(keeper, now_usec)
		   ? keeper->sent_usec + HANG_USEC
		   : UINT64_MAX;
}

void keeper_restore_volume(struct keeper *keeper)
{
	keeper->wants_volume = false;
	send_next(keeper);
}

double keeper_card_rate(const struct keeper *keeper)
{
	return keeper->rate;
}

void keeper_learn_card_rate(struct keeper *keeper, double rate)
{
	keeper->rate = rate;
	send_next(keeper);
}

/* --- its life --- */

/* Takes over WORKER. The loop's end of the socket, or negative errno. */
static int start(struct worker *worker)
{
	pthread_t thread;
	int fds[2], r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0) {
		r = -errno;
		worker_free(worker);
		return r;
	}
	worker->fd = fds[1];
	r = thread_start(&thread, "keeper", worker_main, worker);
	if (r < 0) {
		worker_free(worker);
		fd_close(fds[0]);
		return r;
	}
	pthread_detach(thread);
	return fds[0];
}

/* As start(). */
static int add_worker(int volume, const char *device, const char *mixer)
{
	struct worker *worker = calloc(1, sizeof(*worker));
	int r = 0;

	if (!worker)
		return -ENOMEM;
	worker->fd = -1;
	worker->device = device;
	if (volume >= 0) {
		worker->percent = (unsigned)volume;
		r = mixer_new(&worker->mixer, device, mixer);
	}
	if (r < 0) {
		worker_free(worker);
		return r;
	}
	return start(worker);
}

int keeper_new(struct keeper **ret, const char *device, const char *mixer,
	       int volume)
{
	struct keeper *keeper = calloc(1, sizeof(*keeper));
	int r;

	if (!keeper)
		return -ENOMEM;
	r = add_worker(volume, device, mixer);
	if (r < 0) {
		free(keeper);
		return r;
	}
	keeper->fd = r;
	keeper->volume = volume;
	send_order(keeper, VERB_BEGIN);
	*ret = keeper;
	return 0;
}

struct keeper *keeper_free(struct keeper *keeper, uint64_t until_usec)
{
	struct pollfd fd = {.events = POLLIN};
	uint64_t now;

	if (!keeper)
		return NULL;
	keeper_restore_volume(keeper);
	fd.fd = keeper->fd;
	while (keeper->sent_usec > 0 && (now = now_usec()) < until_usec) {
		(void)poll(&fd, 1, (int)((until_usec - now) / 1000 + 1));
		keeper_dispatch(keeper);
	}
	fd_close(keeper->fd);
	free(keeper);
	return NULL;
}
