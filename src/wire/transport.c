/* SPDX-License-Identifier: MIT
 * The socket itself; with keys, tls.c is between it and the caller. */
#include "wire/transport.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>

#include "base/util.h"
#include "wire/arrivals.h"
#include "wire/tls.h"

struct transport {
	int fd;
	struct tls *tls; /* NULL: plain */
	struct arrivals arrivals;
};

/* --- life --- */

int transport_new_plain(struct transport **ret, int fd)
{
	struct transport *transport = calloc(1, sizeof(*transport));

	if (!transport) {
		fd_close(fd);
		return -ENOMEM;
	}
	transport->fd = fd;
	*ret = transport;
	return 0;
}

/* HOST is NULL on the server's side. */
static int new_with_tls(struct transport **ret, int fd, struct tls_keys *keys,
			const char *host)
{
	struct transport *transport;
	int r = transport_new_plain(&transport, fd);

	if (r < 0)
		return r;
	r = tls_new(&transport->tls, fd, &transport->arrivals, keys, host);
	if (r < 0) {
		transport_free(transport);
		return r;
	}
	*ret = transport;
	return 0;
}

int transport_new_server(struct transport **ret, int fd, struct tls_keys *keys)
{
	return new_with_tls(ret, fd, keys, NULL);
}

int transport_new_client(struct transport **ret, int fd, struct tls_keys *keys,
			 const char *host)
{
	return new_with_tls(ret, fd, keys, host);
}

struct transport *transport_free(struct transport *transport)
{
	if (!transport)
		return NULL;
	tls_free(transport->tls);
	fd_close(transport->fd);
	free(transport);
	return NULL;
}

int transport_fd(const struct transport *transport)
{
	return transport->fd;
}

/* --- handshake --- */

int transport_handshake(struct transport *transport)
{
	return transport->tls ? tls_handshake(transport->tls) : 0;
}

void transport_refuse(struct transport *transport)
{
	if (transport->tls)
		tls_refuse(transport->tls);
}

bool transport_is_refusal(const uint8_t *data, size_t size)
{
	static const uint8_t alert[] = {21, 3}; /* RFC 8446, 5.1 */

	return size >= sizeof(alert) && memcmp(data, alert, sizeof(alert)) == 0;
}

uint32_t transport_events(const struct transport *transport)
{
	return transport->tls && tls_waits(transport->tls) ? EPOLLOUT : EPOLLIN;
}

const char *transport_problem(const struct transport *transport)
{
	return transport->tls ? tls_problem(transport->tls) : "";
}

const char *transport_identity(const struct transport *transport)
{
	return transport->tls ? tls_identity(transport->tls) : NULL;
}

bool transport_speaks_2(const struct transport *transport)
{
	return transport->tls && tls_speaks_2(transport->tls);
}

bool transport_authorised(const struct transport *transport)
{
	return !transport->tls || tls_authorised(transport->tls);
}

/* --- data --- */

void transport_time_arrivals(struct transport *transport)
{
	arrivals_begin(&transport->arrivals, transport->fd);
}

int64_t transport_arrival_ns(const struct transport *transport)
{
	return transport->arrivals.ns;
}

ssize_t transport_recv(struct transport *transport, void *buffer, size_t size)
{
	ssize_t n;

	if (transport->tls)
		return tls_recv(transport->tls, buffer, size);
	n = TEMP_FAILURE_RETRY(
	    arrivals_recv(&transport->arrivals, transport->fd, buffer, size));
	return n < 0 ? -errno : n;
}

size_t transport_pending(const struct transport *transport)
{
	return transport->tls ? tls_pending(transport->tls) : 0;
}

size_t transport_queued(const struct transport *transport)
{
	int size = 0;

	if (ioctl(transport->fd, FIONREAD, &size) < 0 || size < 0)
		size = 0;
	return (size_t)size + transport_pending(transport);
}

ssize_t transport_send(struct transport *transport, const void *data,
		       size_t size, enum transport_more more)
{
	const int flags = more == TRANSPORT_MORE ? MSG_MORE : 0;
	ssize_t n;

	if (transport->tls)
		return tls_send(transport->tls, data, size, flags);
	n = TEMP_FAILURE_RETRY(
	    send(transport->fd, data, size, MSG_NOSIGNAL | flags));
	return n < 0 ? -errno : n;
}

int transport_flush(struct transport *transport)
{
	return transport->tls ? tls_flush(transport->tls) : 0;
}

/* Sends one record at most. */
static ssize_t send_record(struct tls *tls, int file_fd, uint64_t *offset,
			   size_t size)
{
	uint8_t record[TLS_RECORD_SIZE_MAX];
	ssize_t n;

	n = pread(file_fd, record, MIN(size, sizeof(record)), (off_t)*offset);
	if (n < 0)
		return -errno;
	n = tls_send(tls, record, (size_t)n, 0);
	if (n > 0)
		*offset += (uint64_t)n;
	return n;
}

ssize_t transport_send_file(struct transport *transport, int file_fd,
			    uint64_t *offset, size_t size)
{
	off_t position = (off_t)*offset;
	ssize_t n;

	if (transport->tls)
		return send_record(transport->tls, file_fd, offset, size);
	n = TEMP_FAILURE_RETRY(
	    sendfile(transport->fd, file_fd, &position, size));
	if (n < 0)
		return -errno;
	*offset = (uint64_t)position;
	return n;
}

int transport_shutdown(struct transport *transport)
{
	int r = transport->tls ? tls_end(transport->tls) : 0;

	if (r < 0)
		return r;
	return shutdown(transport->fd, SHUT_WR) < 0 ? -errno : 0;
}

int transport_end_size(const struct transport *transport)
{
	/* With the FIN, which counts as one. */
	return (transport->tls ? TLS_END_SIZE : 0) + 1;
}
