/* SPDX-License-Identifier: MIT
 * D-Bus values become a tree and JSON. The messages are made here and read as
 * if they had come over a bus. */
#include "ctl/value.h"

#include <sys/socket.h>

#include "test.h"

static sd_bus *bus;
static int peer;
static struct value value;

static void setup(void)
{
	int fds[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	peer = fds[1];
	ck_assert_int_ge(sd_bus_new(&bus), 0);
	ck_assert_int_ge(sd_bus_set_fd(bus, fds[0], fds[0]), 0);
	ck_assert_int_ge(sd_bus_start(bus), 0);
	value = (struct value){0};
}

static void teardown(void)
{
	value_clear(&value);
	sd_bus_close_unref(bus);
	fd_close(peer);
}

FIXTURE(setup, teardown);

static sd_bus_message *begin(void)
{
	sd_bus_message *message;

	ck_assert_int_ge(
	    sd_bus_message_new_signal(bus, &message, "/", "a.b", "C"), 0);
	return message;
}

static void finish(sd_bus_message *message)
{
	ck_assert_int_ge(sd_bus_message_seal(message, 1, 0), 0);
	ck_assert_int_ge(sd_bus_message_rewind(message, 1), 0);
}

/* Reads the message's first value into VALUE. */
#define READ(...)                                                              \
	do {                                                                   \
		sd_bus_message *message = begin();                             \
                                                                               \
		ck_assert_int_ge(sd_bus_message_append(message, __VA_ARGS__),  \
				 0);                                           \
		finish(message);                                               \
		value_clear(&value);                                           \
		value = (struct value){0};                                     \
		ck_assert_int_ge(value_read(&value, message), 0);              \
		sd_bus_message_unref(message);                                 \
	} while (0)

static void expect_json(const struct value *v, const char *json)
{
	char *text;
	size_t size;
	FILE *file = open_memstream(&text, &size);

	ck_assert_ptr_nonnull(file);
	value_print_json(file, v);
	fclose(file);
	ck_assert_str_eq(text, json);
	free(text);
}

/* Appends values and checks the JSON of the first one. */
#define CHECK(json, ...)                                                       \
	do {                                                                   \
		READ(__VA_ARGS__);                                             \
		expect_json(&value, json);                                     \
	} while (0)

TEST(numbers_keep_their_edges)
{
	CHECK("255", "y", 255);
	CHECK("65535", "q", 65535);
	CHECK("-32768", "n", -32768);
	CHECK("4294967295", "u", UINT32_MAX);
	CHECK("-2147483648", "i", INT32_MIN);
	CHECK("18446744073709551615", "t", UINT64_MAX);
	CHECK("-9223372036854775808", "x", INT64_MIN);
}

TEST(reals_are_json)
{
	CHECK("0.1", "d", 0.1);
	CHECK("-12.5", "d", -12.5);
	/* JSON has no word for these. */
	CHECK("null", "d", 1.0 / 0.0);
	CHECK("null", "d", __builtin_nan(""));
}

TEST(text_is_quoted)
{
	CHECK("\"b\xc3\xbcro \\\"a\\\\b\\\"\\u000a\\u0009\\u007f\\u0001\"", "s",
	      "b\xc3\xbcro \"a\\b\"\n\t\x7f\x01");
	CHECK("\"/org/alsaintercom1\"", "o", "/org/alsaintercom1");
	CHECK("true", "b", 1);
}

TEST(containers_nest_and_variants_are_unwrapped)
{
	CHECK("[[\"lobby\",3],[\"yard\",0]]", "a(su)", 2, "lobby", 3, "yard",
	      0);
	CHECK("{\"zones\":[\"lobby\"],\"left\":2.5}", "a{sv}", 2, "zones", "as",
	      1, "lobby", "left", "d", 2.5);
	CHECK("[]", "as", 0);
	CHECK("{}", "a{sv}", 0);
	CHECK("[{\"id\":7}]", "aa{sv}", 1, 1, "id", "u", 7);
}

TEST(what_is_asked_for_is_found)
{
	READ("a{sv}", 5, "name", "s", "yard", "clients", "u", 12, "level", "d",
	     -6.5, "offset", "i", -3, "live", "b", 1);
	ck_assert_str_eq(value_string(&value, "name"), "yard");
	ck_assert_uint_eq(value_natural(&value, "clients"), 12);
	ck_assert_double_eq(value_real(&value, "level"), -6.5);
	ck_assert_int_eq(value_integer(&value, "offset"), -3);
	ck_assert(value_boolean(&value, "live"));
	ck_assert_str_eq(value_string(&value, "name"), "yard");
}

TEST(what_is_missing_or_of_another_kind_is_nothing)
{
	READ("a{sv}", 2, "name", "u", 1, "count", "s", "7");
	ck_assert_ptr_null(value_get(&value, "absent"));
	ck_assert_str_eq(value_string(&value, "absent"), "");
	ck_assert_str_eq(value_string(&value, "name"), "");
	ck_assert_uint_eq(value_natural(&value, "count"), 0);
	ck_assert_int_eq(value_integer(&value, "count"), 0);
	ck_assert_double_eq(value_real(&value, "count"), 0);
	ck_assert(!value_boolean(&value, "count"));
	ck_assert_str_eq(value_string(&value, "name"), "");
}

TEST(a_type_of_nobodys_is_refused_and_leaks_nothing)
{
	sd_bus_message *message = begin();

	ck_assert_int_ge(sd_bus_message_append(message, "a{sv}", 2, "a", "s",
					       "kept", "fd", "h", peer),
			 0);
	finish(message);
	ck_assert_int_eq(value_read(&value, message), -EOPNOTSUPP);
	sd_bus_message_unref(message);
}

TEST(properties_are_gathered)
{
	sd_bus_message *message = begin();
	struct value zones = {0};

	ck_assert_int_ge(sd_bus_message_append(message, "asu", 1, "lobby", 40),
			 0);
	finish(message);
	ck_assert_int_ge(value_read_item(&zones, message, "Zones"), 0);
	ck_assert_int_ge(value_read_item(&zones, message, "Clients"), 0);
	ck_assert_int_lt(value_read_item(&zones, message, "Pages"), 0);
	expect_json(value_get(&zones, "Zones"), "[\"lobby\"]");
	ck_assert_uint_eq(value_natural(&zones, "Clients"), 40);
	value_clear(&zones);
	sd_bus_message_unref(message);
}
