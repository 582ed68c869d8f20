/* SPDX-License-Identifier: MIT */
#include "folder.h"

#include <dirent.h>
#include <sys/mman.h>

#include "test.h"

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

bool file_exists(const char *name)
{
	struct stat st;

	return lstat(path_of(name), &st) == 0;
}

void put_file(const char *name, const void *data, size_t size)
{
	_cleanup_close_ int fd =
	    open(path_of(name), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, data, size), (ssize_t)size);
}

void check_bytes(const char *name, const void *data, size_t size)
{
	_cleanup_close_ int fd = open(path_of(name), O_RDONLY | O_CLOEXEC);
	_cleanup_free_ uint8_t *back = malloc(size + 1);

	ck_assert_msg(fd >= 0, "there is no %s", name);
	ck_assert_int_eq(read(fd, back, size + 1), (ssize_t)size);
	ck_assert_mem_eq(back, data, size);
}

void check_wav(const char *name, const struct wav_format *format,
	       const void *data, size_t size)
{
	_cleanup_free_ uint8_t *whole =
	    calloc(1, size + WAV_HEADER_SIZE_MAX + 1);
	const size_t header_size = wav_encode(whole, format, size, NULL);

	memcpy(whole + header_size, data, size);
	check_bytes(name, whole, header_size + size + size % 2);
}

int memory_file(const void *data, size_t size)
{
	const int fd = memfd_create("test", MFD_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pwrite(fd, data, size, 0), (ssize_t)size);
	return fd;
}

int memory_wav(const struct wav_format *format, uint64_t stated,
	       const void *data, size_t size)
{
	uint8_t header[WAV_HEADER_SIZE_MAX];
	const size_t header_size = wav_encode(header, format, stated, NULL);
	const int fd = memory_file(header, header_size);

	ck_assert_int_eq(pwrite(fd, data, size, (off_t)header_size),
			 (ssize_t)size);
	return fd;
}

rlim_t limit_file_size(rlim_t size)
{
	struct rlimit limit;
	rlim_t before;

	ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
	before = limit.rlim_cur;
	limit.rlim_cur = size;
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	return before;
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
	int r;

	/* A thread that nobody waits for may yet put a file there. */
	do {
		folder_clear();
		r = rmdir(folder) < 0 ? -errno : 0;
	} while (r == -ENOTEMPTY);
	ck_assert_int_eq(r, 0);
}
