/* SPDX-License-Identifier: MIT */
#include <systemd/sd-bus.h>

#include "server/bus/text.h"
#include "test.h"

TIME_LIMIT(60);

TEST(text_of_every_length_is_valid)
{
	static const char *const texts[] = {
	    "",
	    "hw:1,0",
	    "\x7f",
	    "\xc2\x80",
	    "b\xc3\xbcro",
	    "\xe0\xa0\x80",
	    "\xed\x9f\xbf",
	    "\xee\x80\x80",
	    "\xf0\x90\x80\x80",
	    "\xf4\x8f\xbf\xbd",
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		ck_assert_msg(bus_text(texts[i], NULL), "text %zu", i);
}

TEST(what_is_no_utf_8_is_refused)
{
	static const char *const texts[] = {
	    "\x80",		/* continues nothing */
	    "\xff",		/* never occurs */
	    "a\xc3",		/* ends too early */
	    "\xe2\x82",		/* so does this */
	    "\xe2\x28\xa1",	/* does not continue */
	    "\xc0\xaf",		/* overlong */
	    "\xe0\x9f\xbf",	/* overlong */
	    "\xf0\x8f\xbf\xbf", /* overlong */
	    "\xed\xa0\x80",	/* surrogate */
	    "\xf4\x90\x80\x80", /* beyond Unicode */
	    "\xef\xb7\x90",	/* noncharacter */
	    "\xef\xbf\xbf",	/* noncharacter */
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		ck_assert_str_eq(bus_text(texts[i], "?"), "?");
}

/* Compares with sd-bus itself, for every seventh sequence of three bytes. */
TEST(it_agrees_with_sd_bus)
{
	sd_bus_message *m = NULL;
	sd_bus *bus = NULL;

	ck_assert_int_ge(sd_bus_new(&bus), 0);
	ck_assert_int_ge(sd_bus_set_address(bus, "unix:path=/dev/null"), 0);
	(void)sd_bus_start(bus);
	for (unsigned n = 0; n < 1u << 21; n += 7) {
		/* The first byte is never ASCII, which is always valid. */
		const char text[] = {(char)(0x80 | (n >> 14 & 0x7f)),
				     (char)(n >> 7 & 0xff), (char)(n & 0xff),
				     '\0'};
		int r;

		r = sd_bus_message_new_signal(bus, &m, "/a", "a.b", "c");
		ck_assert_int_ge(r, 0);
		r = sd_bus_message_append(m, "s", text);
		ck_assert_msg((bus_text(text, NULL) != NULL) == (r >= 0),
			      "%02x %02x %02x", text[0] & 0xff, text[1] & 0xff,
			      text[2] & 0xff);
		m = sd_bus_message_unref(m);
	}
	sd_bus_unref(bus);
}
