/* SPDX-License-Identifier: MIT
 * Starts the few threads that there are. Signals are for the loop's thread, so
 * all of them are blocked in every other. */
#pragma once

#include <pthread.h>

/* NAME (at most 15 bytes) is what ps -L shows. The owner joins or detaches
 * *ret. 0 or negative errno: then BODY has not seen USERDATA. */
int thread_start(pthread_t *ret, const char *name, void *(*body)(void *),
		 void *userdata);
