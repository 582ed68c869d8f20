/* SPDX-License-Identifier: MIT
 * Decodes text that may come from a stranger. Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Decodes the first character of TEXT into *ret and returns its length, 1 to 4
 * bytes; or 0 when TEXT does not begin with a valid character: it is cut off,
 * overlong, a surrogate, or beyond Unicode (RFC 3629). */
size_t utf8_decode(const char *text, uint32_t *ret);

/* What is no character by definition, and what D-Bus refuses. */
bool utf8_is_noncharacter(uint32_t c);

/* Replaces by '?' what a terminal might obey, the control characters, those of
 * C1 and of Unicode's lines and directions, and each byte that is not UTF-8 or
 * belongs to a noncharacter. */
void utf8_replace_controls(char *text);
