/* SPDX-License-Identifier: MIT
 * keygen: writes the server's file and one for each loudspeaker, all or none.
 * Never replaces a key: only adds to the server's file, and makes new files. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/log.h"
#include "base/util.h"
#include "ctl/ctl.h"
#include "wire/keyfile.h"

#define DEFAULT_FILE "server.psk"
#define DEFAULT_IDENTITY "loudspeaker"

enum { LINE_SIZE = KEYFILE_IDENTITY_SIZE + KEYFILE_HEX_SIZE + 16 };

static const char server_head[] =
    "# Keys of intercom-server: one line for each loudspeaker. A loudspeaker\n"
    "# whose line is removed is locked out.\n";
static const char client_head[] =
    "# Key of intercom-client for one loudspeaker. Only this loudspeaker and\n"
    "# the server may know it.\n";

struct keygen {
	const char *path;   /* the server's file */
	int folder_size;    /* the length of path up to its last '/' */
	char out[PATH_MAX]; /* the file to write: path, or path.new */
	int fd;		    /* of out; -1: not made */
	bool adding;	    /* path exists already */
	char **identities;
	unsigned count, made; /* identities; loudspeakers' files made */
};

static int complain(const char *path, int error)
{
	log_error("Cannot make '%s': %s", path,
		  error == -EEXIST
		      ? "it exists and is not overwritten (remove it first if "
			"its key is not in use)"
		      : strerror(-error));
	return error;
}

static int make_file(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	return fd < 0 ? -errno : fd;
}

/* --- the server's file --- */

/* The old file must be a server's, and without these loudspeakers. */
static int check_old(const struct keygen *k)
{
	char problem[KEYFILE_PROBLEM_SIZE];
	struct keyfile *file;
	int r = keyfile_open(&file, k->path, KEYFILE_SERVER, problem);

	if (r < 0) {
		log_error("Cannot add to '%s': %s", k->path, problem);
		return r;
	}
	for (unsigned i = 0; i < k->count && r == 0; i++) {
		if (!keyfile_find(file, k->identities[i]))
			continue;
		log_error("'%s' has a key for '%s' already (remove this line "
			  "to make a new key)",
			  k->path, k->identities[i]);
		r = -EEXIST;
	}
	keyfile_free(file);
	return r;
}

/* Copies the old file, with its owner and a final newline. */
static int copy_old(const struct keygen *k)
{
	_cleanup_close_ int fd = open(k->path, O_RDONLY | O_CLOEXEC);
	char buffer[4096], last = '\n';
	struct stat st;
	ssize_t n;
	int r = 0;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if ((st.st_uid != geteuid() || st.st_gid != getegid()) &&
	    fchown(k->fd, st.st_uid, st.st_gid) < 0)
		return -errno;
	while (r == 0 && (n = read(fd, buffer, sizeof(buffer))) != 0) {
		if (n < 0)
			r = -errno;
		else
			r = write_all(k->fd, buffer, (size_t)n);
		if (n > 0)
			last = buffer[n - 1];
	}
	explicit_bzero(buffer, sizeof(buffer));
	if (r == 0 && last != '\n')
		r = write_all(k->fd, "\n", 1);
	return r;
}

/* Adds by writing a new file that finally replaces the old one, so that a
 * server never reads half a file. Meanwhile the new file keeps a second keygen
 * out. */
static int begin_server_file(struct keygen *k)
{
	int r;

	k->adding = access(k->path, F_OK) == 0;
	r = snprintf(k->out, sizeof(k->out), "%s%s", k->path,
		     k->adding ? ".new" : "");
	if (r >= (int)sizeof(k->out))
		return complain(k->path, -ENAMETOOLONG);
	if (k->adding) {
		r = check_old(k);
		if (r < 0)
			return r;
	}
	k->fd = make_file(k->out);
	if (k->fd < 0)
		return complain(k->out, k->fd);
	r = k->adding ? copy_old(k)
		      : write_all(k->fd, server_head, sizeof(server_head) - 1);
	return r < 0 ? complain(k->out, r) : 0;
}

static int finish_server_file(const struct keygen *k)
{
	if (fsync(k->fd) < 0)
		return complain(k->out, -errno);
	if (k->adding && rename(k->out, k->path) < 0)
		return complain(k->path, -errno);
	return 0;
}

/* --- a loudspeaker's file --- */

static int client_path(const struct keygen *k, const char *identity,
		       char path[PATH_MAX])
{
	int n = snprintf(path, PATH_MAX, "%.*s%s.psk", k->folder_size, k->path,
			 identity);

	return n < PATH_MAX ? 0 : -ENAMETOOLONG;
}

static int write_line(int fd, const char *role, const char *identity,
		      const char *hex)
{
	char line[LINE_SIZE];
	int r, n;

	n = snprintf(line, sizeof(line), "%s %s %s\n", role, identity, hex);
	r = write_all(fd, line, (size_t)n);
	explicit_bzero(line, sizeof(line));
	return r;
}

static int write_client_file(int fd, const char *identity, const char *hex)
{
	int r = write_all(fd, client_head, sizeof(client_head) - 1);

	if (r == 0)
		r = write_line(fd, "client", identity, hex);
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	return r;
}

static int make_key(struct keygen *k, const char *identity)
{
	_cleanup_close_ int fd = -1;
	char hex[KEYFILE_HEX_SIZE], path[PATH_MAX];
	int r = client_path(k, identity, path);

	if (r < 0)
		return complain(identity, r);
	fd = make_file(path);
	if (fd < 0)
		return complain(path, fd);
	k->made++;
	r = keyfile_generate(hex);
	if (r == 0)
		r = write_client_file(fd, identity, hex);
	if (r < 0)
		return complain(path, r);
	r = write_line(k->fd, "server", identity, hex);
	explicit_bzero(hex, sizeof(hex));
	return r < 0 ? complain(k->out, r) : 0;
}

/* --- all or none --- */

static void undo(const struct keygen *k)
{
	char path[PATH_MAX];

	for (unsigned i = 0; i < k->made; i++)
		if (client_path(k, k->identities[i], path) == 0)
			(void)unlink(path);
	if (k->fd >= 0)
		(void)unlink(k->out);
}

static void tell(const struct keygen *k)
{
	char path[PATH_MAX];

	printf("%s: for intercom-server --psk-file (%u new key%s)\n", k->path,
	       k->count, plural_s(k->count));
	for (unsigned i = 0; i < k->count; i++)
		if (client_path(k, k->identities[i], path) == 0)
			printf("%s: for intercom-client --psk-file on '%s' "
			       "alone: move it there\n",
			       path, k->identities[i]);
}

static int generate(struct keygen *k)
{
	int r = begin_server_file(k);

	for (unsigned i = 0; i < k->count && r == 0; i++)
		r = make_key(k, k->identities[i]);
	if (r == 0)
		r = finish_server_file(k);
	if (r == 0)
		tell(k);
	else
		undo(k);
	fd_close(k->fd);
	return r;
}

/* --- arguments --- */

static int check_identities(const struct keygen *k)
{
	for (unsigned i = 0; i < k->count; i++) {
		if (!name_valid(k->identities[i])) {
			log_error("'%s': 1 to 63 letters, digits, '.', '_' or "
				  "'-', with no '.' in front, are needed",
				  k->identities[i]);
			return -EINVAL;
		}
		for (unsigned j = 0; j < i; j++) {
			if (strcmp(k->identities[i], k->identities[j]) != 0)
				continue;
			log_error("'%s' is named twice", k->identities[i]);
			return -EINVAL;
		}
	}
	return 0;
}

int ctl_keygen(struct ctl *ctl)
{
	char fallback[] = DEFAULT_IDENTITY, *fallbacks[] = {fallback};
	struct keygen k = {
	    .path = ctl->psk_path ? ctl->psk_path : DEFAULT_FILE,
	    .fd = -1,
	    .identities = ctl->arg_count ? ctl->args : fallbacks,
	    .count = ctl->arg_count ? ctl->arg_count : 1,
	};
	const char *slash = strrchr(k.path, '/');

	k.folder_size = slash ? (int)(slash + 1 - k.path) : 0;
	if (check_identities(&k) < 0)
		return CTL_USAGE;
	return generate(&k) < 0 ? CTL_FAILED : CTL_DONE;
}
