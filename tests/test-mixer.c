/* SPDX-License-Identifier: MIT
 * The volume of the virtual mixer (vctl.c), whose cards are files. The notes
 * are read as the next client would find them. */
#include "client/mixer.h"

#include <stdbool.h>
#include <sys/file.h>
#include <sys/wait.h>

#include "base/log.h"
#include "capture.h"
#include "folder.h"
#include "test.h"

#define OLD "30 70\n"
#define NOTE "state/volume-default-Master-0"

enum { TEXT_SIZE = 4096 };

static struct mixer *mixer;

/* --- files --- */

static void write_note(const char *name, const char *note, size_t size)
{
	FILE *f = fopen(path_of(name), "we");

	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(note, 1, size, f), size);
	ck_assert_int_eq(fclose(f), 0);
}

static void write_file(const char *name, const char *text)
{
	write_note(name, text, strlen(text));
}

static size_t read_into(char *text, const char *name)
{
	FILE *f = fopen(path_of(name), "re");
	size_t size;

	ck_assert_msg(f != NULL, "%s is missing", name);
	size = fread(text, 1, TEXT_SIZE, f);
	fclose(f);
	return size;
}

static size_t read_note(char note[TEXT_SIZE])
{
	return read_into(note, NOTE);
}

static const char *read_file(const char *name)
{
	static char text[TEXT_SIZE + 1];

	text[read_into(text, name)] = '\0';
	return text;
}

static void check_volume(const char *volume)
{
	ck_assert_str_eq(read_file("card-default"), volume);
}

/* A card is a file: "hw:X" is card-X. */
static void write_conf(void)
{
	char conf[4 * PATH_MAX];

	snprintf(conf, sizeof(conf),
		 "ctl_type.vctl { lib \"%s/vctl.so\" }\n"
		 "ctl.!default { type vctl file \"%s/card-default\" }\n"
		 "ctl.!hw { @args [ CARD ] @args.CARD { type string }\n"
		 "type vctl file { @func concat strings [ \"%s/card-\" $CARD ] "
		 "} }\n",
		 test_environment("BUILDDIR"), folder, folder);
	write_file("asound.conf", conf);
}

static void setup(void)
{
	log_set_level(LOG_EMERG);
	folder_setup("mixer");
	write_conf();
	use_alsa_conf(path_of("asound.conf"));
	setenv("STATE_DIRECTORY", path_of("state"), 1);
	write_file("card-default", OLD);
	ck_assert_int_eq(mixer_new(&mixer, "default", NULL), 0);
}

static void remove_folder(const char *name)
{
	char outer[PATH_MAX];

	if (!file_exists(name))
		return;
	memcpy(outer, folder, sizeof(outer));
	snprintf(folder, sizeof(folder), "%s", path_of(name));
	folder_clear();
	memcpy(folder, outer, sizeof(folder));
}

static void teardown(void)
{
	mixer = mixer_free(mixer);
	remove_folder("state");
	folder_teardown();
}

FIXTURE(setup, teardown);
TIME_LIMIT(60);

static void new_mixer(const char *device, const char *element)
{
	mixer = mixer_free(mixer);
	ck_assert_int_eq(mixer_new(&mixer, device, element), 0);
}

/* A client that dies while its page sounds. */
static void crash_while_it_is(unsigned percent)
{
	int status;
	pid_t child = fork();

	ck_assert_int_ge(child, 0);
	if (child == 0) {
		mixer_set(mixer, percent);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_int_eq(status, 0);
}

/* --- a page --- */

TEST(volume_is_set_and_put_back)
{
	mixer_set(mixer, 50);
	check_volume("100 100\n");
	mixer_restore(mixer);
	check_volume(OLD);
	/* A client plays more than one page. */
	mixer_set(mixer, 25);
	check_volume("50 50\n");
	mixer_restore(mixer);
	check_volume(OLD);
	ck_assert(!file_exists(NOTE));
}

TEST_LOOP(percent_is_of_the_whole_range, 0, 5)
{
	static const struct {
		unsigned percent;
		const char *volume;
	} cases[] = {
	    {0, "0 0\n"},      {1, "2 2\n"},	   {33, "66 66\n"},
	    {99, "198 198\n"}, {100, "200 200\n"},
	};

	mixer_set(mixer, cases[_i].percent);
	check_volume(cases[_i].volume);
	mixer_restore(mixer);
	check_volume(OLD);
}

TEST(note_is_private_locked_and_complete)
{
	static const char first[] = "alsa-intercom volume 2\n\0default";
	char note[TEXT_SIZE];
	struct stat st;
	int fd;

	mixer_set(mixer, 50);
	ck_assert_uint_gt(read_note(note), sizeof(first));
	ck_assert_mem_eq(note, first, sizeof(first));
	ck_assert_int_eq(stat(path_of(NOTE), &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0600);
	fd = open(path_of(NOTE), O_RDWR | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(flock(fd, LOCK_EX | LOCK_NB), -1);
	ck_assert_int_eq(errno, EWOULDBLOCK);
	close(fd);
}

TEST(volume_of_a_page_is_set_once)
{
	mixer_set(mixer, 50);
	/* Somebody has turned the volume down meanwhile. */
	write_file("card-default", "10 10\n");
	mixer_set(mixer, 80);
	check_volume("10 10\n");
	mixer_restore(mixer);
	check_volume(OLD);
}

TEST(what_was_not_set_is_not_put_back)
{
	mixer_restore(mixer);
	check_volume(OLD);
	mixer_set(mixer, 50);
	mixer_restore(mixer);
	write_file("card-default", "10 20\n");
	mixer_restore(mixer);
	mixer = mixer_free(mixer);
	check_volume("10 20\n");
}

TEST(free_puts_the_volume_back)
{
	mixer_set(mixer, 100);
	check_volume("200 200\n");
	mixer = mixer_free(mixer);
	ck_assert_ptr_null(mixer);
	check_volume(OLD);
	ck_assert(!file_exists(NOTE));
	ck_assert_ptr_null(mixer_free(NULL));
}

/* --- which card, which control --- */

TEST_LOOP(card_is_that_of_the_device, 0, 6)
{
	static const struct {
		const char *device, *file;
	} cases[] = {
	    {"default", "card-default"},
	    {"card", "card-default"},
	    {"hw:PCH", "card-PCH"},
	    {"hw:1,0", "card-1"},
	    {"plughw:CARD=PCH,DEV=0", "card-PCH"},
	    {"sysdefault:DEV=0,CARD=Two", "card-Two"},
	};

	write_file(cases[_i].file, "1 2\n");
	new_mixer(cases[_i].device, NULL);
	mixer_set(mixer, 50);
	ck_assert_str_eq(read_file(cases[_i].file), "100 100\n");
	mixer_restore(mixer);
	ck_assert_str_eq(read_file(cases[_i].file), "1 2\n");
}

TEST(names_of_any_length_are_harmless)
{
	char name[1000];

	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	name[2] = ':';
	new_mixer(name, name);
	mixer_set(mixer, 50);
	mixer_restore(mixer);
	check_volume(OLD);
}

TEST(control_that_was_named_is_taken)
{
	new_mixer("default", "Master");
	mixer_set(mixer, 50);
	check_volume("100 100\n");
}

TEST(control_that_is_missing_is_told_of_once)
{
	char text[TEXT_SIZE];
	struct capture capture;

	new_mixer("default", "Nonsense");
	log_set_level(LOG_INFO);
	capture = capture_begin(STDERR_FILENO);
	mixer_set(mixer, 50);
	mixer_restore(mixer);
	mixer_set(mixer, 50);
	capture_end(capture, text, sizeof(text));
	check_line(text, (const char *const[]){
			     "find a playback volume", "amixer", "'default'",
			     "No such file or directory", NULL});
	check_volume(OLD);
	ck_assert(!file_exists("state"));
}

/* --- what can go wrong --- */

TEST(missing_card_is_told_of_once_until_it_works)
{
	char text[TEXT_SIZE];
	struct capture capture;

	log_set_level(LOG_INFO);
	ck_assert_int_eq(unlink(path_of("card-default")), 0);
	for (int i = 0; i < 2; i++) {
		capture = capture_begin(STDERR_FILENO);
		mixer_set(mixer, 50);
		mixer_set(mixer, 50);
		capture_end(capture, text, sizeof(text));
		check_line(text, (const char *const[]){"open the mixer",
						       "No such device", NULL});
		write_file("card-default", OLD);
		mixer_set(mixer, 50);
		check_volume("100 100\n");
		mixer_restore(mixer);
		ck_assert_int_eq(unlink(path_of("card-default")), 0);
	}
}

TEST(volume_that_cannot_be_noted_is_not_touched)
{
	char text[TEXT_SIZE];
	struct capture capture;

	write_file("state", "a file is in the way");
	log_set_level(LOG_INFO);
	capture = capture_begin(STDERR_FILENO);
	mixer_set(mixer, 50);
	capture_end(capture, text, sizeof(text));
	check_line(text, (const char *const[]){"note the old volume", NULL});
	check_volume(OLD);
	ck_assert_int_eq(unlink(path_of("state")), 0);
	mixer_set(mixer, 50);
	check_volume("100 100\n");
}

TEST(another_client_keeps_its_volume)
{
	struct mixer *other;

	ck_assert_int_eq(mixer_new(&other, "default", NULL), 0);
	mixer_set(other, 50);
	mixer_restore_left_over();
	mixer_set(mixer, 80);
	check_volume("100 100\n");
	mixer_restore(mixer);
	check_volume("100 100\n");
	mixer_free(other);
	check_volume(OLD);
}

TEST(card_that_went_gets_its_volume_when_it_is_back)
{
	mixer_set(mixer, 50);
	ck_assert_int_eq(unlink(path_of("card-default")), 0);
	mixer_restore(mixer);
	mixer_restore_left_over();
	ck_assert(file_exists(NOTE));
	write_file("card-default", "100 100\n");
	mixer_restore_left_over();
	check_volume(OLD);
	ck_assert(!file_exists(NOTE));
}

/* --- after a crash --- */

TEST(next_client_puts_back_what_a_crash_left)
{
	char text[TEXT_SIZE];
	struct capture capture;

	crash_while_it_is(50);
	check_volume("100 100\n");
	log_set_level(LOG_INFO);
	capture = capture_begin(STDERR_FILENO);
	mixer_restore_left_over();
	mixer_restore_left_over();
	capture_end(capture, text, sizeof(text));
	check_line(text, (const char *const[]){"'Master'", "'default'", NULL});
	check_volume(OLD);
	ck_assert(!file_exists(NOTE));
}

TEST(page_after_a_crash_goes_back_to_the_first_volume)
{
	crash_while_it_is(50);
	mixer_set(mixer, 10);
	check_volume("20 20\n");
	mixer_restore(mixer);
	check_volume(OLD);
}

/* Takes away the note of a client that died, and changes the volume. Returns
 * the size of the note. */
static size_t take_note(char note[TEXT_SIZE])
{
	size_t size;

	crash_while_it_is(50);
	size = read_note(note);
	ck_assert_int_eq(unlink(path_of(NOTE)), 0);
	write_file("card-default", "1 2\n");
	return size;
}

static void check_no_note(const char *note, size_t size)
{
	write_note("state/volume-x", note, size);
	mixer_restore_left_over();
	check_volume("1 2\n");
	ck_assert(!file_exists("state/volume-x"));
}

TEST(shorter_note_is_no_note)
{
	char note[TEXT_SIZE];
	const size_t size = take_note(note);

	for (size_t i = 0; i < size; i++)
		check_no_note(note, i);
	write_note("state/volume-x", note, size);
	mixer_restore_left_over();
	check_volume(OLD);
}

TEST(nonsense_in_a_note_is_removed)
{
	static const char text[TEXT_SIZE] =
	    "alsa-intercom volume 1\ndefault\nMaster\n0\n0 30\n1 70\nend\n";
	char note[TEXT_SIZE];
	const size_t size = take_note(note);

	check_no_note(text, size);
	note[0]++;
	check_no_note(note, size);
}

TEST(only_notes_are_looked_at)
{
	char note[TEXT_SIZE];

	const size_t size = take_note(note);

	write_note("state/notes", note, size);
	ck_assert_int_eq(symlink("notes", path_of("state/volume-link")), 0);
	mixer_restore_left_over();
	check_volume("1 2\n");
	ck_assert(file_exists("state/notes"));
	ck_assert(file_exists("state/volume-link"));
	/* Without a state directory there is nothing to do. */
	setenv("STATE_DIRECTORY", path_of("nowhere"), 1);
	mixer_restore_left_over();
	check_volume("1 2\n");
}

/* --- where notes are --- */

/* DIRECTORY and its parents must be made, and be empty afterwards. */
static void check_note_in(const char *directory)
{
	char name[PATH_MAX];
	char *slash;

	mixer_set(mixer, 50);
	snprintf(name, sizeof(name), "%s/volume-default-Master-0", directory);
	ck_assert(file_exists(name));
	mixer_restore(mixer);
	ck_assert(!file_exists(name));
	while ((slash = strrchr(name, '/'))) {
		*slash = '\0';
		ck_assert_int_eq(rmdir(path_of(name)), 0);
	}
}

TEST(notes_are_in_the_first_state_directory)
{
	char list[2 * PATH_MAX];

	snprintf(list, sizeof(list), "%s:/nowhere", path_of("a/b"));
	setenv("STATE_DIRECTORY", list, 1);
	setenv("XDG_STATE_HOME", path_of("xdg"), 1);
	check_note_in("a/b");
}

TEST(notes_are_in_the_state_home)
{
	setenv("STATE_DIRECTORY", "", 1);
	setenv("XDG_STATE_HOME", path_of("xdg"), 1);
	setenv("HOME", path_of("home"), 1);
	check_note_in("xdg/alsa-intercom");
}

TEST(notes_are_at_home)
{
	unsetenv("STATE_DIRECTORY");
	/* A path that is not absolute is ignored. */
	setenv("XDG_STATE_HOME", "xdg", 1);
	setenv("HOME", path_of("home"), 1);
	check_note_in("home/.local/state/alsa-intercom");
}

TEST(without_a_home_the_volume_is_not_touched)
{
	unsetenv("STATE_DIRECTORY");
	unsetenv("XDG_STATE_HOME");
	setenv("HOME", "", 1);
	mixer_set(mixer, 50);
	check_volume(OLD);
	mixer_restore_left_over();
	check_volume(OLD);
}
