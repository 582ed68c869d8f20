/* SPDX-License-Identifier: MIT
 * Runs a fuzz target on files, without libFuzzer, so that inputs that once
 * failed are a test of every build. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/util.h"
#include "fuzz.h"

enum { INPUT_SIZE_MAX = 1 << 20 };

static int replay_file(const char *path)
{
	_cleanup_file_ FILE *file = fopen(path, "re");
	_cleanup_free_ uint8_t *data = malloc(INPUT_SIZE_MAX);
	_cleanup_free_ uint8_t *exact = NULL;
	size_t size;

	if (!file || !data)
		return -errno;
	size = fread(data, 1, INPUT_SIZE_MAX, file);
	if (ferror(file) || !feof(file))
		return -EFBIG;
	/* A copy of the exact size, so that AddressSanitizer sees a read past
	 * the end. */
	exact = malloc(size ? size : 1);
	if (!exact)
		return -ENOMEM;
	memcpy(exact, data, size);
	printf("%s: %zu bytes\n", path, size);
	fflush(stdout);
	return LLVMFuzzerTestOneInput(exact, size);
}

/* Returns the number of files, or negative errno. */
static int replay_folder(const char *folder)
{
	struct dirent **entries;
	int count = scandir(folder, &entries, NULL, alphasort);
	int r = 0, done = 0;

	if (count < 0)
		return -errno;
	for (int i = 0; i < count; i++) {
		_cleanup_free_ char *path = NULL;

		if (r == 0 && entries[i]->d_name[0] != '.') {
			if (asprintf(&path, "%s/%s", folder,
				     entries[i]->d_name) < 0)
				r = -ENOMEM;
			else
				r = replay_file(path);
			done++;
		}
		free(entries[i]);
	}
	free(entries);
	return r < 0 ? r : done;
}

/* Replays the inputs kept for this program: those of "fuzz-wav" are in
 * corpus/wav. */
static int replay_corpus(const char *program)
{
	const char *top = getenv("SRCDIR"), *name = strstr(program, "fuzz-");
	_cleanup_free_ char *folder = NULL;

	if (!name)
		return -EINVAL;
	if (asprintf(&folder, "%s/tests/fuzz/corpus/%s", top ? top : ".",
		     name + strlen("fuzz-")) < 0)
		return -ENOMEM;
	return replay_folder(folder);
}

int main(int argc, char **argv)
{
	int r = 0, count = 0;

	if (LLVMFuzzerInitialize)
		LLVMFuzzerInitialize(&argc, &argv);
	for (int i = 1; i < argc && r == 0; i++, count++)
		r = replay_file(argv[i]);
	if (argc == 1)
		r = count = replay_corpus(program_invocation_short_name);
	if (r < 0)
		fprintf(stderr, "Cannot replay: %s\n", strerror(-r));
	printf("%d passed, %d failed\n", r < 0 ? 0 : count, r < 0);
	return r < 0 || count == 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
