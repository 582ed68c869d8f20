/* SPDX-License-Identifier: MIT
 * Copies a finished page into a WAV file in a memfd, piece by piece when the
 * loop has nothing better to do: a page may be hundreds of megabytes. */
#pragma once

#include <systemd/sd-event.h>

#include "server/tape.h"

struct page_export;

/* FD is the sealed file, at its beginning, borrowed (closed when the export is
 * freed); or negative errno. May free the export. */
typedef void (*page_export_on_done)(void *userdata, int fd);

/* Nothing is kept of PAGE itself. 0; -ENODATA when no frame of it is left in
 * memory; or negative errno. */
int page_export_new(struct page_export **ret, sd_event *event,
		    const struct page *page, page_export_on_done on_done,
		    void *userdata);
/* Takes NULL; returns NULL. */
struct page_export *page_export_free(struct page_export *copy);
