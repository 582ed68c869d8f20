/* SPDX-License-Identifier: MIT
 * No state. */
#include "base/options.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

static bool starts_like_a_number(const char *text)
{
	return (*text >= '0' && *text <= '9') || *text == '.';
}

/* strtod() takes hexadecimal numbers, too. */
static bool is_decimal(const char *text)
{
	return starts_like_a_number(text) &&
	       text[strspn(text, "0123456789.eE+-")] == '\0';
}

int option_integer(const char *option, const char *text, uint64_t min,
		   uint64_t max, uint64_t *ret)
{
	unsigned long long value;
	char *end;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (!starts_like_a_number(text) || *end || errno || value < min ||
	    value > max) {
		log_error("%s '%s': a whole number from %" PRIu64 " to %" PRIu64
			  " is needed",
			  option, text, min, max);
		return -EINVAL;
	}
	*ret = value;
	return 0;
}

int option_number(const char *option, const char *text, double min, double max,
		  double *ret)
{
	double value;
	char *end;

	errno = 0;
	value = strtod(text, &end);
	if (!is_decimal(text) || *end || errno || !isfinite(value) ||
	    value < min || value > max) {
		log_error("%s '%s': a number from %.10g to %.10g is needed",
			  option, text, min, max);
		return -EINVAL;
	}
	*ret = value;
	return 0;
}

int option_choice(const char *option, const char *text,
		  const char *const *names, unsigned *ret)
{
	char all[256] = "";

	for (unsigned i = 0; names[i]; i++) {
		if (strcmp(text, names[i]) == 0) {
			*ret = i;
			return 0;
		}
		if (i > 0)
			strncat(all, names[i + 1] ? ", " : " or ",
				sizeof(all) - strlen(all) - 1);
		strncat(all, names[i], sizeof(all) - strlen(all) - 1);
	}
	log_error("%s '%s': %s is needed", option, text, all);
	return -EINVAL;
}

const char *option_chime(const char *text)
{
	return strcmp(text, "default") == 0 ? CHIME_DEFAULT_PATH : text;
}
