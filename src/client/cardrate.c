/* SPDX-License-Identifier: MIT
 * The file is a line of text. It replaces the one before it, so that it is
 * whole at any time. */
#include "client/cardrate.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "base/statedir.h"
#include "base/util.h"

enum {
	NAME_SIZE = 200, /* of a file; NAME_MAX is 255 */
	LINE_SIZE = 64,
};

#define HEAD "intercom-card-rate 1 ppm="
/* A card beyond that has no clock that could be followed. */
#define PPM_MAX 1000
/* What a card wanders from page to page is not worth a write. */
#define PPM_SAME 0.5

/* DEVICE as a file name, with whatever is no letter or digit as %XX.
 * -ENAMETOOLONG when it is longer than NAME_SIZE. */
static int encode(const char *device, char name[NAME_SIZE])
{
	int n = snprintf(name, NAME_SIZE, "card-rate-");

	for (; *device; device++) {
		const unsigned char c = (unsigned char)*device;

		if (n + 4 > NAME_SIZE)
			return -ENAMETOOLONG;
		n += snprintf(name + n, (size_t)(NAME_SIZE - n),
			      c < 0x80 && isalnum(c) ? "%c" : "%%%02X", c);
	}
	return 0;
}

/* The caller frees; NULL when it cannot be kept. */
static char *path_of(const char *device)
{
	_cleanup_free_ char *directory = state_directory();
	char name[NAME_SIZE], *path;

	if (!directory || encode(device, name) < 0 ||
	    asprintf(&path, "%s/%s", directory, name) < 0)
		return NULL;
	return path;
}

static double parse(const char *line)
{
	const size_t head = strlen(HEAD);
	char *end;
	double ppm;

	if (strncmp(line, HEAD, head) != 0)
		return 0;
	ppm = strtod(line + head, &end);
	if (end == line + head || *end != '\n' || !(fabs(ppm) < PPM_MAX))
		return 0;
	return 1 + ppm * 1e-6;
}

static double load(const char *path)
{
	_cleanup_close_ int fd =
	    open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	char line[LINE_SIZE];
	ssize_t n;

	if (fd < 0)
		return 0;
	n = pread_all(fd, line, sizeof(line) - 1, 0);
	if (n <= 0)
		return 0;
	line[n] = '\0';
	return parse(line);
}

double cardrate_load(const char *device)
{
	_cleanup_free_ char *path = path_of(device);

	return path ? load(path) : 0;
}

static int write_file(const char *path, double rate)
{
	_cleanup_close_ int fd = open(
	    path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	char line[LINE_SIZE];
	const int n =
	    snprintf(line, sizeof(line), HEAD "%.3f\n", (rate - 1) * 1e6);

	return fd < 0 ? -errno : write_all(fd, line, (size_t)n);
}

static int save(const char *path, double rate)
{
	_cleanup_free_ char *directory = state_directory();
	_cleanup_free_ char *fresh = NULL;
	int r;

	if (!directory || asprintf(&fresh, "%s.new", path) < 0)
		return -ENOMEM;
	r = make_directories(directory);
	if (r == 0)
		r = write_file(fresh, rate);
	if (r == 0 && rename(fresh, path) < 0)
		r = -errno;
	if (r < 0)
		unlink(fresh);
	return r;
}

void cardrate_save(const char *device, double rate)
{
	_cleanup_free_ char *path = path_of(device);
	double ppm, kept;
	int r;

	if (!path)
		return;
	ppm = (rate - 1) * 1e6;
	kept = (load(path) - 1) * 1e6;
	if (!(fabs(ppm) < PPM_MAX) || fabs(ppm - kept) < PPM_SAME)
		return;
	r = save(path, rate);
	if (r < 0)
		log_debug("Cannot keep the card's rate as '%s': %s", path,
			  strerror(-r));
}
