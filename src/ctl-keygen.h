/* SPDX-License-Identifier: MIT
 * intercomctl keygen: makes key files. Needs no server and no bus. */
#pragma once

/* ARGV[0] is the verb. Returns the exit status: 0; 1, when a file could not be
 * made (none is left then); 2, when the arguments are wrong. Logs why. */
int ctl_keygen(int argc, char **argv);
