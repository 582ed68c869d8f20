/* SPDX-License-Identifier: MIT
 * A message reaches stderr as one line, without anything that a terminal would
 * obey. */
#include "base/log.h"

#include "capture.h"
#include "test.h"

#define PREFIX "test-log: "

/* OUT (4096 bytes) gets the line that TEXT becomes on stderr; returns its size.
 */
static size_t log_into(char *out, int level, const char *text)
{
	struct capture capture = capture_begin(STDERR_FILENO);

	log_msg(level, "%s", text);
	capture_end(capture, out, 4096);
	return strlen(out);
}

static void check_text(const char *text, const char *expected)
{
	char out[4096], line[4096];

	log_into(out, LOG_NOTICE, text);
	snprintf(line, sizeof(line), PREFIX "%s\n", expected);
	ck_assert_str_eq(out, line);
}

TIME_LIMIT(60);

TEST(message_is_a_line_with_the_programs_name)
{
	check_text("Page 1 begins", "Page 1 begins");
	check_text("", "");
}

TEST(control_characters_are_replaced)
{
	check_text("a\nb\rc\td", "a?b?c?d");
	check_text("\x1b[31mred\x7f\a", "?[31mred??");
	/* Two of the C1 controls, CSI and NEL, as UTF-8 and as one byte. */
	check_text("\xc2\x9b"
		   "31m\xc2\x85",
		   "??31m??");
	check_text("\x9b"
		   "31m\x85",
		   "?31m?");
}

TEST(other_characters_stay)
{
	static const char *const texts[] = {
	    "Büro, кухня, 会議室 \xf0\x9f\x94\x8a",
	    "\xc2\xa0 \xdf\xbf \xe0\xa0\x80 \xed\x9f\xbf \xee\x80\x80 "
	    "\xef\xbf\xbd \xf0\x90\x80\x80 \xf4\x8f\xbf\xbd",
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		check_text(texts[i], texts[i]);
}

TEST(what_is_not_utf8_is_replaced)
{
	static const struct {
		const char *text, *expected;
	} cases[] = {
	    {"\x80 \xbf \xff \xfe", "? ? ? ?"},
	    {"\xc0\x8a \xc1\xbf", "?? ??"},	      /* too long */
	    {"\xe0\x80\x8a \xe0\x9f\xbf", "??? ???"}, /* too long */
	    {"\xf0\x80\x80\x8a \xf0\x8f\xbf\xbf", "???? ????"},
	    {"\xed\xa0\x80 \xed\xbf\xbf", "??? ???"}, /* surrogates */
	    {"\xf4\x90\x80\x80 \xf5\x80\x80\x80", "???? ????"},
	    {"\xef\xb7\x90 \xef\xbf\xbf", "??? ???"}, /* no characters */
	    {"\xe2\x80\xae", "???"},		      /* turns the line round */
	    {"\xc3", "?"},			      /* cut off */
	    {"\xe4\xbc", "??"},
	    {"\xf0\x9f\x94", "???"},
	    {"\xc3\n", "??"},
	    {"\xe4\xbc\x1b", "???"},
	    {"\xf0\x9f\x94\x1b", "????"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		check_text(cases[i].text, cases[i].expected);
}

static bool is_printable(const char *out, size_t size)
{
	for (size_t i = 0; i + 1 < size; i++)
		if ((unsigned char)out[i] < ' ' || out[i] == 0x7f ||
		    (out[i] == '\xc2' && (unsigned char)out[i + 1] < 0xa0))
			return false;
	return out[size - 1] == '\n';
}

/* A first byte of each kind, followed by any two bytes. */
TEST(no_control_character_gets_through)
{
	static const char firsts[] = "\x1b"
				     "A\x9b\xc2\xdf\xe0\xed\xf0\xf4\xff";
	char text[3 * 256 + 1], out[4096];

	for (const char *first = firsts; *first; first++)
		for (int second = 1; second < 256; second += 2) {
			size_t at = 0, size;

			for (int third = 1; third < 256; third++) {
				text[at++] = *first;
				text[at++] = (char)second;
				text[at++] = (char)third;
			}
			text[at] = '\0';
			size = log_into(out, LOG_NOTICE, text);
			ck_assert_uint_eq(size, strlen(PREFIX) + at + 1);
			/* Not one for each byte: ck_assert() writes to a file.
			 */
			ck_assert(is_printable(out, size));
		}
}

TEST(long_message_is_one_shorter_line)
{
	char text[3000], out[4096];
	size_t size;

	/* Cut in the middle of a character, whatever the prefix is. */
	for (size_t odd = 0; odd < 2; odd++) {
		memset(text, 'x', odd);
		for (size_t i = odd; i + 2 < sizeof(text); i += 2)
			memcpy(text + i, "\xc3\xbc", 2);
		text[sizeof(text) - 2 - odd] = '\0';
		size = log_into(out, LOG_NOTICE, text);
		ck_assert_uint_le(size, 1024);
		ck_assert_ptr_eq(strchr(out, '\n'), out + size - 1);
		ck_assert_mem_eq(out + size - 4, "...\n", 4);
	}
}

TEST(level_decides_and_errno_stays)
{
	char out[4096];

	ck_assert_int_eq(log_get_level(), LOG_INFO);
	ck_assert_uint_eq(log_into(out, LOG_DEBUG, "nothing"), 0);
	log_set_level(LOG_WARNING);
	ck_assert_uint_eq(log_into(out, LOG_NOTICE, "nothing"), 0);
	ck_assert_uint_gt(log_into(out, LOG_WARNING, "something"), 0);
	errno = EXDEV;
	log_msg(LOG_DEBUG, "nothing");
	ck_assert_int_eq(errno, EXDEV);
	log_set_level(LOG_INFO);
}

TEST(journal_gets_the_level)
{
	struct capture capture = capture_begin(STDERR_FILENO);
	char out[4096], stream[64];
	struct stat st;

	ck_assert_int_eq(fstat(STDERR_FILENO, &st), 0);
	snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)st.st_dev,
		 (uintmax_t)st.st_ino);
	ck_assert_int_eq(setenv("JOURNAL_STREAM", stream, 1), 0);
	log_warning("two\nlines");
	capture_end(capture, out, sizeof(out));
	ck_assert_str_eq(out, "<4>two?lines\n");
	check_text("no journal", "no journal");
	unsetenv("JOURNAL_STREAM");
}

static void fill(int fd)
{
	static const char text[4096];

	ck_assert_int_eq(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	while (write(fd, text, sizeof(text)) > 0)
		;
	ck_assert_int_eq(fcntl(fd, F_SETFL, 0), 0);
}

static void empty(int fd, char *ret, size_t size)
{
	ssize_t n = 0;

	ck_assert_int_eq(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	for (ssize_t more = 0; more >= 0; more = read(fd, ret, size - 1))
		n = more;
	ret[n] = '\0';
}

TEST(lines_that_nobody_reads_are_counted)
{
	const int saved = dup(STDERR_FILENO);
	char text[8192];
	int fds[2];

	ck_assert_int_eq(pipe(fds), 0);
	ck_assert_int_eq(dup2(fds[1], STDERR_FILENO), STDERR_FILENO);
	fill(fds[1]);
	log_notice("one");
	log_notice("two");
	empty(fds[0], text, sizeof(text));
	log_notice("three");
	empty(fds[0], text, sizeof(text));
	ck_assert_str_eq(text, PREFIX
			 "2 lines were lost, since nobody read them\n" PREFIX
			 "three\n");
	log_notice("four");
	empty(fds[0], text, sizeof(text));
	ck_assert_int_eq(dup2(saved, STDERR_FILENO), STDERR_FILENO);
	ck_assert_str_eq(text, PREFIX "four\n");
	fd_close(saved);
	fd_close(fds[0]);
	fd_close(fds[1]);
}

TEST(limit_leaves_lines_out_and_counts_them)
{
	struct log_limit limit = {
	    .about = "attic",
	    .rate = {.burst = 2, .interval_usec = 60 * USEC_PER_SEC},
	};
	char out[4096];

	log_set_limit(&limit);
	ck_assert_uint_gt(log_into(out, LOG_NOTICE, "one"), 0);
	ck_assert_uint_gt(log_into(out, LOG_NOTICE, "two"), 0);
	ck_assert_uint_eq(log_into(out, LOG_ERR, "three"), 0);
	ck_assert_uint_eq(log_into(out, LOG_ERR, "four"), 0);
	ck_assert_uint_eq(log_into(out, LOG_DEBUG, "not even wanted"), 0);
	/* Others are not affected. */
	log_set_limit(NULL);
	ck_assert_uint_gt(log_into(out, LOG_NOTICE, "other"), 0);
	log_set_limit(&limit);
	limit.rate.begin_usec -= 60 * USEC_PER_SEC;
	log_into(out, LOG_NOTICE, "five");
	log_set_limit(NULL);
	ck_assert_str_eq(out, PREFIX "attic: 2 lines were left out\n" PREFIX
				     "five\n");
}
