/* SPDX-License-Identifier: MIT
 * A connected socket, plain or with TLS 1.3 around it. Never blocks. Knows no
 * loop and no clock: the owner bounds how long a handshake may take.
 *
 * TLS is ECDHE with an external key of both sides (RFC 8446, 2.2): who comes
 * through the handshake knows the key, on either side, and old recordings stay
 * secret even if the key gets out. No certificates, tickets or early data. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "wire/keyfile.h"

/* --- what one side proves itself with; shared by its transports --- */

struct transport_keys;

/* The role of the file decides which side it is. Takes over FILE, also on
 * error. 0 or negative errno, and *ret_problem says why (not to be freed). */
int transport_keys_new(struct transport_keys **ret, struct keyfile *file,
		       const char **ret_problem);
/* The same of the file at PATH, which a --psk-file names; logs what is wrong.
 */
int transport_keys_load(struct transport_keys **ret, const char *path,
			enum keyfile_role role);
/* After the last transport. Takes NULL; returns NULL. */
struct transport_keys *transport_keys_free(struct transport_keys *keys);
/* Reads the file again if it has changed, and logs that. Call it before a new
 * transport. Takes NULL. */
void transport_keys_refresh(struct transport_keys *keys);

/* --- one connection --- */

struct transport;

/* Each takes over FD (a connected, non-blocking stream socket), also on error.
 * KEYS must outlive the transport. 0, -ENOKEY when there is no key for HOST, or
 * another negative errno. */
int transport_new_plain(struct transport **ret, int fd);
int transport_new_server(struct transport **ret, int fd,
			 struct transport_keys *keys);
int transport_new_client(struct transport **ret, int fd,
			 struct transport_keys *keys, const char *host);
/* Closes, without a word to the peer. Takes NULL; returns NULL. */
struct transport *transport_free(struct transport *transport);

/* The socket, to be polled. */
int transport_fd(const struct transport *transport);

/* Goes on with the handshake. 0 when it is done (at once, if plain); -EAGAIN:
 * call again when transport_events() say so; -EACCES: the peer has not the key,
 * or says that we have not; -EPROTO: it does not speak TLS 1.3 with such keys;
 * or another negative errno. After an error transport_problem() tells more. */
int transport_handshake(struct transport *transport);
/* EPOLLIN or EPOLLOUT (POLLIN, POLLOUT are the same): what the handshake, or a
 * shutdown that said -EAGAIN, waits for. */
uint32_t transport_events(const struct transport *transport);
/* Why it failed, for a person; "" when plain or nothing has. */
const char *transport_problem(const struct transport *transport);
/* Of TLS after the handshake, the client's name on either side; else NULL. */
const char *transport_identity(const struct transport *transport);
/* Whether the key of the handshake is still in the file. True when plain
 * or in the handshake. */
bool transport_authorised(const struct transport *transport);

/* Bytes; 0 at the end, which with TLS the peer has confirmed (-ECONNRESET when
 * not); -EAGAIN, or another negative errno. */
ssize_t transport_recv(struct transport *transport, void *buffer, size_t size);
/* Bytes that wait to be received; with TLS those still encrypted count with
 * what that adds (22 bytes a record). */
size_t transport_queued(const struct transport *transport);
/* Of these, those that are in memory: poll() does not tell of them. */
size_t transport_pending(const struct transport *transport);

/* Bytes that are taken, at most SIZE; -EAGAIN when the socket is full, or
 * another negative errno. With TLS up to a record of what was taken may wait
 * here for the next call of this, transport_flush or transport_shutdown. */
enum transport_more { TRANSPORT_NO_MORE, TRANSPORT_MORE };
ssize_t transport_send(struct transport *transport, const void *data,
		       size_t size, enum transport_more more);
/* The same of what a file has at *offset (there must be SIZE bytes), which is
 * advanced. The file's memory is queued, not copied: it must not change. */
ssize_t transport_send_file(struct transport *transport, int file_fd,
			    uint64_t *offset, size_t size);
/* Sends what waits here. 0 when nothing does any more, -EAGAIN, or another
 * negative errno. */
int transport_flush(struct transport *transport);
/* Sends what waits and says that nothing will follow; receiving goes on. 0;
 * -EAGAIN: call again when transport_events() say so; or negative errno. */
int transport_shutdown(struct transport *transport);
