/* SPDX-License-Identifier: MIT
 * A card of the kernel's that the test commands, as far as its control
 * interface tells: a library for LD_PRELOAD. In the folder $VHW the file
 * "absent" says that it is gone, "busy" that somebody has it open. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Not asoundlib.h, which knows this struct by another name. */
#include <sound/asound.h>

static int is(const char *name)
{
	const char *folder = getenv("VHW");
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s", folder ? folder : "", name);
	return access(path, F_OK) == 0;
}

int snd_card_get_index(const char *name);
int snd_card_get_index(const char *name)
{
	(void)name;
	return is("absent") ? -ENODEV : 0;
}

int snd_ctl_open(void **ret, const char *name, int mode);
int snd_ctl_open(void **ret, const char *name, int mode)
{
	static int control;

	(void)name;
	(void)mode;
	*ret = &control;
	return 0;
}

int snd_ctl_close(void *control);
int snd_ctl_close(void *control)
{
	(void)control;
	return 0;
}

int snd_ctl_pcm_info(void *control, struct snd_pcm_info *info);
int snd_ctl_pcm_info(void *control, struct snd_pcm_info *info)
{
	(void)control;
	info->subdevices_count = 1;
	info->subdevices_avail = is("busy") ? 0 : 1;
	return 0;
}
