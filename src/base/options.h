/* SPDX-License-Identifier: MIT
 * Values of command-line options: parsed, bounded, and refused in words. */
#pragma once

#include <stdint.h>

/* Each returns 0 and sets *ret, or logs one line that names the option, the
 * value and what is accepted, and returns -EINVAL. */
int option_integer(const char *option, const char *text, uint64_t min,
		   uint64_t max, uint64_t *ret);
int option_number(const char *option, const char *text, double min, double max,
		  double *ret);
/* The chime's path: TEXT itself, or that of the chime that comes with the
 * server for "default". */
const char *option_chime(const char *text);
/* One of NAMES (NULL at the end): *ret is its index. */
int option_choice(const char *option, const char *text,
		  const char *const *names, unsigned *ret);
