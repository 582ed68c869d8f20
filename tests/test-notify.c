/* SPDX-License-Identifier: MIT
 * Sockets of the test stand in for systemd's. */
#include "base/notify.h"

#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "folder.h"
#include "test.h"

static int listener;

/* NAME is as in $NOTIFY_SOCKET: '@' stands for the abstract namespace. */
static void listen_at(const char *name)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const size_t length = strlen(name);

	memcpy(address.sun_path, name, length);
	if (*name == '@')
		address.sun_path[0] = '\0';
	listener = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	ck_assert_int_ge(listener, 0);
	ck_assert_int_eq(
	    bind(listener, (struct sockaddr *)&address,
		 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)),
	    0);
	setenv("NOTIFY_SOCKET", name, 1);
}

static void check_received(const char *state)
{
	char text[256];
	const ssize_t n = recv(listener, text, sizeof(text) - 1, 0);

	ck_assert_int_ge(n, 0);
	text[n] = '\0';
	ck_assert_str_eq(text, state);
}

static void setup(void)
{
	folder_setup("notify");
	unsetenv("NOTIFY_SOCKET");
	listener = -1;
}

static void teardown(void)
{
	listener = fd_close(listener);
	folder_teardown();
}

FIXTURE(setup, teardown);

TEST(state_is_sent)
{
	listen_at(path_of("socket"));
	ck_assert_int_eq(notify_if_read("STATUS=x"), 0);
	check_received("STATUS=x");
}

TEST(abstract_socket_is_found)
{
	char name[64];

	snprintf(name, sizeof(name), "@test-notify-%d", (int)getpid());
	listen_at(name);
	ck_assert_int_eq(notify_if_read("STATUS=x"), 0);
	check_received("STATUS=x");
}

TEST(systemd_that_does_not_read_is_not_waited_for)
{
	int r;

	listen_at(path_of("socket"));
	do
		r = notify_if_read("STATUS=x");
	while (r == 0);
	ck_assert_int_eq(r, -EAGAIN);
	check_received("STATUS=x");
	ck_assert_int_eq(notify_if_read("STATUS=y"), 0);
}

TEST(nobody_who_listens_is_no_harm)
{
	char name[256];

	ck_assert_int_eq(notify_if_read("STATUS=x"), 0);
	setenv("NOTIFY_SOCKET", path_of("socket"), 1);
	ck_assert_int_eq(notify_if_read("STATUS=x"), -ENOENT);
	setenv("NOTIFY_SOCKET", "", 1);
	ck_assert_int_eq(notify_if_read("STATUS=x"), 0);
	memset(name, '/', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	setenv("NOTIFY_SOCKET", name, 1);
	ck_assert_int_eq(notify_if_read("STATUS=x"), 0);
}
