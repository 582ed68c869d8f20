/* SPDX-License-Identifier: MIT
 * TLS 1.3 on a socket that is somebody else's. Never blocks.
 *
 * TLS is ECDHE with a pre-shared key (RFC 8446, 2.2): each side proves to the
 * other that it knows the key, and recorded traffic stays secret even if the
 * key is stolen later. No certificates, tickets or early data. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "wire/keyfile.h"

struct arrivals;

/* --- the keys of one side, which its connections share --- */

struct tls_keys;

/* FILE's role decides the side. Takes over FILE, also on error. 0; or negative
 * errno, and *ret_problem (not to be freed) says why. */
int tls_keys_new(struct tls_keys **ret, struct keyfile *file,
		 const char **ret_problem);
/* The same for the file at PATH, given by --psk-file; logs what is wrong. */
int tls_keys_load(struct tls_keys **ret, const char *path,
		  enum keyfile_role role);
/* Call it after freeing the last connection. Takes NULL; returns NULL. */
struct tls_keys *tls_keys_free(struct tls_keys *keys);
/* Reads the file again if it has changed, and logs the outcome. Call it before
 * making a connection. Takes NULL. */
void tls_keys_refresh(struct tls_keys *keys);

/* The loudspeakers of a server's keys: see keyfile_identity(). */
const char *tls_keys_identity(const struct tls_keys *keys, size_t n);

/* --- one connection, for transport.c --- */

enum {
	TLS_RECORD_SIZE_MAX = 16384, /* RFC 8446, 5.1 */
	/* A record with an alert: its header, level and description, type, and
	 * tag (RFC 8446, 5.2). */
	TLS_END_SIZE = 5 + 2 + 1 + 16,
};

struct tls;

/* A client's side of FD for HOST; with NULL a server's. FD stays the caller's,
 * is non-blocking, and is read through ARRIVALS. 0; -ENOKEY: there is no key
 * for HOST; or -ENOMEM. */
int tls_new(struct tls **ret, int fd, struct arrivals *arrivals,
	    struct tls_keys *keys, const char *host);
/* Takes NULL; returns NULL. */
struct tls *tls_free(struct tls *tls);

/* As transport_handshake() and so on. */
int tls_handshake(struct tls *tls);
void tls_refuse(struct tls *tls);
const char *tls_problem(const struct tls *tls);
const char *tls_identity(const struct tls *tls);
bool tls_speaks_2(const struct tls *tls);
bool tls_authorised(const struct tls *tls);
ssize_t tls_recv(struct tls *tls, void *buffer, size_t size);
size_t tls_pending(const struct tls *tls);
/* FLAGS: MSG_MORE, or 0. */
ssize_t tls_send(struct tls *tls, const void *data, size_t size, int flags);
int tls_flush(struct tls *tls);
/* Whether bytes wait here for the socket. */
bool tls_waits(const struct tls *tls);
/* Says once that nothing follows; else as tls_flush(). */
int tls_end(struct tls *tls);
