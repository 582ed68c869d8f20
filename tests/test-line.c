/* SPDX-License-Identifier: MIT
 * Lines of fields: what is read, what is refused, what is written. */
#include "wire/line.h"

#include "test.h"

#define HEAD "intercom-test 1"

static struct line_field field;

/* How many fields LINE has, or -EBADMSG; the last one is in FIELD. */
static int read_all(const char *line, size_t size)
{
	struct line_reader reader;
	int count = 0, r = line_open(&reader, line, size, HEAD);

	if (r < 0)
		return r;
	while ((r = line_next(&reader, &field)) > 0)
		count++;
	return r < 0 ? r : count;
}

static int read_text(const char *line)
{
	return read_all(line, strlen(line));
}

TEST(fields_come_one_after_another)
{
	static const char line[] = HEAD " card=ready version=2.0 ms_2=100\n";
	struct line_reader reader;

	ck_assert_int_eq(line_open(&reader, line, strlen(line), HEAD), 0);
	ck_assert_int_eq(line_next(&reader, &field), 1);
	ck_assert_str_eq(field.key, "card");
	ck_assert_str_eq(field.value, "ready");
	ck_assert_int_eq(line_next(&reader, &field), 1);
	ck_assert_str_eq(field.key, "version");
	ck_assert_str_eq(field.value, "2.0");
	ck_assert_int_eq(line_next(&reader, &field), 1);
	ck_assert_str_eq(field.key, "ms_2");
	ck_assert_int_eq(line_next(&reader, &field), 0);
	ck_assert_int_eq(line_next(&reader, &field), 0);
}

TEST(line_may_have_no_fields)
{
	ck_assert_int_eq(read_text(HEAD "\n"), 0);
}

TEST(values_are_decoded)
{
	ck_assert_int_eq(read_text(HEAD " a=%20%41%c3%a4%25%C3%A4%3d%0a\n"), 1);
	ck_assert_str_eq(field.value, " Aä%ä=\n");
	ck_assert_int_eq(read_text(HEAD " a=\n"), 1);
	ck_assert_str_eq(field.value, "");
}

static const char *const malformed[] = {
    "",
    "\n",
    HEAD,
    HEAD " a=1",
    "intercom-test 2 a=1\n",
    "intercom-test 1a=1\n",
    "intercom-test 10 a=1\n",
    "Intercom-test 1 a=1\n",
    " " HEAD " a=1\n",
    HEAD " \n",
    HEAD "  a=1\n",
    HEAD " a=1 \n",
    HEAD "\ta=1\n",
    HEAD " a=1\tb=2\n",
    HEAD " a=1\r\n",
    HEAD " a=1\n\n",
    HEAD " a=1\n b=2\n",
    HEAD " a\n",
    HEAD " =1\n",
    HEAD " a=1=2\n",
    HEAD " A=1\n",
    HEAD " a-b=1\n",
    HEAD " a=\x7f\n",
    HEAD " a=\xc3\xa4\n",
    HEAD " a=\x1b[2J\n",
    HEAD " a=%\n",
    HEAD " a=%4\n",
    HEAD " a=%4 1\n",
    HEAD " a=%4g\n",
    HEAD " a=%-1\n",
    HEAD " a=%00\n",
    HEAD " a2345678901234567890123456789012=1\n",
};

TEST_LOOP(other_text_is_refused, 0, ARRAY_SIZE(malformed))
{
	ck_assert_int_eq(read_text(malformed[_i]), -EBADMSG);
}

TEST(zero_bytes_are_refused)
{
	static const char line[] = HEAD " a=1\0 b=2\n";

	ck_assert_int_eq(read_all(line, sizeof(line) - 1), -EBADMSG);
}

TEST(longest_line_is_read_and_a_longer_one_refused)
{
	char line[LINE_SIZE_MAX + 1] = HEAD " a=";

	memset(line + strlen(line), 'x', sizeof(line) - strlen(line));
	line[LINE_SIZE_MAX - 1] = '\n';
	ck_assert_int_eq(read_all(line, LINE_SIZE_MAX), 1);
	ck_assert_uint_eq(strlen(field.value),
			  LINE_SIZE_MAX - strlen(HEAD " a=\n"));
	line[LINE_SIZE_MAX - 1] = 'x';
	line[LINE_SIZE_MAX] = '\n';
	ck_assert_int_eq(read_all(line, LINE_SIZE_MAX + 1), -EBADMSG);
}

TEST(only_decimal_numbers_that_fit_are_numbers)
{
	static const char *const bad[] = {"",
					  "-1",
					  "+1",
					  " 1",
					  "1 ",
					  "0x10",
					  "1.0",
					  "1e3",
					  "nan",
					  "18446744073709551616",
					  "99999999999999999999999"};
	uint64_t number = 7;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		ck_assert_int_eq(line_number(bad[i], &number), -EBADMSG);
	ck_assert_uint_eq(number, 7);
	ck_assert_int_eq(line_number("18446744073709551615", &number), 0);
	ck_assert(number == UINT64_MAX);
	ck_assert_int_eq(line_number("007", &number), 0);
	ck_assert_uint_eq(number, 7);
}

TEST(what_is_written_is_read_again)
{
	static const char text[] = "a b=c%20\xff\x01 ä\n~";
	char line[LINE_SIZE_MAX];
	struct line_writer writer;
	size_t size;

	line_begin(&writer, line, HEAD);
	line_add_number(&writer, "number", UINT64_MAX);
	line_add(&writer, "text", text);
	size = line_finish(&writer);
	for (size_t i = 0; i < size - 1; i++)
		ck_assert(line[i] >= ' ' && line[i] <= '~');
	ck_assert_int_eq(read_all(line, size), 2);
	ck_assert_str_eq(field.key, "text");
	ck_assert_str_eq(field.value, text);
}

TEST(field_without_room_is_left_out_whole)
{
	char line[LINE_SIZE_MAX], text[LINE_SIZE_MAX];
	struct line_writer writer;
	size_t size;

	memset(text, ' ', 150);
	text[150] = '\0';
	line_begin(&writer, line, HEAD);
	line_add(&writer, "long", text);
	line_add(&writer, "longer", text);
	line_add(&writer, "short", "1");
	size = line_finish(&writer);
	ck_assert_uint_le(size, LINE_SIZE_MAX);
	ck_assert_int_eq(read_all(line, size), 2);
	ck_assert_str_eq(field.key, "short");
}

TEST(line_can_be_filled_to_its_last_byte)
{
	char line[LINE_SIZE_MAX], text[LINE_SIZE_MAX];
	const size_t room = LINE_SIZE_MAX - strlen(HEAD " a=\n");
	struct line_writer writer;

	memset(text, 'x', sizeof(text));
	text[room] = '\0';
	line_begin(&writer, line, HEAD);
	line_add(&writer, "a", text);
	ck_assert_uint_eq(line_finish(&writer), LINE_SIZE_MAX);
	ck_assert_int_eq(read_all(line, LINE_SIZE_MAX), 1);
}
