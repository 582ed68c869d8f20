/* SPDX-License-Identifier: MIT
 * Files that appear when they are complete, and the repair after a crash. */
#include "audio/wavfile.h"

#include <limits.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "folder.h"
#include "test.h"

#define GIB (UINT64_C(1) << 30)

static const struct wav_format cd = {WAV_PCM, 16, 2, 44100};
static const struct wav_format u8 = {WAV_PCM, 8, 1, 8000};
static const struct wav_format mulaw = {WAV_MULAW, 8, 1, 8000};
static const struct wav_format wide = {WAV_PCM, 24, 6, 48000};
static const struct wav_format *const formats[] = {&cd, &u8, &mulaw, &wide};

static struct wavfile *file;

static void setup(void)
{
	signal(SIGXFSZ, SIG_IGN);
	folder_setup("wavfile");
}

static void teardown(void)
{
	file = wavfile_discard(file);
	folder_teardown();
}

FIXTURE(setup, teardown);

/* By the linker, in the place of the C library's. */
int __wrap_renameat2(int from_fd, const char *from, int to_fd, const char *to,
		     unsigned flags);
int __real_renameat2(int from_fd, const char *from, int to_fd, const char *to,
		     unsigned flags);
static int looks; /* at names that may be free */

int __wrap_renameat2(int from_fd, const char *from, int to_fd, const char *to,
		     unsigned flags)
{
	looks++;
	return __real_renameat2(from_fd, from, to_fd, to, flags);
}

static void create(const char *name, const struct wav_format *format)
{
	ck_assert_int_eq(wavfile_create(&file, path_of(name), format), 0);
}

static void append(const void *data, size_t size)
{
	ck_assert_int_eq(wavfile_write(file, data, size), 0);
}

/* Finishes the file, which must get the name NAME. */
static void finish_as(const char *name, enum wavfile_replace replace)
{
	_cleanup_free_ char *path = NULL;

	ck_assert_int_eq(wavfile_finish(TAKE_PTR(file), replace, &path), 0);
	ck_assert_str_eq(path, path_of(name));
	ck_assert(file_exists(name));
}

/* --- writing --- */

TEST(file_is_complete_when_it_appears)
{
	char part[NAME_MAX + 1];

	create("page.wav", &cd);
	append("abcd", 4);
	append("efghijkl", 8);
	ck_assert_int_eq(count_files(part), 1);
	ck_assert(strncmp(part, ".page.wav.", 10) == 0);
	ck_assert_uint_eq(strlen(part), strlen(".page.wav.XXXXXX.part"));
	ck_assert_ptr_nonnull(strstr(part, ".part"));
	finish_as("page.wav", WAVFILE_KEEP);
	check_wav("page.wav", &cd, "abcdefghijkl", 12);
	ck_assert_int_eq(count_files(NULL), 1);
}

TEST(half_written_file_is_an_endless_one)
{
	uint8_t expected[WAV_HEADER_SIZE_MAX + 4];
	char part[NAME_MAX + 1];

	for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
		size_t size =
		    wav_encode(expected, formats[i], WAV_ENDLESS, NULL);

		create("page.wav", formats[i]);
		append("abcd", 4);
		memcpy(expected + size, "abcd", 4);
		ck_assert_int_eq(count_files(part), 1);
		check_bytes(part, expected, size + 4);
		file = wavfile_discard(file);
	}
}

TEST(every_format_gets_its_header_and_pad_byte)
{
	for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
		const size_t frame = wav_frame_size(formats[i]);
		const char samples[] = "abcdefghijklmnopqrstuvwxyzabcdefghijkl"
				       "mnopqrstuvwxyz";

		for (size_t frames = 0; frames < 3; frames++) {
			create("page.wav", formats[i]);
			append(samples, frames * frame);
			finish_as("page.wav", WAVFILE_REPLACE);
			check_wav("page.wav", formats[i], samples,
				  frames * frame);
		}
	}
}

TEST(torn_last_frame_is_cut)
{
	for (size_t torn = 1; torn < 4; torn++) {
		create("page.wav", &cd);
		append("abcdefgh", 4 + torn);
		finish_as("page.wav", WAVFILE_REPLACE);
		check_wav("page.wav", &cd, "abcd", 4);
	}
}

TEST(mode_is_what_the_umask_leaves_of_0640)
{
	static const mode_t masks[] = {0, 022, 027, 077};
	const mode_t before = umask(0);

	for (size_t i = 0; i < ARRAY_SIZE(masks); i++) {
		struct stat st;

		umask(masks[i]);
		create("page.wav", &cd);
		finish_as("page.wav", WAVFILE_REPLACE);
		ck_assert_int_eq(stat(path_of("page.wav"), &st), 0);
		ck_assert_uint_eq(st.st_mode & 07777, 0640 & ~masks[i]);
		ck_assert_uint_eq(umask(0), masks[i]);
	}
	umask(before);
}

static void check_next_name(const char *name, const char *expected)
{
	create(name, &cd);
	finish_as(expected, WAVFILE_KEEP);
}

TEST(older_files_stay_and_the_next_gets_a_number)
{
	check_next_name("a.wav", "a.wav");
	check_next_name("a.wav", "a-2.wav");
	check_next_name("a.wav", "a-3.wav");
	check_next_name("a.b.wav", "a.b.wav");
	check_next_name("a.b.wav", "a.b-2.wav");
	check_next_name("plain", "plain");
	check_next_name("plain", "plain-2");
	check_next_name(".hidden", ".hidden");
	check_next_name(".hidden", ".hidden-2");
	ck_assert_int_eq(count_files(NULL), 9);
}

/* Pages of one second, of which the archive's limit has removed the first. */
TEST(number_that_was_removed_does_not_come_again)
{
	check_next_name("a.wav", "a.wav");
	check_next_name("a.wav", "a-2.wav");
	ck_assert_int_eq(unlink(path_of("a.wav")), 0);
	check_next_name("a.wav", "a-3.wav");
	put_file("a-9.wav.txt", "x", 1);
	put_file("a-x.wav", "x", 1);
	put_file("b-9.wav", "x", 1);
	check_next_name("a.wav", "a-4.wav");
}

/* Of a flood of short pages in one second. */
TEST(name_among_thousands_is_found_by_few_looks)
{
	enum { COUNT = 5000, LOOKS_MAX = 2 };
	char name[64] = "a.wav";

	for (int number = 2; number <= COUNT + 1; number++) {
		put_file(name, NULL, 0);
		snprintf(name, sizeof(name), "a-%d.wav", number);
	}
	create("a.wav", &cd);
	looks = 0;
	finish_as(name, WAVFILE_KEEP);
	ck_assert_int_le(looks, LOOKS_MAX);
}

TEST(dot_in_the_directory_is_no_extension)
{
	const size_t length = strlen(folder);

	ck_assert_int_eq(mkdir(path_of("d.d"), 0700), 0);
	snprintf(folder + length, sizeof(folder) - length, "/d.d");
	check_next_name("plain", "plain");
	check_next_name("plain", "plain-2");
	folder_clear();
	folder[length] = '\0';
}

TEST(older_file_is_replaced_when_that_is_wanted)
{
	put_file("page.wav", "old", 3);
	create("page.wav", &cd);
	append("abcd", 4);
	check_bytes("page.wav", "old", 3);
	finish_as("page.wav", WAVFILE_REPLACE);
	check_wav("page.wav", &cd, "abcd", 4);
	ck_assert_int_eq(count_files(NULL), 1);
}

TEST(name_without_a_directory_is_in_the_current_one)
{
	_cleanup_free_ char *path = NULL;
	_cleanup_close_ int before =
	    open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	ck_assert_int_ge(before, 0);
	ck_assert_int_eq(chdir(folder), 0);
	ck_assert_int_eq(wavfile_create(&file, "page.wav", &cd), 0);
	ck_assert_int_eq(wavfile_finish(TAKE_PTR(file), WAVFILE_KEEP, &path),
			 0);
	ck_assert_str_eq(path, "page.wav");
	ck_assert_int_eq(fchdir(before), 0);
	check_wav("page.wav", &cd, "", 0);
}

TEST(what_is_given_up_leaves_nothing)
{
	create("page.wav", &cd);
	append("abcd", 4);
	ck_assert_ptr_null(wavfile_discard(TAKE_PTR(file)));
	ck_assert_int_eq(count_files(NULL), 0);
	ck_assert_ptr_null(wavfile_discard(NULL));
}

TEST(place_that_does_not_exist_is_refused)
{
	char name[NAME_MAX + 1];

	ck_assert_int_eq(wavfile_create(&file, path_of("none/page.wav"), &cd),
			 -ENOENT);
	ck_assert_int_eq(wavfile_create(&file, path_of(""), &cd), -EISDIR);
	memset(name, 'x', NAME_MAX);
	name[NAME_MAX] = '\0';
	ck_assert_int_eq(wavfile_create(&file, path_of(name), &cd),
			 -ENAMETOOLONG);
	ck_assert_ptr_null(file);
	ck_assert_int_eq(count_files(NULL), 0);
}

/* A directory in its place cannot be replaced by a file. */
TEST(name_that_cannot_be_had_costs_the_file)
{
	ck_assert_int_eq(mkdir(path_of("page.wav"), 0700), 0);
	create("page.wav", &cd);
	ck_assert_int_eq(wavfile_finish(TAKE_PTR(file), WAVFILE_REPLACE, NULL),
			 -EISDIR);
	ck_assert_int_eq(count_files(NULL), 1);
}

TEST(first_error_stays_and_nothing_is_left)
{
	int writes = 0, r = 0;
	rlim_t before;

	create("page.wav", &cd);
	before = limit_file_size(1000);
	while (r == 0 && writes++ < 1000)
		r = wavfile_write(file, "abcdefgh", 8);
	ck_assert_int_eq(r, -EFBIG);
	limit_file_size(before);
	ck_assert_int_eq(wavfile_write(file, "abcd", 4), -EFBIG);
	ck_assert_int_eq(wavfile_finish(TAKE_PTR(file), WAVFILE_KEEP, NULL),
			 -EFBIG);
	ck_assert_int_eq(count_files(NULL), 0);
}

TEST(header_that_cannot_be_written_leaves_nothing)
{
	const rlim_t before = limit_file_size(20);
	int r = wavfile_create(&file, path_of("page.wav"), &cd);

	limit_file_size(before);
	ck_assert_int_eq(r, -EFBIG);
	ck_assert_int_eq(count_files(NULL), 0);
}

/* Writes a file, all at the same moment as the others. */
static void write_one(int start_fd)
{
	char byte;

	/* read() returns when the parent closes the other end. */
	if (read(start_fd, &byte, 1) != 0 ||
	    wavfile_create(&file, path_of("page.wav"), &cd) < 0 ||
	    wavfile_write(file, "abcd", 4) < 0 ||
	    wavfile_finish(TAKE_PTR(file), WAVFILE_KEEP, NULL) < 0)
		_exit(1);
	_exit(0);
}

TEST(writers_of_the_same_name_get_a_file_each)
{
	enum { WRITERS = 8 };
	int fds[2], status;
	char name[32];

	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	for (int i = 0; i < WRITERS; i++) {
		const pid_t pid = fork();

		ck_assert_int_ge(pid, 0);
		if (pid == 0) {
			close(fds[1]);
			write_one(fds[0]);
		}
	}
	close(fds[1]);
	close(fds[0]);
	for (int i = 0; i < WRITERS; i++) {
		ck_assert_int_gt(wait(&status), 0);
		ck_assert_int_eq(status, 0);
	}
	ck_assert_int_eq(count_files(NULL), WRITERS);
	check_wav("page.wav", &cd, "abcd", 4);
	for (int i = 2; i <= WRITERS; i++) {
		snprintf(name, sizeof(name), "page-%d.wav", i);
		check_wav(name, &cd, "abcd", 4);
	}
}

/* --- repair --- */

static int repair(void)
{
	return wavfile_repair(folder);
}

TEST(partial_file_is_repaired_wherever_it_was_cut)
{
	static const char samples[] = "abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

	for (size_t f = 0; f < ARRAY_SIZE(formats); f++) {
		uint8_t whole[WAV_HEADER_SIZE_MAX + sizeof(samples)];
		size_t header =
		    wav_encode(whole, formats[f], WAV_ENDLESS, NULL);
		size_t frame = wav_frame_size(formats[f]);

		memcpy(whole + header, samples, sizeof(samples));
		for (size_t cut = 0; cut < header + sizeof(samples); cut++) {
			size_t size = cut > header ? cut - header : 0;

			size -= size % frame;
			put_file(".page.wav.a1B2c3.part", whole, cut);
			ck_assert_int_eq(repair(), size > 0);
			ck_assert_int_eq(count_files(NULL), size > 0);
			if (size > 0)
				check_wav("page.wav", formats[f], samples,
					  size);
			folder_clear();
		}
	}
}

TEST(file_that_lacked_only_its_name_gets_it)
{
	uint8_t whole[WAV_HEADER_SIZE_MAX + 4];
	size_t header = wav_encode(whole, &mulaw, 3, NULL);

	memcpy(whole + header, "abc", 4);
	put_file(".page.wav.abcdef.part", whole, header + 4);
	ck_assert_int_eq(repair(), 1);
	check_wav("page.wav", &mulaw, "abc", 3);
	ck_assert_int_eq(count_files(NULL), 1);
	ck_assert_int_eq(repair(), 0);
}

static void put_partial(const char *name, const char *samples)
{
	uint8_t whole[WAV_HEADER_SIZE_MAX + 64];
	size_t header = wav_encode(whole, &cd, WAV_ENDLESS, NULL);

	memcpy(whole + header, samples, strlen(samples));
	put_file(name, whole, header + strlen(samples));
}

TEST(all_partial_files_are_repaired_under_names_of_their_own)
{
	put_file("page.wav", "older", 5);
	put_partial(".page.wav.aaaaaa.part", "abcd");
	put_partial(".page.wav.bbbbbb.part", "abcd");
	put_partial(".other.wav.cccccc.part", "ABCDEFGHx");
	ck_assert_int_eq(repair(), 3);
	check_bytes("page.wav", "older", 5);
	check_wav("page-2.wav", &cd, "abcd", 4);
	check_wav("page-3.wav", &cd, "abcd", 4);
	check_wav("other.wav", &cd, "ABCDEFGH", 8);
	ck_assert_int_eq(count_files(NULL), 4);
}

/* A crash between link() and unlink(). */
TEST(file_with_both_names_is_one_file)
{
	_cleanup_free_ char *name = strdup(path_of("page.wav"));

	ck_assert_ptr_nonnull(name);
	put_partial(".page.wav.abcdef.part", "abcd");
	ck_assert_int_eq(repair(), 1);
	ck_assert_int_eq(link(name, path_of(".page.wav.abcdef.part")), 0);
	ck_assert_int_eq(repair(), 1);
	check_wav("page.wav", &cd, "abcd", 4);
	ck_assert_int_eq(count_files(NULL), 1);
}

TEST(file_that_is_being_written_is_left_alone)
{
	create("page.wav", &cd);
	append("abcd", 4);
	ck_assert_int_eq(repair(), 0);
	ck_assert_int_eq(count_files(NULL), 1);
	append("efgh", 4);
	finish_as("page.wav", WAVFILE_KEEP);
	check_wav("page.wav", &cd, "abcdefgh", 8);
}

TEST(what_others_have_written_is_left_alone)
{
	static const struct {
		const char *bytes;
		size_t size;
	} others[] = {
	    {"hello", 5},
	    {"RIFF", 4 + 1}, /* with the terminating zero */
	    {"RIFF\xff\xff\xff\xff"
	     "AVI LIST",
	     16},
	    {"OggS and so on, and on, and on, and on, and on, and on, and on, "
	     "and on, and on, and on, and on",
	     94},
	    /* A WAV file with a chunk that we do not write. */
	    {"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\1\0\1\0\x40\x1f\0\0"
	     "\x80\x3e\0\0\2\0\x10\0LIST\2\0\0\0xx"
	     "data\xff\xff\xff\xff"
	     "abcdefghijklmnopqrstuvwxyz",
	     80},
	};

	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		put_file(".movie.abcdef.part", others[i].bytes, others[i].size);
		ck_assert_int_eq(repair(), 0);
		check_bytes(".movie.abcdef.part", others[i].bytes,
			    others[i].size);
		folder_clear();
	}
}

TEST(other_names_are_left_alone)
{
	static const char *const names[] = {"page.wav",
					    "page.wav.abcdef.part",
					    ".page.wav.abcdef",
					    ".page.wav.abcdef.part2",
					    ".page.wav.abcdefg.part",
					    ".page.wav.abcde.part",
					    "..abcdef.part",
					    ".abcdef.part",
					    ".part",
					    ".wav"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		put_partial(names[i], "abcd");
	ck_assert_int_eq(repair(), 0);
	ck_assert_int_eq(count_files(NULL), (int)ARRAY_SIZE(names));
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		ck_assert(file_exists(names[i]));
}

TEST(what_is_no_regular_file_is_left_alone)
{
	put_partial("target", "abcd");
	ck_assert_int_eq(symlink("target", path_of(".a.abcdef.part")), 0);
	ck_assert_int_eq(mkfifo(path_of(".b.abcdef.part"), 0600), 0);
	ck_assert_int_eq(mkdir(path_of(".c.abcdef.part"), 0700), 0);
	ck_assert_int_eq(repair(), 0);
	ck_assert(file_exists("target"));
	ck_assert(file_exists(".a.abcdef.part"));
	ck_assert(file_exists(".b.abcdef.part"));
	ck_assert(file_exists(".c.abcdef.part"));
	ck_assert_int_eq(count_files(NULL), 4);
}

/* Sparse: it takes no room. */
TEST(more_than_a_header_can_say_stays_endless)
{
	uint8_t header[WAV_HEADER_SIZE_MAX], back[44];
	const off_t size = (off_t)(5 * GIB);
	_cleanup_close_ int fd = -1;
	struct stat st;

	put_partial(".page.wav.abcdef.part", "abcd");
	ck_assert_int_eq(truncate(path_of(".page.wav.abcdef.part"), size + 3),
			 0);
	ck_assert_int_eq(repair(), 1);
	fd = open(path_of("page.wav"), O_RDONLY | O_CLOEXEC);
	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_int_eq(st.st_size, size);
	ck_assert_int_eq(read(fd, back, sizeof(back)), (int)sizeof(back));
	ck_assert_uint_eq(wav_encode(header, &cd, WAV_ENDLESS, NULL),
			  sizeof(back));
	ck_assert_mem_eq(back, header, sizeof(back));
}

TEST(place_that_cannot_be_read_is_an_error)
{
	put_file("file", "x", 1);
	ck_assert_int_eq(wavfile_repair(path_of("none")), -ENOENT);
	ck_assert_int_eq(wavfile_repair(path_of("file")), -ENOTDIR);
	ck_assert_int_eq(repair(), 0);
}
