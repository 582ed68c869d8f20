/* SPDX-License-Identifier: MIT
 * The volume and the rate of a card, kept on a disk that answers late: a FIFO
 * that nobody reads, which the next rate is to be written to. */
#include "client/keeper.h"

#include <poll.h>

#include "base/log.h"
#include "folder.h"
#include "test.h"

#define OLD "30 70\n"
#define SET "100 100\n"
#define RATE_FILE "card-rate-default"
#define RATE "intercom-card-rate 1 ppm=50.000\n"
#define WAIT_USEC (20 * USEC_PER_SEC)
/* It is certainly known by then that the disk hangs. */
#define LATE_USEC (10 * USEC_PER_SEC)

static struct keeper *keeper;

static void setup(void)
{
	char conf[3 * PATH_MAX];

	log_set_level(LOG_EMERG);
	folder_setup("keeper");
	snprintf(conf, sizeof(conf),
		 "ctl_type.vctl { lib \"%s/vctl.so\" }\n"
		 "ctl.!default { type vctl file \"%s/card\" }\n",
		 test_environment("BUILDDIR"), folder);
	put_file("asound.conf", conf, strlen(conf));
	use_alsa_conf(path_of("asound.conf"));
	setenv("STATE_DIRECTORY", folder, 1);
	put_file("card", OLD, strlen(OLD));
	put_file(RATE_FILE, RATE, strlen(RATE));
	ck_assert_int_eq(keeper_new(&keeper, "default", NULL, 50), 0);
}

static void teardown(void)
{
	keeper = keeper_free(keeper, now_usec() + WAIT_USEC);
	check_bytes("card", OLD, strlen(OLD));
	ck_assert(!file_exists("volume-default-Master-0"));
	folder_teardown();
}

FIXTURE(setup, teardown);
TIME_LIMIT(60);

/* The thread has something to say, and is heard. */
static void hear(void)
{
	struct pollfd fd = {.fd = keeper_fd(keeper), .events = POLLIN};

	ck_assert_int_eq(poll(&fd, 1, WAIT_USEC / 1000), 1);
	keeper_dispatch(keeper);
}

static void wait_for_volume(void)
{
	while (!keeper_volume_is_set(keeper, now_usec()))
		hear();
}

static void wait_until_idle(void)
{
	while (keeper_deadline(keeper, 0) != UINT64_MAX)
		hear();
}

/* From now on the thread waits in open(). */
static void hang(void)
{
	wait_until_idle();
	ck_assert_int_eq(mkfifo(path_of(RATE_FILE ".new"), 0600), 0);
	keeper_learn_card_rate(keeper, 1.0001);
}

static void answer(void)
{
	const int fd = open(path_of(RATE_FILE ".new"), O_RDONLY | O_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	hear();
	close(fd);
}

TEST(volume_is_set_for_a_page_and_put_back)
{
	for (int i = 0; i < 2; i++) {
		wait_for_volume();
		check_bytes("card", SET, strlen(SET));
		keeper_restore_volume(keeper);
		wait_until_idle();
		check_bytes("card", OLD, strlen(OLD));
	}
}

TEST(page_that_begins_while_the_volume_is_put_back_has_its_own)
{
	wait_for_volume();
	keeper_restore_volume(keeper);
	wait_for_volume();
	check_bytes("card", SET, strlen(SET));
}

TEST(what_is_kept_of_the_card_is_known_soon)
{
	wait_until_idle();
	ck_assert_double_eq_tol(keeper_card_rate(keeper), 1 + 50e-6, 1e-12);
	keeper_learn_card_rate(keeper, 1.0001);
	ck_assert_double_eq_tol(keeper_card_rate(keeper), 1.0001, 1e-12);
	wait_until_idle();
	check_bytes(RATE_FILE, "intercom-card-rate 1 ppm=100.000\n", 33);
}

TEST(disk_that_hangs_holds_a_page_up_for_a_moment_only)
{
	hang();
	ck_assert(!keeper_volume_is_set(keeper, 0));
	ck_assert_uint_ne(keeper_deadline(keeper, 0), UINT64_MAX);
	ck_assert(keeper_volume_is_set(keeper, now_usec() + LATE_USEC));
	ck_assert_uint_eq(keeper_deadline(keeper, now_usec() + LATE_USEC),
			  UINT64_MAX);
	check_bytes("card", OLD, strlen(OLD));
	answer();
	wait_for_volume();
	check_bytes("card", SET, strlen(SET));
}

TEST(page_that_is_over_when_the_disk_is_back_leaves_the_volume_alone)
{
	hang();
	ck_assert(!keeper_volume_is_set(keeper, 0));
	keeper_restore_volume(keeper);
	answer();
	ck_assert_uint_eq(keeper_deadline(keeper, 0), UINT64_MAX);
}

TEST(end_waits_no_longer_than_it_is_allowed_to)
{
	int fd;

	hang();
	keeper = keeper_free(keeper, now_usec());
	fd = open(path_of(RATE_FILE ".new"), O_RDONLY | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	while (file_exists(RATE_FILE ".new"))
		(void)poll(NULL, 0, 1);
	close(fd);
}
