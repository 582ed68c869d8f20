/* SPDX-License-Identifier: MIT
 * A file of keys, one line for each: who may receive pages, or as whom this
 * machine receives them. Blocking I/O on a local file; re-read when it changes.
 *
 * # comments, empty lines, and:
 * server IDENTITY KEY         in the server's file: this loudspeaker may come
 * client IDENTITY KEY [HOST]  in a loudspeaker's: how it proves itself (to HOST
 *                             only; else to every server)
 *
 * KEY is 64 hexadecimal digits, 256 random bits. Every loudspeaker has a key
 * of its own, which only the server shares. So:
 * - Taking its line out of the server's file locks one loudspeaker out.
 * - A loudspeaker cannot pose as the server: it knows no key but its own, and
 *   every other loudspeaker only believes who knows that one's. With a stolen
 *   key one can be this loudspeaker, or pose as the server to it: nothing else.
 * - The role is part of the line, and no key may stand in two lines. So a
 *   loudspeaker's file does not make a server, and a machine that is both never
 *   uses one key in both directions, where its own messages could be reflected
 *   to it (RFC 9257, 4.1; the "Selfie" attack).
 * - 256 random bits leave nothing to guess off line (RFC 9257, 6), and only
 *   SHA-256 is ever used with them, so they need not be imported (RFC 9258). */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/util.h"

enum {
	KEYFILE_KEY_SIZE = 32,
	KEYFILE_HEX_SIZE = 2 * KEYFILE_KEY_SIZE + 1, /* with its 0 */
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

/* Its fields are for this folder; none but keyfile.c writes them. */
struct keyfile {
	char *path;
	enum keyfile_role role;
	size_t count;	  /* of the lines with this role */
	struct stat stat; /* when the file was read */
	struct keys {
		struct keyfile_key *keys; /* sorted by role, then identity */
		size_t count;
	} keys;
};

/* Reads the lines of ROLE; there must be one at least. 0, or negative errno and
 * a PROBLEM for a person, with the remedy: -EPERM when others can read the
 * file, -EBADMSG for a line that is wrong, -ENOKEY when no line has this role.
 * In $CREDENTIALS_DIRECTORY the permissions are systemd's affair. */
int keyfile_open(struct keyfile **ret, const char *path, enum keyfile_role role,
		 char problem[KEYFILE_PROBLEM_SIZE]);
/* Wipes the keys. Takes NULL; returns NULL. */
struct keyfile *keyfile_free(struct keyfile *file);

/* Reads the file again if it has changed: 1 when it was read, 0 when it is the
 * same. On failure the keys stay as they are: negative errno and PROBLEM, once
 * for each change. */
int keyfile_refresh(struct keyfile *file, char problem[KEYFILE_PROBLEM_SIZE]);

/* The key of a loudspeaker, in a file of role SERVER, or NULL. Valid until the
 * next refresh. */
const struct keyfile_key *keyfile_find(const struct keyfile *file,
				       const char *identity);
/* The key to use with HOST, in a file of role CLIENT, or NULL. */
const struct keyfile_key *keyfile_for_host(const struct keyfile *file,
					   const char *host);

/* A new random key, in hexadecimal. 0 or negative errno. */
int keyfile_generate(char hex[KEYFILE_HEX_SIZE]);
