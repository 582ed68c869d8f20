/* SPDX-License-Identifier: MIT
 * Sockets in a folder of the test stand for systemd's. */
#include "client/service.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/util.h"
#include "test.h"

static char folder[] = "/tmp/test-service-XXXXXX";
static char path[sizeof(folder) + 16];
static char text[4096];
static int listener;

/* NAME is how systemd would name the socket: '@' is the abstract space. */
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
}

/* What came, in TEXT; it is there once it was sent. */
static const char *received(void)
{
	const ssize_t n = recv(listener, text, sizeof(text) - 1, 0);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

static void setup(void)
{
	memcpy(folder + sizeof(folder) - 7, "XXXXXX", 6);
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/socket", folder);
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
	listener = -1;
}

static void teardown(void)
{
	listener = fd_close(listener);
	unlink(path);
	rmdir(folder);
}

FIXTURE(setup, teardown);

TEST(states_are_sent)
{
	listen_at(path);
	setenv("NOTIFY_SOCKET", path, 1);
	ck_assert_int_eq(service_notify("READY=1"), 0);
	ck_assert_str_eq(received(), "READY=1");
}

TEST(abstract_sockets_are_found)
{
	char name[64];

	snprintf(name, sizeof(name), "@test-service-%d", (int)getpid());
	listen_at(name);
	setenv("NOTIFY_SOCKET", name, 1);
	ck_assert_int_eq(service_notify("STATUS=x"), 0);
	ck_assert_str_eq(received(), "STATUS=x");
}

TEST(nobody_who_listens_is_no_harm)
{
	char name[256];

	ck_assert_int_eq(service_notify("READY=1"), 0);
	setenv("NOTIFY_SOCKET", path, 1);
	ck_assert_int_eq(service_notify("READY=1"), -ENOENT);
	setenv("NOTIFY_SOCKET", "vsock:2:3", 1);
	ck_assert_int_eq(service_notify("READY=1"), -EAFNOSUPPORT);
	setenv("NOTIFY_SOCKET", "", 1);
	ck_assert_int_eq(service_notify("READY=1"), -EAFNOSUPPORT);
	memset(name, '/', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	setenv("NOTIFY_SOCKET", name, 1);
	ck_assert_int_eq(service_notify("READY=1"), -ENAMETOOLONG);
}

TEST(watchdog_is_ours_or_none)
{
	char pid[32];

	ck_assert_uint_eq(service_watchdog_usec(), 0);
	setenv("WATCHDOG_USEC", "200000", 1);
	ck_assert_uint_eq(service_watchdog_usec(), 200000);
	setenv("WATCHDOG_PID", "1", 1);
	ck_assert_uint_eq(service_watchdog_usec(), 0);
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	setenv("WATCHDOG_PID", pid, 1);
	ck_assert_uint_eq(service_watchdog_usec(), 200000);
	setenv("WATCHDOG_USEC", "-1", 1);
	ck_assert_uint_eq(service_watchdog_usec(), 0);
	setenv("WATCHDOG_USEC", "20s", 1);
	ck_assert_uint_eq(service_watchdog_usec(), 0);
	setenv("WATCHDOG_USEC", "99999999999999999999999", 1);
	ck_assert_uint_eq(service_watchdog_usec(), 0);
}

TEST(events_are_a_line_for_each_field)
{
	static const char *const fields[] = {"MESSAGE=one\ntwo", "PRIORITY=6"};

	listen_at(path);
	ck_assert_int_eq(service_journal(path, fields, 2), 0);
	ck_assert_str_eq(received(), "MESSAGE=one two\nPRIORITY=6\n");
}

TEST(events_that_are_too_long_are_refused)
{
	static char field[5000];
	const char *const fields[] = {"PRIORITY=6", field};

	memset(field, 'x', sizeof(field) - 1);
	listen_at(path);
	ck_assert_int_eq(service_journal(path, fields, 2), -EMSGSIZE);
	ck_assert_str_eq(received(), "");
}
