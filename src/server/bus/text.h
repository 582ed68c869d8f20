/* SPDX-License-Identifier: MIT
 * Text for the bus, which refuses a whole message for one byte that is not
 * UTF-8: names of devices and files may hold anything. Pure. */
#pragma once

#include <stdbool.h>

/* Whether sd-bus takes it: no overlong forms, surrogates or noncharacters. */
bool bus_text_valid(const char *text);
/* TEXT, or SUBSTITUTE when it is not valid. */
const char *bus_text(const char *text, const char *substitute);
