/* SPDX-License-Identifier: MIT
 * RFC 3629. */
#include "server/bus/text.h"

#include <stddef.h>
#include <stdint.h>

/* How many bytes the character has that begins with C; 0: none does. */
static size_t length_of(unsigned char c)
{
	if (c < 0x80)
		return 1;
	if (c >= 0xc2 && c < 0xe0)
		return 2;
	if (c >= 0xe0 && c < 0xf0)
		return 3;
	return c >= 0xf0 && c < 0xf5 ? 4 : 0;
}

/* The character of LENGTH bytes, or UINT32_MAX when a byte does not fit. */
static uint32_t decode(const unsigned char *c, size_t length)
{
	uint32_t value = length == 1 ? c[0] : c[0] & (0x7fu >> length);

	for (size_t i = 1; i < length; i++) {
		if ((c[i] & 0xc0) != 0x80)
			return UINT32_MAX;
		value = value << 6 | (c[i] & 0x3f);
	}
	return value;
}

static bool is_character(uint32_t value, size_t length)
{
	static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};

	return value >= smallest[length] && value <= 0x10ffff &&
	       (value < 0xd800 || value > 0xdfff) &&
	       (value < 0xfdd0 || value > 0xfdef) && (value & 0xfffe) != 0xfffe;
}

bool bus_text_valid(const char *text)
{
	const unsigned char *c = (const unsigned char *)text;

	while (*c) {
		size_t length = length_of(*c);

		if (length == 0 || !is_character(decode(c, length), length))
			return false;
		c += length;
	}
	return true;
}

const char *bus_text(const char *text, const char *substitute)
{
	return bus_text_valid(text) ? text : substitute;
}
