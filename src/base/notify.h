/* SPDX-License-Identifier: MIT
 * Notifications that systemd may miss. sd_notify() blocks while systemd is too
 * busy to read (a daemon-reload may take seconds), and would delay the sound.
 */
#pragma once

/* Sends STATE as sd_notify(0, STATE) does, but never blocks. 0, also without a
 * $NOTIFY_SOCKET; -EAGAIN while systemd does not read; or a negative errno. */
int notify_if_read(const char *state);

/* For a program that cannot start. Where systemd waits for it, sends the last
 * error as the status and waits for 10 s or for SIGTERM: systemd would start a
 * server again at once, and for ever, while somebody waits at its socket. */
void notify_failure(void);
