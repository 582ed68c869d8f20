/* SPDX-License-Identifier: MIT
 * What is said of loudspeakers that are missing: in status, check, monitor. */
#pragma once

#include "ctl/value.h"

/* Prints an entry of the list "missing" to stdout: "gate since 14:02 (its card
 * is gone)", or "2 in zone yard since ..". */
void missing_print(const struct value *entry);
