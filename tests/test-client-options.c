/* SPDX-License-Identifier: MIT
 * The client's command line: every option, the limits of its value, and the
 * message for a value beyond them. */
#include "client/options.h"

#include "arguments.h"
#include "test.h"

static struct client_config config;

static int parse_arguments(int argc, char **argv)
{
	return client_options_parse(&config, argc, argv);
}

static void check_server(unsigned i, const char *name, const char *host,
			 const char *port)
{
	ck_assert_uint_lt(i, config.server_count);
	ck_assert_str_eq(config.servers[i].name, name);
	ck_assert_str_eq(config.servers[i].endpoint.host, host);
	ck_assert_str_eq(config.servers[i].endpoint.port, port);
}

TEST(defaults_are_those_of_the_help)
{
	ck_assert_int_eq(parse((const char *const[]){NULL}), 1);
	ck_assert_uint_eq(config.server_count, 1);
	check_server(0, "localhost", "localhost", "2348");
	ck_assert_str_eq(config.speaker.device, "default");
	ck_assert_uint_eq(config.speaker.latency_ms, 100);
	ck_assert_uint_eq(config.speaker.period_frames, 0);
	ck_assert_uint_eq(config.speaker.lead_in_ms, 0);
	ck_assert_double_eq(config.speaker.delay_ms, 0);
	ck_assert(!config.no_sync);
	ck_assert(!config.speaker.hold);
	ck_assert_ptr_null(config.save);
	ck_assert_ptr_null(config.before);
	ck_assert_ptr_null(config.after);
	ck_assert_ptr_null(config.mixer);
	ck_assert_int_eq(config.volume, -1);
	ck_assert_double_eq_tol(config.max_seconds, 0, 1e-9);
	ck_assert_ptr_null(config.psk_path);
	ck_assert_ptr_null(config.keys);
	ck_assert(!config.once && !config.meter);
	ck_assert_int_eq(log_get_level(), LOG_INFO);
}

TEST(every_option_reaches_its_place)
{
	ck_assert_int_eq(PARSE("--device=hw:1", "--latency=50",
			       "--period-size=256", "--save=pages", "--once",
			       "--volume=70", "--mixer=PCM", "--before=amp on",
			       "--after=amp off", "--max-duration=600.5",
			       "--hold", "--lead-in=300", "--delay=20.25",
			       "--no-sync", "--psk-file=key", "pa.example"),
			 1);
	ck_assert_str_eq(err, "");
	ck_assert_str_eq(config.speaker.device, "hw:1");
	ck_assert_uint_eq(config.speaker.latency_ms, 50);
	ck_assert_uint_eq(config.speaker.latency_max_ms, 50);
	ck_assert_uint_eq(config.speaker.period_frames, 256);
	ck_assert_uint_eq(config.speaker.lead_in_ms, 300);
	ck_assert_double_eq(config.speaker.delay_ms, 20.25);
	ck_assert(config.no_sync);
	ck_assert(config.speaker.hold);
	ck_assert_str_eq(config.save, "pages");
	ck_assert(config.once);
	ck_assert(!config.test);
	ck_assert_int_eq(config.volume, 70);
	ck_assert_str_eq(config.mixer, "PCM");
	ck_assert_str_eq(config.before, "amp on");
	ck_assert_str_eq(config.after, "amp off");
	ck_assert_double_eq_tol(config.max_seconds, 600.5, 1e-9);
	ck_assert_str_eq(config.psk_path, "key");
	check_server(0, "pa.example", "pa.example", "2348");
}

TEST(latency_may_move)
{
	ck_assert_int_eq(PARSE("--latency=auto"), 1);
	ck_assert_uint_eq(config.speaker.latency_ms, 100);
	ck_assert_uint_eq(config.speaker.latency_max_ms, 1000);
	ck_assert_int_eq(PARSE("--latency=auto:300"), 1);
	ck_assert_uint_eq(config.speaker.latency_ms, 100);
	ck_assert_uint_eq(config.speaker.latency_max_ms, 300);
	ck_assert_int_eq(PARSE("--latency=auto", "--latency=70"), 1);
	ck_assert_uint_eq(config.speaker.latency_ms, 70);
	ck_assert_uint_eq(config.speaker.latency_max_ms, 70);
}

TEST(latency_that_is_neither_a_number_nor_auto_is_refused)
{
	static const char *const wrong[] = {"automatic", "auto:", "auto:99",
					    "auto:5001", "auto 300"};

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		ck_assert_int_eq(PARSE("--latency", wrong[i]), -EINVAL);
		ck_assert_ptr_nonnull(strstr(err, "--latency"));
	}
}

TEST(options_and_servers_may_be_mixed)
{
	ck_assert_int_eq(PARSE("first", "-Dhw:1", "second:1", "--once",
			       "[::1]:2", "2001:db8::1", "--", "-last"),
			 1);
	ck_assert_str_eq(config.speaker.device, "hw:1");
	ck_assert(config.once);
	ck_assert_uint_eq(config.server_count, 5);
	check_server(0, "first", "first", "2348");
	check_server(1, "second:1", "second", "1");
	check_server(2, "[::1]:2", "::1", "2");
	check_server(3, "2001:db8::1", "2001:db8::1", "2348");
	check_server(4, "-last", "-last", "2348");
}

TEST(test_needs_no_server)
{
	ck_assert_int_eq(PARSE("--test", "-Dhw:1"), 1);
	ck_assert(config.test);
}

TEST(how_much_is_told_can_be_chosen)
{
	ck_assert_int_eq(PARSE("-q"), 1);
	ck_assert_int_eq(log_get_level(), LOG_WARNING);
	ck_assert_int_eq(PARSE("--verbose"), 1);
	ck_assert_int_eq(log_get_level(), LOG_DEBUG);
	/* The meter needs a terminal, and stdout is none here. */
	ck_assert_int_eq(PARSE("-V"), 1);
	ck_assert(!config.meter);
	log_set_level(LOG_INFO);
}

static const struct edges numbers[] = {
    {"--latency", "0", "1", "5000", "5001",
     "a whole number from 1 to 5000 is needed"},
    {"--period-size", "7", "8", "65536", "65537",
     "a whole number from 8 to 65536 is needed"},
    {"--volume", "-1", "0", "100", "101",
     "a whole number from 0 to 100 is needed"},
    {"--max-duration", "-0.1", "0", "31536000", "31536000.1",
     "a number from 0 to 31536000 is needed"},
    {"--lead-in", "-1", "0", "10000", "10001",
     "a whole number from 0 to 10000 is needed"},
    {"--delay", "-1000.1", "-1000", "1000", "1000.1",
     "a number from -1000 to 1000 is needed"},
};

TEST(numbers_end_at_their_edges)
{
	check_edges(numbers, ARRAY_SIZE(numbers));
}

TEST(servers_that_are_none_are_refused)
{
	static const struct {
		const char *name, *problem;
	} cases[] = {
	    {"", "the host name is missing"},
	    {":2348", "the host name is missing"},
	    {"host:", "port"},
	    {"host:0", "port"},
	    {"host:65536", "port"},
	    {"[::1", "HOST, HOST:PORT or [V6]:PORT is needed"},
	    {"[::1]2348", "HOST, HOST:PORT or [V6]:PORT is needed"},
	    {"[]:2348", "HOST, HOST:PORT or [V6]:PORT is needed"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char quoted[64];

		ck_assert_msg(PARSE("good", cases[i].name) == -EINVAL,
			      "'%s' was taken", cases[i].name);
		snprintf(quoted, sizeof(quoted), "'%s': ", cases[i].name);
		CHECK_LINE(err, quoted, cases[i].problem, "is needed");
	}
}

TEST(host_name_that_is_too_long_is_refused)
{
	char name[NET_HOST_SIZE + 1];

	memset(name, 'h', sizeof(name));
	name[NET_HOST_SIZE - 1] = '\0';
	ck_assert_int_eq(PARSE(name), 1);
	check_server(0, name, name, "2348");
	name[NET_HOST_SIZE - 1] = 'h';
	name[NET_HOST_SIZE] = '\0';
	ck_assert_int_eq(PARSE(name), -EINVAL);
	CHECK_LINE(err, "the host name is too long");
}

TEST(as_many_servers_as_there_is_room_for)
{
	const char *arguments[CLIENT_SERVERS_MAX + 2] = {0};

	for (size_t i = 0; i < CLIENT_SERVERS_MAX; i++)
		arguments[i] = "server";
	ck_assert_int_eq(parse(arguments), 1);
	ck_assert_uint_eq(config.server_count, CLIENT_SERVERS_MAX);
	arguments[CLIENT_SERVERS_MAX] = "one-more";
	ck_assert_int_eq(parse(arguments), -EINVAL);
	CHECK_LINE(err, "'one-more': at most 64 servers are possible");
}

TEST(mixer_goes_with_a_volume)
{
	ck_assert_int_eq(PARSE("--mixer=PCM"), -EINVAL);
	CHECK_LINE(err, "--mixer needs --volume PERCENT");
	ck_assert_int_eq(PARSE("--mixer=PCM", "--volume=0"), 1);
	ck_assert_int_eq(config.volume, 0);
}

TEST(what_is_no_option_is_named)
{
	ck_assert_int_eq(PARSE("--nothing"), -EINVAL);
	CHECK_LINE(err, "--nothing");
	ck_assert_int_eq(PARSE("-x"), -EINVAL);
	CHECK_LINE(err, "'-x' is not an option", "--help");
	ck_assert_int_eq(PARSE("--ve"), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err, "'--ve' is ambiguous"));
	ck_assert_int_eq(PARSE("--volume"), -EINVAL);
	CHECK_LINE(err, "--volume", "argument");
	ck_assert_int_eq(PARSE("--once=twice"), -EINVAL);
	CHECK_LINE(err, "--once", "argument");
}

TEST(help_and_version_are_all_that_is_done)
{
	ck_assert_int_eq(PARSE("--help", "--volume", "101"), 0);
	ck_assert(strncmp(out, "Usage: intercom-client ", 23) == 0);
	ck_assert_str_eq(err, "");
	ck_assert_int_eq(PARSE("-h"), 0);
	ck_assert(strncmp(out, "Usage: intercom-client ", 23) == 0);
	ck_assert_int_eq(PARSE("--version"), 0);
	ck_assert(strncmp(out, "intercom-client (", 17) == 0);
	ck_assert_ptr_eq(strchr(out, '\n'), out + strlen(out) - 1);
	/* An error before --help counts more. */
	ck_assert_int_eq(PARSE("--volume", "101", "--help"), -EINVAL);
	ck_assert_str_eq(out, "");
}
