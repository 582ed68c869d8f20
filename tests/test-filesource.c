/* SPDX-License-Identifier: MIT
 * WAV files in memory and in pipes, as sources. */
#include "audio/filesource.h"

#include <sys/mman.h>

#include "folder.h"
#include "source-reader.h"
#include "test.h"

enum { SOUND_SIZE = 1 << 20 };

static const struct wav_format cd = {WAV_PCM, 16, 2, 44100};
static uint8_t sound[SOUND_SIZE], heard[SOUND_SIZE];
static struct source *source;
static struct source_message opened, ended;
static size_t heard_size;

static void setup(void)
{
	for (size_t i = 0; i < sizeof(sound); i++)
		sound[i] = (uint8_t)(i * 11 + i / 253);
	signal(SIGPIPE, SIG_IGN);
	heard_size = 0;
}

static void teardown(void)
{
	source = source_free(source);
}

FIXTURE(setup, teardown);

static void put(int fd, const void *data, size_t size)
{
	ck_assert_int_eq(write(fd, data, size), (ssize_t)size);
}

/* A WAV file with SIZE bytes of samples, whose header states STATED. */
static int file_of(uint64_t stated, size_t size)
{
	return memory_wav(&cd, stated, sound, size);
}

static void hear(size_t size)
{
	while (size > 0) {
		const size_t n = next_samples(source, heard + heard_size,
					      sizeof(heard) - heard_size);

		ck_assert_uint_gt(n, 0);
		heard_size += n;
		size -= n;
	}
}

/* Plays FD to its end; the results are in opened, heard and ended. */
static void play(int fd, enum filesource_pace pace)
{
	struct source_message message;

	ck_assert_int_eq(filesource_start(&source, fd, pace), 0);
	while (next_message(source, &message) == 1) {
		if (message.type == SOURCE_OPENED)
			opened = message;
		else if (message.type == SOURCE_SAMPLES)
			hear(message.u.samples.size);
		else
			ended = message;
	}
	ck_assert_int_eq(ended.type, SOURCE_ENDED);
}

TEST(a_file_is_played_whole)
{
	play(file_of(100000, 100000), FILESOURCE_AT_ONCE);
	ck_assert_int_eq(opened.type, SOURCE_OPENED);
	ck_assert(wav_format_equal(&opened.u.opened.format, &cd));
	ck_assert_uint_eq(opened.u.opened.size, 100000);
	ck_assert_uint_gt(opened.u.opened.period_frames, 0);
	ck_assert_uint_eq(heard_size, 100000);
	ck_assert_mem_eq(heard, sound, 100000);
	ck_assert_int_eq(ended.u.ended.error, 0);
}

TEST(what_follows_the_samples_is_not_played)
{
	play(file_of(1000, 5000), FILESOURCE_AT_ONCE);
	ck_assert_uint_eq(heard_size, 1000);
}

TEST(a_header_that_promises_more_than_the_file_has_is_corrected)
{
	play(file_of(100000, 5001), FILESOURCE_AT_ONCE);
	ck_assert_uint_eq(opened.u.opened.size, 5000);
	ck_assert_uint_eq(heard_size, 5000);
	ck_assert_int_eq(ended.u.ended.error, 0);
}

TEST(a_file_without_a_stated_end_ends_where_it_ends)
{
	play(file_of(WAV_ENDLESS, 5000), FILESOURCE_AT_ONCE);
	ck_assert_uint_eq(opened.u.opened.size, 5000);
	ck_assert_uint_eq(heard_size, 5000);
}

TEST(a_file_without_samples_is_no_error)
{
	play(file_of(0, 0), FILESOURCE_PACED);
	ck_assert_uint_eq(opened.u.opened.size, 0);
	ck_assert_uint_eq(heard_size, 0);
	ck_assert_int_eq(ended.u.ended.error, 0);
}

TEST(playing_takes_as_long_as_the_sound)
{
	const size_t size = 44100 * 4 * 3 / 10 / 4 * 4;
	uint64_t begin = now_usec();

	play(file_of(size, size), FILESOURCE_PACED);
	ck_assert_uint_eq(heard_size, size);
	/* When the last chunk is sent, all the others must have sounded. */
	ck_assert_uint_ge(now_usec() - begin, 270000);
}

static void open_pipe(int fds[2])
{
	uint8_t header[WAV_HEADER_SIZE_MAX];

	ck_assert_int_eq(pipe(fds), 0);
	put(fds[1], header, wav_encode(header, &cd, WAV_ENDLESS, NULL));
}

TEST(a_pipe_is_played_as_it_comes)
{
	struct source_message message;
	int fds[2];

	open_pipe(fds);
	ck_assert_int_eq(filesource_start(&source, fds[0], FILESOURCE_PACED),
			 0);
	ck_assert_int_eq(next_message(source, &opened), 1);
	ck_assert_uint_eq(opened.u.opened.size, WAV_ENDLESS);
	put(fds[1], sound, 3001);
	close(fds[1]);
	while (next_message(source, &message) == 1 &&
	       message.type == SOURCE_SAMPLES)
		hear(message.u.samples.size);
	ck_assert_int_eq(message.type, SOURCE_ENDED);
	ck_assert_uint_eq(heard_size, 3000); /* whole frames */
	ck_assert_mem_eq(heard, sound, 3000);
}

TEST(a_pipe_that_paused_is_not_caught_up_with)
{
	/* Two chunks, a pause of several chunks, and ten more. */
	const size_t chunk = 882 * 4;
	uint64_t resumed;
	struct source_message message;
	int fds[2];

	open_pipe(fds);
	ck_assert_int_eq(filesource_start(&source, fds[0], FILESOURCE_PACED),
			 0);
	ck_assert_int_eq(next_message(source, &opened), 1);
	ck_assert_uint_eq(opened.u.opened.period_frames * 4, chunk);
	put(fds[1], sound, 2 * chunk);
	while (heard_size < 2 * chunk) {
		ck_assert_int_eq(next_message(source, &message), 1);
		hear(message.u.samples.size);
	}
	ck_assert_int_eq(poll(NULL, 0, 400), 0); /* the pause that is tested */
	resumed = now_usec();
	put(fds[1], sound + 2 * chunk, 10 * chunk);
	while (heard_size < 12 * chunk) {
		ck_assert_int_eq(next_message(source, &message), 1);
		hear(message.u.samples.size);
	}
	ck_assert_uint_ge(now_usec() - resumed, 160000);
	ck_assert_mem_eq(heard, sound, 12 * chunk);
	close(fds[1]);
}

TEST(what_is_no_wav_file_ends_with_a_reason)
{
	static const char *const texts[] = {"", "RIFF", "ID3 and so on",
					    "RIFF\4\0\0\0WAVE"};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		int fd = memfd_create("test", MFD_CLOEXEC);

		put(fd, texts[i], i == 3 ? 12 : strlen(texts[i]));
		ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
		play(fd, FILESOURCE_PACED);
		ck_assert_int_eq(ended.u.ended.error, -EBADMSG);
		ck_assert_ptr_nonnull(
		    strstr(ended.u.ended.reason, "This is not a WAV file"));
		source = source_free(source);
	}
}

TEST(what_cannot_be_read_ends_with_a_reason)
{
	play(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC), FILESOURCE_PACED);
	ck_assert_int_eq(ended.u.ended.error, -EISDIR);
	ck_assert_ptr_nonnull(strstr(ended.u.ended.reason, "directory"));
}

TEST(a_silent_pipe_is_stopped)
{
	struct pollfd hung_up;
	int fds[2];

	open_pipe(fds);
	ck_assert_int_eq(filesource_start(&source, fds[0], FILESOURCE_PACED),
			 0);
	ck_assert_int_eq(next_message(source, &opened), 1);
	source_stop(source);
	hung_up = (struct pollfd){.fd = source_fd(source)};
	ck_assert_int_eq(poll(&hung_up, 1, PATIENCE_MS), 1);
	/* The reading end is closed, so the talker knows. */
	ck_assert_int_eq(write(fds[1], sound, 4), -1);
	ck_assert_int_eq(errno, EPIPE);
	close(fds[1]);
}
