/* SPDX-License-Identifier: MIT
 * A disk that hangs, for LD_PRELOAD: while the file $HANG_CONTROL exists, the
 * calls that it names ("open read write fsync rename list") do not return on
 * paths below the folder $HANG_FOLDER. The word "promise" has poll() say that a
 * pipe can be read when it cannot: as if another process had been faster. */
/* open() and open64() are defined both, whichever the programs call. */
#undef _FILE_OFFSET_BITS
#undef _TIME_BITS
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool is_named(const char *word)
{
	const char *control = getenv("HANG_CONTROL");
	char text[256] = "";
	const int fd = control ? (int)syscall(SYS_openat, AT_FDCWD, control,
					      O_RDONLY | O_CLOEXEC)
			       : -1;

	if (fd < 0)
		return false;
	(void)syscall(SYS_read, fd, text, sizeof(text) - 1);
	close(fd);
	return strstr(text, word) != NULL;
}

static void wait_on(const char *word, const char *path)
{
	const char *folder = getenv("HANG_FOLDER");

	while (folder && strncmp(path, folder, strlen(folder)) == 0 &&
	       is_named(word))
		usleep(10 * 1000);
}

static void wait_on_fd(const char *word, int fd)
{
	char link[64], path[4096];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	if (n < 0)
		return;
	path[n] = '\0';
	wait_on(word, path);
}

int open(const char *path, int flags, ...)
{
	va_list ap;
	mode_t mode;

	va_start(ap, flags);
	mode = flags & O_CREAT ? va_arg(ap, mode_t) : 0;
	va_end(ap);
	wait_on("open", path);
	return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...) __attribute__((alias("open")));

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset)
{
	ssize_t (*next)(int, const void *, size_t, off64_t) =
	    dlsym(RTLD_NEXT, "pwrite64");

	wait_on_fd("write", fd);
	return next(fd, data, size, offset);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
	return pwrite64(fd, data, size, offset);
}

ssize_t read(int fd, void *data, size_t size)
{
	wait_on_fd("read", fd);
	return syscall(SYS_read, fd, data, size);
}

ssize_t pread64(int fd, void *data, size_t size, off64_t offset)
{
	ssize_t (*next)(int, void *, size_t, off64_t) =
	    dlsym(RTLD_NEXT, "pread64");

	wait_on_fd("read", fd);
	return next(fd, data, size, offset);
}

ssize_t pread(int fd, void *data, size_t size, off_t offset)
{
	return pread64(fd, data, size, offset);
}

int fsync(int fd)
{
	wait_on_fd("fsync", fd);
	return (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
	wait_on_fd("fsync", fd);
	return (int)syscall(SYS_fdatasync, fd);
}

int rename(const char *from, const char *to)
{
	wait_on("rename", to);
	return (int)syscall(SYS_renameat, AT_FDCWD, from, AT_FDCWD, to);
}

int renameat2(int from_fd, const char *from, int to_fd, const char *to,
	      unsigned flags)
{
	wait_on("rename", to);
	return (int)syscall(SYS_renameat2, from_fd, from, to_fd, to, flags);
}

DIR *opendir(const char *path)
{
	DIR *(*next)(const char *) = dlsym(RTLD_NEXT, "opendir");

	wait_on("list", path);
	return next(path);
}

static bool is_pipe(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode);
}

int poll(struct pollfd *fds, nfds_t count, int timeout)
{
	int (*next)(struct pollfd *, nfds_t, int) = dlsym(RTLD_NEXT, "poll");
	const int r = next(fds, count, timeout);

	if (r != 0 || count != 1 || !is_pipe(fds->fd) || !is_named("promise"))
		return r;
	fds->revents = POLLIN;
	return 1;
}
