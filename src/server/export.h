/* SPDX-License-Identifier: MIT
 * Copies a tape that has ended into a WAV file in a memfd, piece by piece when
 * the loop has nothing better to do: it may be hundreds of megabytes. */
#pragma once

#include <systemd/sd-event.h>

#include "server/tape.h"

struct export;

/* FD is the sealed file, at its beginning, borrowed (closed when the export is
 * freed); or negative errno. May free the export. */
typedef void (*export_on_done)(void *userdata, int fd);

/* TAPE may go meanwhile. 0; -ENODATA when no frame of it is left in memory; or
 * negative errno. */
int export_new(struct export **ret, sd_event *event, const struct tape *tape,
	       export_on_done on_done, void *userdata);
/* Takes NULL; returns NULL. */
struct export *export_free(struct export *copy);
