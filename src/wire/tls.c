/* SPDX-License-Identifier: MIT
 * The only file that calls GnuTLS. GnuTLS writes through push(), which buffers
 * whatever the socket does not take. So no call into GnuTLS ever has to be
 * repeated with the same data. */
#include "wire/tls.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/log.h"
#include "base/util.h"
#include "wire/arrivals.h"
#include "wire/gnutls-table.h"

enum {
	/* Limits a stranger; a handshake of ours takes some 500 bytes. */
	HANDSHAKE_SIZE_MAX = 32768,
	HANDSHAKE_MESSAGE_SIZE_MAX = 8192,
	/* Limits one call, so that a fast peer does not keep us in it. */
	RECEIVE_TURN_SIZE = 4 * TLS_RECORD_SIZE_MAX,
	/* Waits for the socket: a record, and messages of GnuTLS itself. */
	OUT_SIZE_MAX = 2 * TLS_RECORD_SIZE_MAX,
	PROBLEM_SIZE = 128,
};

/* Ciphers with one hash, and key exchange with ECDHE only: +PSK would allow it
 * without. GnuTLS demands a signature algorithm although none is used. The
 * server, which has most to encrypt, chooses the cipher. */
#define PRIORITIES(ciphers)                                                    \
	"NONE:+VERS-TLS1.3:" ciphers ":+AEAD:+ECDHE-PSK:"                      \
	"+GROUP-X25519:+GROUP-SECP256R1:"                                      \
	"+SIGN-ECDSA-SECP256R1-SHA256:%SERVER_PRECEDENCE"

/* What a peer of version 2 speaks (RFC 7301). */
#define PROTOCOL "intercom/2"

struct tls_keys {
	struct keyfile *file;
	gnutls_priority_t priorities;
	gnutls_psk_server_credentials_t server;
};

struct tls {
	int fd;
	struct arrivals *arrivals;
	gnutls_session_t session;
	struct tls_keys *keys;
	gnutls_psk_client_credentials_t client; /* NULL on the server's side */
	uint8_t *out; /* bytes the socket has not taken, or NULL */
	size_t out_begin, out_size;
	size_t budget;	/* bytes that pull() may still read */
	int send_flags; /* MSG_MORE or 0 */
	int error;	/* of the socket, which is then broken */
	bool shaken;	/* GnuTLS is done with the handshake */
	bool ready;	/* and all of it is sent */
	bool said_bye;
	char identity[KEYFILE_IDENTITY_SIZE];
	bool has_key;		       /* the file has a key for identity */
	uint8_t key[KEYFILE_KEY_SIZE]; /* a copy of that key */
	char problem[PROBLEM_SIZE];
};

/* Loaded with the first keys, and constant from then on. */
static const struct gnutls_table *gnutls;

/* --- keys --- */

/* Allocates *ret, which GnuTLS frees. */
static int give_key(gnutls_datum_t *ret, const struct tls *tls)
{
	ret->data = (*gnutls->malloc)(KEYFILE_KEY_SIZE);
	if (!ret->data)
		return GNUTLS_E_MEMORY_ERROR;
	ret->size = KEYFILE_KEY_SIZE;
	if (tls->has_key) {
		memcpy(ret->data, tls->key, KEYFILE_KEY_SIZE);
		return 0;
	}
	return gnutls->rnd(GNUTLS_RND_KEY, ret->data, ret->size);
}

/* Gives a name that is not in the file a random key. So the peer sees the same
 * failure as with a wrong key, and cannot find out names. */
static int on_server_key(gnutls_session_t session, const gnutls_datum_t *name,
			 gnutls_datum_t *ret)
{
	struct tls *tls = gnutls->session_get_ptr(session);
	const struct keyfile_key *key = NULL;

	if (name->size < sizeof(tls->identity)) {
		memcpy(tls->identity, name->data, name->size);
		tls->identity[name->size] = '\0';
		/* Refuses a name that contains a 0. */
		if (strlen(tls->identity) == name->size)
			key = keyfile_find(tls->keys->file, tls->identity);
	}
	tls->has_key = key;
	if (key)
		memcpy(tls->key, key->key, sizeof(tls->key));
	return give_key(ret, tls);
}

/* AES is faster than ChaCha20 with these instructions, and slower without. */
static bool cpu_has_aes(void)
{
#if defined(__x86_64__) || defined(__i386__)
	return __builtin_cpu_supports("aes");
#elif defined(__aarch64__)
	return getauxval(AT_HWCAP) & HWCAP_AES;
#else
	return false;
#endif
}

int tls_keys_new(struct tls_keys **ret, struct keyfile *file,
		 const char **ret_problem)
{
	const char *priorities =
	    cpu_has_aes() ? PRIORITIES("+AES-128-GCM:+CHACHA20-POLY1305")
			  : PRIORITIES("+CHACHA20-POLY1305:+AES-128-GCM");
	struct tls_keys *keys = calloc(1, sizeof(*keys));

	gnutls = gnutls_table_load(ret_problem);
	if (!keys || !gnutls) {
		if (gnutls)
			*ret_problem = strerror(ENOMEM);
		keyfile_free(file);
		free(keys);
		return gnutls ? -ENOMEM : -ELIBACC;
	}
	keys->file = file;
	if (gnutls->priority_init(&keys->priorities, priorities, NULL) < 0 ||
	    gnutls->psk_allocate_server_credentials(&keys->server) < 0) {
		tls_keys_free(keys);
		*ret_problem = "TLS 1.3 is switched off in the settings of "
			       "GnuTLS, or memory is short";
		return -EOPNOTSUPP;
	}
	gnutls->psk_set_server_credentials_function2(keys->server,
						     on_server_key);
	*ret = keys;
	return 0;
}

int tls_keys_load(struct tls_keys **ret, const char *path,
		  enum keyfile_role role)
{
	char problem[KEYFILE_PROBLEM_SIZE];
	const char *tls_problem;
	struct keyfile *file;
	int r = keyfile_open(&file, path, role, problem);

	if (r < 0) {
		log_error("--psk-file '%s': %s", path, problem);
		return r;
	}
	r = tls_keys_new(ret, file, &tls_problem);
	if (r < 0)
		log_error("Cannot use TLS for --psk-file: %s", tls_problem);
	return r;
}

struct tls_keys *tls_keys_free(struct tls_keys *keys)
{
	if (!keys)
		return NULL;
	if (keys->server)
		gnutls->psk_free_server_credentials(keys->server);
	if (keys->priorities)
		gnutls->priority_deinit(keys->priorities);
	keyfile_free(keys->file);
	free(keys);
	return NULL;
}

void tls_keys_refresh(struct tls_keys *keys)
{
	char problem[KEYFILE_PROBLEM_SIZE];
	int r;

	if (!keys)
		return;
	r = keyfile_refresh(keys->file, problem);
	if (r > 0)
		log_notice("The keys in '%s' have changed: %zu now",
			   keys->file->path, keys->file->count);
	else if (r < 0)
		log_error("The keys in '%s' cannot be read again, the previous "
			  "ones remain valid: %s",
			  keys->file->path, problem);
}

const char *tls_keys_identity(const struct tls_keys *keys, size_t n)
{
	return keyfile_identity(keys->file, n);
}

/* --- between GnuTLS and the socket --- */

static ssize_t pull(gnutls_transport_ptr_t userdata, void *buffer, size_t size)
{
	struct tls *tls = userdata;
	ssize_t n;

	if (tls->budget == 0) {
		if (!tls->ready)
			tls->error = -EPROTO; /* sent far too much */
		gnutls->transport_set_errno(tls->session,
					    tls->ready ? EAGAIN : EPROTO);
		return -1;
	}
	n = arrivals_recv(tls->arrivals, tls->fd, buffer,
			  MIN(size, tls->budget));
	if (n >= 0) {
		tls->budget -= (size_t)n;
		return n;
	}
	if (errno != EAGAIN && errno != EINTR)
		tls->error = -errno;
	gnutls->transport_set_errno(tls->session, errno);
	return -1;
}

/* Buffers the bytes after the first SKIP. */
static int keep(struct tls *tls, const giovec_t *iov, int count, size_t size,
		size_t skip)
{
	uint8_t *out;

	size -= skip;
	if (tls->out_begin + tls->out_size + size > OUT_SIZE_MAX)
		return -ENOBUFS;
	out = realloc(tls->out, tls->out_begin + tls->out_size + size);
	if (!out)
		return -ENOMEM;
	tls->out = out;
	out += tls->out_begin + tls->out_size;
	tls->out_size += size;
	for (int i = 0; i < count; i++) {
		size_t part = skip < iov[i].iov_len ? skip : iov[i].iov_len;

		memcpy(out, (const uint8_t *)iov[i].iov_base + part,
		       iov[i].iov_len - part);
		out += iov[i].iov_len - part;
		skip -= part;
	}
	return 0;
}

static ssize_t send_some(struct tls *tls, const giovec_t *iov, int count)
{
	const struct msghdr message = {
	    .msg_iov = (struct iovec *)iov,
	    .msg_iovlen = (size_t)count,
	};
	ssize_t n = TEMP_FAILURE_RETRY(
	    sendmsg(tls->fd, &message, MSG_NOSIGNAL | tls->send_flags));

	if (n < 0)
		return errno == EAGAIN ? 0 : -errno;
	return n;
}

static ssize_t push(gnutls_transport_ptr_t userdata, const giovec_t *iov,
		    int count)
{
	struct tls *tls = userdata;
	ssize_t n = tls->error;
	size_t size = 0;

	for (int i = 0; i < count; i++)
		size += iov[i].iov_len;
	if (n == 0 && tls->out_size == 0)
		n = send_some(tls, iov, count);
	if (n >= 0 && (size_t)n < size) {
		int r = keep(tls, iov, count, size, (size_t)n);

		n = r < 0 ? r : n;
	}
	if (n >= 0)
		return (ssize_t)size;
	tls->error = (int)n;
	gnutls->transport_set_errno(tls->session, (int)-n);
	return -1;
}

/* 0 when the buffer is empty, -EAGAIN, or another negative errno. */
int tls_flush(struct tls *tls)
{
	while (tls->error == 0 && tls->out_size > 0) {
		const giovec_t iov = {tls->out + tls->out_begin, tls->out_size};
		ssize_t n = send_some(tls, &iov, 1);

		if (n == 0)
			return -EAGAIN;
		if (n < 0) {
			tls->error = (int)n;
			break;
		}
		tls->out_begin += (size_t)n;
		tls->out_size -= (size_t)n;
	}
	if (tls->out) {
		free(TAKE_PTR(tls->out));
		tls->out_begin = tls->out_size = 0;
	}
	return tls->error;
}

/* --- life --- */

static int set_client_key(struct tls *tls, const struct keyfile_key *key)
{
	const gnutls_datum_t name = {
	    .data = (unsigned char *)tls->identity,
	    .size = (unsigned)strlen(key->identity),
	};
	const gnutls_datum_t secret = {tls->key, sizeof(tls->key)};
	int r;

	strcpy(tls->identity, key->identity);
	tls->has_key = true;
	memcpy(tls->key, key->key, sizeof(tls->key));
	r = gnutls->psk_allocate_client_credentials(&tls->client);
	return r < 0 ? r
		     : gnutls->psk_set_client_credentials2(
			   tls->client, &name, &secret, GNUTLS_PSK_KEY_RAW);
}

/* Without the flag GNUTLS_ALPN_MANDATORY a server lets in who offers nothing,
 * or something else. Returns a GnuTLS code. */
static int offer_protocol(gnutls_session_t session)
{
	const gnutls_datum_t protocol = {
	    .data = (unsigned char *)PROTOCOL,
	    .size = sizeof(PROTOCOL) - 1,
	};

	return gnutls->alpn_set_protocols(session, &protocol, 1, 0);
}

/* KEY is NULL on the server's side. Returns a GnuTLS code. */
static int set_up(struct tls *tls, const struct keyfile_key *key)
{
	unsigned flags = key ? GNUTLS_CLIENT : GNUTLS_SERVER;
	int r;

	r = gnutls->init(&tls->session, flags | GNUTLS_NONBLOCK |
					    GNUTLS_NO_SIGNAL |
					    GNUTLS_NO_TICKETS);
	if (r < 0)
		return r;
	gnutls->session_set_ptr(tls->session, tls);
	gnutls->transport_set_ptr(tls->session, tls);
	gnutls->transport_set_pull_function(tls->session, pull);
	gnutls->transport_set_vec_push_function(tls->session, push);
	gnutls->handshake_set_max_packet_length(tls->session,
						HANDSHAKE_MESSAGE_SIZE_MAX);
	r = gnutls->priority_set(tls->session, tls->keys->priorities);
	if (r >= 0)
		r = offer_protocol(tls->session);
	if (r < 0)
		return r;
	if (!key)
		return gnutls->credentials_set(tls->session, GNUTLS_CRD_PSK,
					       tls->keys->server);
	r = set_client_key(tls, key);
	if (r < 0)
		return r;
	return gnutls->credentials_set(tls->session, GNUTLS_CRD_PSK,
				       tls->client);
}

int tls_new(struct tls **ret, int fd, struct arrivals *arrivals,
	    struct tls_keys *keys, const char *host)
{
	const struct keyfile_key *key =
	    host ? keyfile_for_host(keys->file, host) : NULL;
	struct tls *tls;

	if (host && !key)
		return -ENOKEY;
	tls = calloc(1, sizeof(*tls));
	if (!tls)
		return -ENOMEM;
	tls->fd = fd;
	tls->arrivals = arrivals;
	tls->keys = keys;
	tls->budget = HANDSHAKE_SIZE_MAX;
	if (set_up(tls, key) < 0) {
		tls_free(tls);
		return -ENOMEM; /* the keys have proved all the rest */
	}
	*ret = tls;
	return 0;
}

struct tls *tls_free(struct tls *tls)
{
	if (!tls)
		return NULL;
	if (tls->session)
		gnutls->deinit(tls->session);
	if (tls->client)
		gnutls->psk_free_client_credentials(tls->client);
	free(tls->out);
	explicit_bzero(tls->key, sizeof(tls->key));
	free(tls);
	return NULL;
}

/* --- handshake --- */

static int fail(struct tls *tls, int error, const char *problem)
{
	snprintf(tls->problem, sizeof(tls->problem), "%s", problem);
	return error;
}

/* The server logs what is wrong, but does not tell the client. */
static int refuse_client(struct tls *tls)
{
	char problem[PROBLEM_SIZE];
	bool presentable = name_valid(tls->identity);

	snprintf(problem, sizeof(problem), "%s '%s'",
		 tls->has_key ? "the key is not that of"
			      : "there is no key for",
		 presentable ? tls->identity : "?");
	return fail(tls, -EACCES, problem);
}

static int refused_by_peer(struct tls *tls)
{
	gnutls_alert_description_t alert = gnutls->alert_get(tls->session);
	char problem[PROBLEM_SIZE];

	/* A wrong key is an "illegal parameter" to GnuTLS and a "decrypt error"
	 * to OpenSSL: these names would explain nothing. */
	if (tls->client && (alert == GNUTLS_A_ILLEGAL_PARAMETER ||
			    alert == GNUTLS_A_DECRYPT_ERROR ||
			    alert == GNUTLS_A_UNKNOWN_PSK_IDENTITY))
		snprintf(problem, sizeof(problem),
			 "the server does not accept the key of '%s'",
			 tls->identity);
	else if (tls->client && alert == GNUTLS_A_NO_APPLICATION_PROTOCOL)
		snprintf(problem, sizeof(problem),
			 "the server speaks other protocols (ALPN), and not "
			 "'" PROTOCOL "': it is no intercom-server");
	else
		snprintf(problem, sizeof(problem), "the %s refused: %s",
			 tls->client ? "server" : "client",
			 gnutls->alert_get_name(alert));
	return fail(tls, -EACCES, problem);
}

/* CODE is the result of gnutls_handshake(). */
static int explain(struct tls *tls, int code)
{
	if (tls->error == -EPROTO)
		return fail(tls, -EPROTO, "the handshake is too long");
	if (tls->error)
		return fail(tls, tls->error, strerror(-tls->error));
	switch (code) {
	case GNUTLS_E_PREMATURE_TERMINATION:
		return fail(tls, -ECONNRESET,
			    "the connection was closed during the handshake");
	case GNUTLS_E_FATAL_ALERT_RECEIVED:
		return refused_by_peer(tls);
	case GNUTLS_E_UNEXPECTED_PACKET:
	case GNUTLS_E_UNEXPECTED_PACKET_LENGTH:
	case GNUTLS_E_UNSUPPORTED_VERSION_PACKET:
	case GNUTLS_E_RECORD_OVERFLOW:
		return fail(
		    tls, -EPROTO,
		    "the peer does not speak TLS (does it have a key?)");
	case GNUTLS_E_RECEIVED_ILLEGAL_PARAMETER:
	case GNUTLS_E_DECRYPTION_FAILED:
		/* The peer's proof of the key was wrong. */
		if (tls->client)
			return fail(tls, -EACCES,
				    "the server does not have the same key");
		return refuse_client(tls);
	default:
		return fail(tls, -EPROTO, gnutls->strerror(code));
	}
}

/* Also tells the peer, if the socket takes it. */
static int handshake_failed(struct tls *tls, int code)
{
	int r = explain(tls, code);

	if (tls->error == 0)
		(void)gnutls->alert_send_appropriate(tls->session, code);
	return r;
}

/* Makes sure of the kind of handshake, although GnuTLS can do no other with
 * these priorities. */
static bool is_proof(const struct tls *tls)
{
	return tls->has_key &&
	       gnutls->protocol_get_version(tls->session) == GNUTLS_TLS1_3 &&
	       gnutls->kx_get(tls->session) == GNUTLS_KX_ECDHE_PSK &&
	       gnutls->auth_get_type(tls->session) == GNUTLS_CRD_PSK;
}

static int shake(struct tls *tls)
{
	int r;

	do
		r = gnutls->handshake(tls->session);
	while (r < 0 && r != GNUTLS_E_AGAIN && !gnutls->error_is_fatal(r));
	if (r == GNUTLS_E_AGAIN) {
		r = tls_flush(tls);
		return r < 0 ? r : -EAGAIN;
	}
	if (r < 0)
		return handshake_failed(tls, r);
	if (!is_proof(tls))
		return fail(tls, -EACCES, "the peer did not use the key");
	tls->shaken = true;
	return 0;
}

int tls_handshake(struct tls *tls)
{
	int r;

	if (tls->ready)
		return 0;
	r = tls->shaken ? 0 : shake(tls);
	if (r == 0)
		r = tls_flush(tls);
	tls->ready = r == 0;
	return r;
}

void tls_refuse(struct tls *tls)
{
	if (tls->budget == HANDSHAKE_SIZE_MAX && tls->error == 0)
		(void)gnutls->alert_send_appropriate(
		    tls->session, GNUTLS_E_UNEXPECTED_PACKET);
}

const char *tls_problem(const struct tls *tls)
{
	return tls->problem;
}

const char *tls_identity(const struct tls *tls)
{
	return tls->ready ? tls->identity : NULL;
}

bool tls_speaks_2(const struct tls *tls)
{
	gnutls_datum_t protocol;

	/* No other name can be selected than the one that was offered. */
	return tls->ready &&
	       gnutls->alpn_get_selected_protocol(tls->session, &protocol) == 0;
}

bool tls_authorised(const struct tls *tls)
{
	const struct keyfile_key *key;

	if (!tls->ready || tls->client)
		return true;
	key = keyfile_find(tls->keys->file, tls->identity);
	return key && memcmp(key->key, tls->key, sizeof(tls->key)) == 0;
}

/* --- data --- */

ssize_t tls_recv(struct tls *tls, void *buffer, size_t size)
{
	ssize_t n;

	(void)tls_flush(tls); /* reading reports a failure */
	tls->budget = RECEIVE_TURN_SIZE;
	do
		n = gnutls->record_recv(tls->session, buffer, size);
	while (n < 0 && n != GNUTLS_E_AGAIN && !gnutls->error_is_fatal((int)n));
	if (n >= 0)
		return n;
	if (n == GNUTLS_E_AGAIN)
		return -EAGAIN;
	if (tls->error)
		return tls->error;
	return n == GNUTLS_E_PREMATURE_TERMINATION ? -ECONNRESET : -EBADMSG;
}

size_t tls_pending(const struct tls *tls)
{
	return gnutls->record_check_pending(tls->session);
}

ssize_t tls_send(struct tls *tls, const void *data, size_t size, int flags)
{
	ssize_t n = tls_flush(tls);

	if (n < 0 || size == 0)
		return n;
	tls->send_flags = flags;
	n = gnutls->record_send(tls->session, data, size);
	tls->send_flags = 0;
	if (n >= 0)
		return n;
	return tls->error ? tls->error : -EIO;
}

bool tls_waits(const struct tls *tls)
{
	return tls->out_size > 0;
}

int tls_end(struct tls *tls)
{
	if (tls->ready && !tls->said_bye) {
		tls->said_bye = true;
		(void)gnutls->bye(tls->session, GNUTLS_SHUT_WR);
	}
	return tls_flush(tls);
}
