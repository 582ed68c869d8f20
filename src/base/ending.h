/* SPDX-License-Identifier: MIT
 * How a program ends that was asked to, whatever its threads wait for. */
#pragma once

enum { ENDING_SECONDS = 5 };

/* Called at the first SIGINT or SIGTERM, which were blocked. From now on either
 * of them ends the program at once, with STATUS (EXIT_SUCCESS or EXIT_FAILURE);
 * and when it is still there after ENDING_SECONDS, that ends it too. */
void ending_begin(int status);
