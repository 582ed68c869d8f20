/* SPDX-License-Identifier: MIT
 * When the bytes that are read from a socket had arrived in the kernel. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* All zero: nobody asks. */
struct arrivals {
	bool timed;
	int64_t ns;	   /* CLOCK_MONOTONIC; 0: not known */
	int64_t offset_ns; /* REALTIME - MONOTONIC when no bytes waited */
};

/* Has the bytes of the socket FD timed from now on. */
void arrivals_begin(struct arrivals *arrivals, int fd);
/* As recv() without flags; then ns is when the newest of the bytes arrived. */
ssize_t arrivals_recv(struct arrivals *arrivals, int fd, void *buffer,
		      size_t size);
