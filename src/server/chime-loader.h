/* SPDX-License-Identifier: MIT
 * Loads a chime in a thread of its own: reading a disk and converting would
 * hold up the sound of other pages. The callback runs in the loop. */
#pragma once

#include <systemd/sd-event.h>

#include "audio/chime.h"

struct chime_loader;

/* RESULT is 0 or as from chime_load(); CHIME is borrowed, take a reference.
 * May free the loader. */
typedef void (*chime_loader_on_done)(void *userdata, int result,
				     struct chime *chime, const char *problem);

/* Takes over FD, also on error. 0 or negative errno. */
int chime_loader_new(struct chime_loader **ret, sd_event *event, int fd,
		     const struct wav_format *format,
		     chime_loader_on_done on_done, void *userdata);
/* Waits for the thread. Takes NULL; returns NULL. */
struct chime_loader *chime_loader_free(struct chime_loader *loader);
