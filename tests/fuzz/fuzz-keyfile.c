/* SPDX-License-Identifier: MIT
 * A key file: read for both roles, searched, changed and read again. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "fuzz.h"
#include "wire/keyfile.h"

static const char identity[] = "lobby", host[] = "pa.example";

static void check_key(const struct keyfile_key *key, enum keyfile_role role)
{
	assert(key->role == role);
	assert(name_valid(key->identity));
}

static void ask(const struct keyfile *file, enum keyfile_role role)
{
	const struct keyfile_key *key;

	assert(file->count > 0);
	key = role == KEYFILE_SERVER ? keyfile_find(file, identity)
				     : keyfile_for_host(file, host);
	if (key)
		check_key(key, role);
	if (key && role == KEYFILE_SERVER)
		assert(strcmp(key->identity, identity) == 0);
}

/* Rewrites the file without its first line and reads it again. */
static void change(struct keyfile *file, int fd, const uint8_t *data,
		   size_t size)
{
	char problem[KEYFILE_PROBLEM_SIZE] = "";
	const uint8_t *newline = size > 0 ? memchr(data, '\n', size) : NULL;
	const size_t rest = newline ? size - (size_t)(newline - data) - 1 : 0;
	int r;

	assert(ftruncate(fd, 0) == 0);
	if (rest > 0)
		assert(pwrite(fd, newline + 1, rest, 0) == (ssize_t)rest);
	r = keyfile_refresh(file, problem);
	assert(r >= 0 || *problem);
}

static void try_role(int fd, const char *path, enum keyfile_role role,
		     const uint8_t *data, size_t size)
{
	char problem[KEYFILE_PROBLEM_SIZE] = "";
	struct keyfile *file = NULL;
	int r;

	assert(ftruncate(fd, 0) == 0);
	assert(pwrite(fd, data, size, 0) == (ssize_t)size);
	r = keyfile_open(&file, path, role, problem);
	if (r < 0) {
		assert(!file && *problem);
		assert(strlen(problem) < sizeof(problem));
		return;
	}
	ask(file, role);
	change(file, fd, data, size);
	ask(file, role);
	keyfile_free(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_close_ int fd = memfd_create("keys", MFD_CLOEXEC);
	char path[64];

	assert(fd >= 0 && fchmod(fd, 0600) == 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	try_role(fd, path, KEYFILE_SERVER, data, size);
	try_role(fd, path, KEYFILE_CLIENT, data, size);
	return 0;
}
