/* SPDX-License-Identifier: MIT
 * Owns the connection to one server and its known addresses. Logs changes of
 * state, not every attempt. */
#include "feed/session.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>

#include "audio/samples.h"
#include "base/backoff.h"
#include "base/log.h"
#include "base/util.h"
#include "feed/debts.h"
#include "wire/receipt.h"
#include "wire/tls.h"
#include "wire/transport.h"

enum {
	/* Finds a server within 5 s of the network's return: the longest pause
	 * after the rest of an attempt whose SYNs were lost. */
	PAUSE_MAX_MS = 3000,
	CONNECT_USEC = 2500 * 1000, /* for each address */
	HANDSHAKE_USEC = 5000 * 1000,
	HEADER_USEC = 10000 * 1000,  /* from its first byte to its last */
	SILENCE_USEC = 30000 * 1000, /* a page without data is broken */
	LINGER_USEC = 1000 * 1000,
	/* Between two lines to a server that has agreed to them. */
	STATUS_USEC = 55 * 1000 * 1000,
	STATUS_SPREAD_USEC = 5 * 1000 * 1000,
	SETTLE_USEC = 1000 * 1000,  /* shorter connections are dubious */
	FORGIVE_USEC = 5000 * 1000, /* longer ones reset the pauses */
	SHORT_PAUSE_MAX_MS = 1000,  /* after short pages in a row .. */
	SHORT_PAGES_FREE = 3,	    /* .. but not after so many */
	STOP_AHEAD_USEC = 500 * 1000,
	/* Of a server that has asked for a key: it takes 5 s for each refusal,
	 * and somebody has to bring a key. */
	KEYLESS_SETTLE_USEC = 15000 * 1000,
	KEYLESS_PAUSE_MAX_MS = 60000,
	RECEIVE_BUFFER_SIZE = 128 * 1024,
	LEFT_SIZE = 4096,
	STEP_READS = 16, /* limits the reads of one step */
	PROBLEM_SIZE = 192,
	SAMPLE_SIZE_MAX = 8,
};

struct session {
	char *name;
	struct net_endpoint endpoint;
	enum session_state state;
	uint64_t deadline_usec;
	struct backoff backoff, short_pages;
	uint64_t short_usec;	    /* what makes a page short */
	unsigned short_count;	    /* of such pages in a row */
	char problem[PROBLEM_SIZE]; /* logged last; "" when all is well */
	bool was_connected;	    /* since the last problem */
	bool dubious;		    /* the last connection ended quickly */
	bool keyless;		    /* the server has asked for a key */
	uint64_t connected_usec;
	uint64_t status_usec; /* when to say a line; UINT64_MAX: never */
	struct session_counts counts;

	int resolver_fd;
	bool literal;		      /* the host is an address */
	struct resolver_result known; /* count 0: none yet */
	struct resolver_result fresh; /* for the next round; count 0: none */
	uint32_t first;		      /* index of the one that worked last */
	uint32_t tried;		      /* how many, in this round */
	int connect_error;

	struct tls_keys *keys; /* or NULL: plain */
	int fd;
	struct transport *transport; /* NULL while connecting; owns the fd */
	struct wav_parser parser;
	/* Samples that came with the header, or that had to be made plain. */
	uint8_t left[LEFT_SIZE];
	size_t left_begin, left_size;
	uint8_t torn[SAMPLE_SIZE_MAX]; /* one that is not plain, nor whole */
	size_t torn_size;
	uint64_t last_data_usec;
	/* When the first frame of a played page was due, at the latest; and
	 * whether all that had arrived was read at some time. */
	uint64_t due_usec;
	bool caught_up;
	struct session_page page;
	struct debts debts;
};

/* --- attempts --- */

static void disconnect(struct session *session)
{
	if (session->transport)
		session->transport = transport_free(session->transport);
	else
		fd_close(session->fd);
	session->fd = -1;
	session->left_begin = session->left_size = session->torn_size = 0;
}

/* Keeps the connection of the page, which the server has ended, for its
 * receipt. */
static void owe_receipt(struct session *session)
{
	const struct session_page *page = &session->page;
	const struct debt debt = {
	    .transport = session->transport,
	    .number = page->number,
	    .arrived_frames = page->received / wav_frame_size(&page->format),
	};

	debts_add(&session->debts, debt);
	session->transport = NULL;
	session->fd = -1;
}

static void pause_for(struct session *session, uint64_t now_usec,
		      uint64_t pause_usec)
{
	disconnect(session);
	session->tried = 0;
	session->state = SESSION_PAUSED;
	session->deadline_usec = now_usec + pause_usec;
}

/* How long the connection lasted decides whether the next one is dubious, and
 * whether the pauses start short again. */
static void judge_connection(struct session *session, uint64_t now_usec)
{
	const uint64_t lived_usec = now_usec - session->connected_usec;

	if (session->fd < 0 || session->state == SESSION_CONNECTING)
		return;
	session->dubious = session->keyless || lived_usec < SETTLE_USEC;
	if (lived_usec >= FORGIVE_USEC && !session->keyless)
		backoff_reset(&session->backoff);
}

/* Logs the problem, unless it is still the same, and pauses ever longer. */
__attribute__((format(printf, 3, 4))) static void
fail(struct session *session, uint64_t now_usec, const char *format, ...)
{
	char problem[PROBLEM_SIZE];
	va_list ap;

	va_start(ap, format);
	vsnprintf(problem, sizeof(problem), format, ap);
	va_end(ap);
	judge_connection(session, now_usec);
	session->counts.failed++;
	session->was_connected = false;
	if (strcmp(session->problem, problem) != 0) {
		strcpy(session->problem, problem);
		log_warning("%s: %s; trying again", session->name, problem);
	}
	pause_for(session, now_usec, backoff_next(&session->backoff));
}

static void set_keyless(struct session *session, bool keyless)
{
	session->keyless = keyless;
	session->backoff.limit_ms =
	    keyless ? KEYLESS_PAUSE_MAX_MS : PAUSE_MAX_MS;
}

/* The connection has proved itself. */
static void settle(struct session *session)
{
	if (!session->was_connected)
		log_info("%s: connected, waiting for a page", session->name);
	session->was_connected = true;
	session->dubious = false;
	set_keyless(session, false);
	*session->problem = '\0';
	if (session->state == SESSION_WAITING)
		session->deadline_usec = UINT64_MAX;
}

static void connected(struct session *session, uint64_t now_usec)
{
	session->counts.connected++;
	session->connected_usec = now_usec;
	session->state = SESSION_WAITING;
	session->deadline_usec =
	    now_usec + (session->keyless ? KEYLESS_SETTLE_USEC : SETTLE_USEC);
	session->status_usec =
	    transport_speaks_2(session->transport) ? now_usec : UINT64_MAX;
	wav_parser_init(&session->parser);
	/* Else a server that closes at once would be logged each time. */
	if (!session->dubious)
		settle(session);
}

static void step_handshake(struct session *session, uint64_t now_usec)
{
	const char *problem;
	const int r = transport_handshake(session->transport);

	if (r == 0) {
		connected(session, now_usec);
		return;
	}
	if (r == -EAGAIN && now_usec < session->deadline_usec)
		return;
	problem = transport_problem(session->transport);
	if (r == -EAGAIN)
		problem =
		    "the server does not answer (does it use --psk-file?)";
	else if (!*problem)
		problem = strerror(-r);
	fail(session, now_usec, "No handshake: %s", problem);
}

static int make_transport(struct session *session)
{
	if (!session->keys)
		return transport_new_plain(&session->transport, session->fd);
	tls_keys_refresh(session->keys);
	return transport_new_client(&session->transport, session->fd,
				    session->keys, session->endpoint.host);
}

/* The TCP connection is there; TLS, if any, comes next. */
static void socket_connected(struct session *session, uint64_t now_usec)
{
	int r;

	net_setup_receiver(session->fd);
	session->first =
	    (session->first + session->tried - 1) % session->known.count;
	session->tried = 0;
	r = make_transport(session);
	if (r < 0) {
		session->fd = -1;
		fail(session, now_usec, "%s",
		     r == -ENOKEY ? "The --psk-file has no key for this server"
				  : strerror(-r));
		return;
	}
	session->connected_usec = now_usec;
	session->state = SESSION_HANDSHAKE;
	session->deadline_usec = now_usec + HANDSHAKE_USEC;
	step_handshake(session, now_usec);
}

static void all_addresses_failed(struct session *session, uint64_t now_usec)
{
	/* The addresses may have changed: look them up during the pause. */
	if (session->resolver_fd < 0 && !session->literal)
		session->resolver_fd = resolver_start(&session->endpoint);
	fail(session, now_usec, "Cannot connect: %s",
	     net_strerror(session->connect_error));
}

static void connect_next(struct session *session, uint64_t now_usec)
{
	while (session->tried < session->known.count) {
		const uint32_t index =
		    (session->first + session->tried) % session->known.count;
		struct resolver_address *address =
		    &session->known.addresses[index];
		const struct addrinfo info = {
		    .ai_family = address->address.ss_family,
		    .ai_socktype = SOCK_STREAM,
		    .ai_addr = (struct sockaddr *)&address->address,
		    .ai_addrlen = address->size,
		};
		const int fd = net_connect(&info, RECEIVE_BUFFER_SIZE);

		session->tried++;
		if (fd >= 0) {
			session->fd = fd;
			session->state = SESSION_CONNECTING;
			session->deadline_usec = now_usec + CONNECT_USEC;
			return;
		}
		session->connect_error = fd;
	}
	all_addresses_failed(session, now_usec);
}

static void lookup_failed(struct session *session, uint64_t now_usec, int error)
{
	fail(session, now_usec, "Cannot find its address: %s",
	     net_strerror(error));
}

static void attempt(struct session *session, uint64_t now_usec)
{
	if (session->fresh.count > 0) {
		session->known = session->fresh;
		session->fresh.count = 0;
		session->first = 0;
	}
	if (session->known.count == 0)
		session->literal =
		    resolver_literal(&session->endpoint, &session->known) == 0;
	if (session->known.count > 0) {
		connect_next(session, now_usec);
		return;
	}
	if (session->resolver_fd < 0 && !session->literal)
		session->resolver_fd = resolver_start(&session->endpoint);
	if (session->resolver_fd < 0) {
		lookup_failed(session, now_usec,
			      session->literal ? session->known.error
					       : session->resolver_fd);
		return;
	}
	session->state = SESSION_RESOLVING;
	session->deadline_usec = UINT64_MAX;
}

/* A lookup may end in any state. Its addresses replace the known ones in the
 * next round. */
static void take_lookup(struct session *session, uint64_t now_usec)
{
	struct resolver_result result;
	int r;

	if (session->resolver_fd < 0)
		return;
	r = resolver_take(session->resolver_fd, &result);
	if (r == -EAGAIN)
		return;
	session->resolver_fd = fd_close(session->resolver_fd);
	if (r == 0)
		r = result.error;
	if (r == 0)
		session->fresh = result;
	if (session->state != SESSION_RESOLVING)
		return;
	if (r < 0)
		lookup_failed(session, now_usec, r);
	else
		attempt(session, now_usec);
}

static void step_connecting(struct session *session, uint64_t now_usec)
{
	struct pollfd fd = {.fd = session->fd, .events = POLLOUT};

	if (poll(&fd, 1, 0) > 0)
		session->connect_error = net_connect_result(session->fd);
	else if (now_usec < session->deadline_usec)
		return;
	else
		session->connect_error = -ETIMEDOUT;
	if (session->connect_error == 0) {
		socket_connected(session, now_usec);
		return;
	}
	disconnect(session);
	connect_next(session, now_usec);
}

/* --- header and page --- */

bool session_page_is_played(const struct session_page *page)
{
	return page->announced.flags & WAV_PAGE_PLAYED;
}

/* The format in which the server sends. */
static const struct wav_format *sent_format(const struct session *session)
{
	return &session->parser.format;
}

static bool is_plain(const struct session *session)
{
	return wav_format_equal(sent_format(session), &session->page.format);
}

/* How much SIZE bytes of what the server sends are when they are plain. */
static uint64_t plain_size(const struct session *session, uint64_t size)
{
	if (size == WAV_ENDLESS || is_plain(session))
		return size;
	return size / wav_frame_size(sent_format(session)) *
	       wav_frame_size(&session->page.format);
}

/* SIZE bytes of samples are in session->left, from left_begin on. A torn one
 * waits for its rest. */
static void take_samples(struct session *session, size_t size)
{
	const size_t sample_size = sent_format(session)->bits / 8;
	uint8_t *data = session->left + session->left_begin;

	session->left_size = size;
	if (is_plain(session))
		return;
	session->torn_size = size % sample_size;
	size -= session->torn_size;
	memcpy(session->torn, data + size, session->torn_size);
	session->left_size = samples_to_plain(sent_format(session), data, size);
}

/* DATA_SIZE is what the server sends, or WAV_ENDLESS. */
static void begin_page(struct session *session, uint64_t data_size,
		       uint64_t now_usec)
{
	session->page = (struct session_page){
	    .format = wav_plain(sent_format(session)),
	    .begun_usec = now_usec,
	    .number = session->page.number + 1,
	    .announced = session->parser.page,
	    .result = SESSION_RUNNING,
	};
	session->page.data_size = plain_size(session, data_size);
	take_samples(session, session->left_size);
	session->last_data_usec = session->due_usec = now_usec;
	session->caught_up = false;
	session->state = SESSION_PAGE;
	session->deadline_usec = UINT64_MAX;
	settle(session);
}

/* Whether a page whose header states no samples has a whole frame of them: then
 * its size is unknown. */
static bool has_samples(struct session *session, uint64_t now_usec)
{
	const size_t frame_size = wav_frame_size(&session->parser.format);

	if (session->left_size < frame_size)
		return false;
	begin_page(session, WAV_ENDLESS, now_usec);
	return true;
}

static void await_samples(struct session *session, uint64_t now_usec)
{
	memmove(session->left, session->left + session->left_begin,
		session->left_size);
	session->left_begin = 0;
	session->state = SESSION_UNSIZED;
	session->deadline_usec = now_usec + SILENCE_USEC;
	(void)has_samples(session, now_usec);
}

/* SIZE bytes of a header are in session->left. */
static void feed_header(struct session *session, size_t size, uint64_t now_usec)
{
	ssize_t n;

	if (session->state == SESSION_WAITING &&
	    transport_is_refusal(session->left, size)) {
		set_keyless(session, true);
		fail(session, now_usec,
		     "It lets in only who has a key: --psk-file with this "
		     "loudspeaker's key is needed");
		return;
	}
	if (session->state == SESSION_WAITING) {
		session->state = SESSION_HEADER;
		session->deadline_usec = now_usec + HEADER_USEC;
	}
	n = wav_parser_feed(&session->parser, session->left, size);
	if (n < 0) {
		fail(session, now_usec, "This is not a page: %s",
		     session->parser.error);
		return;
	}
	session->left_begin = (size_t)n;
	session->left_size = size - (size_t)n;
	if (!session->parser.done)
		return;
	if (wav_parser_may_be_empty(&session->parser))
		await_samples(session, now_usec);
	else
		begin_page(session,
			   wav_parser_size(&session->parser, WAV_SOCKET, 0),
			   now_usec);
}

static void closed_without_page(struct session *session, ssize_t error,
				uint64_t now_usec)
{
	fail(session, now_usec, "The connection ended %s: %s",
	     session->state == SESSION_HEADER ? "in a header" : "before a page",
	     error < 0 ? strerror((int)-error) : "the server closed it");
}

static void step_header(struct session *session, uint64_t now_usec)
{
	for (int i = 0; i < STEP_READS; i++) {
		const ssize_t n = transport_recv(
		    session->transport, session->left, sizeof(session->left));

		if (n == -EAGAIN)
			break;
		if (n <= 0) {
			closed_without_page(session, n, now_usec);
			return;
		}
		feed_header(session, (size_t)n, now_usec);
		if (session->state != SESSION_HEADER)
			return;
	}
	if (now_usec < session->deadline_usec)
		return;
	if (session->state == SESSION_WAITING)
		settle(session);
	else
		fail(session, now_usec, "A header did not end within 10 s");
}

static void step_unsized(struct session *session, uint64_t now_usec)
{
	ssize_t n;

	do {
		n = transport_recv(session->transport,
				   session->left + session->left_size,
				   sizeof(session->left) - session->left_size);
		if (n > 0)
			session->left_size += (size_t)n;
		if (n > 0 && has_samples(session, now_usec))
			return;
	} while (n > 0);
	if (n == 0 || (n == -EAGAIN && now_usec >= session->deadline_usec))
		begin_page(session, 0, now_usec);
	else if (n != -EAGAIN)
		closed_without_page(session, n, now_usec);
}

static bool is_short(const struct session_page *page, uint64_t short_usec)
{
	const uint64_t frames = page->received / wav_frame_size(&page->format);

	return frames == 0 ||
	       frames_to_usec(frames, page->format.rate) < short_usec;
}

/* Connects at once, since the next page may begin at any time; but pauses after
 * short pages in a row, since a server may send those for ever. */
static void reconnect(struct session *session, uint64_t now_usec)
{
	const bool brief = is_short(&session->page, session->short_usec);

	if (!brief || now_usec - session->connected_usec >= FORGIVE_USEC) {
		session->short_count = 0;
		backoff_reset(&session->short_pages);
	}
	if (brief && session->short_count++ >= SHORT_PAGES_FREE) {
		pause_for(session, now_usec,
			  backoff_next(&session->short_pages));
		return;
	}
	backoff_reset(&session->backoff);
	pause_for(session, now_usec, 0);
	attempt(session, now_usec);
}

static void step_lingering(struct session *session, uint64_t now_usec)
{
	for (int i = 0; i < STEP_READS; i++) {
		const ssize_t n = transport_recv(
		    session->transport, session->left, sizeof(session->left));

		if (n == -EAGAIN)
			break;
		if (n == 0)
			owe_receipt(session);
		if (n <= 0) {
			reconnect(session, now_usec);
			return;
		}
	}
	if (now_usec >= session->deadline_usec)
		reconnect(session, now_usec);
}

static void page_complete(struct session *session, uint64_t now_usec)
{
	session->page.result = SESSION_COMPLETE;
	session->left_size = session->torn_size = 0;
	session->state = SESSION_LINGERING;
	session->deadline_usec = now_usec + LINGER_USEC;
}

static uint64_t received_usec(const struct session_page *page)
{
	return frames_to_usec(page->received / wav_frame_size(&page->format),
			      page->format.rate);
}

/* All that has arrived was read. A server sends no more than ahead_us before it
 * is due: so a header that was late itself does not make the page seem early.
 */
static void note_due(struct session *session, uint64_t now_usec)
{
	const struct session_page *page = &session->page;
	const uint64_t ahead_usec = page->announced.ahead_us;
	const uint64_t arrived_usec = received_usec(page);

	session->caught_up = true;
	if (ahead_usec > 0 && arrived_usec > ahead_usec)
		session->due_usec = MIN(session->due_usec,
					now_usec - (arrived_usec - ahead_usec));
}

/* Whether the server has ended the page before its end, which it tells by
 * closing the connection. Without a size, a recording has ended when nearly all
 * of it is due. */
static bool is_stop(const struct session *session, uint64_t now_usec)
{
	const struct session_page *page = &session->page;

	if (page->data_size != WAV_ENDLESS)
		return true;
	return session_page_is_played(page) && session->caught_up &&
	       session->due_usec + received_usec(page) >
		   now_usec + STOP_AHEAD_USEC;
}

/* ERROR is 0 when the server closed the connection. */
static void page_closed(struct session *session, ssize_t error,
			uint64_t now_usec)
{
	if (error == 0) {
		session->page.result = is_stop(session, now_usec)
					   ? SESSION_STOPPED
					   : SESSION_COMPLETE;
		owe_receipt(session);
		reconnect(session, now_usec);
		return;
	}
	session->page.result = SESSION_CUT_SHORT;
	fail(session, now_usec, "the connection broke in mid-page: %s",
	     strerror((int)-error));
}

static size_t take_left(struct session *session, void *buffer, size_t size)
{
	size = MIN(size, session->left_size);
	memcpy(buffer, session->left + session->left_begin, size);
	session->left_begin += size;
	session->left_size -= size;
	return size;
}

static uint64_t remaining(const struct session_page *page)
{
	return page->data_size == WAV_ENDLESS
		   ? UINT64_MAX
		   : page->data_size - page->received;
}

/* Fills session->left again, when the samples have to be made plain. Bytes
 * received, or as transport_recv(). */
static ssize_t refill(struct session *session)
{
	ssize_t n;

	memcpy(session->left, session->torn, session->torn_size);
	n = transport_recv(session->transport,
			   session->left + session->torn_size,
			   sizeof(session->left) - session->torn_size);
	if (n <= 0)
		return n;
	session->left_begin = 0;
	take_samples(session, session->torn_size + (size_t)n);
	return n;
}

/* As session_read(), of what is there. */
static ssize_t receive(struct session *session, void *buffer, size_t size,
		       uint64_t now_usec)
{
	ssize_t n;

	if (session->left_size == 0 && is_plain(session))
		return transport_recv(session->transport, buffer, size);
	if (session->left_size == 0) {
		n = refill(session);
		if (n <= 0)
			return n;
		session->last_data_usec = now_usec;
	}
	n = (ssize_t)take_left(session, buffer, size);
	return n > 0 ? n : -EAGAIN;
}

ssize_t session_read(struct session *session, void *buffer, size_t size,
		     uint64_t now_usec)
{
	struct session_page *page = &session->page;
	ssize_t n;

	assert(session->state == SESSION_PAGE);
	if (remaining(page) == 0) {
		page_complete(session, now_usec);
		return 0;
	}
	size = MIN(size, remaining(page));
	if (size == 0)
		return -EAGAIN;
	n = receive(session, buffer, size, now_usec);
	if (n == -EAGAIN && now_usec >= session->last_data_usec + SILENCE_USEC)
		n = -ETIMEDOUT;
	if (n == -EAGAIN) {
		note_due(session, now_usec);
		return n;
	}
	if (n <= 0) {
		page_closed(session, n, now_usec);
		return 0;
	}
	page->received += (uint64_t)n;
	session->last_data_usec = now_usec;
	return n;
}

size_t session_queued(const struct session *session)
{
	if (session->state != SESSION_PAGE)
		return 0;
	return MIN(
	    remaining(&session->page),
	    session->left_size +
		plain_size(session, transport_queued(session->transport)));
}

void session_time_arrivals(struct session *session)
{
	transport_time_arrivals(session->transport);
}

int64_t session_arrival_ns(const struct session *session)
{
	return transport_arrival_ns(session->transport);
}

uint64_t session_age_usec(const struct session *session)
{
	struct tcp_info info = {0};
	socklen_t size = sizeof(info);

	(void)getsockopt(session->fd, IPPROTO_TCP, TCP_INFO, &info, &size);
	return (uint64_t)info.tcpi_last_data_recv * 1000;
}

void session_hold_off(struct session *session, uint64_t now_usec)
{
	session->last_data_usec = now_usec;
}

void session_give_receipt(struct session *session, uint64_t number,
			  const struct receipt *receipt)
{
	debts_pay(&session->debts, number, receipt);
}

/* --- life --- */

int session_new(struct session **ret, const char *name,
		const struct net_endpoint *endpoint, struct tls_keys *keys,
		uint64_t short_usec)
{
	_cleanup_free_ struct session *session = calloc(1, sizeof(*session));

	if (!session)
		return -ENOMEM;
	session->name = strdup(name);
	if (!session->name)
		return -ENOMEM;
	session->endpoint = *endpoint;
	session->keys = keys;
	set_keyless(session, false);
	session->short_pages.limit_ms = SHORT_PAUSE_MAX_MS;
	session->short_usec = short_usec;
	session->fd = session->resolver_fd = -1;
	session->state = SESSION_PAUSED; /* until 0: the first step connects */
	*ret = TAKE_PTR(session);
	return 0;
}

struct session *session_free(struct session *session)
{
	if (!session)
		return NULL;
	disconnect(session);
	debts_clear(&session->debts);
	fd_close(session->resolver_fd);
	free(session->name);
	free(session);
	return NULL;
}

void session_step(struct session *session, uint64_t now_usec)
{
	take_lookup(session, now_usec);
	switch (session->state) {
	case SESSION_PAUSED:
		if (now_usec >= session->deadline_usec)
			attempt(session, now_usec);
		break;
	case SESSION_CONNECTING:
		step_connecting(session, now_usec);
		break;
	case SESSION_HANDSHAKE:
		step_handshake(session, now_usec);
		break;
	case SESSION_WAITING:
	case SESSION_HEADER:
		step_header(session, now_usec);
		break;
	case SESSION_UNSIZED:
		step_unsized(session, now_usec);
		break;
	case SESSION_LINGERING:
		step_lingering(session, now_usec);
		break;
	case SESSION_RESOLVING:
	case SESSION_PAGE:
		break;
	}
}

uint64_t session_deadline(const struct session *session)
{
	if (session->state == SESSION_PAGE)
		return session->last_data_usec + SILENCE_USEC;
	if (session->state == SESSION_WAITING)
		return MIN(session->deadline_usec, session->status_usec);
	return session->deadline_usec;
}

bool session_wants_status(const struct session *session, uint64_t now_usec)
{
	return session->state == SESSION_WAITING &&
	       now_usec >= session->status_usec;
}

void session_say(struct session *session, const char *line, size_t size,
		 uint64_t now_usec)
{
	/* A connection that takes nothing is found broken by reading. */
	(void)transport_send(session->transport, line, size, TRANSPORT_NO_MORE);
	session->status_usec =
	    now_usec + STATUS_USEC + backoff_random(STATUS_SPREAD_USEC);
}

unsigned session_pollfds(const struct session *session, struct pollfd fds[2],
			 enum session_wanted wanted)
{
	unsigned count = 0;
	short events = 0;

	if (session->state == SESSION_CONNECTING)
		events = POLLOUT;
	else if (session->state == SESSION_HANDSHAKE)
		events = (short)transport_events(session->transport);
	else if (session->state != SESSION_PAGE ||
		 wanted == SESSION_SAMPLES_WANTED)
		events = POLLIN;
	/* poll() does not see data that was read or decrypted already. The
	 * socket is always writable, since we send no data, so POLLOUT wakes at
	 * once. */
	if (events == POLLIN && session->transport &&
	    ((session->state == SESSION_PAGE && session->left_size > 0) ||
	     transport_pending(session->transport) > 0))
		events = POLLOUT;
	/* Leave out a descriptor without events: poll() would return POLLHUP
	 * for it all the time. */
	if (events && session->fd >= 0)
		fds[count++] =
		    (struct pollfd){.fd = session->fd, .events = events};
	if (session->resolver_fd >= 0)
		fds[count++] = (struct pollfd){.fd = session->resolver_fd,
					       .events = POLLIN};
	return count;
}

const char *session_name(const struct session *session)
{
	return session->name;
}

enum session_state session_state(const struct session *session)
{
	return session->state;
}

const char *session_problem(const struct session *session)
{
	return session->problem;
}

const char *session_state_name(const struct session *session)
{
	static const char *const names[] = {
	    [SESSION_PAUSED] = "trying to connect",
	    [SESSION_RESOLVING] = "looking its address up",
	    [SESSION_CONNECTING] = "connecting",
	    [SESSION_HANDSHAKE] = "connecting",
	    [SESSION_WAITING] = "connected",
	    [SESSION_HEADER] = "receiving a header",
	    [SESSION_UNSIZED] = "receiving a header",
	    [SESSION_PAGE] = "page",
	    [SESSION_LINGERING] = "page over",
	};

	return names[session->state];
}

struct session_counts session_counts(const struct session *session)
{
	return session->counts;
}

const struct session_page *session_page(const struct session *session)
{
	return &session->page;
}
