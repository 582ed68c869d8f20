/* SPDX-License-Identifier: MIT
 * WAV files in memory and in pipes, as sources. */
#include "audio/filesource.h"

#include <math.h>
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
static struct filesource_config config;

static void setup(void)
{
	for (size_t i = 0; i < sizeof(sound); i++)
		sound[i] = (uint8_t)(i * 11 + i / 253);
	signal(SIGPIPE, SIG_IGN);
	heard_size = 0;
	config = (struct filesource_config){
	    .ahead_seconds = 1,
	    .patience_seconds = 30,
	    .chime_fd = -1,
	};
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

static void start(int fd, enum filesource_kind kind)
{
	config.kind = kind;
	ck_assert_int_eq(filesource_start(&source, &fd, 1, &config), 0);
}

/* The source's messages to its end; the results are in opened, heard and
 * ended. */
static void hear_all(void)
{
	struct source_message message;

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

/* Plays FD to its end. */
static void play(int fd)
{
	start(fd, FILESOURCE_RECORDING);
	hear_all();
}

/* Plays these one after the other, to their end. */
static void play_all(const int *fds, unsigned count)
{
	ck_assert_int_eq(filesource_start(&source, fds, count, &config), 0);
	hear_all();
}

TEST(a_file_is_played_whole)
{
	play(file_of(100000, 100000));
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
	play(file_of(1000, 5000));
	ck_assert_uint_eq(heard_size, 1000);
}

TEST(a_header_that_promises_more_than_the_file_has_is_corrected)
{
	play(file_of(100000, 5001));
	ck_assert_uint_eq(opened.u.opened.size, 5000);
	ck_assert_uint_eq(heard_size, 5000);
	ck_assert_int_eq(ended.u.ended.error, 0);
}

TEST(a_file_without_a_stated_end_ends_where_it_ends)
{
	play(file_of(WAV_ENDLESS, 5000));
	ck_assert_uint_eq(opened.u.opened.size, 5000);
	ck_assert_uint_eq(heard_size, 5000);
}

/* FD must be refused with WORDS, before anything is asked for. */
static void check_refused(int fd, const char *words)
{
	opened.type = SOURCE_ENDED;
	play(fd);
	ck_assert_int_eq(opened.type, SOURCE_ENDED);
	ck_assert_int_eq(ended.u.ended.error, -EBADMSG);
	ck_assert_msg(strstr(ended.u.ended.reason, words) != NULL,
		      "\"%s\" does not say \"%s\"", ended.u.ended.reason,
		      words);
	source = source_free(source);
}

/* A pipe with a WAV file in it, whose other end is closed. */
static int pipe_of(const void *data, size_t size)
{
	int fds[2];

	ck_assert_int_eq(pipe(fds), 0);
	put(fds[1], data, size);
	close(fds[1]);
	return fds[0];
}

static int pipe_of_sound(uint64_t stated, size_t size)
{
	uint8_t bytes[WAV_HEADER_SIZE_MAX + 4096];
	const size_t header = wav_encode(bytes, &cd, stated, NULL);

	memcpy(bytes + header, sound, size);
	return pipe_of(bytes, header + size);
}

TEST(what_has_no_samples_is_refused)
{
	static const uint64_t sizes[] = {0, 4000, WAV_ENDLESS};
	uint8_t bytes[WAV_HEADER_SIZE_MAX + 64] = {0};
	const size_t header = wav_encode(bytes, &cd, 0, NULL);

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		check_refused(file_of(sizes[i], 0), "it has no samples");
		check_refused(file_of(sizes[i], 3), "it has no samples");
		check_refused(pipe_of_sound(sizes[i], 0), "it has no samples");
		check_refused(pipe_of_sound(sizes[i], 3), "it has no samples");
	}
	/* The samples are none, and another chunk follows. */
	memcpy(bytes + header, "LIST\x10\0\0\0INFO", 12);
	bytes[4] = (uint8_t)(header - 8 + 24);
	check_refused(pipe_of(bytes, header + 24), "it has no samples");
}

TEST(a_size_of_0_is_none_where_samples_follow)
{
	play(file_of(0, 4000));
	ck_assert_uint_eq(opened.u.opened.size, 4000);
	ck_assert_uint_eq(heard_size, 4000);
	ck_assert_mem_eq(heard, sound, 4000);
	source = source_free(source);
}

TEST(a_pipe_of_unknown_size_is_played_to_its_end)
{
	static const uint64_t sizes[] = {0,	     2000000000, 0x70000000,
					 0x7fff0000, 0x7ffff000, 0x80000000,
					 WAV_ENDLESS};

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		heard_size = 0;
		play(pipe_of_sound(sizes[i], 4002));
		ck_assert_uint_eq(opened.u.opened.size, 4000); /* by then */
		ck_assert_uint_eq(heard_size, 4000);
		ck_assert_mem_eq(heard, sound, 4000);
		ck_assert_int_eq(ended.u.ended.error, 0);
		source = source_free(source);
	}
}

TEST(what_a_pipe_ends_with_is_no_sound)
{
	uint8_t bytes[2 * WAV_HEADER_SIZE_MAX + 4000];
	const size_t header = wav_encode(bytes, &cd, 0, NULL);

	memcpy(bytes + header, sound, 4000);
	wav_encode(bytes + header + 4000, &cd, 4000, NULL);
	play(pipe_of(bytes, 2 * header + 4000));
	ck_assert_uint_eq(heard_size, 4000);
	source = source_free(source);
	heard_size = 0;
	memcpy(bytes + header + 4000, "LIST\4\0\0\0INFO", 12);
	play(pipe_of(bytes, header + 4012));
	ck_assert_uint_eq(heard_size, 4000);
	ck_assert_mem_eq(heard, sound, 4000);
}

/* The header of a WAV file of 16 bytes, with this format. */
static size_t foreign_header(uint8_t *p, uint8_t tag, uint8_t bits,
			     uint8_t block_align)
{
	const size_t size =
	    wav_encode(p, &(struct wav_format){WAV_PCM, 16, 1, 8000}, 16, NULL);

	p[20] = tag;
	p[32] = block_align;
	p[34] = bits;
	return size;
}

TEST(padding_is_left_out)
{
	uint8_t bytes[WAV_HEADER_SIZE_MAX + 16];
	const size_t header = foreign_header(bytes, WAV_PCM, 24, 4);

	memcpy(bytes + header, "abc\377def\0ghi-jkl~", 16);
	play(pipe_of(bytes, header + 16));
	ck_assert_uint_eq(opened.u.opened.size, 12);
	ck_assert_str_eq(wav_format_name(&opened.u.opened.format), "S24_3LE");
	ck_assert_uint_eq(heard_size, 12);
	ck_assert_mem_eq(heard, "abcdefghijkl", 12);
}

TEST(floats_of_64_bits_become_shorter)
{
	static const double values[] = {0.1, -1.5};
	uint8_t bytes[WAV_HEADER_SIZE_MAX + 16];
	const size_t header = foreign_header(bytes, WAV_FLOAT, 64, 8);
	float short_ones[2];

	memcpy(bytes + header, values, sizeof(values));
	play(pipe_of(bytes, header + 16));
	ck_assert_uint_eq(opened.u.opened.size, 8);
	ck_assert_str_eq(wav_format_name(&opened.u.opened.format), "FLOAT_LE");
	memcpy(short_ones, heard, sizeof(short_ones));
	ck_assert(short_ones[0] == 0.1F && short_ones[1] == -1.5F);
}

TEST(sound_of_another_kind_is_refused_with_the_remedy)
{
	check_refused(pipe_of("OggS\0\2\0\0\0\0\0\0", 12),
		      "it is an Ogg file (Vorbis, Opus); this plays it: ffmpeg "
		      "-v error -i FILE -f wav - | intercomctl play -");
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
	start(fds[0], FILESOURCE_LIVE);
	put(fds[1], sound, 4); /* the first frame */
	ck_assert_int_eq(next_message(source, &opened), 1);
	ck_assert_uint_eq(opened.u.opened.size, WAV_ENDLESS);
	put(fds[1], sound + 4, 2997);
	close(fds[1]);
	while (next_message(source, &message) == 1 &&
	       message.type == SOURCE_SAMPLES)
		hear(message.u.samples.size);
	ck_assert_int_eq(message.type, SOURCE_ENDED);
	ck_assert_uint_eq(heard_size, 3000); /* whole frames */
	ck_assert_mem_eq(heard, sound, 3000);
}

/* Writes SIZE bytes of samples, from offset FROM on. */
static void pour(int fd, size_t from, size_t size)
{
	put(fd, sound + from, size);
}

/* The next message is SOURCE_PREPARED. */
static void await_prepared(void)
{
	struct source_message message;
	int r;

	while ((r = source_next(source, &message)) == -EAGAIN)
		wait_readable(source);
	ck_assert_int_eq(r, 1);
	ck_assert_int_eq(message.type, SOURCE_PREPARED);
}

static void hear_to_the_end(void)
{
	while (next_message(source, &ended) == 1 &&
	       ended.type == SOURCE_SAMPLES)
		hear(ended.u.samples.size);
	ck_assert_int_eq(ended.type, SOURCE_ENDED);
	ck_assert_int_eq(ended.u.ended.error, 0);
}

TEST(a_recording_that_ends_soon_has_its_exact_size)
{
	int fds[2];

	open_pipe(fds);
	pour(fds[1], 0, 30001);
	start(fds[0], FILESOURCE_RECORDING);
	/* Nothing is prepared before its end. */
	ck_assert_int_eq(
	    poll(&(struct pollfd){.fd = source_fd(source), .events = POLLIN}, 1,
		 100),
	    0);
	close(fds[1]);
	ck_assert_int_eq(next_message(source, &opened), 1);
	ck_assert_uint_eq(opened.u.opened.size, 30000);
	hear_to_the_end();
	ck_assert_uint_eq(heard_size, 30000);
	ck_assert_mem_eq(heard, sound, 30000);
}

TEST(a_recording_is_prepared_once_there_is_enough_of_it)
{
	const size_t second = 44100 * 4;
	int fds[2];

	open_pipe(fds);
	start(fds[0], FILESOURCE_RECORDING);
	pour(fds[1], 0, second);
	await_prepared();
	pour(fds[1], second, 4000);
	close(fds[1]);
	source_go(source);
	ck_assert_int_eq(next_message(source, &opened), 1);
	ck_assert_uint_eq(opened.u.opened.size, WAV_ENDLESS);
	hear_to_the_end();
	ck_assert_uint_eq(heard_size, second + 4000);
	ck_assert_mem_eq(heard, sound, second + 4000);
}

TEST(a_size_that_a_pipe_states_is_believed_only_when_it_is_there)
{
	uint8_t header[WAV_HEADER_SIZE_MAX];
	const size_t half = 30000; /* the pipe takes as much */
	int fds[2];

	ck_assert_int_eq(pipe(fds), 0);
	config.ahead_seconds = 0.1;
	put(fds[1], header, wav_encode(header, &cd, 2 * half, NULL));
	start(fds[0], FILESOURCE_RECORDING);
	pour(fds[1], 0, half);
	await_prepared();
	source_go(source);
	ck_assert_int_eq(next_message(source, &opened), 1);
	pour(fds[1], half, half + 400);
	ck_assert_uint_eq(opened.u.opened.size, WAV_ENDLESS);
	hear_to_the_end(); /* although the pipe has not ended */
	ck_assert_uint_eq(heard_size, 2 * half);
	close(fds[1]);
}

TEST(a_pipe_that_brings_nothing_is_given_up)
{
	int fds[2];

	ck_assert_int_eq(pipe(fds), 0);
	config.patience_seconds = 0.2;
	start(fds[0], FILESOURCE_RECORDING);
	ck_assert_int_eq(next_message(source, &ended), 1);
	ck_assert_int_eq(ended.type, SOURCE_ENDED);
	ck_assert_int_eq(ended.u.ended.error, -ETIMEDOUT);
	ck_assert_ptr_nonnull(strstr(ended.u.ended.reason, "given up"));
	close(fds[1]);
}

TEST(what_a_live_pipe_has_brought_before_the_page_is_late)
{
	const size_t tenth = 44100 * 4 / 10;
	int fds[2];

	open_pipe(fds);
	start(fds[0], FILESOURCE_LIVE);
	pour(fds[1], 0, tenth);
	await_prepared();
	/* The page waits for longer than that lasts. */
	ck_assert_int_eq(poll(NULL, 0, 300), 0);
	source_go(source);
	ck_assert_int_eq(next_message(source, &opened), 1);
	pour(fds[1], tenth, tenth);
	close(fds[1]);
	hear_to_the_end();
	ck_assert_uint_eq(heard_size, tenth);
	ck_assert_mem_eq(heard, sound + tenth, tenth);
}

TEST(what_a_relay_has_brought_before_the_page_is_kept)
{
	int fds[2];

	open_pipe(fds);
	start(fds[0], FILESOURCE_RELAYED);
	pour(fds[1], 0, 20000);
	await_prepared();
	ck_assert_int_eq(poll(NULL, 0, 200), 0);
	source_go(source);
	ck_assert_int_eq(next_message(source, &opened), 1);
	close(fds[1]);
	hear_to_the_end();
	ck_assert_uint_eq(heard_size, 20000);
}

TEST(what_is_no_wav_file_ends_with_a_reason)
{
	static const char *const texts[] = {"", "RIFF", "ID3 and so on",
					    "RIFF\4\0\0\0WAVE"};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		int fd = memfd_create("test", MFD_CLOEXEC);

		put(fd, texts[i], i == 3 ? 12 : strlen(texts[i]));
		ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
		play(fd);
		ck_assert_int_eq(ended.u.ended.error, -EBADMSG);
		ck_assert_ptr_nonnull(
		    strstr(ended.u.ended.reason, "This is not a WAV file"));
		source = source_free(source);
	}
}

TEST(what_cannot_be_read_ends_with_a_reason)
{
	play(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	ck_assert_int_eq(ended.u.ended.error, -EISDIR);
	ck_assert_ptr_nonnull(strstr(ended.u.ended.reason, "directory"));
}

TEST(a_silent_pipe_is_stopped)
{
	struct pollfd hung_up;
	int fds[2];

	open_pipe(fds);
	start(fds[0], FILESOURCE_LIVE);
	put(fds[1], sound, 4);
	ck_assert_int_eq(next_message(source, &opened), 1);
	source_stop(source);
	hung_up = (struct pollfd){.fd = source_fd(source)};
	ck_assert_int_eq(poll(&hung_up, 1, PATIENCE_MS), 1);
	/* The reading end is closed, so the talker knows. */
	ck_assert_int_eq(write(fds[1], sound, 4), -1);
	ck_assert_int_eq(errno, EPIPE);
	close(fds[1]);
}

/* --- several files --- */

static const struct wav_format mono = {WAV_PCM, 16, 1, 44100};

TEST(files_follow_one_another_without_a_gap)
{
	const int fds[] = {file_of(4000, 4000), file_of(WAV_ENDLESS, 8000),
			   file_of(400, 5000)};

	play_all(fds, 3);
	ck_assert_int_eq(ended.u.ended.error, 0);
	ck_assert_uint_eq(opened.u.opened.size, 12400);
	ck_assert_uint_eq(heard_size, 12400);
	ck_assert_mem_eq(heard, sound, 4000);
	ck_assert_mem_eq(heard + 4000, sound, 8000);
	ck_assert_mem_eq(heard + 12000, sound, 400);
}

TEST(a_file_can_be_played_twice)
{
	const int fd = file_of(4000, 4000);
	const int fds[] = {fd, dup(fd)};

	play_all(fds, 2);
	ck_assert_uint_eq(heard_size, 8000);
	ck_assert_mem_eq(heard, sound, 4000);
	ck_assert_mem_eq(heard + 4000, sound, 4000);
}

TEST(files_are_converted_to_the_first_ones_format)
{
	static const int16_t pairs[] = {100, 100, -7, -7};
	static const int16_t ones[] = {100, -7};
	const int fds[] = {memory_wav(&cd, 8, sound, 8),
			   memory_wav(&mono, 4, ones, 4)};

	play_all(fds, 2);
	ck_assert(wav_format_equal(&opened.u.opened.format, &cd));
	ck_assert_uint_eq(opened.u.opened.size, 16);
	ck_assert_uint_eq(heard_size, 16);
	ck_assert_mem_eq(heard, sound, 8);
	ck_assert_mem_eq(heard + 8, pairs, 8);
}

TEST(the_size_of_files_of_other_rates_is_exact)
{
	static const uint32_t rates[] = {8000, 22050, 48000, 96000};
	static const size_t counts[] = {1, 2, 777, 4001};

	for (size_t i = 0; i < ARRAY_SIZE(rates) * ARRAY_SIZE(counts); i++) {
		const struct wav_format other = {WAV_PCM, 16, 1, rates[i / 4]};
		const size_t count = counts[i % 4];
		const uint64_t frames =
		    10 + (count * 44100 + rates[i / 4] / 2) / rates[i / 4];
		const int fds[] = {
		    memory_wav(&mono, 20, sound, 20),
		    memory_wav(&other, count * 2, sound, count * 2)};

		heard_size = 0;
		play_all(fds, 2);
		ck_assert_uint_eq(opened.u.opened.size, frames * 2);
		ck_assert_uint_eq(heard_size, frames * 2);
		source = source_free(source);
	}
}

TEST(a_chime_is_played_before_the_first_file_in_its_format)
{
	static const int16_t pairs[] = {100, 100, -7, -7};
	static const int16_t ones[] = {100, -7};
	struct source_message message;
	const int fd = file_of(4000, 4000);

	config.chime_fd = memory_wav(&mono, 4, ones, 4);
	ck_assert_int_eq(filesource_start(&source, &fd, 1, &config), 0);
	while (source_next(source, &message) == -EAGAIN)
		wait_readable(source);
	ck_assert_int_eq(message.type, SOURCE_PREPARED);
	ck_assert_uint_eq(message.u.prepared.chime_frames, 2);
	source_go(source);
	hear_all();
	ck_assert_uint_eq(opened.u.opened.size, 4008);
	ck_assert_uint_eq(heard_size, 4008);
	ck_assert_mem_eq(heard, pairs, 8);
	ck_assert_mem_eq(heard + 8, sound, 4000);
}

TEST(a_chime_and_a_pipe_that_has_ended_have_an_exact_size)
{
	const int fds[] = {pipe_of_sound(WAV_ENDLESS, 400), file_of(80, 80)};

	config.chime_fd = memory_wav(&cd, 8, sound, 8);
	play_all(fds, 2);
	ck_assert_uint_eq(opened.u.opened.size, 488);
	ck_assert_uint_eq(heard_size, 488);
	ck_assert_mem_eq(heard, sound, 8);
	ck_assert_mem_eq(heard + 8, sound, 400);
	ck_assert_mem_eq(heard + 408, sound, 80);
}

TEST(a_pipe_after_a_file_is_played_as_it_comes)
{
	const size_t second = 44100 * 4;
	int fds[2], parts[2];

	open_pipe(fds);
	parts[0] = file_of(400, 400);
	parts[1] = fds[0];
	ck_assert_int_eq(filesource_start(&source, parts, 2, &config), 0);
	pour(fds[1], 0, second);
	await_prepared();
	pour(fds[1], second, 4000);
	close(fds[1]);
	source_go(source);
	ck_assert_int_eq(next_message(source, &opened), 1);
	ck_assert_uint_eq(opened.u.opened.size, WAV_ENDLESS);
	hear_to_the_end();
	ck_assert_uint_eq(heard_size, 400 + second + 4000);
	ck_assert_mem_eq(heard + 400, sound, second + 4000);
}

/* These must be refused with exactly this reason, before anything is asked
 * for; a pipe among them is not waited for. */
static void check_all_refused(const int *fds, unsigned count,
			      const char *reason)
{
	opened.type = SOURCE_ENDED;
	play_all(fds, count);
	ck_assert_int_eq(opened.type, SOURCE_ENDED);
	ck_assert_int_eq(ended.u.ended.error, -EBADMSG);
	ck_assert_str_eq(ended.u.ended.reason, reason);
	source = source_free(source);
}

TEST(a_bad_file_among_good_ones_is_named)
{
	int fds[2], parts[3];

	ck_assert_int_eq(pipe(fds), 0);
	parts[0] = fds[0];
	parts[1] = file_of(400, 400);
	parts[2] = memory_file("fLaC\0\0\0\x22\0\0\0\0", 12);
	check_all_refused(parts, 3,
			  "File 3: This is not a WAV file that can be played: "
			  "it is a FLAC file; convert it: ffmpeg -v error -i "
			  "FILE -f wav FILE.wav");
	close(fds[1]);
	parts[0] = file_of(400, 400);
	parts[1] = memory_wav(&cd, 0, "", 0);
	check_all_refused(parts, 2,
			  "File 2: This is not a WAV file that can be played: "
			  "it has no samples");
}

TEST(an_empty_file_is_called_so)
{
	check_refused(memory_file("", 0), "it is empty");
}

TEST(a_bad_chime_is_refused)
{
	const int fd = file_of(400, 400);

	config.chime_fd = memory_file("OggS", 4);
	check_all_refused(&fd, 1,
			  "The chime cannot be used: it ends before its "
			  "samples begin");
}

/* --- gain --- */

TEST(files_become_louder_and_the_chime_does_not)
{
	static const int16_t pairs[] = {100, -7, 3000, 16000};
	static const int16_t louder[] = {200, -14, 6000, 31785};
	static const int16_t bell[] = {1000, -1000};
	const int fds[] = {memory_wav(&mono, 4, pairs, 4),
			   memory_wav(&mono, 4, pairs + 2, 4)};

	config.chime_fd = memory_wav(&mono, 4, bell, 4);
	config.gain_db = 20 * log10(2);
	play_all(fds, 2);
	ck_assert_uint_eq(opened.u.opened.size, 12);
	ck_assert_uint_eq(heard_size, 12);
	ck_assert_mem_eq(heard, bell, 4);
	/* A limiter takes back the last one, and those before it smoothly. */
	for (size_t i = 0; i < 4; i++) {
		const int16_t *sample =
		    (const int16_t *)(void *)(heard + 4 + 2 * i);

		ck_assert_int_le(abs(*sample), abs(louder[i]));
		ck_assert_int_ge(abs(*sample), abs(louder[i]) * 98 / 100);
	}
}

TEST(files_become_quieter_to_the_last_frame)
{
	static int16_t tone[20000];
	const int fd = memory_wav(&mono, sizeof(tone), tone, sizeof(tone));
	const int16_t *samples = (const int16_t *)(void *)heard;

	config.gain_db = 20 * log10(0.5);
	for (size_t i = 0; i < ARRAY_SIZE(tone); i++)
		tone[i] = (int16_t)(i * 37);
	ck_assert_int_eq(pwrite(fd, tone, sizeof(tone), 44), sizeof(tone));
	play_all(&fd, 1);
	ck_assert_uint_eq(heard_size, sizeof(tone));
	for (size_t i = 0; i < ARRAY_SIZE(tone); i++)
		ck_assert_int_eq(samples[i], lrint(tone[i] * 0.5));
}
