/* SPDX-License-Identifier: MIT
 * The folder where a program keeps what it must remember. */
#pragma once

/* systemd's $STATE_DIRECTORY (the first of a list), or what the XDG base
 * directory specification says. NULL when there is none. The caller frees. */
char *state_directory(void);
/* Creates PATH and its parents. 0 or negative errno. */
int make_directories(char *path);
