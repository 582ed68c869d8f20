/* SPDX-License-Identifier: MIT
 * Both ends of a connection in one thread, on a pair of sockets; or one end
 * against raw bytes, or against GnuTLS with other settings. */
#include "wire/tls.h"
#include "wire/transport.h"

#include <fcntl.h>
#include <gnutls/gnutls.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/log.h"
#include "base/util.h"
#include "base/wallclock.h"
#include "folder.h"
#include "server/tape.h"
#include "test.h"

#define KEY_A "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define KEY_B "10112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

enum {
	PATIENCE_MS = 20000,
	PAGE_SIZE = 1 << 20,
	RECORD_SIZE = 16384,
};

static char server_path[PATH_MAX], client_path[PATH_MAX];
static struct tls_keys *server_keys, *client_keys;
static struct transport *server, *client;
static int raw = -1; /* a peer that sends raw bytes */
static struct tape *page;
static uint8_t sound[PAGE_SIZE], heard[PAGE_SIZE];
static bool over_tcp;
static int64_t stepped_ns; /* the wall clock, so far */

/* --- fixture --- */

/* Replaces a file, as an editor does. */
static void write_file(const char *path, const char *text)
{
	put_file("new", text, strlen(text));
	ck_assert_int_eq(rename(path_of("new"), path), 0);
}

static struct tls_keys *keys(const char *path, enum keyfile_role role,
			     const char *text)
{
	char problem[KEYFILE_PROBLEM_SIZE];
	struct tls_keys *ret = NULL;
	const char *why;
	struct keyfile *file;

	write_file(path, text);
	ck_assert_int_eq(keyfile_open(&file, path, role, problem), 0);
	ck_assert_int_eq(tls_keys_new(&ret, file, &why), 0);
	return ret;
}

static void make_keys(const char *of_server, const char *of_client)
{
	server_keys = keys(server_path, KEYFILE_SERVER, of_server);
	client_keys = keys(client_path, KEYFILE_CLIENT, of_client);
}

static void make_page(void)
{
	static const struct wav_format format = {WAV_PCM, 16, 2, 44100};
	uint32_t state = 1;

	for (size_t i = 0; i < sizeof(sound); i++) {
		state = state * 1664525 + 1013904223;
		sound[i] = (uint8_t)(state >> 24);
	}
	ck_assert_int_eq(tape_new(&page, NULL, &format, PAGE_SIZE), 0);
	ck_assert_int_eq(tape_append(page, sound, sizeof(sound)), 0);
}

static void setup(void)
{
	log_set_level(LOG_CRIT);
	signal(SIGPIPE, SIG_IGN);
	folder_setup("transport");
	strcpy(server_path, path_of("server"));
	strcpy(client_path, path_of("client"));
	make_page();
}

static void teardown(void)
{
	server = transport_free(server);
	client = transport_free(client);
	server_keys = tls_keys_free(server_keys);
	client_keys = tls_keys_free(client_keys);
	page = tape_unref(page);
	raw = fd_close(raw);
	folder_teardown();
}

FIXTURE(setup, teardown);
TIME_LIMIT(60);

/* --- both ends --- */

static void make_tcp_pair(int fds[2])
{
	struct sockaddr_in a = {.sin_family = AF_INET,
				.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(a);
	const int type = SOCK_STREAM | SOCK_CLOEXEC;
	const int listener = socket(AF_INET, type, 0);
	const int one = 1;

	fds[0] = socket(AF_INET, type, 0);
	setsockopt(fds[0], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	ck_assert_int_eq(listen(listener, 1), 0);
	ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&a, &size),
			 0);
	ck_assert_int_eq(connect(fds[0], (struct sockaddr *)&a, size), 0);
	fds[1] = accept4(listener, (struct sockaddr *)&a, &size,
			 SOCK_NONBLOCK | SOCK_CLOEXEC);
	ck_assert_int_ge(fds[1], 0);
	ck_assert_int_eq(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
	close(listener);
}

static void make_pair(int fds[2])
{
	if (over_tcp) {
		make_tcp_pair(fds);
		return;
	}
	ck_assert_int_eq(socketpair(AF_UNIX,
				    SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
				    0, fds),
			 0);
}

static void make_ends(void)
{
	int fds[2];

	make_pair(fds);
	ck_assert_int_eq(transport_new_server(&server, fds[0], server_keys), 0);
	ck_assert_int_eq(
	    transport_new_client(&client, fds[1], client_keys, "host"), 0);
}

/* Shakes hands until both ends are done. */
static void shake(void)
{
	int s = -EAGAIN, c = -EAGAIN;

	while (s == -EAGAIN || c == -EAGAIN) {
		struct pollfd p[2] = {
		    {transport_fd(s == -EAGAIN ? server : client),
		     (short)transport_events(s == -EAGAIN ? server : client),
		     0},
		    {transport_fd(c == -EAGAIN ? client : server),
		     (short)transport_events(c == -EAGAIN ? client : server),
		     0},
		};

		if (c == -EAGAIN)
			c = transport_handshake(client);
		if (s == -EAGAIN)
			s = transport_handshake(server);
		if (s == -EAGAIN && c == -EAGAIN)
			ck_assert_int_gt(poll(p, 2, PATIENCE_MS), 0);
	}
	ck_assert_int_eq(s, 0);
	ck_assert_int_eq(c, 0);
}

static void connect_ends(void)
{
	make_keys("server yard " KEY_A "\n", "client yard " KEY_A "\n");
	make_ends();
	shake();
}

static void connect_plain(void)
{
	int fds[2];

	make_pair(fds);
	ck_assert_int_eq(transport_new_plain(&server, fds[0]), 0);
	ck_assert_int_eq(transport_new_plain(&client, fds[1]), 0);
}

static void connect_as(int tls)
{
	if (tls)
		connect_ends();
	else
		connect_plain();
}

static void small_buffer(const struct transport *t)
{
	const int size = 4096;

	ck_assert_int_eq(setsockopt(transport_fd(t), SOL_SOCKET, SO_SNDBUF,
				    &size, sizeof(size)),
			 0);
}

/* Receives up to SIZE bytes; stops at EAGAIN. */
static size_t take(struct transport *t, uint8_t *data, size_t size, size_t step)
{
	size_t have = 0;

	while (have < size) {
		ssize_t n = transport_recv(
		    t, data + have, size - have < step ? size - have : step);

		if (n == -EAGAIN)
			break;
		ck_assert_int_gt(n, 0);
		have += (size_t)n;
	}
	return have;
}

/* Makes a server that waits for bytes from RAW. */
static void serve_raw(void)
{
	int fds[2];

	server_keys =
	    keys(server_path, KEYFILE_SERVER, "server yard " KEY_A "\n");
	make_pair(fds);
	raw = fds[1];
	ck_assert_int_eq(transport_new_server(&server, fds[0], server_keys), 0);
	ck_assert_int_eq(transport_handshake(server), -EAGAIN);
}

static void client_of_raw(void)
{
	int fds[2];

	client_keys =
	    keys(client_path, KEYFILE_CLIENT, "client yard " KEY_A "\n");
	make_pair(fds);
	raw = fds[1];
	ck_assert_int_eq(
	    transport_new_client(&client, fds[0], client_keys, "host"), 0);
	ck_assert_int_eq(transport_handshake(client), -EAGAIN);
}

static void put_raw(const void *data, size_t size)
{
	ck_assert_int_eq(send(raw, data, size, MSG_NOSIGNAL), (ssize_t)size);
}

/* --- the handshake --- */

TEST(the_right_key_is_a_handshake)
{
	make_keys("server lobby " KEY_B "\nserver yard " KEY_A "\n",
		  "client yard " KEY_A "\n");
	make_ends();
	ck_assert_ptr_null(transport_identity(server));
	shake();
	ck_assert_str_eq(transport_identity(server), "yard");
	ck_assert_str_eq(transport_identity(client), "yard");
	ck_assert_str_eq(transport_problem(server), "");
	ck_assert_int_eq(transport_handshake(server), 0);
}

TEST(both_ends_agree_on_version_2)
{
	make_keys("server yard " KEY_A "\n", "client yard " KEY_A "\n");
	make_ends();
	ck_assert(!transport_speaks_2(server));
	shake();
	ck_assert(transport_speaks_2(server));
	ck_assert(transport_speaks_2(client));
}

/* The client must receive the bytes of this alert. */
static void refused(const char *of_server, const char *words, uint8_t alert[16],
		    ssize_t *ret_size)
{
	make_keys(of_server, "client yard " KEY_A "\n");
	make_ends();
	ck_assert_int_eq(transport_handshake(client), -EAGAIN);
	ck_assert_int_eq(transport_handshake(server), -EACCES);
	ck_assert_ptr_nonnull(strstr(transport_problem(server), words));
	*ret_size = recv(transport_fd(client), alert, 16, MSG_PEEK);
	ck_assert_int_eq(transport_handshake(client), -EACCES);
	ck_assert_ptr_nonnull(strstr(transport_problem(client), "'yard'"));
	ck_assert_ptr_null(transport_identity(server));
	ck_assert_ptr_null(transport_identity(client));
	server = transport_free(server);
	client = transport_free(client);
	server_keys = tls_keys_free(server_keys);
	client_keys = tls_keys_free(client_keys);
}

TEST(an_unknown_identity_fails_exactly_like_a_wrong_key)
{
	uint8_t wrong[16], unknown[16];
	ssize_t wrong_size, unknown_size;

	refused("server yard " KEY_B "\n", "not that of 'yard'", wrong,
		&wrong_size);
	refused("server lobby " KEY_A "\n", "no key for 'yard'", unknown,
		&unknown_size);
	ck_assert_int_gt(wrong_size, 0);
	ck_assert_int_eq(wrong_size, unknown_size);
	ck_assert_mem_eq(wrong, unknown, (size_t)wrong_size);
}

TEST(the_client_uses_the_key_of_the_host)
{
	int fds[2];

	make_keys("server yard " KEY_A "\n", "client yard " KEY_A " host\n");
	make_pair(fds);
	ck_assert_int_eq(
	    transport_new_client(&client, fds[0], client_keys, "other"),
	    -ENOKEY);
	ck_assert_int_eq(fcntl(fds[0], F_GETFD), -1);
	close(fds[1]);
	make_ends();
	shake();
}

static const struct {
	const char *bytes;
	size_t size;
	int error;
} garbage[] = {
    {"GET / HTTP/1.0\r\n\r\n", 18, -EPROTO},
    {"RIFF\x24\xf0\xff\x7fWAVEfmt \x10\0\0\0", 20, -EPROTO},
    {"\x16\x03\x01\xff\xff", 5, -EPROTO},
    {"\x16\x03\x01\x00\x00", 5, -EPROTO},
    {"\x16\x03\x03\x00\x04\x01\xff\xff\xff", 9, -EPROTO},
    {"\x16\x03\x03\x00\x04\x01\x00\x00\x00", 9, -EPROTO},
    {"\x17\x03\x03\x00\x01\x00", 6, -EPROTO},
    {"\x15\x03\x03\x00\x02\x02\x28", 7, -EACCES},
    {"\x80\x80\x01\x03\x01", 5, -EPROTO},
};

/* Handshakes until that fails: some bytes look like the start of a record. */
static int fail_of(struct transport *t)
{
	int r = transport_handshake(t);

	if (r == -EAGAIN) {
		shutdown(raw, SHUT_WR);
		r = transport_handshake(t);
	}
	return r;
}

static void check_failure(struct transport *t, int number, int expected)
{
	int r = fail_of(t);

	ck_assert_msg(r == expected || r == -ECONNRESET, "%d: %d %s", number, r,
		      transport_problem(t));
	ck_assert_str_ne(transport_problem(t), "");
	ck_assert_ptr_null(transport_identity(t));
}

TEST_LOOP(garbage_ends_the_handshake_of_a_server, 0, ARRAY_SIZE(garbage))
{
	serve_raw();
	put_raw(garbage[_i].bytes, garbage[_i].size);
	check_failure(server, _i, garbage[_i].error);
}

TEST_LOOP(garbage_ends_the_handshake_of_a_client, 0, ARRAY_SIZE(garbage))
{
	client_of_raw();
	put_raw(garbage[_i].bytes, garbage[_i].size);
	check_failure(client, _i, garbage[_i].error);
}

TEST(random_bytes_end_the_handshake)
{
	for (unsigned i = 0; i < 64; i++) {
		uint8_t bytes[256];

		memcpy(bytes, sound + i * sizeof(bytes), sizeof(bytes));
		/* Half of the inputs begin like a record. */
		if (i % 2)
			memcpy(bytes, "\x16\x03\x01\x00\xfb\x01\x00\x00\xf7",
			       9);
		serve_raw();
		put_raw(bytes, sizeof(bytes));
		ck_assert_int_lt(fail_of(server), 0);
		server = transport_free(server);
		server_keys = tls_keys_free(server_keys);
		raw = fd_close(raw);
	}
}

/* A change_cipher_spec record, sent for the sake of middleboxes (RFC 8446,
 * D.4), has no effect, so a peer could send it for ever, as fast as it can. */
TEST(an_endless_handshake_is_cut_off)
{
	static const uint8_t record[] = {0x14, 3, 3, 0, 1, 1};
	int r = -EAGAIN;

	serve_raw();
	for (int i = 0; i < 100000 && r == -EAGAIN; i++) {
		put_raw(record, sizeof(record));
		r = transport_handshake(server);
	}
	ck_assert_int_eq(r, -EPROTO);
}

TEST(an_endless_handshake_does_not_keep_the_caller)
{
	static const uint8_t start[] = {0x16, 3, 3, 0x40, 0, 1, 0, 0x1f, 0xff};
	int r;

	serve_raw();
	put_raw(start, sizeof(start));
	while (send(raw, sound, 4096, MSG_NOSIGNAL) > 0)
		;
	r = transport_handshake(server);
	ck_assert_msg(r == -EPROTO || r == -EACCES, "%d %s", r,
		      transport_problem(server));
}

TEST(closing_in_the_handshake_is_a_reset)
{
	serve_raw();
	raw = fd_close(raw);
	ck_assert_int_eq(transport_handshake(server), -ECONNRESET);
	ck_assert_ptr_nonnull(strstr(transport_problem(server), "closed"));
	client_of_raw();
	raw = fd_close(raw);
	ck_assert_int_eq(transport_handshake(client), -ECONNRESET);
}

TEST(closing_before_the_last_flight_is_a_reset)
{
	make_keys("server yard " KEY_A "\n", "client yard " KEY_A "\n");
	make_ends();
	ck_assert_int_eq(transport_handshake(client), -EAGAIN);
	ck_assert_int_eq(transport_handshake(server), -EAGAIN);
	client = transport_free(client);
	ck_assert_int_lt(transport_handshake(server), 0);
	ck_assert_ptr_null(transport_identity(server));
}

/* Moves one byte. */
static void relay(int from, int to)
{
	uint8_t byte;

	if (recv(from, &byte, 1, 0) == 1)
		ck_assert_int_eq(send(to, &byte, 1, MSG_NOSIGNAL), 1);
}

TEST(a_handshake_survives_single_bytes)
{
	int near[2], far[2], s = -EAGAIN, c = -EAGAIN;

	make_keys("server yard " KEY_A "\n", "client yard " KEY_A "\n");
	make_pair(near);
	make_pair(far);
	ck_assert_int_eq(transport_new_server(&server, near[0], server_keys),
			 0);
	ck_assert_int_eq(
	    transport_new_client(&client, far[0], client_keys, "host"), 0);
	for (int i = 0; i < 10000 && (s == -EAGAIN || c == -EAGAIN); i++) {
		c = transport_handshake(client);
		s = transport_handshake(server);
		relay(near[1], far[1]);
		relay(far[1], near[1]);
	}
	ck_assert_int_eq(s, 0);
	ck_assert_int_eq(c, 0);
	close(near[1]);
	close(far[1]);
}

/* --- other settings --- */

static gnutls_session_t stranger;
static gnutls_psk_client_credentials_t stranger_key;

/* GnuTLS on RAW, with the right key. */
static void start_stranger(const char *settings)
{
	const gnutls_datum_t key = {(unsigned char *)KEY_A, 64};

	ck_assert_int_eq(
	    gnutls_init(&stranger, GNUTLS_CLIENT | GNUTLS_NONBLOCK), 0);
	ck_assert_int_eq(gnutls_priority_set_direct(stranger, settings, NULL),
			 0);
	ck_assert_int_eq(gnutls_psk_allocate_client_credentials(&stranger_key),
			 0);
	ck_assert_int_eq(gnutls_psk_set_client_credentials(
			     stranger_key, "yard", &key, GNUTLS_PSK_KEY_HEX),
			 0);
	gnutls_credentials_set(stranger, GNUTLS_CRD_PSK, stranger_key);
	gnutls_transport_set_int(stranger, raw);
}

static void stop_stranger(void)
{
	gnutls_deinit(stranger);
	gnutls_psk_free_client_credentials(stranger_key);
}

/* Returns the server's result. */
static int shake_stranger(void)
{
	int s = -EAGAIN, c = GNUTLS_E_AGAIN;

	for (int i = 0; i < 100 && s == -EAGAIN; i++) {
		if (c == GNUTLS_E_AGAIN)
			c = gnutls_handshake(stranger);
		s = transport_handshake(server);
	}
	return s;
}

static const struct {
	const char *settings;
	int result;
} settings[] = {
    {"NORMAL:-VERS-ALL:+VERS-TLS1.3:-KX-ALL:+ECDHE-PSK", 0},
    {"NORMAL:-KX-ALL:+ECDHE-PSK:+DHE-PSK:+PSK", 0},
    /* without forward secrecy; TLS 1.2; without a key */
    {"NORMAL:-VERS-ALL:+VERS-TLS1.3:-KX-ALL:+PSK", -EPROTO},
    {"NORMAL:-VERS-ALL:+VERS-TLS1.2:-KX-ALL:+ECDHE-PSK", -EPROTO},
    {"NORMAL:-VERS-ALL:+VERS-TLS1.3", -EPROTO},
    {"NORMAL", -EPROTO},
};

TEST_LOOP(only_keys_with_forward_secrecy_are_accepted, 0, ARRAY_SIZE(settings))
{
	int r;

	serve_raw();
	start_stranger(settings[_i].settings);
	r = shake_stranger();
	ck_assert_msg(r == settings[_i].result, "%s: %d %s",
		      settings[_i].settings, r, transport_problem(server));
	stop_stranger();
}

/* --- other protocols (ALPN) --- */

static void offer(gnutls_session_t session, const char *name, unsigned flags)
{
	const gnutls_datum_t protocol = {
	    .data = (unsigned char *)name,
	    .size = (unsigned)strlen(name),
	};

	ck_assert_int_eq(
	    gnutls_alpn_set_protocols(session, &protocol, 1, flags), 0);
}

static const struct {
	const char *name; /* NULL: none is offered */
	bool agreed;
} offers[] = {{NULL, false}, {"http/1.1", false}, {"intercom/2", true}};

/* As clients of version 1, openssl s_client and gnutls-cli. */
TEST_LOOP(a_client_that_offers_nothing_or_something_else_is_let_in, 0,
	  ARRAY_SIZE(offers))
{
	serve_raw();
	start_stranger(settings[0].settings);
	if (offers[_i].name)
		offer(stranger, offers[_i].name, 0);
	ck_assert_int_eq(shake_stranger(), 0);
	ck_assert_str_eq(transport_identity(server), "yard");
	ck_assert(transport_speaks_2(server) == offers[_i].agreed);
	stop_stranger();
}

static int give_key_a(gnutls_session_t session, const char *name,
		      gnutls_datum_t *ret)
{
	ret->data = gnutls_malloc(KEYFILE_KEY_SIZE);
	ret->size = KEYFILE_KEY_SIZE;
	for (size_t i = 0; i < KEYFILE_KEY_SIZE; i++) {
		const char hex[3] = {KEY_A[2 * i], KEY_A[2 * i + 1], 0};

		ret->data[i] = (unsigned char)strtoul(hex, NULL, 16);
	}
	return 0;
}

/* Shakes hands with a server that is GnuTLS on RAW, and returns the client's
 * result. NAME (or NULL) is the only protocol of that server. */
static int shake_with_stranger(const char *name, unsigned flags)
{
	gnutls_psk_server_credentials_t credentials;
	gnutls_session_t session;
	int c = -EAGAIN, s = GNUTLS_E_AGAIN;

	client_of_raw();
	gnutls_init(&session, GNUTLS_SERVER | GNUTLS_NONBLOCK);
	gnutls_priority_set_direct(session, settings[0].settings, NULL);
	gnutls_psk_allocate_server_credentials(&credentials);
	gnutls_psk_set_server_credentials_function(credentials, give_key_a);
	gnutls_credentials_set(session, GNUTLS_CRD_PSK, credentials);
	gnutls_transport_set_int(session, raw);
	if (name)
		offer(session, name, flags);
	for (int i = 0; i < 100 && c == -EAGAIN; i++) {
		if (s == GNUTLS_E_AGAIN)
			s = gnutls_handshake(session);
		if (s < 0 && s != GNUTLS_E_AGAIN)
			gnutls_alert_send_appropriate(session, s);
		c = transport_handshake(client);
	}
	gnutls_deinit(session);
	gnutls_psk_free_server_credentials(credentials);
	return c;
}

/* As one of version 1. */
TEST(with_a_server_that_ignores_the_offer_nothing_is_agreed)
{
	ck_assert_int_eq(shake_with_stranger(NULL, 0), 0);
	ck_assert(!transport_speaks_2(client));
}

TEST(a_server_that_refuses_the_offer_is_named)
{
	ck_assert_int_eq(shake_with_stranger("http/1.1", GNUTLS_ALPN_MANDATORY),
			 -EACCES);
	ck_assert_ptr_nonnull(
	    strstr(transport_problem(client), "and not 'intercom/2'"));
	ck_assert(!transport_speaks_2(client));
}

/* The peer asks for new keys while a record waits for its socket. */
TEST(new_keys_during_a_full_socket_lose_nothing)
{
	uint64_t offset = 0;
	size_t have = 0;
	ssize_t n;

	serve_raw();
	small_buffer(server);
	start_stranger(settings[0].settings);
	ck_assert_int_eq(shake_stranger(), 0);
	while ((n = tape_send(page, server, &offset, PAGE_SIZE)) > 0)
		;
	ck_assert_int_eq(n, -EAGAIN);
	ck_assert_int_eq(gnutls_session_key_update(stranger, GNUTLS_KU_PEER),
			 0);
	ck_assert_int_eq(transport_recv(server, heard, 1), -EAGAIN);
	while (have < PAGE_SIZE) {
		n = tape_send(page, server, &offset, PAGE_SIZE);
		ck_assert(n >= 0 || n == -EAGAIN);
		n = gnutls_record_recv(stranger, heard + have,
				       PAGE_SIZE - have);
		ck_assert(n > 0 || n == GNUTLS_E_AGAIN);
		have += n > 0 ? (size_t)n : 0;
	}
	ck_assert_mem_eq(heard, sound, PAGE_SIZE);
	stop_stranger();
}

/* --- data, plain (0) and with TLS (1) --- */

TEST_LOOP(bytes_arrive_in_both_directions, 0, 2)
{
	char text[16];

	connect_as(_i);
	ck_assert_int_eq(transport_send(server, "to you", 6, TRANSPORT_NO_MORE),
			 6);
	ck_assert_int_eq(transport_recv(client, text, sizeof(text)), 6);
	ck_assert_mem_eq(text, "to you", 6);
	ck_assert_int_eq(transport_send(client, "to me", 5, TRANSPORT_NO_MORE),
			 5);
	ck_assert_int_eq(transport_recv(server, text, sizeof(text)), 5);
	ck_assert_mem_eq(text, "to me", 5);
	ck_assert_int_eq(transport_recv(server, text, sizeof(text)), -EAGAIN);
	ck_assert_int_eq(transport_recv(client, text, sizeof(text)), -EAGAIN);
}

TEST_LOOP(an_end_takes_so_many_bytes, 0, 2)
{
	int size = 0;

	over_tcp = true;
	connect_as(_i);
	ck_assert_int_eq(transport_shutdown(server), 0);
	ck_assert_int_eq(ioctl(transport_fd(client), FIONREAD, &size), 0);
	/* The FIN is no byte to read. */
	ck_assert_int_eq(size, transport_end_size(server) - 1);
}

int64_t __real_wallclock_offset_ns(void);
int64_t __wrap_wallclock_offset_ns(void);
int64_t __wrap_wallclock_offset_ns(void)
{
	return __real_wallclock_offset_ns() + stepped_ns;
}

static void send_word(void)
{
	ck_assert_int_eq(transport_send(server, "word", 4, TRANSPORT_NO_MORE),
			 4);
}

/* Waits for it, and returns when it had arrived. */
static int64_t arrival_of_word(void)
{
	struct pollfd p = {.fd = transport_fd(client), .events = POLLIN};
	char text[16];

	ck_assert_int_eq(poll(&p, 1, PATIENCE_MS), 1);
	ck_assert_int_eq(transport_recv(client, text, sizeof(text)), 4);
	return transport_arrival_ns(client);
}

static void nothing_waits(void)
{
	char byte;

	ck_assert_int_eq(transport_recv(client, &byte, 1), -EAGAIN);
}

/* The kernel begins to stamp some time after it was asked to, as it patches its
 * own code for that. */
static void time_arrivals(void)
{
	transport_time_arrivals(client);
	nothing_waits();
	do
		send_word();
	while (arrival_of_word() == 0);
}

TEST_LOOP(the_kernel_tells_when_bytes_arrived, 0, 2)
{
	int64_t before_ns, read_ns, ns;

	over_tcp = true;
	connect_as(_i);
	ck_assert_int_eq(transport_arrival_ns(client), 0);
	time_arrivals();
	nothing_waits();
	before_ns = wallclock_monotonic_ns();
	send_word();
	/* It is read much later. */
	ck_assert_int_eq(poll(NULL, 0, 20), 0);
	read_ns = wallclock_monotonic_ns();
	ns = arrival_of_word();
	ck_assert_int_ge(ns, before_ns - 1000000);
	ck_assert_int_lt(ns, read_ns);
}

/* Whether it steps forth or back. */
TEST_LOOP(a_wall_clock_that_steps_tells_no_arrival, 0, 4)
{
	over_tcp = true;
	connect_as(_i % 2);
	time_arrivals();
	nothing_waits();
	send_word();
	stepped_ns = (_i < 2 ? 3 : -3) * (int64_t)NSEC_PER_SEC;
	ck_assert_int_eq(arrival_of_word(), 0);
	send_word();
	ck_assert_int_eq(arrival_of_word(), 0);
	stepped_ns = 0;
	nothing_waits();
	send_word();
	ck_assert_int_ne(arrival_of_word(), 0);
}

/* Sends a page in turns of TURN_SIZE bytes and reads READ_SIZE at a time. */
static void page_arrives(size_t turn_size, size_t read_size)
{
	uint64_t offset = 0;
	size_t have = 0, full = 0;
	ssize_t n;

	for (;;) {
		n = tape_send(page, server, &offset, turn_size);
		if (n > 0)
			continue;
		if (n == 0)
			break;
		ck_assert_int_eq(n, -EAGAIN);
		ck_assert_int_eq(tape_send(page, server, &offset, turn_size),
				 -EAGAIN);
		full++;
		have += take(client, heard + have, PAGE_SIZE - have, read_size);
	}
	ck_assert_uint_eq(offset, PAGE_SIZE);
	ck_assert_uint_gt(full, 10);
	have += take(client, heard + have, PAGE_SIZE - have, read_size);
	ck_assert_uint_eq(have, PAGE_SIZE);
	ck_assert_mem_eq(heard, sound, PAGE_SIZE);
}

TEST_LOOP(a_page_arrives_exactly_through_a_small_socket, 0, 16)
{
	static const size_t reads[] = {PAGE_SIZE, 4096, 1000, 7};
	static const size_t turns[] = {PAGE_SIZE, 3528};

	connect_as(_i / 8);
	small_buffer(server);
	page_arrives(turns[_i / 4 % 2], reads[_i % 4]);
}

TEST_LOOP(a_page_is_sent_only_as_far_as_asked, 0, 2)
{
	uint64_t offset = 4;

	connect_as(_i);
	ck_assert_int_eq(tape_send(page, server, &offset, 1000), 1000);
	ck_assert_uint_eq(offset, 1004);
	ck_assert_uint_eq(take(client, heard, PAGE_SIZE, PAGE_SIZE), 1000);
	ck_assert_mem_eq(heard, sound + 4, 1000);
	ck_assert_int_eq(tape_send(page, server, &offset, 0), 0);
	offset = PAGE_SIZE;
	ck_assert_int_eq(tape_send(page, server, &offset, 1000), 0);
	ck_assert_int_eq(transport_recv(client, heard, 1), -EAGAIN);
}

/* transport_send() is given more than the socket takes. */
TEST_LOOP(partial_sends_are_resumed, 0, 2)
{
	size_t sent = 0, have = 0;

	connect_as(_i);
	small_buffer(server);
	while (have < PAGE_SIZE) {
		ssize_t n = transport_send(server, sound + sent,
					   PAGE_SIZE - sent, TRANSPORT_MORE);

		ck_assert(n >= 0 || n == -EAGAIN);
		sent += n > 0 ? (size_t)n : 0;
		have += take(client, heard + have, PAGE_SIZE - have, 5000);
	}
	ck_assert_mem_eq(heard, sound, PAGE_SIZE);
}

TEST_LOOP(queued_bytes_are_counted, 0, 2)
{
	size_t queued;

	connect_as(_i);
	ck_assert_uint_eq(transport_queued(client), 0);
	ck_assert_int_eq(
	    transport_send(server, sound, 10000, TRANSPORT_NO_MORE), 10000);
	queued = transport_queued(client);
	ck_assert_uint_ge(queued, 10000);
	ck_assert_uint_lt(queued, 10100);
	ck_assert_uint_eq(transport_pending(client), 0);
	ck_assert_int_eq(transport_recv(client, heard, 1000), 1000);
	ck_assert_uint_eq(transport_queued(client), 9000);
	/* Decrypted bytes, which poll() does not see. */
	ck_assert_uint_eq(transport_pending(client), _i ? 9000 : 0);
}

TEST_LOOP(shutdown_ends_one_direction, 0, 2)
{
	connect_as(_i);
	ck_assert_int_eq(transport_send(server, "last", 4, TRANSPORT_MORE), 4);
	ck_assert_int_eq(transport_shutdown(server), 0);
	ck_assert_int_eq(transport_shutdown(server), 0);
	ck_assert_int_eq(transport_recv(client, heard, PAGE_SIZE), 4);
	ck_assert_int_eq(transport_recv(client, heard, PAGE_SIZE), 0);
	ck_assert_int_eq(transport_recv(client, heard, PAGE_SIZE), 0);
	ck_assert_int_eq(transport_send(client, "word", 4, TRANSPORT_NO_MORE),
			 4);
	ck_assert_int_eq(transport_recv(server, heard, PAGE_SIZE), 4);
}

TEST(shutdown_sends_what_waits)
{
	uint64_t offset = 0;
	size_t have = 0;

	connect_ends();
	small_buffer(server);
	while (tape_send(page, server, &offset, PAGE_SIZE) > 0)
		;
	ck_assert_uint_eq(transport_events(server), EPOLLOUT);
	ck_assert_int_eq(transport_shutdown(server), -EAGAIN);
	while (transport_shutdown(server) == -EAGAIN) {
		ck_assert_uint_eq(transport_events(server), EPOLLOUT);
		have += take(client, heard + have, offset - have, 1000);
	}
	ck_assert_uint_eq(transport_events(server), EPOLLIN);
	have += take(client, heard + have, offset - have, 1000);
	ck_assert_uint_eq(have, offset);
	ck_assert_mem_eq(heard, sound, have);
	ck_assert_int_eq(transport_recv(client, heard, 1), 0);
}

TEST_LOOP(an_end_without_a_word_is_an_end_only_when_plain, 0, 2)
{
	connect_as(_i);
	ck_assert_int_eq(transport_send(server, "last", 4, TRANSPORT_NO_MORE),
			 4);
	server = transport_free(server);
	ck_assert_int_eq(transport_recv(client, heard, PAGE_SIZE), 4);
	ck_assert_int_eq(transport_recv(client, heard, PAGE_SIZE),
			 _i ? -ECONNRESET : 0);
}

TEST_LOOP(sending_to_a_closed_peer_is_an_error, 0, 2)
{
	uint64_t offset = 0;

	connect_as(_i);
	client = transport_free(client);
	ck_assert_int_eq(transport_send(server, "?", 1, TRANSPORT_NO_MORE),
			 -EPIPE);
	ck_assert_int_eq(tape_send(page, server, &offset, PAGE_SIZE), -EPIPE);
	ck_assert_uint_eq(offset, 0);
}

TEST(altered_bytes_are_refused)
{
	uint8_t record[64];
	ssize_t n;
	int fd;

	connect_ends();
	fd = transport_fd(client);
	ck_assert_int_eq(transport_send(server, "sound", 5, TRANSPORT_NO_MORE),
			 5);
	n = recv(fd, record, sizeof(record), 0);
	ck_assert_int_eq(n, 5 + 22);
	record[8] ^= 1;
	ck_assert_int_eq(send(transport_fd(server), record, (size_t)n, 0), n);
	ck_assert_int_eq(transport_recv(client, heard, PAGE_SIZE), -EBADMSG);
}

/* --- a key that is taken away --- */

TEST(a_removed_key_loses_its_right)
{
	connect_ends();
	ck_assert(transport_authorised(server));
	write_file(server_path, "server yard " KEY_A "\nserver b " KEY_B "\n");
	tls_keys_refresh(server_keys);
	ck_assert(transport_authorised(server));
	write_file(server_path, "server b " KEY_B "\n");
	ck_assert(transport_authorised(server));
	tls_keys_refresh(server_keys);
	ck_assert(!transport_authorised(server));
	write_file(server_path, "server yard " KEY_B "\n");
	tls_keys_refresh(server_keys);
	ck_assert(!transport_authorised(server));
	ck_assert(transport_authorised(client));
}

TEST(a_key_that_cannot_be_read_again_stays)
{
	connect_ends();
	write_file(server_path, "server\n");
	tls_keys_refresh(server_keys);
	ck_assert(transport_authorised(server));
	tls_keys_refresh(NULL);
}

TEST(plain_is_always_done_and_authorised)
{
	connect_plain();
	ck_assert_int_eq(transport_handshake(server), 0);
	ck_assert(transport_authorised(server));
	ck_assert(!transport_speaks_2(server));
	ck_assert_ptr_null(transport_identity(server));
	ck_assert_str_eq(transport_problem(server), "");
	ck_assert_uint_eq(transport_events(server), EPOLLIN);
	ck_assert_ptr_null(transport_free(NULL));
	ck_assert_ptr_null(tls_keys_free(NULL));
}
