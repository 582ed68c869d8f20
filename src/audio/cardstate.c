/* SPDX-License-Identifier: MIT
 * Follows the definition of a PCM through plug-ins that have the card for
 * themselves (plug, route ..) down to the kernel's device, and asks the card's
 * control interface about that: its answer counts who has it open, and wakes
 * nothing (SNDRV_CTL_IOCTL_PCM_INFO, sound/core/pcm.c). */
#include "audio/cardstate.h"

#include <alsa/asoundlib.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/util.h"

enum {
	DEPTH_MAX = 16, /* definitions may refer to each other in a circle */
	CARD_SIZE = 64,
};

struct hardware {
	enum pcm_direction direction;
	char card[CARD_SIZE]; /* an index or an identifier */
	unsigned device;
	int subdevice; /* -1: any */
};

static void unref_config(snd_config_t **config)
{
	if (*config)
		snd_config_unref(*config);
}

static void delete_config(snd_config_t **config)
{
	if (*config)
		snd_config_delete(*config);
}

static void close_control(snd_ctl_t **control)
{
	if (*control)
		snd_ctl_close(*control);
}

/* --- the definition --- */

/* The string KEY of CONFIG, or NULL. */
static const char *string_of(snd_config_t *config, const char *key)
{
	snd_config_t *item;
	const char *text;

	if (snd_config_search(config, key, &item) < 0 ||
	    snd_config_get_string(item, &text) < 0)
		return NULL;
	return text;
}

/* Reads KEY, a number or its digits, into *RET, which stays if it is missing.
 */
static void read_number(snd_config_t *config, const char *key, long *ret)
{
	snd_config_t *item;
	const char *text;

	if (snd_config_search(config, key, &item) < 0 ||
	    snd_config_get_integer(item, ret) == 0)
		return;
	if (snd_config_get_string(item, &text) == 0)
		*ret = strtol(text, NULL, 10);
}

static void read_hardware(snd_config_t *config, struct hardware *ret)
{
	const char *card = string_of(config, "card");
	long number = 0, device = 0, subdevice = -1;

	read_number(config, "card", &number);
	read_number(config, "device", &device);
	read_number(config, "subdevice", &subdevice);
	if (card)
		snprintf(ret->card, sizeof(ret->card), "%s", card);
	else
		snprintf(ret->card, sizeof(ret->card), "%ld", number);
	ret->device = (unsigned)device;
	ret->subdevice = (int)subdevice;
}

/* Those with one slave, which they open as they are opened themselves. */
static bool has_one_slave(const char *type)
{
	static const char *const types[] = {
	    "plug",  "linear", "float",	 "mulaw",   "alaw",	 "adpcm",
	    "rate",  "route",  "lfloat", "softvol", "copy",	 "empty",
	    "hooks", "meter",  "iec958", "asym",    "mmap_emul",
	};

	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (strcmp(type, types[i]) == 0)
			return true;
	return false;
}

/* ITEM is what plug-ins take for another definition: one in its place, or the
 * name of one among the CLASS ("pcm", "pcm_slave"). 0, and the caller deletes
 * *RET; or negative errno. */
static int definition_of(snd_config_t *root, const char *class,
			 snd_config_t *item, snd_config_t **ret)
{
	const char *name;

	if (snd_config_get_string(item, &name) == 0)
		return snd_config_search_definition(root, class, name, ret);
	return snd_config_expand(item, root, NULL, NULL, ret);
}

/* The definition of the PCM behind CONFIG. As definition_of(). */
static int slave_of(snd_config_t *root, snd_config_t *config,
		    enum pcm_direction direction, snd_config_t **ret)
{
	_cleanup_(delete_config) snd_config_t *slave = NULL;
	snd_config_t *item;
	int r;

	/* "asym" has two, and each is as another's slave. */
	r = snd_config_search(
	    config, direction == PCM_CAPTURE ? "capture" : "playback", &item);
	if (r < 0)
		r = snd_config_search(config, "slave", &item);
	if (r >= 0)
		r = definition_of(root, "pcm_slave", item, &slave);
	if (r >= 0)
		r = snd_config_search(slave, "pcm", &item);
	return r < 0 ? r : definition_of(root, "pcm", item, ret);
}

/* 0; -ENOTSUP when this is no hardware, or shared; or another negative errno,
 * with which opening would fail as well. */
static int follow(snd_config_t *root, const char *device, struct hardware *ret)
{
	_cleanup_(delete_config) snd_config_t *config = NULL;
	int r = snd_config_search_definition(root, "pcm", device, &config);

	for (int depth = 0; r >= 0 && depth < DEPTH_MAX; depth++) {
		snd_config_t *slave = NULL;
		const char *type = string_of(config, "type");

		if (type && strcmp(type, "hw") == 0) {
			read_hardware(config, ret);
			return 0;
		}
		if (!type || !has_one_slave(type))
			return -ENOTSUP;
		r = slave_of(root, config, ret->direction, &slave);
		if (r < 0)
			break;
		snd_config_delete(config);
		config = slave;
	}
	return r < 0 ? r : -ENOTSUP;
}

/* --- the card --- */

static enum cardstate ask(snd_ctl_t *control, const struct hardware *hardware)
{
	snd_pcm_info_t *info;
	int r;

	snd_pcm_info_alloca(&info);
	snd_pcm_info_set_device(info, hardware->device);
	snd_pcm_info_set_subdevice(
	    info, hardware->subdevice < 0 ? 0 : (unsigned)hardware->subdevice);
	snd_pcm_info_set_stream(info, hardware->direction == PCM_CAPTURE
					  ? SND_PCM_STREAM_CAPTURE
					  : SND_PCM_STREAM_PLAYBACK);
	r = snd_ctl_pcm_info(control, info);
	if (r == -ENXIO || r == -ENOENT || r == -ENODEV)
		return CARDSTATE_MISSING;
	if (r < 0)
		return CARDSTATE_UNKNOWN;
	return snd_pcm_info_get_subdevices_avail(info) > 0 ? CARDSTATE_READY
							   : CARDSTATE_BUSY;
}

static enum cardstate look_at(const struct hardware *hardware)
{
	_cleanup_(close_control) snd_ctl_t *control = NULL;
	int index = snd_card_get_index(hardware->card), r;
	char name[32];

	if (index < 0)
		return CARDSTATE_MISSING;
	snprintf(name, sizeof(name), "hw:%d", index);
	r = snd_ctl_open(&control, name, SND_CTL_NONBLOCK);
	if (r >= 0)
		return ask(control, hardware);
	return r == -ENODEV || r == -ENOENT || r == -ENXIO ? CARDSTATE_MISSING
							   : CARDSTATE_UNKNOWN;
}

enum cardstate cardstate_look(const char *device, enum pcm_direction direction)
{
	_cleanup_(unref_config) snd_config_t *root = NULL;
	struct hardware hardware = {.direction = direction};
	int r;

	pcm_silence_alsa();
	r = snd_config_update_ref(&root);
	if (r >= 0)
		r = follow(root, device, &hardware);
	if (r >= 0)
		return look_at(&hardware);
	return r == -ENOTSUP || r == -ENOMEM ? CARDSTATE_UNKNOWN
					     : CARDSTATE_MISSING;
}

void cardstate_warn(const char *device, enum pcm_direction direction)
{
	/* Only a name with a colon names a card. */
	if (!strchr(device, ':'))
		return;
	if (cardstate_look(device, direction) == CARDSTATE_MISSING)
		log_warning("There is no card '%s' now; %s", device,
			    pcm_remedy(direction, -ENODEV));
	/* What waits for a page needs no configuration of ALSA in memory. */
	snd_config_update_free_global();
}
