/* SPDX-License-Identifier: MIT
 * A folder of this user, or of the service. */
#include "base/statedir.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

char *state_directory(void)
{
	const char *state = getenv("STATE_DIRECTORY");
	const char *xdg = getenv("XDG_STATE_HOME");
	const char *home = getenv("HOME");
	char *path = NULL;
	int r = -1;

	if (state && *state)
		return strndup(state, strcspn(state, ":"));
	if (xdg && *xdg == '/')
		r = asprintf(&path, "%s/alsa-intercom", xdg);
	else if (home && *home == '/')
		r = asprintf(&path, "%s/.local/state/alsa-intercom", home);
	return r < 0 ? NULL : path;
}

int make_directories(char *path)
{
	for (char *end = path + 1;; end++) {
		const char last = *end;

		if (last != '/' && last != '\0')
			continue;
		*end = '\0';
		if (mkdir(path, 0700) < 0 && errno != EEXIST)
			return -errno;
		*end = last;
		if (last == '\0')
			return 0;
	}
}
