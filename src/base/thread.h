/* SPDX-License-Identifier: MIT
 * Starts a thread with all signals blocked: only the loop's thread handles
 * signals. */
#pragma once

#include <pthread.h>

/* NAME (at most 15 bytes) appears in ps -L. The caller joins or detaches *ret.
 * 0; or negative errno, and then BODY has not run and USERDATA is still the
 * caller's. */
int thread_start(pthread_t *ret, const char *name, void *(*body)(void *),
		 void *userdata);
