/* SPDX-License-Identifier: MIT
 * GnuTLS is found at run time, or the problem is named. The test starts itself
 * anew with a library path on which it has put something else. */
#include "wire/gnutls-table.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <sys/wait.h>

#include "folder.h"
#include "test.h"

#define SONAME "libgnutls.so.30"

enum { TEXT_SIZE = 1024 };

static bool is_there(void)
{
	void *library = dlopen(SONAME, RTLD_NOW | RTLD_NOLOAD);

	if (library)
		dlclose(library);
	return library != NULL;
}

/* --- the copy: a line of what comes of it --- */

/* In the copy of the program, which never reaches main(). */
__attribute__((constructor)) static void load_and_tell(int argc, char **argv)
{
	const char *problem = "";
	const struct gnutls_table *table;

	if (argc != 2 || strcmp(argv[1], "load") != 0)
		return;
	printf("%s, ", is_there() ? "there" : "absent");
	table = gnutls_table_load(&problem);
	/* Printed at once: the next call may change the words. */
	printf("%s", table ? "found" : problem);
	printf(", then %s", is_there() ? "there" : "absent");
	/* A second call must have the same result. */
	printf(", %s\n",
	       gnutls_table_load(&problem) == table ? "again" : "otherwise");
	exit(EXIT_SUCCESS);
}

static void redirect(int fd)
{
	const char *path = getenv("LD_LIBRARY_PATH");
	char value[2 * PATH_MAX];

	snprintf(value, sizeof(value), "%s%s%s", folder, path ? ":" : "",
		 path ? path : "");
	setenv("LD_LIBRARY_PATH", value, 1);
	dup2(fd, STDOUT_FILENO);
}

/* The output of a copy whose library path begins with the folder. */
static const char *told(void)
{
	static char text[TEXT_SIZE];
	size_t size = 0;
	int fds[2], status;
	ssize_t n;
	pid_t child;

	ck_assert_int_eq(pipe(fds), 0);
	child = fork();
	ck_assert_int_ge(child, 0);
	if (child == 0) {
		redirect(fds[1]);
		execl("/proc/self/exe", "test-gnutls-table", "load",
		      (char *)NULL);
		_exit(127);
	}
	close(fds[1]);
	while ((n = read(fds[0], text + size, TEXT_SIZE - 1 - size)) > 0)
		size += (size_t)n;
	text[size] = '\0';
	close(fds[0]);
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_int_eq(status, 0);
	return text;
}

static void setup(void)
{
	folder_setup("gnutls-table");
}

FIXTURE(setup, folder_teardown);
TIME_LIMIT(60);

static void check_says(const char *text, const char *words)
{
	ck_assert_msg(strstr(text, words) != NULL, "\"%s\" does not say \"%s\"",
		      text, words);
}

/* --- it is there --- */

TEST(every_function_is_the_librarys_own)
{
	const char *problem = NULL;
	const struct gnutls_table *table = gnutls_table_load(&problem);
	void *library = dlopen(SONAME, RTLD_NOW | RTLD_NOLOAD);
	unsigned count = 0;

	ck_assert_msg(table != NULL, "%s", problem);
	ck_assert_ptr_null(problem);
	ck_assert_ptr_nonnull(library);
#define CHECK_MEMBER(name)                                                     \
	ck_assert_ptr_nonnull(table->name);                                    \
	ck_assert_ptr_eq((void *)table->name,                                  \
			 dlsym(library, "gnutls_" #name));                     \
	count++;
	GNUTLS_TABLE(CHECK_MEMBER)
#undef CHECK_MEMBER
	ck_assert_uint_eq(count * sizeof(void *), sizeof(*table));
	dlclose(library);
}

TEST(table_is_the_same_each_time)
{
	const char *problem = NULL;
	const struct gnutls_table *table = gnutls_table_load(&problem);

	ck_assert_ptr_nonnull(table);
	for (int i = 0; i < 3; i++)
		ck_assert_ptr_eq(gnutls_table_load(&problem), table);
	ck_assert_ptr_null(problem);
}

TEST(library_is_loaded_when_it_is_asked_for)
{
	ck_assert_str_eq(told(), "absent, found, then there, again\n");
}

/* --- it is not --- */

TEST(library_that_is_none_is_named)
{
	FILE *f = fopen(path_of(SONAME), "we");

	ck_assert_ptr_nonnull(f);
	/* The file must not be shorter than an ELF header. */
	for (int i = 0; i < 100; i++)
		ck_assert_int_ge(fputs("no library\n", f), 0);
	ck_assert_int_eq(fclose(f), 0);
	check_says(told(), SONAME ": invalid ELF header");
	check_says(told(), "absent, ");
	check_says(told(), ", then absent, again\n");
}

/* Some other library stands in for a GnuTLS that is too old. */
TEST(function_that_is_missing_is_named)
{
	ck_assert_int_eq(symlink(test_environment("VCARD_SO"), path_of(SONAME)),
			 0);
	check_says(told(), "undefined symbol: gnutls_alert_get");
	check_says(told(), SONAME);
	check_says(told(), ", again\n");
}
