/* SPDX-License-Identifier: MIT
 * Text for the bus, which refuses a whole message for one byte that is not
 * UTF-8: names of devices and files may hold anything. Pure. */
#pragma once

/* TEXT, or SUBSTITUTE when sd-bus would not take it: overlong forms,
 * surrogates and noncharacters count as invalid. */
const char *bus_text(const char *text, const char *substitute);
