/* SPDX-License-Identifier: MIT
 * Sockets of both ends. Owns nothing: the caller owns the descriptors. */
#include "wire/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "base/util.h"

#define NET_GAI_BASE (-10000)
#define LISTEN_BACKLOG 1024
/* Without this a stalled peer takes 4 MB before send() says EAGAIN. */
#define SENDER_NOTSENT_LOWAT (16 * 1024)

static int copy_part(char *to, size_t size, const char *from, size_t length)
{
	if (length >= size)
		return -EINVAL;
	memcpy(to, from, length);
	to[length] = '\0';
	return 0;
}

static bool port_valid(const char *port)
{
	char *end;
	unsigned long number;

	if (*port < '0' || *port > '9') /* a service name */
		return *port != '\0' && !strchr(port, ':');
	number = strtoul(port, &end, 10);
	return *end == '\0' && strlen(port) <= 5 && number <= 65535;
}

/* "fe80::1%eth0" has a scope, which is looked up with the address. */
static bool is_v6(const char *host)
{
	char address[INET6_ADDRSTRLEN];
	struct in6_addr in6;
	size_t length = strcspn(host, "%");

	return copy_part(address, sizeof(address), host, length) == 0 &&
	       inet_pton(AF_INET6, address, &in6) == 1;
}

/* Splits "[V6]" or "[V6]:PORT"; *ret_rest points after the bracket. */
static int parse_bracket(struct net_endpoint *endpoint, const char *text,
			 const char **ret_rest, const char **ret_problem)
{
	const char *close_bracket = strchr(text, ']');

	if (!close_bracket) {
		*ret_problem = "the closing ] is missing";
		return -EINVAL;
	}
	if (close_bracket[1] && close_bracket[1] != ':') {
		*ret_problem = "only :PORT may follow the ]";
		return -EINVAL;
	}
	*ret_rest = close_bracket + 1;
	*ret_problem = "the address is too long";
	return copy_part(endpoint->host, sizeof(endpoint->host), text + 1,
			 (size_t)(close_bracket - text - 1));
}

static int set_port(struct net_endpoint *endpoint, const char *port,
		    const char **ret_problem)
{
	*ret_problem = "a port is a number from 0 to 65535 or a service name";
	if (!port_valid(port))
		return -EINVAL;
	return copy_part(endpoint->port, sizeof(endpoint->port), port,
			 strlen(port));
}

int net_parse_endpoint(struct net_endpoint *ret, const char *text,
		       const char **ret_problem)
{
	struct net_endpoint endpoint = {.port = NET_DEFAULT_PORT};
	const char *rest = strchr(text, ':');
	int r;

	if (*text == '[') {
		r = parse_bracket(&endpoint, text, &rest, ret_problem);
	} else {
		if (!rest || strchr(rest + 1, ':')) /* no port, or bare V6 */
			rest = text + strlen(text);
		*ret_problem = "the host name is too long";
		r = copy_part(endpoint.host, sizeof(endpoint.host), text,
			      (size_t)(rest - text));
	}
	if (r < 0)
		return r;
	if (!*endpoint.host) {
		*ret_problem = "the host name is missing";
		return -EINVAL;
	}
	if ((*text == '[' || strchr(endpoint.host, ':')) &&
	    !is_v6(endpoint.host)) {
		*ret_problem = "this is no IPv6 address";
		return -EINVAL;
	}
	if (*rest == ':') {
		r = set_port(&endpoint, rest + 1, ret_problem);
		if (r < 0)
			return r;
	}
	if (strspn(endpoint.port, "0") == strlen(endpoint.port)) {
		*ret_problem = "nobody can connect to port 0";
		return -EINVAL;
	}
	*ret = endpoint;
	return 0;
}

static int parse_zone(char *zone, const char *text, const char **ret_address,
		      const char **ret_problem)
{
	const char *equals = strchr(text, '=');

	*ret_problem = "a zone name is 1 to 63 letters, digits, '.', '_', '-', "
		       "with no '.' in front";
	if (!equals) {
		strcpy(zone, "all");
		*ret_address = text;
		return 0;
	}
	if (copy_part(zone, NET_ZONE_SIZE, text, (size_t)(equals - text)) < 0 ||
	    !name_valid(zone))
		return -EINVAL;
	*ret_address = equals + 1;
	return 0;
}

int net_parse_listen(struct net_endpoint *ret, char *zone, const char *text,
		     const char **ret_problem)
{
	struct net_endpoint endpoint = {.port = NET_DEFAULT_PORT};
	char zone_name[NET_ZONE_SIZE];
	const char *address, *rest;
	int r;

	r = parse_zone(zone_name, text, &address, ret_problem);
	if (r < 0)
		return r;
	if (*address == '[') {
		r = parse_bracket(&endpoint, address, &rest, ret_problem);
		if (r == 0 && *rest == ':')
			rest++;
	} else {
		rest = strchr(address, ':');
		if (rest && strchr(rest + 1, ':')) {
			*ret_problem = "an IPv6 address goes in brackets: "
				       "[ADDRESS]:PORT";
			return -EINVAL;
		}
		*ret_problem = "the address is too long";
		r = copy_part(endpoint.host, sizeof(endpoint.host), address,
			      rest ? (size_t)(rest - address) : 0);
		rest = rest ? rest + 1 : address;
	}
	if (r == 0)
		r = set_port(&endpoint, rest, ret_problem);
	if (r < 0)
		return r;
	*ret = endpoint;
	memcpy(zone, zone_name, sizeof(zone_name));
	return 0;
}

static int resolve(const struct net_endpoint *endpoint, int flags,
		   struct addrinfo **ret)
{
	const struct addrinfo hints = {
	    .ai_family = AF_UNSPEC,
	    .ai_socktype = SOCK_STREAM,
	    .ai_flags = flags,
	};
	const char *host = *endpoint->host ? endpoint->host : NULL;
	int r = getaddrinfo(host, endpoint->port, &hints, ret);

	if (r == EAI_SYSTEM)
		return -errno;
	return r == 0 ? 0 : NET_GAI_BASE + r;
}

int net_resolve(const struct net_endpoint *endpoint, struct addrinfo **ret)
{
	return resolve(endpoint, AI_ADDRCONFIG, ret);
}

/* A socket for the address, or -1. */
static int open_socket(const struct addrinfo *address)
{
	return socket(address->ai_family,
		      SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

/* BBR goes on sending at the rate that the network has carried, where other
 * algorithms take each loss for a congestion: at 5 % loss speech is silent for
 * a fiftieth of the time instead of a third (bench/wire). A kernel that does
 * not have it, or does not allow it, keeps its default. */
static void prefer_bbr(int fd)
{
	(void)setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "bbr", strlen("bbr"));
}

static int listen_one(const struct addrinfo *address)
{
	_cleanup_close_ int fd = open_socket(address);
	const int on = 1;

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
		return -errno;
	/* IPv4 has its own socket, whatever net.ipv6.bindv6only says. */
	if (address->ai_family == AF_INET6 &&
	    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0)
		return -errno;
	prefer_bbr(fd);
	if (bind(fd, address->ai_addr, address->ai_addrlen) < 0)
		return -errno;
	if (listen(fd, LISTEN_BACKLOG) < 0)
		return -errno;
	return TAKE_FD(fd);
}

/* A kernel without IPv6 or IPv4 is no error if the other one works. */
static bool family_missing(int error)
{
	return error == -EAFNOSUPPORT || error == -EADDRNOTAVAIL;
}

int net_listen(const struct net_endpoint *endpoint, int fds[NET_LISTENERS_MAX])
{
	struct addrinfo *addresses;
	int count = 0, skipped = 0, r;

	r = resolve(endpoint, AI_PASSIVE, &addresses);
	if (r < 0)
		return r;
	for (const struct addrinfo *a = addresses;
	     a && count < NET_LISTENERS_MAX; a = a->ai_next) {
		r = listen_one(a);
		if (r >= 0) {
			fds[count++] = r;
		} else if (!*endpoint->host && family_missing(r)) {
			skipped = r;
		} else {
			break;
		}
		r = 0;
	}
	freeaddrinfo(addresses);
	if (r == 0 && count == 0)
		r = skipped ? skipped : -EADDRNOTAVAIL;
	if (r < 0) {
		while (count > 0)
			fd_close(fds[--count]);
		return r;
	}
	return count;
}

const char *net_strerror(int error)
{
	if (error == NET_GAI_BASE + EAI_SERVICE)
		return "no such port; a number from 1 to 65535 is needed, or a "
		       "name in /etc/services";
	if (error <= NET_GAI_BASE + 200 && error >= NET_GAI_BASE - 200)
		return gai_strerror(error - NET_GAI_BASE);
	return strerror(-error);
}

int net_connect(const struct addrinfo *address, int rcvbuf_size)
{
	_cleanup_close_ int fd = open_socket(address);

	if (fd < 0)
		return -errno;
	/* Before connect(), since the handshake fixes the window scale. */
	if (rcvbuf_size > 0 &&
	    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &rcvbuf_size,
		       sizeof(rcvbuf_size)) < 0)
		return -errno;
	if (connect(fd, address->ai_addr, address->ai_addrlen) < 0 &&
	    errno != EINPROGRESS)
		return -errno;
	return TAKE_FD(fd);
}

int net_connect_result(int fd)
{
	socklen_t size = sizeof(int);
	int error;

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
		return -errno;
	return -error;
}

static void set_int(int fd, int level, int option, int value)
{
	/* A failure means that the peer is gone, which reading will show. */
	(void)setsockopt(fd, level, option, &value, sizeof(value));
}

void net_setup_receiver(int fd)
{
	set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	/* There is no keep-alive while something is not acknowledged. */
	set_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 20000);
	set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, 10);
	set_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, 5);
	set_int(fd, IPPROTO_TCP, TCP_KEEPCNT, 3);
}

void net_setup_sender(int fd)
{
	net_setup_receiver(fd);
	set_int(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, SENDER_NOTSENT_LOWAT);
}

void net_setup_bulk(int fd)
{
	set_int(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, -1); /* no limit */
}

bool net_address_v6(const struct sockaddr_storage *address,
		    struct in6_addr *ret)
{
	const struct sockaddr_in *v4 = (const void *)address;
	const struct sockaddr_in6 *v6 = (const void *)address;

	if (address->ss_family == AF_INET6) {
		*ret = v6->sin6_addr;
		return true;
	}
	if (address->ss_family != AF_INET) {
		memset(ret, 0xff, sizeof(*ret));
		return false;
	}
	*ret = (struct in6_addr){.s6_addr = {[10] = 0xff, [11] = 0xff}};
	memcpy(&ret->s6_addr[12], &v4->sin_addr, 4);
	return true;
}

/* "%eth0" of an address that means something on one link only, or "". */
static void scope_name(const struct sockaddr_storage *address,
		       char text[IF_NAMESIZE + 1])
{
	const struct sockaddr_in6 *v6 = (const void *)address;
	char interface[IF_NAMESIZE];

	*text = '\0';
	if (address->ss_family != AF_INET6 || v6->sin6_scope_id == 0)
		return;
	if (!if_indextoname(v6->sin6_scope_id, interface))
		snprintf(interface, sizeof(interface), "%" PRIu32,
			 v6->sin6_scope_id);
	snprintf(text, IF_NAMESIZE + 1, "%%%s", interface);
}

void net_address_name(const struct sockaddr_storage *address, char *name)
{
	/* Either family has its port in this place. */
	const in_port_t port = ((const struct sockaddr_in *)address)->sin_port;
	char host[INET6_ADDRSTRLEN] = "?", scope[IF_NAMESIZE + 1];
	struct in6_addr ip;

	if (!net_address_v6(address, &ip)) {
		snprintf(name, NET_ADDRESS_SIZE, "a local socket");
	} else if (IN6_IS_ADDR_V4MAPPED(&ip)) {
		inet_ntop(AF_INET, &ip.s6_addr[12], host, sizeof(host));
		snprintf(name, NET_ADDRESS_SIZE, "%s:%u", host, ntohs(port));
	} else {
		inet_ntop(AF_INET6, &ip, host, sizeof(host));
		scope_name(address, scope);
		snprintf(name, NET_ADDRESS_SIZE, "[%.39s%s]:%u", host, scope,
			 ntohs(port));
	}
}

void net_raise_nofile(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}
