/* SPDX-License-Identifier: MIT
 * The server's command line: every option, the limits of its value, and the
 * message for a value beyond them. */
#include "server/options.h"

#include "arguments.h"
#include "test.h"

static struct server_options o;
static const struct server_config *const config = &o.config;

static int parse_arguments(int argc, char **argv)
{
	return server_options_parse(&o, argc, argv);
}

TEST(defaults_are_those_of_the_help)
{
	ck_assert_int_eq(parse((const char *const[]){NULL}), 1);
	ck_assert_str_eq(config->page.microphone.device, "default");
	ck_assert(
	    wav_format_equal(&config->page.microphone.format,
			     &(struct wav_format){WAV_PCM, 16, 2, 44100}));
	ck_assert_uint_eq(config->page.microphone.period_frames, 1024);
	ck_assert_uint_eq(config->page.microphone.buffer_frames, 0);
	ck_assert_double_eq_tol(config->seconds, 5, 1e-9);
	ck_assert_int_eq(config->page.mode, PAGE_LIVE);
	ck_assert_uint_eq(config->max_clients, 1000);
	ck_assert_uint_eq(config->max_per_address, 0);
	ck_assert_double_eq_tol(config->page.max_lag_seconds, 2, 1e-9);
	ck_assert_ptr_null(config->page.archive.dir);
	ck_assert_uint_eq(config->page.archive.limit_size, 0);
	ck_assert_uint_eq(config->page.archive.limit_seconds, 0);
	ck_assert_uint_eq(o.listen.count, 0);
	ck_assert_ptr_null(o.chime_path);
	ck_assert_ptr_null(o.psk_path);
	ck_assert_int_eq(o.bus, SERVER_BUS_NONE);
	ck_assert_uint_eq(o.idle_exit_seconds, 0);
	ck_assert(!o.meter);
	ck_assert_int_eq(log_get_level(), LOG_INFO);
}

TEST(every_option_reaches_its_place)
{
	ck_assert_int_eq(
	    PARSE("--device=hw:1", "--format=S24_3LE", "--rate=48000",
		  "--channels=1", "--duration=2.5", "--period-size=512",
		  "--buffer-size=4096", "--vumeter", "--interactive",
		  "--listen=lobby=2349", "--listen=yard=127.0.0.1:2350",
		  "--mode=store", "--chime=gong.wav", "--archive=pages",
		  "--archive-limit=2G", "--archive-limit=30d",
		  "--max-clients=7", "--max-per-address=3", "--max-lag=0.5",
		  "--psk-file=keys", "--idle-exit=60", "--bus=user"),
	    1);
	ck_assert_str_eq(err, "");
	ck_assert_str_eq(config->page.microphone.device, "hw:1");
	ck_assert(
	    wav_format_equal(&config->page.microphone.format,
			     &(struct wav_format){WAV_PCM, 24, 1, 48000}));
	ck_assert_uint_eq(config->page.microphone.period_frames, 512);
	ck_assert_uint_eq(config->page.microphone.buffer_frames, 4096);
	ck_assert_double_eq_tol(config->seconds, 2.5, 1e-9);
	ck_assert_int_eq(config->page.mode, PAGE_STORE);
	ck_assert_uint_eq(config->max_clients, 7);
	ck_assert_uint_eq(config->max_per_address, 3);
	ck_assert_double_eq_tol(config->page.max_lag_seconds, 0.5, 1e-9);
	ck_assert_str_eq(config->page.archive.dir, "pages");
	ck_assert_uint_eq(config->page.archive.limit_size, UINT64_C(2) << 30);
	ck_assert_uint_eq(config->page.archive.limit_seconds, 30 * 86400);
	ck_assert_uint_eq(o.listen.count, 2);
	ck_assert_str_eq(o.listen.items[0], "lobby=2349");
	ck_assert_str_eq(o.listen.items[1], "yard=127.0.0.1:2350");
	ck_assert_str_eq(o.chime_path, "gong.wav");
	ck_assert_str_eq(o.psk_path, "keys");
	ck_assert_int_eq(o.bus, SERVER_BUS_USER);
	ck_assert_uint_eq(o.idle_exit_seconds, 60);
	ck_assert(o.meter && o.interactive);
}

static void check_microphone(uint32_t rate, uint16_t channels, uint32_t period)
{
	const struct microphone_config *m = &config->page.microphone;

	ck_assert_uint_eq(m->format.rate, rate);
	ck_assert_uint_eq(m->format.channels, channels);
	ck_assert_uint_eq(m->period_frames, period);
}

TEST(speech_is_what_other_options_leave_open)
{
	ck_assert_int_eq(PARSE("--speech"), 1);
	check_microphone(16000, 1, 160);
	ck_assert_int_eq(PARSE("--speech", "--rate=8000"), 1);
	check_microphone(8000, 1, 80);
	ck_assert_int_eq(PARSE("-c2", "--speech"), 1);
	check_microphone(16000, 2, 160);
	ck_assert_int_eq(PARSE("--period-size=64", "--speech"), 1);
	check_microphone(16000, 1, 64);
	ck_assert_int_eq(PARSE("--speech", "-fdat"), 1);
	check_microphone(48000, 2, 480);
	ck_assert_int_eq(PARSE("--speech", "-fU8"), 1);
	check_microphone(16000, 1, 160);
	ck_assert_uint_eq(config->page.microphone.format.bits, 8);
}

static void check_sync(double ms, enum microphone_clock clock)
{
	ck_assert_double_eq_tol(config->page.sync_ms, ms, 1e-6);
	ck_assert_int_eq(config->page.microphone.clock, clock);
}

TEST(sync_has_a_chunk_and_a_tenth_of_a_second)
{
	ck_assert_int_eq(PARSE("-i"), 1);
	check_sync(0, MICROPHONE_CARD);
	ck_assert_int_eq(PARSE("--sync"), 1);
	check_sync(1024 / 44.1 + 100, MICROPHONE_MONOTONIC);
	ck_assert_int_eq(PARSE("--sync", "--speech"), 1);
	check_sync(110, MICROPHONE_MONOTONIC);
	ck_assert_int_eq(PARSE("--sync=12", "-r48000", "--period-size=128"), 1);
	check_sync(12, MICROPHONE_MONOTONIC);
	ck_assert_int_eq(PARSE("--sync=12", "--sync"), 1);
	check_sync(1024 / 44.1 + 100, MICROPHONE_MONOTONIC);
	ck_assert_int_eq(PARSE("--mode=store", "--sync=200"), 1);
	check_sync(200, MICROPHONE_CARD);
}

TEST(sync_leaves_time_for_a_chunk)
{
	log_set_level(LOG_EMERG);
	ck_assert_int_eq(PARSE("--speech", "--sync=9.9"), -EINVAL);
	ck_assert_int_eq(PARSE("--sync=4000.1"), -EINVAL);
	ck_assert_int_eq(PARSE("--sync=4000"), 1);
	/* A chunk, what the resampler holds, and a loudspeaker's ring. */
	ck_assert_int_eq(PARSE("--sync=45.9"), -EINVAL);
	ck_assert_int_eq(PARSE("--sync=46"), 1);
	ck_assert_int_eq(PARSE("-r8000", "--sync=168.9"), -EINVAL);
	ck_assert_int_eq(PARSE("-r8000", "--sync=169"), 1);
	ck_assert_int_eq(PARSE("--mode=store", "--sync=28.3"), 1);
	ck_assert_int_eq(PARSE("-r4000", "--period-size=65536", "--sync"),
			 -EINVAL);
	log_set_level(LOG_INFO);
}

TEST(test_of_the_microphone_may_say_how_long)
{
	ck_assert_int_eq(PARSE("-i"), 1);
	ck_assert_double_eq(o.test_seconds, 0);
	ck_assert_int_eq(PARSE("--test"), 1);
	ck_assert_double_eq(o.test_seconds, 5);
	ck_assert_int_eq(PARSE("--test", "2.5", "-Dhw:1"), 1);
	ck_assert_double_eq(o.test_seconds, 2.5);
	log_set_level(LOG_EMERG);
	ck_assert_int_eq(PARSE("--test", "0"), -EINVAL);
	ck_assert_int_eq(PARSE("--test", "2", "3"), -EINVAL);
	ck_assert_int_eq(PARSE("2"), -EINVAL);
	log_set_level(LOG_INFO);
}

TEST(short_options_are_those_of_arecord)
{
	ck_assert_int_eq(PARSE("-Dhw:1", "-f", "u8", "-r8000", "-c1", "-d0",
			       "-Vi", "-l", "2349"),
			 1);
	ck_assert_str_eq(config->page.microphone.device, "hw:1");
	ck_assert(wav_format_equal(&config->page.microphone.format,
				   &(struct wav_format){WAV_PCM, 8, 1, 8000}));
	ck_assert_double_eq_tol(config->seconds, 0, 1e-9);
	ck_assert(o.meter && o.interactive);
	ck_assert_uint_eq(o.listen.count, 1);
}

TEST(last_value_counts)
{
	ck_assert_int_eq(PARSE("-r", "8000", "-r", "16000", "--bus=user",
			       "--bus=none", "--archive-limit=1M",
			       "--archive-limit=1K", "--archive=a",
			       "--archive=b"),
			 1);
	ck_assert_uint_eq(config->page.microphone.format.rate, 16000);
	ck_assert_int_eq(o.bus, SERVER_BUS_NONE);
	ck_assert_uint_eq(config->page.archive.limit_size, 1024);
	ck_assert_str_eq(config->page.archive.dir, "b");
}

TEST(how_much_is_told_can_be_chosen)
{
	ck_assert_int_eq(PARSE("-q"), 1);
	ck_assert_int_eq(log_get_level(), LOG_WARNING);
	ck_assert_int_eq(PARSE("--verbose"), 1);
	ck_assert_int_eq(log_get_level(), LOG_DEBUG);
	ck_assert_int_eq(PARSE("-q", "-v"), 1);
	ck_assert_int_eq(log_get_level(), LOG_DEBUG);
	log_set_level(LOG_INFO);
}

TEST(cd_and_dat_are_formats_with_rate_and_channels)
{
	static const struct wav_format cd = {WAV_PCM, 16, 2, 44100};
	static const struct wav_format dat = {WAV_PCM, 16, 2, 48000};
	static const struct wav_format other = {WAV_PCM, 16, 1, 48000};

	ck_assert_int_eq(PARSE("-r8000", "-c1", "-f", "cd"), 1);
	ck_assert(wav_format_equal(&config->page.microphone.format, &cd));
	ck_assert_int_eq(PARSE("-r8000", "-c1", "-f", "DAT"), 1);
	ck_assert(wav_format_equal(&config->page.microphone.format, &dat));
	ck_assert_int_eq(PARSE("-f", "CD", "-r48000", "-c1"), 1);
	ck_assert(wav_format_equal(&config->page.microphone.format, &other));
}

TEST(every_format_has_a_name)
{
	static const char *const names[] = {"U8",	  "S16_LE", "S24_3LE",
					    "S24_LE",	  "S32_LE", "FLOAT_LE",
					    "FLOAT64_LE", "A_LAW",  "MU_LAW"};
	static const char *const others[] = {"", "S16_BE", "S24_BE", "mp3",
					     "cdr"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		check_taken("-f", names[i]);
		ck_assert_str_eq(
		    wav_format_name(&config->page.microphone.format), names[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		check_refused("-f", others[i],
			      "U8, S16_LE, S24_3LE, S24_LE, S32_LE, FLOAT_LE, "
			      "FLOAT64_LE, A_LAW, MU_LAW, cd or dat is needed");
}

static const struct edges numbers[] = {
    {"-r", "3999", "4000", "384000", "384001",
     "a whole number from 4000 to 384000 is needed"},
    {"-c", "0", "1", "32", "33", "a whole number from 1 to 32 is needed"},
    {"-d", "-0.1", "0", "31536000", "31536000.1",
     "a number from 0 to 31536000 is needed"},
    {"--period-size", "7", "8", "65536", "65537",
     "a whole number from 8 to 65536 is needed"},
    {"--buffer-size", "15", "2048", "4194304", "4194305",
     "a whole number from 16 to 4194304 is needed"},
    {"--max-clients", "0", "1", "1000000", "1000001",
     "a whole number from 1 to 1000000 is needed"},
    {"--max-per-address", "0", "1", "1000000", "1000001",
     "a whole number from 1 to 1000000 is needed"},
    {"--max-lag", "0.049", "0.05", "3600", "3600.1",
     "a number from 0.05 to 3600 is needed"},
    {"--idle-exit", "-1", "0", "86400", "86401",
     "a whole number from 0 to 86400 is needed"},
};

TEST(numbers_end_at_their_edges)
{
	check_edges(numbers, ARRAY_SIZE(numbers));
}

TEST(choices_are_named_when_the_value_is_none)
{
	check_taken("--mode", "live");
	check_taken("--mode", "store");
	check_refused("--mode", "", "live or store is needed");
	check_refused("--mode", "Live", "live or store is needed");
	check_taken("--bus", "none");
	check_taken("--bus", "system");
	ck_assert_int_eq(o.bus, SERVER_BUS_SYSTEM);
	check_taken("--bus", "user");
	check_refused("--bus", "session", "none, system or user is needed");
}

TEST(archive_limit_is_a_size_or_an_age)
{
	static const struct {
		const char *text;
		uint64_t size, seconds;
	} cases[] = {
	    {"1K", 1024, 0},
	    {"500M", UINT64_C(500) << 20, 0},
	    {"20G", UINT64_C(20) << 30, 0},
	    {"1000000T", UINT64_C(1000000) << 40, 0},
	    {"1m", 0, 60},
	    {"12h", 0, 43200},
	    {"30d", 0, 2592000},
	    {"1000000w", 0, UINT64_C(604800000000)},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		ck_assert_int_eq(PARSE("--archive", "pages", "--archive-limit",
				       cases[i].text),
				 1);
		ck_assert_uint_eq(config->page.archive.limit_size,
				  cases[i].size);
		ck_assert_uint_eq(config->page.archive.limit_seconds,
				  cases[i].seconds);
	}
}

TEST(other_archive_limits_are_refused)
{
	static const char *const others[] = {
	    "",	   "5",	  "M",	  "0M",	      "05M",
	    "-5M", "+5M", " 5M",  "5 M",      "5MM",
	    "5X",  "5k",  "1.5G", "1000001K", "99999999999999999999999G"};

	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		check_refused("--archive-limit", others[i],
			      "a size (500M, 20G; 1 to 1000000 K, M, G or T) "
			      "or an age (30d; 1 to 1000000 m, h, d or w) is "
			      "needed");
	ck_assert_int_eq(PARSE("--archive-limit", "5M"), -EINVAL);
	CHECK_LINE(err, "--archive-limit needs --archive DIR");
}

TEST(page_has_one_chunk_at_least)
{
	/* 1024 frames are 23.2 ms. */
	check_taken("-d", "0.0233");
	check_refused("-d", "0.0232",
		      "shorter than one chunk of 1024 frames (--period-size)");
	ck_assert_int_eq(PARSE("-d", "0.0232", "--period-size", "512"), 1);
	ck_assert_int_eq(PARSE("-d", "1", "--period-size", "65536"), -EINVAL);
	CHECK_LINE(err, "-d '1': shorter than one chunk of 65536");
}

TEST(buffer_has_two_chunks_at_least)
{
	check_taken("--buffer-size", "2048");
	check_refused("--buffer-size", "2047",
		      "at least two chunks of 1024 frames (--period-size) are "
		      "needed");
	ck_assert_int_eq(PARSE("--buffer-size=16", "--period-size=8"), 1);
	ck_assert_int_eq(PARSE("--buffer-size=16", "--period-size=9"), -EINVAL);
}

TEST(as_many_zones_as_there_is_room_for)
{
	const char *arguments[2 * (OPTION_LIST_MAX + 1) + 1] = {0};

	for (size_t i = 0; i < OPTION_LIST_MAX; i++) {
		arguments[2 * i] = "-l";
		arguments[2 * i + 1] = "2348";
	}
	ck_assert_int_eq(parse(arguments), 1);
	ck_assert_uint_eq(o.listen.count, OPTION_LIST_MAX);
	arguments[2 * OPTION_LIST_MAX] = "-l";
	arguments[2 * OPTION_LIST_MAX + 1] = "one-more=2348";
	ck_assert_int_eq(parse(arguments), -EINVAL);
	CHECK_LINE(err, "-l 'one-more=2348': at most 64 are possible");
}

TEST(default_chime_is_the_one_that_was_installed)
{
	check_taken("--chime", "default");
	ck_assert_int_eq(o.chime_path[0], '/');
	ck_assert_ptr_nonnull(strstr(o.chime_path, "/chime.wav"));
}

TEST(what_is_no_option_is_named)
{
	ck_assert_int_eq(PARSE("hw:0"), -EINVAL);
	CHECK_LINE(err, "'hw:0' is not an option", "--help");
	ck_assert_int_eq(PARSE("--nothing"), -EINVAL);
	CHECK_LINE(err, "--nothing");
	ck_assert_int_eq(PARSE("-x"), -EINVAL);
	CHECK_LINE(err, "'-x' is not an option", "--help");
	ck_assert_int_eq(PARSE("--max", "5"), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err, "'--max' is ambiguous"));
	ck_assert_int_eq(PARSE("--rate"), -EINVAL);
	CHECK_LINE(err, "--rate", "argument");
	ck_assert_int_eq(PARSE("--quiet=yes"), -EINVAL);
	CHECK_LINE(err, "--quiet", "argument");
}

TEST(help_and_version_are_all_that_is_done)
{
	ck_assert_int_eq(PARSE("--help", "-r", "0"), 0);
	ck_assert(strncmp(out, "Usage: intercom-server ", 23) == 0);
	ck_assert_str_eq(err, "");
	ck_assert_int_eq(PARSE("-h"), 0);
	ck_assert(strncmp(out, "Usage: intercom-server ", 23) == 0);
	ck_assert_int_eq(PARSE("--version"), 0);
	ck_assert(strncmp(out, "intercom-server (", 17) == 0);
	ck_assert_ptr_eq(strchr(out, '\n'), out + strlen(out) - 1);
	/* An error before --help counts more. */
	ck_assert_int_eq(PARSE("-r", "0", "--help"), -EINVAL);
	ck_assert_str_eq(out, "");
}
