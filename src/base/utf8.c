/* SPDX-License-Identifier: MIT
 * Decodes one character, after RFC 3629. */
#include "base/utf8.h"

size_t utf8_decode(const char *text, uint32_t *ret)
{
	static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
	const unsigned char *c = (const unsigned char *)text;
	size_t length = *c < 0x80 ? 1 : *c < 0xe0 ? 2 : *c < 0xf0 ? 3 : 4;
	uint32_t value = length == 1 ? *c : *c & (0x7fu >> length);

	if (*c >= 0x80 && (*c < 0xc2 || *c > 0xf4))
		return 0;
	for (size_t i = 1; i < length; i++) {
		if ((c[i] & 0xc0) != 0x80)
			return 0;
		value = value << 6 | (c[i] & 0x3f);
	}
	if (value < smallest[length] || value > 0x10ffff ||
	    (value >= 0xd800 && value <= 0xdfff))
		return 0;
	*ret = value;
	return length;
}

bool utf8_is_noncharacter(uint32_t c)
{
	return (c >= 0xfdd0 && c <= 0xfdef) || (c & 0xfffe) == 0xfffe;
}

/* Those of C0 and C1, and those that end a line or turn its direction. */
static bool is_control(uint32_t c)
{
	return c < ' ' || (c >= 0x7f && c < 0xa0) ||
	       (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

/* The bytes of the character that TEXT begins with; 0 for invalid UTF-8 and for
 * what is not to be shown. */
static size_t printable_length(const char *text)
{
	uint32_t c = 0;
	size_t length = utf8_decode(text, &c);

	return is_control(c) || utf8_is_noncharacter(c) ? 0 : length;
}

void utf8_replace_controls(char *text)
{
	while (*text) {
		size_t length = printable_length(text);

		if (length == 0)
			*text = '?';
		text += length ? length : 1;
	}
}
