/* SPDX-License-Identifier: MIT
 * What a card was found to run at, kept for the next start: one small file a
 * device in the state directory. */
#pragma once

/* In parts of the nominal rate; 0 when nothing, or nothing possible, is kept of
 * DEVICE. */
double cardrate_load(const char *device);
/* Keeps it, unless what is kept is as good. Without a state directory, or with
 * a full disk, it is learned anew after the next start. */
void cardrate_save(const char *device, double rate);
