/* SPDX-License-Identifier: MIT
 * Reads text that may come from a stranger. Pure. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Decodes the character that TEXT begins with: *ret, and its 1 to 4 bytes. 0
 * when it is none (RFC 3629): cut off, overlong, a surrogate, or beyond
 * Unicode. */
size_t utf8_decode(const char *text, uint32_t *ret);
