/* SPDX-License-Identifier: MIT */
#include "folder.h"

#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char folder[PATH_MAX];

void folder_setup(const char *name)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(folder, sizeof(folder), "%s/test-%s.XXXXXX",
		 tmp ? tmp : "/tmp", name);
	ck_assert_ptr_nonnull(mkdtemp(folder));
}

const char *path_of(const char *name)
{
	static char path[PATH_MAX + 1 + NAME_MAX + 1];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return path;
}

int count_files(char ret_name[NAME_MAX + 1])
{
	DIR *dir = opendir(folder);
	const struct dirent *entry;
	int count = 0;

	ck_assert_ptr_nonnull(dir);
	while ((entry = readdir(dir))) {
		if (strcmp(entry->d_name, ".") == 0 ||
		    strcmp(entry->d_name, "..") == 0)
			continue;
		count++;
		if (ret_name)
			snprintf(ret_name, NAME_MAX + 1, "%s", entry->d_name);
	}
	closedir(dir);
	return count;
}

void folder_clear(void)
{
	char name[NAME_MAX + 1];

	while (count_files(name) > 0)
		ck_assert_int_eq(remove(path_of(name)), 0);
}

void folder_teardown(void)
{
	folder_clear();
	ck_assert_int_eq(rmdir(folder), 0);
}
