/* SPDX-License-Identifier: MIT
 * A key, for targets whose peers must not have it. */
#pragma once

#include <assert.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "wire/tls.h"

/* Keys for ROLE, from a file with one line, which begins with NAME. NULL on a
 * machine without GnuTLS. */
static inline struct tls_keys *fuzz_keys(const char *name,
					 enum keyfile_role role)
{
	const int fd = memfd_create("keys", MFD_CLOEXEC); /* stays open */
	char path[64], problem[KEYFILE_PROBLEM_SIZE];
	const char *tls_problem;
	struct keyfile *file;
	struct tls_keys *made = NULL;

	assert(fd >= 0 && fchmod(fd, 0600) == 0);
	assert(dprintf(fd, "%s lobby %064x\n", name, 1) > 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	assert(keyfile_open(&file, path, role, problem) == 0);
	(void)tls_keys_new(&made, file, &tls_problem);
	return made;
}
