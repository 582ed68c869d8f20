/* SPDX-License-Identifier: MIT
 * Makes any text fit for D-Bus, which refuses a message with a string that is
 * not UTF-8: names of devices and files may have any bytes. Pure. */
#pragma once

/* TEXT, or SUBSTITUTE when sd-bus would refuse TEXT: overlong forms, surrogates
 * and noncharacters count as invalid. */
const char *bus_text(const char *text, const char *substitute);
