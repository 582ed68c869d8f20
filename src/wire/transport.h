/* SPDX-License-Identifier: MIT
 * A connected socket, plain or with TLS 1.3. Never blocks. Knows no loop and no
 * clock: the owner limits the time of a handshake. The process must ignore
 * SIGPIPE, since sendfile(2) has no MSG_NOSIGNAL. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct tls_keys; /* wire/tls.h */
struct transport;

/* The next three take over FD (a connected, non-blocking stream socket), also
 * on error. KEYS must outlive the transport. 0; -ENOKEY when there is no key
 * for HOST; or another negative errno. */
int transport_new_plain(struct transport **ret, int fd);
int transport_new_server(struct transport **ret, int fd, struct tls_keys *keys);
int transport_new_client(struct transport **ret, int fd, struct tls_keys *keys,
			 const char *host);
/* Closes without telling the peer. Takes NULL; returns NULL. */
struct transport *transport_free(struct transport *transport);

/* The socket, to be polled; it stays the transport's. */
int transport_fd(const struct transport *transport);

/* Continues the handshake. 0 when it is done (at once, if plain); -EAGAIN: call
 * again on transport_events(); -EACCES: the peer does not have the key, or says
 * that we do not; -EPROTO: it does not speak TLS 1.3 with such keys; or another
 * negative errno. After an error transport_problem() tells more. */
int transport_handshake(struct transport *transport);
/* On the server's side: tells a client that has said nothing that TLS is needed
 * here, by an alert, if the socket takes it. */
void transport_refuse(struct transport *transport);
/* Whether a client without keys has received the alert of transport_refuse().
 */
bool transport_is_refusal(const uint8_t *data, size_t size);
/* The event that the handshake, or a shutdown that returned -EAGAIN, waits for:
 * EPOLLIN or EPOLLOUT, which equal POLLIN and POLLOUT. */
uint32_t transport_events(const struct transport *transport);
/* Why the handshake failed, for a person; "" when plain or when it has not. */
const char *transport_problem(const struct transport *transport);
/* The client's identity, on either side; NULL when plain or before the end of
 * the handshake. */
const char *transport_identity(const struct transport *transport);
/* Whether both sides have agreed, in the handshake, to speak version 2 of the
 * protocol (intercom(7)); false when plain and before the end of the handshake.
 */
bool transport_speaks_2(const struct transport *transport);
/* On the server's side: whether the client's key is still in the file. True
 * when plain, before the end of the handshake, and on the client's side. */
bool transport_authorised(const struct transport *transport);

/* Returns bytes; 0 at the end, which with TLS the peer has confirmed (if it has
 * not, -ECONNRESET); -EAGAIN; or another negative errno. */
ssize_t transport_recv(struct transport *transport, void *buffer, size_t size);
/* From now on transport_arrival_ns() tells when the newest of the bytes that
 * were received last, with TLS the end of their record, had arrived in the
 * kernel: CLOCK_MONOTONIC, or 0 where that is not known. */
void transport_time_arrivals(struct transport *transport);
int64_t transport_arrival_ns(const struct transport *transport);
/* Bytes that wait to be received. Those that are still encrypted include TLS's
 * overhead of 22 bytes a record. */
size_t transport_queued(const struct transport *transport);
/* How many of these are decrypted already, so that poll() does not see them. */
size_t transport_pending(const struct transport *transport);

/* Returns how many bytes it took, at most SIZE; -EAGAIN when the socket is
 * full; or another negative errno. With TLS up to a record of the bytes it took
 * may wait here until the next send, flush or shutdown. */
enum transport_more { TRANSPORT_NO_MORE, TRANSPORT_MORE };
ssize_t transport_send(struct transport *transport, const void *data,
		       size_t size, enum transport_more more);
/* The same for the SIZE bytes (which must exist) at *offset of a file; advances
 * *offset. Queues the file's memory without a copy: it must not change. */
ssize_t transport_send_file(struct transport *transport, int file_fd,
			    uint64_t *offset, size_t size);
/* Sends the bytes that wait here. 0 when none are left, -EAGAIN, or another
 * negative errno. */
int transport_flush(struct transport *transport);
/* Sends the bytes that wait here and ends the sending direction; receiving goes
 * on. 0; -EAGAIN: call again on transport_events(); or negative errno. */
int transport_shutdown(struct transport *transport);
/* How many bytes that end takes, as SIOCOUTQ counts them. */
int transport_end_size(const struct transport *transport);
