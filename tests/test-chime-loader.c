/* SPDX-License-Identifier: MIT
 * Chimes that come in while the loop runs: from files in memory. */
#include "server/chime-loader.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#include "base/util.h"
#include "test.h"

enum { FRAMES = 44100, LOADERS = 8 };

static const struct wav_format cd = {WAV_PCM, 16, 2, 44100};
static sd_event *event;
static struct chime_loader *loader;
static struct chime *chime;
static uint32_t numbers[FRAMES];
static char problem[CHIME_PROBLEM_SIZE];
static unsigned calls;
static int result;

/* --- what is called --- */

static void on_done(void *userdata, int r, struct chime *loaded,
		    const char *words)
{
	ck_assert_ptr_eq(userdata, &calls);
	calls++;
	result = r;
	chime_unref(chime);
	chime = chime_ref(loaded);
	snprintf(problem, sizeof(problem), "%s", words);
}

static void on_done_free(void *userdata, int r, struct chime *loaded,
			 const char *words)
{
	on_done(userdata, r, loaded, words);
	loader = chime_loader_free(loader);
}

static void setup(void)
{
	ck_assert_int_ge(sd_event_new(&event), 0);
	for (uint32_t i = 0; i < FRAMES; i++)
		numbers[i] = i + 1;
	loader = NULL;
	chime = NULL;
	calls = 0;
}

static void teardown(void)
{
	loader = chime_loader_free(loader);
	chime = chime_unref(chime);
	event = sd_event_unref(event);
}

FIXTURE(setup, teardown);
TIME_LIMIT(60);

static int memory_file(const void *data, size_t size)
{
	int fd = memfd_create("chime", MFD_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, data, size), (ssize_t)size);
	return fd;
}

static int chime_file(void)
{
	uint8_t header[WAV_HEADER_SIZE_MAX];
	int fd = memory_file(header, wav_encode(header, &cd, sizeof(numbers)));

	ck_assert_int_eq(write(fd, numbers, sizeof(numbers)), sizeof(numbers));
	return fd;
}

static int start(int fd, chime_loader_on_done done)
{
	return chime_loader_new(&loader, event, fd, &cd, done, &calls);
}

/* The loop turns until on_done was called COUNT times in all. */
static void wait_for_calls(unsigned count)
{
	while (calls < count)
		ck_assert_int_gt(sd_event_run(event, 30 * USEC_PER_SEC), 0);
}

static unsigned open_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned count = 0;

	ck_assert_ptr_nonnull(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

/* --- what comes of it --- */

TEST(chime_comes_in_the_loop)
{
	ck_assert_int_eq(start(chime_file(), on_done), 0);
	/* Never before the loop turns. */
	ck_assert_uint_eq(calls, 0);
	wait_for_calls(1);
	ck_assert_int_eq(result, 0);
	ck_assert_str_eq(problem, "");
	ck_assert_uint_eq(chime_size(chime), sizeof(numbers));
	ck_assert_mem_eq(chime_data(chime), numbers, sizeof(numbers));
}

TEST(chime_is_converted)
{
	const struct wav_format mono = {WAV_PCM, 16, 1, 44100};

	ck_assert_int_eq(chime_loader_new(&loader, event, chime_file(), &mono,
					  on_done, &calls),
			 0);
	wait_for_calls(1);
	ck_assert_int_eq(result, 0);
	ck_assert_uint_eq(chime_size(chime), sizeof(numbers) / 2);
}

TEST(reference_outlives_the_loader)
{
	ck_assert_int_eq(start(chime_file(), on_done), 0);
	wait_for_calls(1);
	loader = chime_loader_free(loader);
	ck_assert_ptr_null(loader);
	ck_assert_mem_eq(chime_data(chime), numbers, sizeof(numbers));
}

TEST(what_is_no_chime_is_explained)
{
	const struct {
		int fd, error;
		const char *words;
	} cases[] = {
	    {memory_file("This is text.", 13), -EBADMSG, "WAV"},
	    {memory_file("", 0), -EBADMSG, "ends"},
	    {open("/dev/null", O_RDONLY | O_CLOEXEC), -EINVAL, "regular"},
	    {open("/", O_RDONLY | O_CLOEXEC), -EINVAL, "regular"},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		ck_assert_int_eq(start(cases[i].fd, on_done), 0);
		wait_for_calls(i + 1);
		ck_assert_int_eq(result, cases[i].error);
		ck_assert_msg(strstr(problem, cases[i].words) != NULL,
			      "\"%s\" does not say \"%s\"", problem,
			      cases[i].words);
		ck_assert_ptr_null(chime);
		loader = chime_loader_free(loader);
	}
}

TEST(it_is_called_once)
{
	ck_assert_int_eq(start(chime_file(), on_done), 0);
	wait_for_calls(1);
	for (int i = 0; i < 10; i++)
		ck_assert_int_eq(sd_event_run(event, 0), 0);
	ck_assert_uint_eq(calls, 1);
}

TEST(loader_may_be_freed_when_it_is_done)
{
	ck_assert_int_eq(start(chime_file(), on_done_free), 0);
	wait_for_calls(1);
	ck_assert_ptr_null(loader);
	ck_assert_mem_eq(chime_data(chime), numbers, sizeof(numbers));
	ck_assert_int_eq(sd_event_run(event, 0), 0);
}

TEST(freed_loader_calls_nobody)
{
	for (int i = 0; i < 20; i++) {
		ck_assert_int_eq(start(chime_file(), on_done), 0);
		loader = chime_loader_free(loader);
	}
	ck_assert_int_eq(sd_event_run(event, 0), 0);
	ck_assert_uint_eq(calls, 0);
	ck_assert_ptr_null(chime_loader_free(NULL));
}

TEST(many_load_at_once)
{
	struct chime_loader *loaders[LOADERS];

	for (int i = 0; i < LOADERS; i++)
		ck_assert_int_eq(chime_loader_new(&loaders[i], event,
						  chime_file(), &cd, on_done,
						  &calls),
				 0);
	for (unsigned i = 1; i <= LOADERS; i++) {
		wait_for_calls(i);
		ck_assert_int_eq(result, 0);
		ck_assert_uint_eq(chime_size(chime), sizeof(numbers));
		chime = chime_unref(chime);
	}
	for (int i = 0; i < LOADERS; i++)
		chime_loader_free(loaders[i]);
}

/* --- descriptors --- */

TEST(descriptors_are_closed)
{
	const unsigned before = open_descriptors();

	for (int i = 0; i < 3; i++) {
		int fd = i ? memory_file("text", 4) : chime_file();

		ck_assert_int_eq(start(fd, on_done), 0);
		/* The last one is freed while it is on its way. */
		if (i < 2)
			wait_for_calls((unsigned)i + 1);
		loader = chime_loader_free(loader);
		ck_assert(!is_open(fd));
	}
	ck_assert_uint_eq(open_descriptors(), before);
}

TEST(loop_that_has_ended_takes_none)
{
	const unsigned before = open_descriptors();
	int fd = chime_file();

	ck_assert_int_ge(sd_event_exit(event, 0), 0);
	ck_assert_int_ge(sd_event_loop(event), 0);
	ck_assert_int_eq(start(fd, on_done), -ESTALE);
	ck_assert_ptr_null(loader);
	ck_assert(!is_open(fd));
	ck_assert_uint_eq(open_descriptors(), before);
}

/* No machine has room for a thread with such a stack. */
TEST(thread_that_cannot_be_is_told)
{
	const unsigned before = open_descriptors();
	pthread_attr_t attributes;
	int fd = chime_file();

	ck_assert_int_eq(pthread_attr_init(&attributes), 0);
	ck_assert_int_eq(
	    pthread_attr_setstacksize(&attributes, SIZE_MAX / 4 * 3), 0);
	ck_assert_int_eq(pthread_setattr_default_np(&attributes), 0);
	ck_assert_int_eq(start(fd, on_done), -EAGAIN);
	ck_assert_ptr_null(loader);
	ck_assert(!is_open(fd));
	ck_assert_uint_eq(open_descriptors(), before);
	ck_assert_int_eq(sd_event_run(event, 0), 0);
	ck_assert_uint_eq(calls, 0);
	pthread_attr_destroy(&attributes);
}
