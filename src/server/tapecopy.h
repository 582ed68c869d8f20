/* SPDX-License-Identifier: MIT
 * Copies a tape that has ended into a WAV file in a memfd. Runs in the loop, a
 * piece whenever it is idle: the tape may have hundreds of megabytes. */
#pragma once

#include <systemd/sd-event.h>

#include "server/tape.h"

struct tapecopy;

/* FD is the sealed file, at its beginning, borrowed (tapecopy_free() closes
 * it); or negative errno. May free the copy. */
typedef void (*tapecopy_on_done)(void *userdata, int fd);

/* TAPE need not outlive this call. 0; -ENODATA when no frame is in memory; or
 * another negative errno. */
int tapecopy_new(struct tapecopy **ret, sd_event *event,
		 const struct tape *tape, tapecopy_on_done on_done,
		 void *userdata);
/* Takes NULL; returns NULL. */
struct tapecopy *tapecopy_free(struct tapecopy *copy);
