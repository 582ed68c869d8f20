/* SPDX-License-Identifier: MIT
 * The mixer of a card without a card: an ALSA control plug-in with one stereo
 * "Master Playback Volume" of 0 to 200, kept in a text file. */
#include <alsa/asoundlib.h>
#include <alsa/control_external.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* In asound.conf:
 *	ctl_type.vctl { lib "/path/to/vctl.so" }
 *	ctl.!default { type vctl file "/path/to/volume" }
 * The file holds "LEFT RIGHT"; without it the card is missing. */
enum { VOLUME_MAX = 200, CHANNELS = 2, KEY = 1 };

#define ELEMENT "Master Playback Volume"

struct vctl {
	snd_ctl_ext_t ext;
	char *path;
};

static void vctl_close(snd_ctl_ext_t *ext)
{
	struct vctl *vctl = ext->private_data;

	free(vctl->path);
	free(vctl);
}

static int vctl_elem_count(snd_ctl_ext_t *ext)
{
	return 1;
}

static int vctl_elem_list(snd_ctl_ext_t *ext, unsigned int offset,
			  snd_ctl_elem_id_t *id)
{
	snd_ctl_elem_id_set_interface(id, SND_CTL_ELEM_IFACE_MIXER);
	snd_ctl_elem_id_set_name(id, ELEMENT);
	return 0;
}

static snd_ctl_ext_key_t vctl_find_elem(snd_ctl_ext_t *ext,
					const snd_ctl_elem_id_t *id)
{
	return strcmp(snd_ctl_elem_id_get_name(id), ELEMENT) == 0
		   ? KEY
		   : SND_CTL_EXT_KEY_NOT_FOUND;
}

static int vctl_get_attribute(snd_ctl_ext_t *ext, snd_ctl_ext_key_t key,
			      int *type, unsigned int *acc, unsigned int *count)
{
	*type = SND_CTL_ELEM_TYPE_INTEGER;
	*acc = SND_CTL_EXT_ACCESS_READWRITE;
	*count = CHANNELS;
	return 0;
}

static int vctl_get_integer_info(snd_ctl_ext_t *ext, snd_ctl_ext_key_t key,
				 long *min, long *max, long *step)
{
	*min = 0;
	*max = VOLUME_MAX;
	*step = 1;
	return 0;
}

static int vctl_read_integer(snd_ctl_ext_t *ext, snd_ctl_ext_key_t key,
			     long *value)
{
	const struct vctl *vctl = ext->private_data;
	FILE *f = fopen(vctl->path, "re");
	int count;

	if (!f)
		return -ENODEV;
	count = fscanf(f, "%ld %ld", &value[0], &value[1]);
	fclose(f);
	return count == CHANNELS ? 0 : -EIO;
}

static int vctl_write_integer(snd_ctl_ext_t *ext, snd_ctl_ext_key_t key,
			      long *value)
{
	const struct vctl *vctl = ext->private_data;
	FILE *f;
	int count;

	if (access(vctl->path, F_OK) < 0)
		return -ENODEV;
	f = fopen(vctl->path, "we");
	if (!f)
		return -errno;
	count = fprintf(f, "%ld %ld\n", value[0], value[1]);
	return fclose(f) == 0 && count > 0 ? 1 : -EIO;
}

static int vctl_read_event(snd_ctl_ext_t *ext, snd_ctl_elem_id_t *id,
			   unsigned int *event_mask)
{
	return -EAGAIN;
}

static const snd_ctl_ext_callback_t callbacks = {
    .close = vctl_close,
    .elem_count = vctl_elem_count,
    .elem_list = vctl_elem_list,
    .find_elem = vctl_find_elem,
    .get_attribute = vctl_get_attribute,
    .get_integer_info = vctl_get_integer_info,
    .read_integer = vctl_read_integer,
    .write_integer = vctl_write_integer,
    .read_event = vctl_read_event,
};

static int vctl_open(snd_ctl_t **handlep, const char *name, const char *path,
		     int mode)
{
	struct vctl *vctl = calloc(1, sizeof(*vctl));
	int r;

	if (!vctl)
		return -ENOMEM;
	vctl->path = strdup(path);
	if (!vctl->path || access(path, F_OK) < 0) {
		r = vctl->path ? -ENODEV : -ENOMEM;
		free(vctl->path);
		free(vctl);
		return r;
	}
	vctl->ext.version = SND_CTL_EXT_VERSION;
	vctl->ext.card_idx = 0;
	strcpy(vctl->ext.id, "vctl");
	strcpy(vctl->ext.driver, "vctl");
	strcpy(vctl->ext.name, "Virtual mixer");
	strcpy(vctl->ext.mixername, "Virtual mixer");
	vctl->ext.poll_fd = -1;
	vctl->ext.callback = &callbacks;
	vctl->ext.private_data = vctl;
	r = snd_ctl_ext_create(&vctl->ext, name, mode);
	if (r < 0) {
		free(vctl->path);
		free(vctl);
		return r;
	}
	*handlep = vctl->ext.handle;
	return 0;
}

SND_CTL_PLUGIN_DEFINE_FUNC(vctl)
{
	snd_config_iterator_t i, next;
	const char *path = NULL;

	snd_config_for_each(i, next, conf)
	{
		snd_config_t *n = snd_config_iterator_entry(i);
		const char *id;

		if (snd_config_get_id(n, &id) < 0 || strcmp(id, "file") != 0)
			continue;
		if (snd_config_get_string(n, &path) < 0)
			return -EINVAL;
	}
	return path ? vctl_open(handlep, name, path, mode) : -EINVAL;
}

SND_CTL_PLUGIN_SYMBOL(vctl);
