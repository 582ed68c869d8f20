/* SPDX-License-Identifier: MIT
 * The D-Bus interface of a server. The input chooses methods and arguments:
 * zones, numbers, options of any type, and descriptors that are no files. A
 * socket pair stands in for the bus, and the target for its daemon. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <systemd/sd-bus.h>

#include "base/log.h"
#include "base/util.h"
#include "bus/names.h"
#include "fuzz-clock.h"
#include "fuzz.h"
#include "server/bus/bus.h"

enum {
	CALLS_MAX = 12,
	DEPTH_MAX = 4,
	ITEMS_MAX = 6,
	FDS_MAX = 16, /* of one message */
	STRING_SIZE = 80,
	LOOP_TURNS_MAX = 5000, /* a loop that never sleeps again */
};

static sd_event *event;
static struct server *server;
static struct server_bus *server_bus;
static sd_bus *caller;
static int server_end = -1; /* of the socket pair */
static unsigned answers;

/* --- by the linker, in the place of the real ones --- */

int __wrap_sd_bus_open_user(sd_bus **ret);
int __wrap_sd_bus_request_name_async(sd_bus *bus, sd_bus_slot **ret,
				     const char *name, uint64_t flags,
				     sd_bus_message_handler_t callback,
				     void *userdata);

int __wrap_sd_bus_open_user(sd_bus **ret)
{
	static const sd_id128_t id = SD_ID128_MAKE(
	    00, 01, 02, 03, 04, 05, 06, 07, 08, 09, 0a, 0b, 0c, 0d, 0e, 0f);
	const int fd = TAKE_FD(server_end);
	sd_bus *bus;

	if (fd < 0)
		return -ECONNREFUSED;
	assert(sd_bus_new(&bus) >= 0);
	assert(sd_bus_set_fd(bus, fd, fd) >= 0);
	assert(sd_bus_set_server(bus, 1, id) >= 0);
	assert(sd_bus_set_anonymous(bus, 1) >= 0);
	assert(sd_bus_negotiate_fds(bus, 1) >= 0);
	assert(sd_bus_start(bus) >= 0);
	*ret = bus;
	return 0;
}

/* Says that the server owns the name. */
int __wrap_sd_bus_request_name_async(sd_bus *bus, sd_bus_slot **ret,
				     const char *name, uint64_t flags,
				     sd_bus_message_handler_t callback,
				     void *userdata)
{
	sd_bus_message *reply;

	assert(sd_bus_message_new_signal(bus, &reply, "/", "a.b", "C") >= 0);
	assert(sd_bus_message_append(reply, "u", 1) >= 0);
	assert(sd_bus_message_seal(reply, 1, 0) >= 0);
	(void)callback(reply, userdata, NULL);
	sd_bus_message_unref(reply);
	return 0;
}

/* --- the loop --- */

static void run_loop(void)
{
	int turns = 0, busy;

	do {
		busy = sd_event_run(event, 0) > 0;
		while (caller && sd_bus_process(caller, NULL) > 0)
			busy = 1;
		assert(++turns < LOOP_TURNS_MAX);
	} while (busy);
}

static int on_answer(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	answers++;
	return 1;
}

/* --- arguments --- */

/* Most strings are names that the server knows. */
static void choose_string(struct fuzz_input *input, char text[STRING_SIZE])
{
	static const char *const known[] = {
	    "lobby", "yard", "priority", "queue", "chime",   "keep",
	    "",	     "all",  "next",	 "live",  "relayed", "gain"};
	const unsigned choice = fuzz_byte(input);

	if (choice < 192)
		strcpy(text, known[choice % ARRAY_SIZE(known)]);
	else
		fuzz_string(input, text, STRING_SIZE);
}

static int make_file(struct fuzz_input *input)
{
	const int fd = memfd_create("file", MFD_CLOEXEC);
	size_t size = fuzz_u16(input) % 2048;
	const uint8_t *data = fuzz_bytes(input, size, &size);

	if (fd >= 0 && size > 0)
		assert(write(fd, data, size) == (ssize_t)size);
	if (fd >= 0 && !(fuzz_byte(input) & 1))
		assert(lseek(fd, 0, SEEK_SET) == 0);
	return fd;
}

/* A pipe or socket whose other end is closed already: the source must have an
 * end, since nothing here waits. */
static int make_closed(unsigned choice)
{
	int fds[2];

	if ((choice & 1
		 ? pipe2(fds, O_CLOEXEC)
		 : socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds)) < 0)
		return -1;
	if (choice & 2)
		assert(write(fds[1], "RIFF", 4) == 4);
	close(fds[1]);
	return fds[0];
}

static int make_fd(struct fuzz_input *input)
{
	const unsigned choice = fuzz_byte(input);

	switch (choice / 4 % 8) {
	case 0:
		return open("/dev/null", O_RDWR | O_CLOEXEC);
	case 1:
		return open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	case 2:
		return make_closed(choice);
	case 3:
		return open("/", O_PATH | O_CLOEXEC);
	case 4:
		return open("/dev/null", O_WRONLY | O_CLOEXEC);
	default:
		return make_file(input);
	}
}

static double choose_double(struct fuzz_input *input)
{
	static const double known[] = {0, -1, 1, 0.01, 1e9, 86400};
	const unsigned choice = fuzz_byte(input);
	size_t size;
	const uint8_t *data;
	double value = 0;

	if (choice < 192)
		return known[choice % ARRAY_SIZE(known)];
	data = fuzz_bytes(input, sizeof(value), &size);
	if (size > 0)
		memcpy(&value, data, size);
	return value;
}

/* Appends a value of a basic type of D-Bus. */
static int append_basic(sd_bus_message *m, char type, struct fuzz_input *input)
{
	char text[STRING_SIZE];
	double number;
	uint64_t bits = 0;
	int fd, truth, r;

	switch (type) {
	case 's':
		choose_string(input, text);
		return sd_bus_message_append_basic(m, type, text);
	case 'd':
		number = choose_double(input);
		return sd_bus_message_append_basic(m, type, &number);
	case 'b':
		truth = fuzz_byte(input) & 1;
		return sd_bus_message_append_basic(m, type, &truth);
	case 'h':
		fd = make_fd(input);
		if (fd < 0)
			return -EMFILE;
		r = sd_bus_message_append_basic(m, type, &fd);
		close(fd); /* the message has a copy */
		return r;
	default:
		bits = fuzz_u16(input);
		if (fuzz_byte(input) & 1)
			bits *= UINT64_C(0x8001000180010001);
		return sd_bus_message_append_basic(m, type, &bits);
	}
}

static int append_fds(sd_bus_message *m, struct fuzz_input *input)
{
	unsigned count = fuzz_byte(input) % (BUS_FILES_MAX + 2);
	int r = sd_bus_message_open_container(m, 'a', "h");

	while (r >= 0 && count-- > 0)
		r = append_basic(m, 'h', input);
	return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_variant(sd_bus_message *m, struct fuzz_input *input,
			  int depth)
{
	static const char *const types[] = {"i", "u", "y",  "b", "h",
					    "s", "d", "x",  "t", "n",
					    "q", "v", "as", "ah"};
	const char *type = types[fuzz_byte(input) % ARRAY_SIZE(types)];
	int r;

	if (*type == 'v' && depth == DEPTH_MAX)
		type = "y";
	r = sd_bus_message_open_container(m, 'v', type);
	if (r < 0)
		return r;
	if (*type == 'v')
		r = append_variant(m, input, depth + 1);
	else if (strcmp(type, "as") == 0)
		r = sd_bus_message_append(m, "as", 1, "lobby");
	else if (*type == 'a')
		r = append_fds(m, input);
	else
		r = append_basic(m, *type, input);
	return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_options(sd_bus_message *m, struct fuzz_input *input)
{
	unsigned count = fuzz_byte(input) % ITEMS_MAX;
	int r = sd_bus_message_open_container(m, 'a', "{sv}");

	while (r >= 0 && count-- > 0) {
		r = sd_bus_message_open_container(m, 'e', "sv");
		if (r >= 0)
			r = append_basic(m, 's', input);
		if (r >= 0)
			r = append_variant(m, input, 0);
		if (r >= 0)
			r = sd_bus_message_close_container(m);
	}
	return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_zones(sd_bus_message *m, struct fuzz_input *input)
{
	unsigned count = fuzz_byte(input) % ITEMS_MAX;
	int r = sd_bus_message_open_container(m, 'a', "s");

	while (r >= 0 && count-- > 0)
		r = append_basic(m, 's', input);
	return r < 0 ? r : sd_bus_message_close_container(m);
}

/* --- calls --- */

static int append_arguments(sd_bus_message *m, struct fuzz_input *input,
			    const char *types)
{
	int r = 0;

	for (; *types && r >= 0; types++) {
		if (*types == 'z')
			r = append_zones(m, input);
		else if (*types == 'o')
			r = append_options(m, input);
		else
			r = append_basic(m, *types, input);
	}
	return r;
}

/* In the types, 'z' stands for zones ("as") and 'o' for options ("a{sv}"). */
static const struct {
	const char *interface, *member, *types;
} calls[] = {
    {BUS_INTERFACE, "Talk", "zdo"},
    {BUS_INTERFACE, "Play", "zho"},
    {BUS_INTERFACE, "Play", "zho"},
    {BUS_INTERFACE, "Stop", "u"},
    {BUS_INTERFACE, "LastPage", ""},
    {BUS_INTERFACE, "Status", ""},
    {BUS_INTERFACE, "Meter", "u"},
    {BUS_INTERFACE, "Talk", "zz"}, /* the wrong signature */
    {BUS_INTERFACE, "NoSuchThing", "o"},
    {"org.freedesktop.DBus.Properties", "Get", "ss"},
    {"org.freedesktop.DBus.Properties", "GetAll", "s"},
    {"org.freedesktop.DBus.Introspectable", "Introspect", ""},
    {BUS_INTERFACE, "Clients", ""},
    {BUS_INTERFACE, "Receipts", "u"},
};

static void call(struct fuzz_input *input)
{
	const unsigned choice = fuzz_byte(input);
	const unsigned n = choice % 16 % ARRAY_SIZE(calls);
	sd_bus_message *m = NULL;
	int r;

	r = sd_bus_message_new_method_call(caller, &m, NULL, BUS_PATH,
					   calls[n].interface, calls[n].member);
	/* As the daemon would, names the caller. */
	if (r >= 0 && !(choice & 16))
		r = sd_bus_message_set_sender(m, choice & 32 ? ":1.2" : ":1.1");
	if (r >= 0 && choice & 64)
		r = sd_bus_message_set_expect_reply(m, 0);
	if (r >= 0)
		r = append_arguments(m, input, calls[n].types);
	if (r >= 0 && choice & 64)
		r = sd_bus_send(caller, m, NULL);
	else if (r >= 0)
		r = sd_bus_call_async(caller, NULL, m, on_answer, NULL, 0);
	sd_bus_message_unref(m);
}

/* Tells the server, as the daemon does, that a caller is gone. */
static void tell_gone(const char *name)
{
	sd_bus_message *m = NULL;
	int r = sd_bus_message_new_signal(caller, &m, "/org/freedesktop/DBus",
					  "org.freedesktop.DBus",
					  "NameOwnerChanged");

	if (r >= 0)
		r = sd_bus_message_set_sender(m, "org.freedesktop.DBus");
	if (r >= 0)
		r = sd_bus_message_append(m, "sss", name, name, "");
	if (r >= 0)
		(void)sd_bus_send(caller, m, NULL);
	sd_bus_message_unref(m);
}

static void act(struct fuzz_input *input)
{
	const unsigned choice = fuzz_byte(input);

	switch (choice % 16) {
	case 12:
		tell_gone(choice & 16 ? ":1.1" : ":1.2");
		break;
	case 13:
		fuzz_clock_ahead_seconds += choice / 16;
		break;
	case 14: /* the bus is gone */
		sd_bus_close(caller);
		break;
	case 15:
		return; /* the server reads it together with what follows */
	default:
		call(input);
	}
	if (!(choice & 128))
		run_loop();
}

/* --- the target --- */

/* Answers all that the server asks the daemon. */
static int on_question(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	uint8_t type;

	if (sd_bus_message_get_type(m, &type) < 0 ||
	    type != SD_BUS_MESSAGE_METHOD_CALL)
		return 0;
	if (sd_bus_message_is_method_call(m, NULL, "NameHasOwner"))
		return sd_bus_reply_method_return(m, "b", 1);
	return sd_bus_reply_method_return(m, NULL);
}

static void connect_caller(int fd)
{
	assert(sd_bus_new(&caller) >= 0);
	assert(sd_bus_set_fd(caller, fd, fd) >= 0);
	assert(sd_bus_set_anonymous(caller, 1) >= 0);
	assert(sd_bus_negotiate_fds(caller, 1) >= 0);
	assert(sd_bus_start(caller) >= 0);
	assert(sd_bus_add_filter(caller, NULL, on_question, NULL) >= 0);
}

static void add_zone(const char *name)
{
	const struct sockaddr address = {.sa_family = AF_UNIX};
	const int fd =
	    socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	/* Given only the family, the kernel chooses a name, unix(7). */
	assert(fd >= 0);
	assert(bind(fd, &address, sizeof(sa_family_t)) == 0);
	assert(listen(fd, 1) == 0);
	assert(server_add_listener(server, fd, name) == 0);
}

static void set_up(unsigned flags)
{
	const struct server_config config = {
	    .page = {.microphone = {.device = "no-such-device",
				    .format = {WAV_PCM, 16, 2, 44100},
				    .period_frames = 1024},
		     .mode = flags & 1 ? PAGE_STORE : PAGE_LIVE,
		     .max_lag_seconds = 2},
	    .chime_fd = -1,
	    .seconds = 1,
	    .max_clients = 10,
	};
	int fds[2];

	signal(SIGPIPE, SIG_IGN);
	assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
			  0, fds) == 0);
	server_end = fds[1];
	assert(sd_event_new(&event) >= 0);
	assert(server_new(&server, event, &config) == 0);
	add_zone("lobby");
	add_zone("yard");
	assert(server_bus_new(&server_bus, event, server, SERVER_BUS_USER) ==
	       0);
	connect_caller(fds[0]);
	run_loop();
}

static void tear_down(unsigned flags)
{
	/* Either side may close first. */
	if (flags & 2) {
		caller = sd_bus_close_unref(caller);
		run_loop();
	}
	server_bus = server_bus_free(server_bus);
	server = server_free(server);
	if (caller)
		caller = sd_bus_close_unref(caller);
	event = sd_event_unref(event);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input input = {data, size};
	const unsigned flags = fuzz_byte(&input);
	const int fd = free_fd();

	set_up(flags);
	for (int i = 0; i < CALLS_MAX && input.size > 0; i++)
		act(&input);
	run_loop();
	tear_down(flags);
	assert(free_fd() == fd);
	return 0;
}
