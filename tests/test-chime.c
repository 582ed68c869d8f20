/* SPDX-License-Identifier: MIT
 * Chimes of every kind become samples in the page's format. */
#include "audio/chime.h"

#include <limits.h>
#include <math.h>
#include <sys/mman.h>

#include "audio/samples.h"
#include "folder.h"
#include "test.h"

static const struct wav_format cd = {WAV_PCM, 16, 2, 44100};
static const struct wav_format mono = {WAV_PCM, 16, 1, 44100};

static struct chime chime;
static char problem[CHIME_PROBLEM_SIZE];

static void teardown(void)
{
	chime_clear(&chime);
}

FIXTURE(NULL, teardown);

/* Loads the chime in FD, converted to the format WANTED. */
static void load(int fd, const struct wav_format *wanted)
{
	chime_clear(&chime);
	memset(problem, 'x', sizeof(problem));
	ck_assert_int_eq(chime_load(&chime, fd, wanted, problem), 0);
	ck_assert_str_eq(problem, "");
	ck_assert_uint_eq(chime.size % wav_frame_size(wanted), 0);
	close(fd);
}

/* Loading FD must fail with ERROR, and WORDS in the message. */
static void check_refused(int fd, int error, const char *words)
{
	memset(problem, 'x', sizeof(problem));
	ck_assert_int_eq(chime_load(&chime, fd, &cd, problem), error);
	ck_assert_ptr_null(chime.data);
	ck_assert_msg(strstr(problem, words) != NULL,
		      "\"%s\" does not say \"%s\"", problem, words);
	close(fd);
}

static void check_samples(const void *expected, size_t size)
{
	ck_assert_uint_eq(chime.size, size);
	ck_assert_mem_eq(chime.data, expected, size);
}

/* --- what is read --- */

TEST(chime_in_the_pages_format_is_taken_as_it_is)
{
	load(memory_wav(&cd, 12, "abcdefghijkl", 12), &cd);
	check_samples("abcdefghijkl", 12);
}

TEST(what_follows_the_samples_is_not_heard)
{
	load(memory_wav(&cd, 8, "abcdefghLIST\4\0\0\0INFO", 20), &cd);
	check_samples("abcdefgh", 8);
}

TEST(endless_or_broken_off_file_is_heard_to_its_end)
{
	load(memory_wav(&cd, WAV_ENDLESS, "abcdefghi", 9), &cd);
	check_samples("abcdefgh", 8);
	load(memory_wav(&cd, 4000, "abcdefghi", 9), &cd);
	check_samples("abcdefgh", 8);
}

TEST(long_header_is_read_in_pieces)
{
	static uint8_t bytes[44 + 20000];
	uint8_t header[WAV_HEADER_SIZE_MAX];
	const size_t size = wav_encode(header, &cd, 4, NULL);

	/* A chunk of 9999 bytes and its pad between "fmt " and "data". */
	memcpy(bytes, header, 36);
	memcpy(bytes + 36, "LIST\x0f\x27\0\0", 8);
	memcpy(bytes + 44 + 10000, header + 36, size - 36);
	memcpy(bytes + 52 + 10000, "abcd", 4);
	load(memory_file(bytes, 56 + 10000), &cd);
	check_samples("abcd", 4);
}

TEST(chime_without_samples_is_refused)
{
	check_refused(memory_wav(&cd, 0, "", 0), -EBADMSG, "it has no samples");
	check_refused(memory_wav(&cd, 400, "abc", 3), -EBADMSG,
		      "it has no samples");
}

TEST(chime_whose_size_is_unknown_is_heard_to_its_end)
{
	load(memory_wav(&cd, 0, "abcdefgh", 8), &cd);
	check_samples("abcdefgh", 8);
}

TEST(chime_of_another_kind_is_refused_with_the_remedy)
{
	check_refused(memory_file("fLaC\0\0\0\x22\0\0\0\0", 12), -EBADMSG,
		      "it is a FLAC file; convert it: ffmpeg -v error -i FILE "
		      "-f wav chime.wav");
}

TEST(descriptor_stays_the_callers)
{
	int fd = memory_wav(&cd, 4, "abcd", 4);

	ck_assert_int_eq(lseek(fd, 7, SEEK_SET), 7);
	for (int i = 0; i < 2; i++) {
		chime_clear(&chime);
		ck_assert_int_eq(chime_load(&chime, fd, &cd, problem), 0);
		check_samples("abcd", 4);
		ck_assert_int_eq(lseek(fd, 0, SEEK_CUR), 7);
	}
	ck_assert_int_eq(close(fd), 0);
}

TEST(chime_of_a_path_is_kept_in_the_pages_format)
{
	const struct wav_format half = {WAV_PCM, 16, 1, 22050};
	const int16_t sound[2205] = {0};
	char path[64];
	int file = memory_wav(&half, sizeof(sound), sound, sizeof(sound)), fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	fd = chime_open(path, &cd, problem);
	ck_assert_msg(fd >= 0, "%s", problem);
	close(file);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(chime_load(&chime, fd, &cd, problem), 0);
		ck_assert_uint_ge(chime.size, 4400 * 4);
		ck_assert_uint_le(chime.size, 4420 * 4);
		chime_clear(&chime);
	}
	close(fd);
}

/* --- what is refused --- */

TEST(what_is_no_wav_file_is_refused)
{
	check_refused(memory_file("", 0), -EBADMSG,
		      "it ends before its samples begin");
	check_refused(memory_file("RIFF\0\0\0\0WAVE", 12), -EBADMSG,
		      "it ends before its samples begin");
	check_refused(memory_file("OggS and so on", 14), -EBADMSG,
		      "it is an Ogg file");
}

TEST(what_is_no_regular_file_is_refused_at_once)
{
	int fds[2];

	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	check_refused(fds[0], -EBADMSG, "not a regular file");
	close(fds[1]);
	check_refused(open("/", O_RDONLY | O_CLOEXEC), -EBADMSG,
		      "not a regular file");
	check_refused(open("/dev/zero", O_RDONLY | O_CLOEXEC), -EBADMSG,
		      "not a regular file");
}

TEST(paths_are_refused_in_words)
{
	const char *tmp = getenv("TMPDIR");
	char fifo[PATH_MAX];

	ck_assert_int_eq(chime_open("/nonexistent/chime.wav", &cd, problem),
			 -ENOENT);
	ck_assert_str_eq(problem, strerror(ENOENT));
	ck_assert_int_eq(chime_open("/", &cd, problem), -EBADMSG);
	ck_assert_str_eq(problem, "it is not a regular file");
	/* A FIFO without a writer: opening it must not block. */
	snprintf(fifo, sizeof(fifo), "%s/test-chime.%d", tmp ? tmp : "/tmp",
		 (int)getpid());
	ck_assert_int_eq(mkfifo(fifo, 0600), 0);
	ck_assert_int_eq(chime_open(fifo, &cd, problem), -EBADMSG);
	ck_assert_int_eq(unlink(fifo), 0);
	ck_assert_ptr_null(chime.data);
}

/* A sparse file with SIZE bytes of silence. */
static int silent_file(const struct wav_format *format, uint64_t stated,
		       uint64_t size)
{
	int fd = memory_wav(format, stated, "", 0);
	const off_t header_size = lseek(fd, 0, SEEK_END);

	ck_assert_int_eq(ftruncate(fd, header_size + (off_t)size), 0);
	return fd;
}

TEST(chime_of_more_than_30_seconds_is_refused)
{
	const uint64_t most = UINT64_C(44100) * 4 * CHIME_SECONDS_MAX;

	load(silent_file(&cd, most, most), &cd);
	ck_assert_uint_eq(chime.size, most);
	chime_clear(&chime);
	check_refused(silent_file(&cd, most + 4, most + 4), -EBADMSG,
		      "longer than 30 s");
	check_refused(silent_file(&cd, WAV_ENDLESS, most + 4), -EBADMSG,
		      "longer than 30 s");
	check_refused(silent_file(&cd, WAV_ENDLESS, UINT64_C(5) << 30),
		      -EBADMSG, "longer than 30 s");
}

TEST(short_chime_of_many_bytes_is_refused_as_what_it_is)
{
	static const struct wav_format wide = {WAV_FLOAT, 32, 32, 384000};
	const uint64_t size = UINT64_C(65) << 20; /* 1.4 s */

	check_refused(silent_file(&wide, size, size), -EBADMSG,
		      "larger than 64 MiB");
}

/* --- conversion --- */

TEST(one_channel_goes_to_all)
{
	static const struct wav_format six = {WAV_PCM, 16, 6, 44100};

	load(memory_wav(&mono, 4, "abcd", 4), &cd);
	check_samples("ababcdcd", 8);
	load(memory_wav(&mono, 4, "abcd", 4), &six);
	check_samples("ababababababcdcdcdcdcdcd", 24);
}

TEST(many_channels_become_their_mean)
{
	static const int16_t pairs[] = {1000,  3000,   -32768, -32768,
					32767, -32767, 8,      8};
	static const int16_t means[] = {2000, -32768, 0, 8};

	load(memory_wav(&cd, sizeof(pairs), pairs, sizeof(pairs)), &mono);
	check_samples(means, sizeof(means));
}

TEST(channels_beyond_are_dropped_or_silent)
{
	static const struct wav_format three = {WAV_PCM, 16, 3, 44100};

	load(memory_wav(&three, 12, "aabbccddeeff", 12), &cd);
	check_samples("aabbddee", 8);
	load(memory_wav(&cd, 8, "aabbccdd", 8), &three);
	check_samples("aabb\0\0ccdd\0\0", 12);
}

TEST(encodings_are_converted_by_value)
{
	static const struct wav_format u8 = {WAV_PCM, 8, 1, 44100};
	static const struct wav_format law = {WAV_MULAW, 8, 1, 44100};
	static const struct wav_format floats = {WAV_FLOAT, 32, 1, 44100};
	static const float values[] = {0, 0.5F, -1, 2, NAN};
	static const int16_t expected[] = {0, 16384, -32768, 32767, 0};

	load(memory_wav(&u8, 4, "\x80\xff\0\xc0", 4), &mono);
	check_samples("\0\0\0\x7f\0\x80\0\x40", 8);
	load(memory_wav(&floats, sizeof(values), values, sizeof(values)),
	     &mono);
	check_samples(expected, sizeof(expected));
	load(memory_wav(&mono, 4, "\0\0\0\x80", 4), &law);
	check_samples("\xff\0", 2);
}

/* A tone of 441 Hz and half of full scale, a second long. */
static int tone_file(const struct wav_format *format)
{
	uint8_t *data = malloc(format->rate * wav_frame_size(format));
	int fd;

	ck_assert_ptr_nonnull(data);
	for (uint32_t i = 0; i < format->rate; i++)
		samples_put(format, data + i * wav_frame_size(format),
			    0.5 * sin(2 * M_PI * 441 * i / format->rate));
	fd = memory_wav(format, format->rate * wav_frame_size(format), data,
			format->rate * wav_frame_size(format));
	free(data);
	return fd;
}

/* Counts how often the first channel rises through zero. */
static unsigned count_waves(const struct wav_format *format)
{
	const size_t frame_size = wav_frame_size(format);
	const uint8_t *data = chime.data;
	unsigned count = 0;

	for (size_t at = frame_size; at < chime.size; at += frame_size)
		if (samples_get(format, data + at) >= 0.01 &&
		    samples_get(format, data + at - frame_size) < 0.01)
			count++;
	return count;
}

TEST(rates_are_converted_and_the_tone_stays)
{
	static const uint32_t rates[] = {4000, 8000, 44100, 48000, 384000};

	for (size_t i = 0; i < ARRAY_SIZE(rates) * ARRAY_SIZE(rates); i++) {
		const struct wav_format from = {WAV_FLOAT, 32, 1,
						rates[i / ARRAY_SIZE(rates)]};
		const struct wav_format to = {WAV_PCM, 16, 2,
					      rates[i % ARRAY_SIZE(rates)]};
		size_t frames;

		load(tone_file(&from), &to);
		frames = chime.size / wav_frame_size(&to);
		ck_assert_uint_ge(frames, to.rate - to.rate / 100);
		ck_assert_uint_le(frames, to.rate + to.rate / 100);
		ck_assert_uint_ge(count_waves(&to), 436);
		ck_assert_uint_le(count_waves(&to), 446);
		ck_assert_double_eq_tol(samples_peak(&to, chime.data, frames),
					0.5, 0.03);
	}
}
