/* SPDX-License-Identifier: MIT
 * Copies a finished page into a WAV file in a memfd, piece by piece when the
 * loop has nothing better to do: a page may be hundreds of megabytes. */
#pragma once

#include <systemd/sd-event.h>

#include "server/tape.h"

struct tape_export;

/* FD is the sealed file, at its beginning, borrowed (closed when the export is
 * freed); or negative errno. May free the export. */
typedef void (*tape_export_on_done)(void *userdata, int fd);

/* Nothing is kept of PAGE itself. 0; -ENODATA when no frame of it is left in
 * memory; or negative errno. */
int tape_export_new(struct tape_export **ret, sd_event *event,
		    const struct tape *tape, tape_export_on_done on_done,
		    void *userdata);
/* Takes NULL; returns NULL. */
struct tape_export *tape_export_free(struct tape_export *copy);
