/* SPDX-License-Identifier: MIT
 * A file of keys, one to a line: which loudspeakers may receive pages, or under
 * which identity this machine receives them. Blocking I/O on a local file.
 *
 * # comments, empty lines, and:
 * server IDENTITY KEY         in the server's file: admits this loudspeaker
 * client IDENTITY KEY [HOST]  in a loudspeaker's file: its proof, for HOST only
 *                             or for every server
 *
 * KEY is 64 hexadecimal digits, 256 random bits. Every loudspeaker has a key
 * of its own, which it shares with the server only. So:
 * - Removing a line from the server's file locks out one loudspeaker.
 * - A loudspeaker cannot pose as the server: it knows only its own key, and
 *   another loudspeaker accepts only a server that knows the other's key. A
 *   thief of a key can pose as its loudspeaker, or as the server to it, but
 *   nothing else.
 * - A line names the role, and no key may be in two lines. So a loudspeaker's
 *   file does not make a server, and a machine that is both never uses one key
 *   in both directions, where its own messages could be reflected to it (RFC
 *   9257, 4.1; the "Selfie" attack).
 * - 256 random bits cannot be guessed offline (RFC 9257, 6). They are used with
 *   SHA-256 only, so they need not be imported (RFC 9258). */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/util.h"

enum {
	KEYFILE_KEY_SIZE = 32,
	KEYFILE_HEX_SIZE = 2 * KEYFILE_KEY_SIZE + 1, /* with the final 0 */
	KEYFILE_IDENTITY_SIZE = VALID_NAME_SIZE,
	KEYFILE_PROBLEM_SIZE = 512,
};

enum keyfile_role { KEYFILE_SERVER, KEYFILE_CLIENT };

struct keyfile_key {
	enum keyfile_role role;
	char identity[KEYFILE_IDENTITY_SIZE];
	uint8_t key[KEYFILE_KEY_SIZE];
	char *host; /* or NULL */
};

/* Only this folder reads the fields, and only keyfile.c writes them. */
struct keyfile {
	char *path;
	enum keyfile_role role;
	size_t count;	  /* the lines with this role */
	struct stat stat; /* when the file was read */
	struct keys {
		struct keyfile_key *keys; /* sorted by role, then identity */
		size_t count;
	} keys;
};

/* Reads the file at PATH, which must have a line of ROLE. 0; or negative errno
 * and PROBLEM, for a person, with the remedy: -EPERM when others can read or
 * write the file, -EBADMSG for a wrong line, -ENOKEY when no line has ROLE. In
 * $CREDENTIALS_DIRECTORY systemd's read access for the group is accepted; and
 * the file of this name there is taken if PATH cannot be read. */
int keyfile_open(struct keyfile **ret, const char *path, enum keyfile_role role,
		 char problem[KEYFILE_PROBLEM_SIZE]);
/* Wipes the keys. Takes NULL; returns NULL. */
struct keyfile *keyfile_free(struct keyfile *file);

/* Reads the file again if it has changed. 1 when it was read; 0 when it is the
 * same; or negative errno and PROBLEM, once for each change: then the keys stay
 * as they are. */
int keyfile_refresh(struct keyfile *file, char problem[KEYFILE_PROBLEM_SIZE]);

/* The identity of the nth line of a server's file, in the order of their names;
 * NULL when it has no more. Valid until the next refresh. */
const char *keyfile_identity(const struct keyfile *file, size_t n);
/* The key of the loudspeaker IDENTITY in a server's file, or NULL. Valid until
 * the next refresh, as is that of keyfile_for_host(). */
const struct keyfile_key *keyfile_find(const struct keyfile *file,
				       const char *identity);
/* The key to use with HOST in a loudspeaker's file, or NULL. */
const struct keyfile_key *keyfile_for_host(const struct keyfile *file,
					   const char *host);

/* Makes a new random key, in hexadecimal. 0 or negative errno. */
int keyfile_generate(char hex[KEYFILE_HEX_SIZE]);
