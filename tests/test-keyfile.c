/* SPDX-License-Identifier: MIT
 * Key files in a folder of their own: which are read, which are refused with
 * which words, and how changes take effect. */
#include "wire/keyfile.h"

#include "folder.h"
#include "test.h"

#define KEY_A "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF"
#define KEY_B "10112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define KEY_C "20112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static char path[PATH_MAX];
static char problem[KEYFILE_PROBLEM_SIZE];
static struct keyfile *file;

static void setup(void)
{
	folder_setup("keyfile");
	strcpy(path, path_of("keys"));
	unsetenv("CREDENTIALS_DIRECTORY");
	*problem = '\0';
}

static void teardown(void)
{
	file = keyfile_free(file);
	folder_teardown();
}

FIXTURE(setup, teardown);

/* Replaces the file, as an editor or keygen does. */
static void write_bytes(const void *data, size_t size, mode_t mode)
{
	put_file("new", data, size);
	ck_assert_int_eq(chmod(path_of("new"), mode), 0);
	ck_assert_int_eq(rename(path_of("new"), path), 0);
}

static void write_text(const char *text)
{
	write_bytes(text, strlen(text), 0600);
}

static int open_as(enum keyfile_role role)
{
	file = keyfile_free(file);
	return keyfile_open(&file, path, role, problem);
}

static int open_text(const char *text)
{
	write_text(text);
	return open_as(KEYFILE_SERVER);
}

TEST(lines_comments_and_blanks_are_read)
{
	const struct keyfile_key *key;

	ck_assert_int_eq(open_text("# keys\n"
				   "\n"
				   "  server yard\t" KEY_A "  # the yard\r\n"
				   "server lobby-1.a_B " KEY_B),
			 0);
	ck_assert_uint_eq(file->count, 2);
	key = keyfile_find(file, "yard");
	ck_assert_ptr_nonnull(key);
	ck_assert_str_eq(key->identity, "yard");
	ck_assert_uint_eq(key->key[0], 0x00);
	ck_assert_uint_eq(key->key[1], 0x11);
	ck_assert_uint_eq(key->key[31], 0xff);
	key = keyfile_find(file, "lobby-1.a_B");
	ck_assert_ptr_nonnull(key);
	ck_assert_uint_eq(key->key[0], 0x10);
}

TEST(unknown_names_are_not_found)
{
	char longest[80] = {0};

	ck_assert_int_eq(open_text("server yard " KEY_A "\n"), 0);
	ck_assert_ptr_null(keyfile_find(file, "yar"));
	ck_assert_ptr_null(keyfile_find(file, "Yard"));
	ck_assert_ptr_null(keyfile_find(file, ""));
	memset(longest, 'y', sizeof(longest) - 1);
	ck_assert_ptr_null(keyfile_find(file, longest));
}

TEST(a_thousand_loudspeakers_are_found)
{
	size_t size = 0;
	char *text = malloc(1000 * 100);
	char name[16];

	for (int i = 0; i < 1000; i++)
		size += (size_t)sprintf(text + size, "server l%d %064x\n",
					i * 7919 % 1000, i + 1);
	write_bytes(text, size, 0600);
	free(text);
	ck_assert_int_eq(open_as(KEYFILE_SERVER), 0);
	ck_assert_uint_eq(file->count, 1000);
	for (int i = 0; i < 1000; i++) {
		const struct keyfile_key *key;

		snprintf(name, sizeof(name), "l%d", i * 7919 % 1000);
		key = keyfile_find(file, name);
		ck_assert_ptr_nonnull(key);
		ck_assert_int_eq(key->key[30] << 8 | key->key[31], i + 1);
	}
}

TEST(roles_are_kept_apart)
{
	ck_assert_int_eq(open_text("client yard " KEY_A "\n"), -ENOKEY);
	ck_assert_ptr_nonnull(strstr(problem, "'server'"));
	ck_assert_int_eq(open_as(KEYFILE_CLIENT), 0);
	ck_assert_ptr_null(keyfile_find(file, "yard"));
	ck_assert_ptr_nonnull(keyfile_for_host(file, "anything"));
	ck_assert_int_eq(open_text("server yard " KEY_A "\n"), 0);
	ck_assert_ptr_null(keyfile_for_host(file, "anything"));
	ck_assert_int_eq(open_as(KEYFILE_CLIENT), -ENOKEY);
	ck_assert_ptr_nonnull(strstr(problem, "'client'"));
}

TEST(host_chooses_the_key)
{
	write_text("client a " KEY_A " One.example\n"
		   "client b " KEY_B "\n"
		   "client c " KEY_C " 192.0.2.1\n");
	ck_assert_int_eq(open_as(KEYFILE_CLIENT), 0);
	ck_assert_str_eq(keyfile_for_host(file, "one.example")->identity, "a");
	ck_assert_str_eq(keyfile_for_host(file, "192.0.2.1")->identity, "c");
	ck_assert_str_eq(keyfile_for_host(file, "192.0.2.10")->identity, "b");
	write_text("client a " KEY_A " one.example\n");
	ck_assert_int_eq(open_as(KEYFILE_CLIENT), 0);
	ck_assert_ptr_null(keyfile_for_host(file, "two.example"));
}

static const struct {
	const char *text, *words;
} wrong[] = {
    {"yard " KEY_A "\n", "line 1: it has to begin with 'server' or 'client'"},
    {"\nSERVER yard " KEY_A "\n",
     "line 2: it has to begin with 'server' or 'client'"},
    {"server yard\n", "line 1: server IDENTITY KEY is needed"},
    {"server yard " KEY_A " host\n", "line 1: server IDENTITY KEY is needed"},
    {"client yard " KEY_A " host more\n", "[HOST]"},
    {"client yard " KEY_A " host more still more\n", "[HOST]"},
    {"server y/rd " KEY_A "\n", "identity"},
    {"server y\xc3\xa4rd " KEY_A "\n", "identity"},
    {"server "
     "0123456789012345678901234567890123456789012345678901234567890123 " KEY_A
     "\n",
     "identity"},
    {"server yard " KEY_A "0\n", "64 hexadecimal"},
    {"server yard 0011\n", "64 hexadecimal"},
    {"server yard x" KEY_A "\n", "64 hexadecimal"},
    {"server yard "
     "0011223344556677889g-abbccddeeff00112233445566778899aabbccddeeff\n",
     "64 hexadecimal"},
    {"server yard " KEY_A "\nserver yard " KEY_B "\n", "two lines for 'yard'"},
    {"server a " KEY_A "\nserver b " KEY_A "\n", "same key"},
    {"server a " KEY_A "\nclient a " KEY_A "\n", "same key"},
    {"client a " KEY_A "\nclient b " KEY_B "\n", "every server"},
    {"client a " KEY_A " H\nclient b " KEY_B " h\n", "both for"},
    {"", "no line begins with 'server'"},
    {"# nothing\n", "no line begins with 'server'"},
};

TEST_LOOP(wrong_lines_are_refused_without_telling_keys, 0, ARRAY_SIZE(wrong))
{
	const char *text = wrong[_i].text;
	int r = open_text(text);

	ck_assert_msg(r == -EBADMSG || r == -ENOKEY, "%s: %d", text, r);
	ck_assert_ptr_null(file);
	ck_assert_msg(strstr(problem, wrong[_i].words), "%s: %s", text,
		      problem);
	ck_assert_ptr_null(strcasestr(problem, "2233445566"));
}

TEST(identity_has_at_most_63_characters)
{
	static const char longest[] = "0123456789012345678901234567890123456789"
				      "01234567890123456789012";

	ck_assert_uint_eq(strlen(longest), 63);
	ck_assert(name_valid(longest));
	ck_assert(!name_valid(""));
	ck_assert(!name_valid("a b"));
	ck_assert(!name_valid("a\n"));
}

TEST(bytes_that_are_no_text_are_refused)
{
	static const char bytes[] = "server yard " KEY_A "\n\0\n";

	write_bytes(bytes, sizeof(bytes), 0600);
	ck_assert_int_eq(open_as(KEYFILE_SERVER), -EBADMSG);
	ck_assert_ptr_nonnull(strstr(problem, "not a text"));
}

TEST(a_huge_file_is_refused)
{
	write_text("");
	ck_assert_int_eq(truncate(path, (1 << 20) + 1), 0);
	ck_assert_int_eq(open_as(KEYFILE_SERVER), -EFBIG);
}

TEST(a_missing_file_and_a_folder_are_refused)
{
	ck_assert_int_eq(open_as(KEYFILE_SERVER), -ENOENT);
	ck_assert_str_eq(problem, strerror(ENOENT));
	ck_assert_int_eq(keyfile_open(&file, folder, KEYFILE_SERVER, problem),
			 -EINVAL);
}

TEST(a_fifo_does_not_hold_up)
{
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	ck_assert_int_eq(open_as(KEYFILE_SERVER), -EINVAL);
}

TEST_LOOP(what_others_can_read_is_refused_with_the_remedy, 0, 6)
{
	static const mode_t modes[] = {0640, 0604, 0620, 0602, 0610, 0644};
	char remedy[PATH_MAX + 16];

	snprintf(remedy, sizeof(remedy), "chmod 600 %s", path);
	write_bytes("server a " KEY_A, 9 + 64, modes[_i]);
	ck_assert_int_eq(open_as(KEYFILE_SERVER), -EPERM);
	ck_assert_ptr_nonnull(strstr(problem, remedy));
	ck_assert_int_eq(chmod(path, 0400), 0);
	ck_assert_int_eq(open_as(KEYFILE_SERVER), 0);
}

TEST(a_credential_may_have_the_mask_of_an_access_list)
{
	write_bytes("server a " KEY_A, 9 + 64, 0440);
	ck_assert_int_eq(open_as(KEYFILE_SERVER), -EPERM);
	setenv("CREDENTIALS_DIRECTORY", "/", 1);
	ck_assert_int_eq(open_as(KEYFILE_SERVER), -EPERM);
	setenv("CREDENTIALS_DIRECTORY", folder, 1);
	ck_assert_int_eq(open_as(KEYFILE_SERVER), 0);
	ck_assert_int_eq(chmod(path, 0444), 0);
	ck_assert_int_eq(open_as(KEYFILE_SERVER), -EPERM);
	ck_assert_int_eq(chmod(path, 0460), 0);
	ck_assert_int_eq(open_as(KEYFILE_SERVER), -EPERM);
}

TEST(a_credential_that_is_not_there_is_told_with_its_source)
{
	setenv("CREDENTIALS_DIRECTORY", "/nowhere", 1);
	ck_assert_int_eq(open_as(KEYFILE_SERVER), -ENOENT);
	ck_assert_ptr_nonnull(
	    strstr(problem, "copies /etc/credstore/intercom-server.key"));
	ck_assert_int_eq(open_as(KEYFILE_CLIENT), -ENOENT);
	ck_assert_ptr_nonnull(
	    strstr(problem, "copies /etc/credstore/intercom-client.key"));
}

TEST(a_change_is_seen)
{
	uint8_t old[KEYFILE_KEY_SIZE];

	ck_assert_int_eq(open_text("server a " KEY_A "\nserver b " KEY_B "\n"),
			 0);
	memcpy(old, keyfile_find(file, "a")->key, sizeof(old));
	ck_assert_int_eq(keyfile_refresh(file, problem), 0);

	write_text("server b " KEY_B "\nserver a " KEY_C "\n");
	ck_assert_int_eq(keyfile_refresh(file, problem), 1);
	ck_assert_mem_ne(keyfile_find(file, "a")->key, old, sizeof(old));

	write_text("server b " KEY_B "\n");
	ck_assert_int_eq(keyfile_refresh(file, problem), 1);
	ck_assert_ptr_null(keyfile_find(file, "a"));
	ck_assert_uint_eq(file->count, 1);
}

TEST(a_bad_change_keeps_the_keys_and_is_told_once)
{
	ck_assert_int_eq(open_text("server a " KEY_A "\n"), 0);
	write_text("server a oops\n");
	ck_assert_int_eq(keyfile_refresh(file, problem), -EBADMSG);
	ck_assert_int_eq(keyfile_refresh(file, problem), 0);
	ck_assert_ptr_nonnull(keyfile_find(file, "a"));
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(keyfile_refresh(file, problem), -ENOENT);
	ck_assert_int_eq(keyfile_refresh(file, problem), 0);
	ck_assert_ptr_nonnull(keyfile_find(file, "a"));
	write_text("server b " KEY_B "\n");
	ck_assert_int_eq(chmod(path, 0644), 0);
	ck_assert_int_eq(keyfile_refresh(file, problem), -EPERM);
	ck_assert_int_eq(chmod(path, 0600), 0);
	ck_assert_int_eq(keyfile_refresh(file, problem), 1);
	ck_assert_ptr_null(keyfile_find(file, "a"));
	ck_assert_ptr_nonnull(keyfile_find(file, "b"));
}

TEST(generated_keys_are_random_and_can_be_read)
{
	char one[KEYFILE_HEX_SIZE], other[KEYFILE_HEX_SIZE], text[256];

	ck_assert_int_eq(keyfile_generate(one), 0);
	ck_assert_int_eq(keyfile_generate(other), 0);
	ck_assert_uint_eq(strlen(one), 64);
	ck_assert_uint_eq(strspn(one, "0123456789abcdef"), 64);
	ck_assert_str_ne(one, other);
	snprintf(text, sizeof(text), "server a %s\nserver b %s\n", one, other);
	ck_assert_int_eq(open_text(text), 0);
}
