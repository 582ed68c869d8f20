/* SPDX-License-Identifier: MIT
 * HANDSHAKE if there are keys, WAITING, ON_AIR (header, samples), CLOSING until
 * the peer has acknowledged everything, OWING until it has closed. EPOLLOUT is
 * asked for only while something waits to be sent or acknowledged. */
#include "server/connection.h"

#include <assert.h>
#include <errno.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/util.h"
#include "server/peers.h"
#include "server/poller.h"
#include "wire/net.h"
#include "wire/receipt.h"
#include "wire/transport.h"

enum {
	/* Before the end of its page a client sends nothing; a few bytes may
	 * be a mistake. */
	GARBAGE_SIZE_MAX = 4096,
	/* Limits one turn, so that a fast client does not delay the others. */
	SEND_SIZE_MAX = 256 << 10,
	/* How often a client may stop the leads of all, for a second each. */
	PAUSES_MAX = 10,
};

/* A client may wait for its card, for another page or for a hook. */
#define RECEIPT_USEC (30 * USEC_PER_SEC)
#define STUCK_USEC (10 * USEC_PER_SEC)

/* A receipt that comes in pieces. */
struct line {
	size_t size;
	bool is_early; /* it began before the end was said */
	char text[RECEIPT_SIZE_MAX];
};

struct connection {
	struct transport *transport;
	struct poller *poller;
	struct poller_watch watch;
	enum connection_state state;
	bool blocked;		 /* waits for EPOLLOUT to go on sending */
	bool said_end;		 /* our sending side is shut down */
	bool read_closed;	 /* the peer has shut down its sending side */
	bool ended, told;	 /* on_end(), on_receipt() was called */
	enum connection_end how; /* it has ended */
	uint32_t garbage;
	struct tape *tape;
	uint8_t *header; /* NULL: it is sent */
	uint8_t header_size, header_sent;
	uint64_t offset, max_lag;
	uint64_t given; /* the offset behind what was sent last */
	enum connection_lagging lagging;
	bool is_shed;
	uint64_t stop_at; /* offset; UINT64_MAX: the end of the tape */
	uint64_t limit;	  /* offset: nothing beyond is sent yet */
	uint64_t joined;  /* the offset from which on it has the page */
	uint64_t lead, lead_max;
	unsigned pauses;
	uint64_t progress_usec, since_usec;
	uint64_t due_usec; /* when the last frame sounds at the earliest */
	int outq;	   /* unacknowledged bytes at the last check */
	struct connection_stats stats;
	struct wav_format format; /* of the page */
	struct line *line;	  /* NULL: nothing of a receipt has come */
	struct peers *peers;
	struct in6_addr address;
	struct vitals *vitals; /* NULL: it has not agreed to say anything */
	const struct connection_callbacks *callbacks;
	void *userdata;
	char peer[NET_ADDRESS_SIZE];
};

static void stop_watching(struct connection *c)
{
	if (c->poller)
		poller_remove(c->poller, &c->watch);
	c->poller = NULL;
}

static void update_events(struct connection *c)
{
	uint32_t events = 0;

	if (c->state == CONNECTION_HANDSHAKE)
		events = transport_events(c->transport);
	else if (!c->read_closed)
		events |= EPOLLIN;
	if (c->blocked)
		events |= EPOLLOUT;
	/* A socket that is shut down stays writable, and wakes when the peer
	 * has acknowledged the end. */
	else if (c->said_end)
		events |= EPOLLOUT | EPOLLET;
	/* Fails only for want of kernel memory; then the progress check ends
	 * the connection. */
	if (c->poller)
		(void)poller_change(c->poller, &c->watch, events);
}

/* The peer has all of its page. */
static void sent(struct connection *c)
{
	if (c->ended || c->state != CONNECTION_CLOSING)
		return;
	c->state = CONNECTION_OWING;
	c->due_usec = MAX(c->due_usec, now_usec());
	c->callbacks->on_sent(c, c->userdata);
}

static void tell_receipt(struct connection *c, const struct receipt *receipt)
{
	if (c->state != CONNECTION_OWING || c->told)
		return;
	c->told = true;
	c->callbacks->on_receipt(c, receipt, c->userdata);
}

static void end(struct connection *c, enum connection_end how)
{
	if (how == CONNECTION_DONE)
		sent(c);
	if (c->ended)
		return;
	c->ended = true;
	c->how = how;
	stop_watching(c);
	tell_receipt(c, NULL);
	c->callbacks->on_end(c, how, c->userdata);
}

static void set_blocked(struct connection *c, bool blocked)
{
	if (c->blocked == blocked)
		return;
	c->blocked = blocked;
	update_events(c);
}

/* Bytes that the kernel has queued, or has sent and were not acknowledged; the
 * end counts as one. After a reset too. */
static int unacknowledged(const struct connection *c)
{
	int outq;

	return ioctl(transport_fd(c->transport), SIOCOUTQ, &outq) < 0 ? 0
								      : outq;
}

static enum connection_end end_of_broken(const struct connection *c)
{
	switch (c->state) {
	case CONNECTION_HANDSHAKE:
		return CONNECTION_UNPROVEN;
	case CONNECTION_WAITING:
		return CONNECTION_LEFT;
	case CONNECTION_CLOSING:
		/* It has all, but for the end. */
		return c->said_end && unacknowledged(c) <=
					  transport_end_size(c->transport)
			   ? CONNECTION_DONE
			   : CONNECTION_LOST;
	case CONNECTION_OWING:
		return CONNECTION_DONE;
	case CONNECTION_ON_AIR:
		break;
	}
	return CONNECTION_LOST;
}

/* Returns how many of SIZE bytes, which a client has sent before the end of its
 * page, it should not have sent. */
static size_t take_vitals(struct connection *c, const char *data, size_t size)
{
	struct vitals *vitals = c->vitals;
	const bool was_known = vitals && vitals->said_usec > 0;
	enum receipt_card card;
	size_t garbage;

	if (!vitals)
		return size;
	card = vitals->said.card;
	garbage = vitals_feed(vitals, data, size, now_usec());
	if (vitals->said_usec > 0 && (!was_known || vitals->said.card != card))
		c->callbacks->on_card(c, c->userdata);
	return garbage;
}

/* What has come before the end was said is no receipt. */
static void discard_early(struct connection *c)
{
	char scratch[GARBAGE_SIZE_MAX];
	ssize_t n = 1; /* of the last read */

	while (n > 0 && c->garbage <= GARBAGE_SIZE_MAX && !c->read_closed) {
		n = transport_recv(c->transport, scratch, sizeof(scratch));
		if (n > 0)
			c->garbage +=
			    (uint32_t)take_vitals(c, scratch, (size_t)n);
		c->read_closed = n == 0;
	}
	if (c->garbage > GARBAGE_SIZE_MAX)
		end(c, CONNECTION_ABUSED);
	else if (n < 0 && n != -EAGAIN)
		end(c, CONNECTION_LOST);
}

/* Says that nothing follows. Closing with unread input would send a reset,
 * which can destroy what is still queued (RFC 1122, 4.2.2.13): wait for the
 * peer. */
static void say_end(struct connection *c)
{
	int r;

	discard_early(c);
	if (c->ended)
		return;
	r = transport_shutdown(c->transport);
	if (r == -EAGAIN) {
		set_blocked(c, true);
		return;
	}
	c->said_end = true;
	c->blocked = false;
	update_events(c);
	if (r < 0)
		end(c, end_of_broken(c));
}

static void begin_closing(struct connection *c)
{
	c->state = CONNECTION_CLOSING;
	c->due_usec += frames_to_usec(
	    c->stats.sent / wav_frame_size(&c->format), c->format.rate);
	c->tape = tape_unref(c->tape);
	say_end(c);
}

/* Whether the client is more than max_lag behind. */
static bool lags(const struct connection *c)
{
	return c->max_lag > 0 && c->tape->size - c->offset > c->max_lag &&
	       !c->tape->ended && c->stop_at == UINT64_MAX;
}

/* Skips to the newest frame. */
static void skip(struct connection *c)
{
	uint64_t lag = c->tape->size - c->offset;

	lag -= lag % wav_frame_size(&c->tape->format);
	c->offset += lag;
	c->stats.skips++;
	c->stats.skipped += lag;
}

/* 1 when the header is sent, -EAGAIN when the socket is full, or another
 * negative errno. */
static int send_header(struct connection *c)
{
	while (c->header_sent < c->header_size) {
		ssize_t n = transport_send(
		    c->transport, c->header + c->header_sent,
		    (size_t)(c->header_size - c->header_sent), TRANSPORT_MORE);

		if (n < 0)
			return (int)n;
		c->header_sent += (uint8_t)n;
		c->progress_usec = now_usec();
	}
	free(c->header);
	c->header = NULL;
	return 1;
}

/* 1 when all that may be sent is sent, 0 when the turn is over, -EAGAIN when
 * the socket is full, or another negative errno. */
static int send_samples(struct connection *c)
{
	const uint64_t end = MIN(c->stop_at, c->limit), before = c->offset;
	ssize_t n = 1;

	while (n > 0 && c->offset - before < SEND_SIZE_MAX) {
		uint64_t left = end - c->offset;

		n = tape_send(c->tape, c->transport, &c->offset,
			      left < SEND_SIZE_MAX ? left : SEND_SIZE_MAX);
	}
	if (c->offset > before) {
		c->stats.sent += c->offset - before;
		c->given = c->offset;
		c->progress_usec = now_usec();
	}
	if (n < 0)
		return (int)n;
	return n == 0;
}

static bool has_all(const struct connection *c)
{
	return c->offset == c->stop_at ||
	       (c->tape->ended && c->offset == c->tape->size);
}

/* Sends what there is. Returns as send_samples(). */
static int push(struct connection *c)
{
	int r = send_header(c);

	if (r > 0)
		r = send_samples(c);
	if (r < 0 && r != -EAGAIN)
		end(c, CONNECTION_LOST);
	else if (r > 0 && has_all(c))
		begin_closing(c);
	else
		set_blocked(c, r <= 0);
	return r;
}

static void read_early(struct connection *c)
{
	char scratch[4096];
	ssize_t n = transport_recv(c->transport, scratch, sizeof(scratch));

	if (n < 0) {
		if (n != -EAGAIN)
			end(c, end_of_broken(c));
		return;
	}
	if (n == 0) {
		c->read_closed = true;
		/* During a page this may be a half-close: such a peer still
		 * listens. */
		if (c->state >= CONNECTION_ON_AIR)
			update_events(c);
		else
			end(c, end_of_broken(c));
		return;
	}
	c->garbage += (uint32_t)take_vitals(c, scratch, (size_t)n);
	if (c->garbage > GARBAGE_SIZE_MAX)
		end(c, CONNECTION_ABUSED);
}

/* Whether RECEIPT speaks of no more than was sent. */
static bool is_believable(const struct connection *c,
			  const struct receipt *receipt)
{
	const uint64_t counts[] = {receipt->arrived_frames,
				   receipt->heard_frames,
				   receipt->dropped_frames};
	const uint64_t sent_frames = c->stats.sent / wav_frame_size(&c->format);

	for (size_t i = 0; i < ARRAY_SIZE(counts); i++)
		if (counts[i] != RECEIPT_UNKNOWN && counts[i] > sent_frames)
			return false;
	return true;
}

static void take_receipt(struct connection *c, const char *text, size_t size)
{
	struct receipt receipt;

	sent(c); /* or it could not be answered */
	if (c->ended)
		return;
	if (receipt_parse(&receipt, text, size) < 0 ||
	    !is_believable(c, &receipt)) {
		end(c, CONNECTION_ABUSED);
		return;
	}
	peers_add(c->peers, &c->address);
	tell_receipt(c, &receipt);
	end(c, CONNECTION_DONE);
}

/* A line of a client that waited may have been on its way for all of a short
 * page. */
static bool take_status(struct connection *c, size_t size)
{
	struct line *line = c->line;

	if (take_vitals(c, line->text, size) > 0)
		return false;
	line->size -= size;
	line->is_early = false;
	memmove(line->text, line->text + size, line->size);
	return true;
}

/* SIZE bytes were added to the line. */
static void take_bytes(struct connection *c, size_t size)
{
	struct line *line = c->line;
	const char *newline;

	line->size += size;
	while ((newline = memchr(line->text, '\n', line->size))) {
		size = (size_t)(newline + 1 - line->text);
		if (take_status(c, size))
			continue;
		if (line->is_early)
			end(c, CONNECTION_ABUSED);
		else
			take_receipt(c, line->text, size);
		return;
	}
	if (line->size == sizeof(line->text))
		end(c, CONNECTION_ABUSED);
}

/* Acknowledgements are progress too: a slow peer may take long over what the
 * kernel has queued. */
static void note_acknowledged(struct connection *c)
{
	const int before = c->outq;

	c->outq = unacknowledged(c);
	if (c->outq < before)
		c->progress_usec = now_usec();
	if (!c->said_end || c->outq > 0)
		return;
	sent(c);
	if (c->read_closed)
		end(c, CONNECTION_DONE);
}

/* The line so far, of which a part may have come before the end was said; NULL
 * without memory. */
static struct line *line_of(struct connection *c)
{
	struct line *line = c->line;

	if (line)
		return line;
	line = malloc(sizeof(*line));
	if (line) {
		line->size =
		    c->vitals ? vitals_take_part(c->vitals, line->text) : 0;
		line->is_early = line->size > 0;
	}
	c->line = line;
	return line;
}

/* Reads what there is, since the socket may be watched for edges. */
static void read_receipt(struct connection *c)
{
	if (c->state == CONNECTION_CLOSING)
		note_acknowledged(c);
	while (!c->ended) {
		struct line *line = line_of(c);
		ssize_t n;

		n = line ? transport_recv(c->transport, line->text + line->size,
					  sizeof(line->text) - line->size)
			 : -ENOMEM;
		if (n == -EAGAIN)
			return;
		if (n <= 0)
			c->read_closed = n != -ENOMEM;
		if (n == 0 && c->state == CONNECTION_CLOSING)
			update_events(c); /* it may still take the page */
		else if (n <= 0)
			end(c, end_of_broken(c));
		if (n <= 0)
			return;
		take_bytes(c, (size_t)n);
	}
}

void connection_check_key(struct connection *c)
{
	if (!transport_authorised(c->transport))
		end(c, CONNECTION_LOCKED_OUT);
}

static void go_on_shaking(struct connection *c)
{
	int r = transport_handshake(c->transport);

	if (r == 0) {
		c->state = CONNECTION_WAITING;
		/* Without memory it is as one of version 1. */
		if (transport_speaks_2(c->transport))
			c->vitals = calloc(1, sizeof(*c->vitals));
	} else if (r != -EAGAIN) {
		end(c, CONNECTION_UNPROVEN);
		return;
	}
	update_events(c);
	if (r == 0)
		connection_check_key(c); /* it may be gone */
	if (r == 0 && !c->ended)
		c->callbacks->on_ready(c, c->userdata);
}

static void on_writable(struct connection *c)
{
	if (c->state == CONNECTION_ON_AIR)
		push(c);
	else if (c->state == CONNECTION_CLOSING && !c->said_end)
		say_end(c);
	else if (c->state == CONNECTION_CLOSING)
		note_acknowledged(c);
}

static void on_ready(void *userdata, uint32_t revents)
{
	struct connection *c = userdata;

	if (c->state == CONNECTION_HANDSHAKE) {
		go_on_shaking(c);
		return;
	}
	/* A peer that has closed may have left a receipt. */
	if (c->said_end && revents & (EPOLLIN | EPOLLHUP | EPOLLERR))
		read_receipt(c);
	else if (revents & EPOLLIN && !(revents & (EPOLLHUP | EPOLLERR)))
		read_early(c);
	/* A reset reads as an end where the peer's end came before it. */
	if (!c->ended &&
	    revents & (c->said_end ? EPOLLERR : EPOLLHUP | EPOLLERR))
		end(c, end_of_broken(c));
	if (!c->ended && (revents & EPOLLOUT))
		on_writable(c);
}

static int watch(struct connection *c, struct poller *poller, int fd)
{
	int r;

	c->watch = (struct poller_watch){fd, on_ready, c};
	r = poller_add(poller, &c->watch);
	if (r == 0)
		c->poller = poller;
	return r;
}

int connection_new(struct connection **ret, struct poller *poller, int fd,
		   struct tls_keys *keys, struct peers *peers,
		   const struct sockaddr_storage *peer,
		   const struct connection_callbacks *callbacks, void *userdata)
{
	struct connection *c = calloc(1, sizeof(*c));
	int r;

	if (!c) {
		fd_close(fd);
		return -ENOMEM;
	}
	c->state = keys ? CONNECTION_HANDSHAKE : CONNECTION_WAITING;
	c->callbacks = callbacks;
	c->userdata = userdata;
	c->since_usec = now_usec();
	c->peers = peers;
	(void)net_address_v6(peer, &c->address);
	net_address_name(peer, c->peer);
	net_setup_sender(fd);
	r = keys ? transport_new_server(&c->transport, fd, keys)
		 : transport_new_plain(&c->transport, fd);
	if (r == 0)
		r = watch(c, poller, fd);
	if (r < 0) {
		connection_free(c);
		return r;
	}
	*ret = c;
	return 0;
}

struct connection *connection_free(struct connection *c)
{
	if (!c)
		return NULL;
	stop_watching(c);
	tape_unref(c->tape);
	free(c->header);
	free(c->line);
	free(c->vitals);
	transport_free(c->transport);
	free(c);
	return NULL;
}

/* To the end of the frame that it has begun. */
static void stop_soon(struct connection *c)
{
	const size_t frame_size = wav_frame_size(&c->tape->format);
	const size_t torn = (size_t)(c->offset % frame_size);

	c->stop_at = c->offset + (torn ? frame_size - torn : 0);
}

static void shed(struct connection *c)
{
	stop_soon(c);
	c->is_shed = true;
	c->stats.skips++;
	c->callbacks->on_shed(c, c->userdata);
	push(c);
}

/* 0 or -ENOMEM. */
static int put_header(struct connection *c, const struct wav_page *wish)
{
	const struct tape *tape = c->tape;
	uint64_t size = tape->ended ? tape->size : tape->planned_size;
	struct wav_page page;

	c->header = malloc(WAV_HEADER_SIZE_MAX);
	if (!c->header)
		return -ENOMEM;
	if (wish) {
		page = *wish;
		if (c->lead_max == 0)
			page.ahead_us = 0;
	}
	c->header_size = (uint8_t)wav_encode(
	    c->header, &tape->format,
	    size == WAV_ENDLESS ? WAV_ENDLESS : size - c->offset,
	    wish ? &page : NULL);
	return 0;
}

void connection_attach(struct connection *c, struct tape *tape, uint64_t offset,
		       const struct connection_feed *feed)
{
	assert(c->state == CONNECTION_WAITING);
	c->state = CONNECTION_ON_AIR;
	if (tape->ended)
		net_setup_bulk(transport_fd(c->transport));
	c->tape = tape_ref(tape);
	c->offset = c->given = c->joined = offset;
	c->max_lag = feed->max_lag;
	c->lagging = feed->lagging;
	c->stop_at = UINT64_MAX;
	c->limit = feed->pacing == CONNECTION_PACED ? offset : UINT64_MAX;
	c->lead_max = connection_speaks_2(c) ? feed->lead_max : 0;
	c->format = tape->format;
	c->progress_usec = c->due_usec = now_usec();
	static_assert(WAV_HEADER_SIZE_MAX <= UINT8_MAX, "header_size");
	if (put_header(c, feed->page) < 0)
		end(c, CONNECTION_LOST);
	else
		push(c);
}

void connection_push(struct connection *c)
{
	if (c->ended || c->state != CONNECTION_ON_AIR)
		return;
	/* Tried even while it waits for EPOLLOUT: a late server must not
	 * mistake its own delay for the client's. */
	if (push(c) != -EAGAIN || !lags(c))
		return;
	if (c->lagging == CONNECTION_SKIPS)
		skip(c);
	else
		shed(c);
}

void connection_finish(struct connection *c)
{
	if (c->ended || c->state != CONNECTION_ON_AIR)
		return;
	stop_soon(c);
	connection_push(c);
}

bool connection_pace(struct connection *c, const struct connection_pace *pace)
{
	if (c->ended || c->state != CONNECTION_ON_AIR)
		return false;
	if (pace->due > c->offset && pace->due - c->offset > pace->behind_max) {
		end(c, CONNECTION_CRAWLED);
		return false;
	}
	if (pace->due - c->joined >= pace->quiet)
		c->lead = MIN(c->lead + pace->growth, c->lead_max);
	c->limit = MIN(pace->due + c->lead, pace->end);
	c->limit = MAX(c->limit, pace->due);
	connection_push(c);
	return c->lead < c->lead_max;
}

bool connection_congests(struct connection *c, uint64_t size)
{
	if (c->ended || c->state != CONNECTION_ON_AIR ||
	    c->pauses == PAUSES_MAX ||
	    (uint64_t)unacknowledged(c) + (c->limit - c->offset) <= size)
		return false;
	c->pauses++;
	return true;
}

void connection_move(struct connection *c, struct poller *poller)
{
	stop_watching(c);
	if (poller_add(poller, &c->watch) == 0)
		c->poller = poller;
	else
		end(c, CONNECTION_DONE);
}

void connection_check_progress(struct connection *c, uint64_t now)
{
	if (c->ended || c->state < CONNECTION_ON_AIR)
		return;
	if (c->state == CONNECTION_ON_AIR && !c->blocked)
		return;
	if (c->state == CONNECTION_OWING) {
		if (now > c->due_usec + RECEIPT_USEC)
			end(c, CONNECTION_DONE);
		return;
	}
	note_acknowledged(c);
	if (c->state < CONNECTION_OWING && now > c->progress_usec + STUCK_USEC)
		end(c, CONNECTION_STUCK);
}

void connection_drop(struct connection *c, enum connection_end how)
{
	if (how == CONNECTION_TOO_SLOW)
		transport_refuse(c->transport);
	end(c, how);
}

enum connection_state connection_state(const struct connection *c)
{
	return c->state;
}

bool connection_is_shed(const struct connection *c)
{
	return c->is_shed;
}

const struct tape *connection_tape(const struct connection *c)
{
	return c->tape;
}

uint64_t connection_offset(const struct connection *c)
{
	return c->offset;
}

uint64_t connection_taken(const struct connection *c)
{
	return surplus(c->given, (uint64_t)unacknowledged(c));
}

const struct connection_stats *connection_stats(const struct connection *c)
{
	return &c->stats;
}

uint64_t connection_since_usec(const struct connection *c)
{
	return c->since_usec;
}

const char *connection_peer(const struct connection *c)
{
	return c->peer;
}

const char *connection_identity(const struct connection *c)
{
	return transport_identity(c->transport);
}

const struct vitals *connection_vitals(const struct connection *c)
{
	return c->vitals;
}

const char *connection_problem(const struct connection *c)
{
	return transport_problem(c->transport);
}

bool connection_speaks_2(const struct connection *c)
{
	return transport_speaks_2(c->transport) ||
	       peers_know(c->peers, &c->address);
}

enum connection_end connection_how(const struct connection *c)
{
	return c->how;
}

bool connection_peer_closed(const struct connection *c)
{
	return c->read_closed;
}
