/* SPDX-License-Identifier: MIT */
#include "card.h"

#include <ftw.h>
#include <limits.h>
#include <stdarg.h>

#include "test.h"

static char folder[PATH_MAX - 64];

static const char *path_of(const char *directory, const char *name)
{
	static char paths[2][PATH_MAX];
	static unsigned next;
	char *path = paths[next++ % 2];

	snprintf(path, sizeof(paths[0]), "%s/%s%s", folder, directory, name);
	return path;
}

static void write_input(uint32_t frames)
{
	FILE *f = fopen(path_of("", "in.raw"), "we");

	ck_assert_ptr_nonnull(f);
	/* No assertion a frame: each is a message to libcheck. */
	for (uint32_t i = 0; i < frames; i++)
		(void)fwrite(&i, sizeof(i), 1, f);
	ck_assert_int_eq(ferror(f), 0);
	ck_assert_int_eq(fclose(f), 0);
}

void card_configure(const char *format, ...)
{
	FILE *f = fopen(path_of("", "asound.conf"), "ae");
	va_list ap;

	ck_assert_ptr_nonnull(f);
	va_start(ap, format);
	ck_assert_int_ge(vfprintf(f, format, ap), 0);
	va_end(ap);
	ck_assert_int_eq(fclose(f), 0);
}

void card_add(const char *name, const char *options)
{
	card_configure("pcm.%s { type vcard %s control \"%s/control\"\n"
		       "capture { file \"%s/in.raw\" }\n"
		       "playback { file \"%s/out.raw\" } }\n",
		       name, options, folder, folder, folder);
}

void card_setup(uint32_t frames)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(folder, sizeof(folder), "%s/test-card-XXXXXX",
		 tmp ? tmp : "/tmp");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	ck_assert_int_eq(mkdir(path_of("", "control"), 0777), 0);
	write_input(frames);
	card_configure("pcm_type.vcard { lib \"%s\" }\n",
		       test_environment("VCARD_SO"));
	card_add("card", "");
	card_add("patient", "patient 1");
	use_alsa_conf(path_of("", "asound.conf"));
}

static int remove_entry(const char *path, const struct stat *st, int type,
			struct FTW *ftw)
{
	return remove(path);
}

void card_teardown(void)
{
	nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

void card_command(const char *name)
{
	int fd = open(path_of("control/", name), O_WRONLY | O_CREAT | O_CLOEXEC,
		      0666);

	ck_assert_int_ge(fd, 0);
	close(fd);
}

void card_revoke(const char *name)
{
	ck_assert_int_eq(unlink(path_of("control/", name)), 0);
}

const char *card_path(const char *name)
{
	return path_of("", name);
}

size_t card_played(void *buffer, size_t size)
{
	return card_read("out.raw", buffer, size);
}

size_t card_read(const char *name, void *buffer, size_t size)
{
	FILE *f = fopen(path_of("", name), "re");
	size_t count;

	/* Nothing was written yet. */
	if (!f)
		return 0;
	count = fread(buffer, 1, size, f);
	ck_assert_int_eq(ferror(f), 0);
	fclose(f);
	return count;
}

unsigned card_count(const char *event)
{
	FILE *f = fopen(path_of("control/", "log"), "re");
	char line[256], name[64];
	unsigned count = 0;

	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f))
		count += sscanf(line, "%*s %63s", name) == 1 &&
			 strcmp(name, event) == 0;
	fclose(f);
	return count;
}
