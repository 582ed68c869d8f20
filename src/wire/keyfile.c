/* SPDX-License-Identifier: MIT
 * Owns the keys in memory, and wipes every copy that it makes of them. */
#include "wire/keyfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/util.h"

/* Some ten thousand lines. */
#define FILE_SIZE_MAX (1 << 20)

static const char *const role_names[] = {
    [KEYFILE_SERVER] = "server",
    [KEYFILE_CLIENT] = "client",
};

/* Fills PROBLEM and returns ERROR. */
__attribute__((format(printf, 3, 4))) static int
fail(char problem[KEYFILE_PROBLEM_SIZE], int error, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(problem, KEYFILE_PROBLEM_SIZE, format, ap);
	va_end(ap);
	return error;
}

static void wipe_keys(struct keys *keys)
{
	for (size_t i = 0; i < keys->count; i++)
		free(keys->keys[i].host);
	if (keys->keys)
		explicit_bzero(keys->keys, keys->count * sizeof(*keys->keys));
	free(keys->keys);
	*keys = (struct keys){0};
}

/* --- the file --- */

static bool same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

/* Whether a file is the same as before. */
static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino &&
	       a->st_size == b->st_size &&
	       same_time(&a->st_mtim, &b->st_mtim) &&
	       same_time(&a->st_ctim, &b->st_ctim);
}

/* Whether PATH is in $CREDENTIALS_DIRECTORY (systemd.exec(5), CREDENTIALS). */
static bool is_credential(const char *path)
{
	const char *directory = getenv("CREDENTIALS_DIRECTORY");
	const char *slash = strrchr(path, '/');
	_cleanup_free_ char *parent = NULL;
	struct stat own, credentials;

	if (!directory || !slash)
		return false;
	parent = strndup(path, (size_t)(slash - path) + 1);
	return parent && stat(parent, &own) == 0 &&
	       stat(directory, &credentials) == 0 &&
	       own.st_dev == credentials.st_dev &&
	       own.st_ino == credentials.st_ino;
}

static int check_file(const char *path, const struct stat *st,
		      char problem[KEYFILE_PROBLEM_SIZE])
{
	/* A credential belongs to root, and an ACL lets the service's user read
	 * it: then the group bits are the mask of the ACL (acl(5)). */
	mode_t others =
	    is_credential(path) ? S_IRWXO | S_IWGRP : S_IRWXO | S_IRWXG;

	if (!S_ISREG(st->st_mode))
		return fail(problem, -EINVAL, "this is not a regular file");
	if (st->st_mode & others)
		return fail(problem, -EPERM,
			    "others can read or write the key (mode %04o): "
			    "chmod 600 %s",
			    (unsigned)(st->st_mode & 07777), path);
	if (st->st_size > FILE_SIZE_MAX)
		return fail(problem, -EFBIG, "longer than %d bytes",
			    FILE_SIZE_MAX);
	return 0;
}

/* Reads the whole file: *ret_size bytes into *ret, and a 0 after them. */
static int read_file(int fd, char **ret, size_t *ret_size)
{
	char *text = malloc(FILE_SIZE_MAX + 1);
	ssize_t n;

	if (!text)
		return -ENOMEM;
	n = pread_all(fd, text, FILE_SIZE_MAX, 0);
	if (n < 0) {
		explicit_bzero(text, FILE_SIZE_MAX);
		free(text);
		return (int)n;
	}
	text[n] = '\0';
	*ret = text;
	*ret_size = (size_t)n;
	return 0;
}

/* --- the lines --- */

static int parse_key(const char *hex, uint8_t key[KEYFILE_KEY_SIZE])
{
	if (strlen(hex) != KEYFILE_HEX_SIZE - 1)
		return -EBADMSG;
	for (size_t i = 0; i < KEYFILE_KEY_SIZE; i++) {
		const int byte = hex_byte(hex + 2 * i);

		if (byte < 0)
			return -EBADMSG;
		key[i] = (uint8_t)byte;
	}
	return 0;
}

static int parse_role(const char *word, enum keyfile_role *ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(role_names); i++) {
		if (strcmp(word, role_names[i]) != 0)
			continue;
		*ret = (enum keyfile_role)i;
		return 0;
	}
	return -EBADMSG;
}

/* Cuts LINE into words. 1 and *ret; 0 when it has none; or negative errno and
 * PROBLEM. */
static int parse_line(char *line, unsigned number, struct keyfile_key *ret,
		      char problem[KEYFILE_PROBLEM_SIZE])
{
	static const char blanks[] = " \t\r";
	char *words[5] = {NULL}, *state;
	size_t count = 0;

	line[strcspn(line, "#")] = '\0';
	for (char *w = strtok_r(line, blanks, &state);
	     w && count < ARRAY_SIZE(words); w = strtok_r(NULL, blanks, &state))
		words[count++] = w;
	if (count == 0)
		return 0;
	/* Messages do not quote the wrong word, since it may be a key. */
	if (parse_role(words[0], &ret->role) < 0)
		return fail(
		    problem, -EBADMSG,
		    "line %u: it has to begin with 'server' or 'client'",
		    number);
	if (count < 3 || count > (ret->role == KEYFILE_CLIENT ? 4 : 3))
		return fail(problem, -EBADMSG,
			    "line %u: %s IDENTITY KEY%s is needed", number,
			    words[0],
			    ret->role == KEYFILE_CLIENT ? " [HOST]" : "");
	if (!name_valid(words[1]))
		return fail(problem, -EBADMSG,
			    "line %u: an identity is 1 to 63 letters, digits, "
			    "'.', '_' or '-', with no '.' in front",
			    number);
	if (parse_key(words[2], ret->key) < 0)
		return fail(problem, -EBADMSG,
			    "line %u: a key is 64 hexadecimal digits", number);
	strcpy(ret->identity, words[1]);
	ret->host = words[3] ? strdup(words[3]) : NULL;
	if (words[3] && !ret->host)
		return fail(problem, -ENOMEM, "%s", strerror(ENOMEM));
	return 1;
}

static size_t count_lines(const char *text)
{
	size_t count = 1;

	while ((text = strchr(text, '\n'))) {
		text++;
		count++;
	}
	return count;
}

static int compare_keys(const void *a, const void *b)
{
	const struct keyfile_key *k = a, *l = b;
	int r = (int)k->role - (int)l->role;

	return r ? r : strcmp(k->identity, l->identity);
}

static int compare_secrets(const void *a, const void *b)
{
	const struct keyfile_key *const *k = a, *const *l = b;

	return memcmp((*k)->key, (*l)->key, KEYFILE_KEY_SIZE);
}

static bool same_host(const struct keyfile_key *a, const struct keyfile_key *b)
{
	if (!a->host || !b->host)
		return a->host == b->host;
	return strcasecmp(a->host, b->host) == 0;
}

/* The keys are sorted: two server lines with one identity are neighbours. */
static int check_identities(const struct keys *keys,
			    char problem[KEYFILE_PROBLEM_SIZE])
{
	for (size_t i = 1; i < keys->count; i++) {
		const struct keyfile_key *key = &keys->keys[i];

		if (key->role == KEYFILE_SERVER &&
		    compare_keys(key - 1, key) == 0)
			return fail(problem, -EBADMSG,
				    "two lines for '%s': remove one",
				    key->identity);
	}
	return 0;
}

/* Compares the client lines in pairs: a file has only one or two. The inner
 * search ends at the key itself at the latest. */
static int check_hosts(const struct keys *keys,
		       char problem[KEYFILE_PROBLEM_SIZE])
{
	for (size_t i = 0; i < keys->count; i++) {
		const struct keyfile_key *key = &keys->keys[i], *k = keys->keys;

		if (key->role != KEYFILE_CLIENT)
			continue;
		while (k->role != KEYFILE_CLIENT || !same_host(k, key))
			k++;
		if (k == key)
			continue;
		return fail(problem, -EBADMSG,
			    "client '%s' and client '%s' are both for %s: "
			    "remove one",
			    k->identity, key->identity,
			    key->host ? key->host : "every server");
	}
	return 0;
}

static int check_secrets(const struct keys *keys,
			 char problem[KEYFILE_PROBLEM_SIZE])
{
	_cleanup_free_ const struct keyfile_key **sorted =
	    calloc(keys->count + 1, sizeof(*sorted));

	if (!sorted)
		return fail(problem, -ENOMEM, "%s", strerror(ENOMEM));
	for (size_t i = 0; i < keys->count; i++)
		sorted[i] = &keys->keys[i];
	qsort(sorted, keys->count, sizeof(*sorted), compare_secrets);
	for (size_t i = 1; i < keys->count; i++)
		if (compare_secrets(&sorted[i - 1], &sorted[i]) == 0)
			return fail(problem, -EBADMSG,
				    "'%s' and '%s' have the same key: make one "
				    "for each (intercomctl keygen)",
				    sorted[i - 1]->identity,
				    sorted[i]->identity);
	return 0;
}

/* Fills an empty *ret, also on error. */
static int parse_lines(char *text, size_t size, struct keys *ret,
		       char problem[KEYFILE_PROBLEM_SIZE])
{
	char *line, *rest = text;
	unsigned number = 0;

	if (strlen(text) != size)
		return fail(problem, -EBADMSG, "this is not a text file");
	ret->keys = calloc(count_lines(text), sizeof(*ret->keys));
	if (!ret->keys)
		return fail(problem, -ENOMEM, "%s", strerror(ENOMEM));
	while ((line = strsep(&rest, "\n"))) {
		int r =
		    parse_line(line, ++number, &ret->keys[ret->count], problem);

		if (r < 0) {
			explicit_bzero(&ret->keys[ret->count],
				       sizeof(*ret->keys));
			return r;
		}
		ret->count += (size_t)r;
	}
	if (ret->count > 1)
		qsort(ret->keys, ret->count, sizeof(*ret->keys), compare_keys);
	return 0;
}

static size_t count_role(const struct keys *keys, enum keyfile_role role)
{
	size_t count = 0;

	for (size_t i = 0; i < keys->count; i++)
		count += keys->keys[i].role == role;
	return count;
}

static int parse(char *text, size_t size, enum keyfile_role role,
		 struct keys *ret, char problem[KEYFILE_PROBLEM_SIZE])
{
	int r = parse_lines(text, size, ret, problem);

	if (r == 0)
		r = check_identities(ret, problem);
	if (r == 0)
		r = check_hosts(ret, problem);
	if (r == 0)
		r = check_secrets(ret, problem);
	if (r == 0 && count_role(ret, role) == 0)
		r = fail(problem, -ENOKEY,
			 "no line begins with '%s': %s (intercomctl keygen)",
			 role_names[role],
			 role == KEYFILE_SERVER
			     ? "the server's own file is needed"
			     : "the file made for this loudspeaker is needed");
	return r;
}

/* --- life --- */

static struct keyfile_key *find(const struct keys *keys, enum keyfile_role role,
				const char *identity)
{
	struct keyfile_key wanted = {.role = role};

	if (keys->count == 0 || !name_valid(identity))
		return NULL;
	strcpy(wanted.identity, identity);
	return bsearch(&wanted, keys->keys, keys->count, sizeof(wanted),
		       compare_keys);
}

/* Opens the file that the path names now. */
static int open_file(const struct keyfile *file, struct stat *ret_stat,
		     char problem[KEYFILE_PROBLEM_SIZE])
{
	_cleanup_close_ int fd = -1;
	int r;

	/* O_NONBLOCK: a FIFO must not block us. */
	fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 || fstat(fd, ret_stat) < 0)
		return fail(problem, -errno, "%s", strerror(errno));
	r = check_file(file->path, ret_stat, problem);
	return r < 0 ? r : TAKE_FD(fd);
}

static int load(struct keyfile *file, char problem[KEYFILE_PROBLEM_SIZE])
{
	struct keys keys = {0};
	struct stat st;
	char *text = NULL;
	size_t size = 0;
	_cleanup_close_ int fd = open_file(file, &st, problem);
	int r;

	if (fd < 0)
		return fd;
	r = read_file(fd, &text, &size);
	if (!text)
		return fail(problem, r, "%s", strerror(-r));
	r = parse(text, size, file->role, &keys, problem);
	explicit_bzero(text, size);
	free(text);
	if (r < 0) {
		wipe_keys(&keys);
		return r;
	}
	wipe_keys(&file->keys);
	file->keys = keys;
	file->count = count_role(&keys, file->role);
	file->stat = st;
	return 0;
}

/* The file of this name among the service's credentials, or NULL. */
static char *credential_path(const char *path)
{
	const char *directory = getenv("CREDENTIALS_DIRECTORY");
	char *credential;

	if (!directory ||
	    asprintf(&credential, "%s/%s", directory, basename(path)) < 0)
		return NULL;
	return credential;
}

/* Of LoadCredential= in the units. */
static const char *is_copied(enum keyfile_role role)
{
	return role == KEYFILE_SERVER
		   ? " (systemd copies /etc/credstore/intercom-server.key when "
		     "the service starts)"
		   : " (systemd copies /etc/credstore/intercom-client.key when "
		     "the service starts)";
}

/* A service may not read /etc/credstore: there it gets copies. */
static int load_credential(struct keyfile *file, int error,
			   char problem[KEYFILE_PROBLEM_SIZE])
{
	char *credential = credential_path(file->path);
	char first[64], second[KEYFILE_PROBLEM_SIZE];
	int r;

	if (!credential)
		return error;
	snprintf(first, sizeof(first), "%s", problem);
	free(file->path);
	file->path = credential;
	r = load(file, second);
	if (r < 0)
		(void)fail(problem, r, "%s; '%s': %s%s", first, credential,
			   second, r == -ENOENT ? is_copied(file->role) : "");
	return r;
}

int keyfile_open(struct keyfile **ret, const char *path, enum keyfile_role role,
		 char problem[KEYFILE_PROBLEM_SIZE])
{
	struct keyfile *file = calloc(1, sizeof(*file));
	int r = -ENOMEM;

	if (file)
		file->path = strdup(path);
	if (!file || !file->path) {
		keyfile_free(file);
		return fail(problem, -ENOMEM, "%s", strerror(ENOMEM));
	}
	file->role = role;
	r = load(file, problem);
	if (r < 0 && access(path, R_OK) < 0)
		r = load_credential(file, r, problem);
	if (r < 0) {
		keyfile_free(file);
		return r;
	}
	*ret = file;
	return 0;
}

struct keyfile *keyfile_free(struct keyfile *file)
{
	if (!file)
		return NULL;
	wipe_keys(&file->keys);
	free(file->path);
	free(file);
	return NULL;
}

int keyfile_refresh(struct keyfile *file, char problem[KEYFILE_PROBLEM_SIZE])
{
	struct stat st;
	int r;

	if (stat(file->path, &st) < 0)
		st = (struct stat){0};
	if (same_file(&st, &file->stat))
		return 0;
	r = load(file, problem);
	if (r == 0)
		return 1;
	file->stat = st; /* no second try before the next change */
	return r;
}

const char *keyfile_identity(const struct keyfile *file, size_t n)
{
	/* Those with the role of a server come first. */
	return n < file->count ? file->keys.keys[n].identity : NULL;
}

const struct keyfile_key *keyfile_find(const struct keyfile *file,
				       const char *identity)
{
	return find(&file->keys, KEYFILE_SERVER, identity);
}

const struct keyfile_key *keyfile_for_host(const struct keyfile *file,
					   const char *host)
{
	const struct keyfile_key *found = NULL;

	for (size_t i = 0; i < file->keys.count; i++) {
		const struct keyfile_key *key = &file->keys.keys[i];

		if (key->role != KEYFILE_CLIENT)
			continue;
		if (key->host && strcasecmp(key->host, host) == 0)
			return key;
		if (!key->host)
			found = key;
	}
	return found;
}

int keyfile_generate(char hex[KEYFILE_HEX_SIZE])
{
	uint8_t key[KEYFILE_KEY_SIZE];
	ssize_t n = TEMP_FAILURE_RETRY(getrandom(key, sizeof(key), 0));

	if (n != (ssize_t)sizeof(key))
		return n < 0 ? -errno : -EIO;
	for (size_t i = 0; i < sizeof(key); i++)
		sprintf(hex + 2 * i, "%02x", key[i]);
	explicit_bzero(key, sizeof(key));
	return 0;
}
