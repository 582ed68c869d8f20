/* SPDX-License-Identifier: MIT
 * What systemd may miss. sd_notify() waits while systemd is too busy to read (a
 * daemon-reload may take seconds), and the sound would wait with it. */
#pragma once

/* As sd_notify(0, STATE), but -EAGAIN while systemd does not read. 0, also when
 * nobody wants to know, or negative errno. */
int notify_if_read(const char *state);
