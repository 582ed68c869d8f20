/* SPDX-License-Identifier: MIT
 * The same test of UTF-8 as in sd-bus, which refuses noncharacters. */
#include "server/bus/text.h"

#include <stdbool.h>

#include "base/utf8.h"

static bool is_valid(const char *text)
{
	while (*text) {
		uint32_t c;
		size_t length = utf8_decode(text, &c);

		if (length == 0 || utf8_is_noncharacter(c))
			return false;
		text += length;
	}
	return true;
}

const char *bus_text(const char *text, const char *substitute)
{
	return is_valid(text) ? text : substitute;
}
