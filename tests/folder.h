/* SPDX-License-Identifier: MIT
 * A folder of a test's own. */
#pragma once

#include <limits.h>

/* Its path. */
extern char folder[PATH_MAX];

/* Makes it in $TMPDIR; NAME is in its name. */
void folder_setup(const char *name);
/* Removes it with all that is in it (files and empty folders). */
void folder_teardown(void);
void folder_clear(void);

/* The path of a file in it; good until the next call. */
const char *path_of(const char *name);
/* How many entries it has; *ret_name (or NULL) is one of them. */
int count_files(char ret_name[NAME_MAX + 1]);
