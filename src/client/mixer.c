/* SPDX-License-Identifier: MIT
 * A file holds the old volume and stays locked until it is restored. A file
 * that can be locked was left by a crash, or by a volume that could not be
 * restored. */
#include "client/mixer.h"

#include <alsa/asoundlib.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "audio/pcm.h"
#include "base/io.h"
#include "base/log.h"
#include "base/statedir.h"
#include "base/util.h"

#define NOTE_PREFIX "volume-"
#define NOTE_MAGIC "alsa-intercom volume 2\n"

enum { NAME_SIZE = 128, CHANNELS = SND_MIXER_SCHN_LAST + 1 };

/* The contents of the file. */
struct note {
	char magic[sizeof(NOTE_MAGIC)];
	char card[NAME_SIZE]; /* "hw:0", "default" */
	char element[NAME_SIZE];
	uint32_t index;
	uint32_t known; /* a bit for each channel */
	long volume[CHANNELS];
};

struct mixer {
	struct note note;
	char wished[NAME_SIZE]; /* name of the control; "" when any will do */
	int note_fd;		/* locked while the volume is changed, or -1 */
	char *note_path;
	int logged; /* result of the last mixer_set() */
};

/* --- the control --- */

static void close_handle(snd_mixer_t **handle)
{
	if (*handle)
		snd_mixer_close(*handle);
}

/* *HANDLE, NULL before, must be closed whatever this returns. */
static int open_handle(snd_mixer_t **handle, const char *card)
{
	int r;

	pcm_silence_alsa();
	r = snd_mixer_open(handle, 0);
	if (r >= 0)
		r = snd_mixer_attach(*handle, card);
	if (r >= 0)
		r = snd_mixer_selem_register(*handle, NULL, NULL);
	if (r >= 0)
		r = snd_mixer_load(*handle);
	return r;
}

static snd_mixer_elem_t *find_named(snd_mixer_t *handle, const char *name,
				    unsigned index)
{
	snd_mixer_selem_id_t *id;
	snd_mixer_elem_t *element;

	snd_mixer_selem_id_alloca(&id);
	snd_mixer_selem_id_set_name(id, name);
	snd_mixer_selem_id_set_index(id, index);
	element = snd_mixer_find_selem(handle, id);
	if (element && snd_mixer_selem_has_playback_volume(element))
		return element;
	return NULL;
}

static snd_mixer_elem_t *find_any(snd_mixer_t *handle)
{
	static const char *const names[] = {"Master", "PCM", "Speaker",
					    "Headphone"};
	snd_mixer_elem_t *element;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		element = find_named(handle, names[i], 0);
		if (element)
			return element;
	}
	for (element = snd_mixer_first_elem(handle); element;
	     element = snd_mixer_elem_next(element))
		if (snd_mixer_selem_has_playback_volume(element))
			return element;
	return NULL;
}

static void read_volumes(snd_mixer_elem_t *element, struct note *note)
{
	snprintf(note->element, sizeof(note->element), "%s",
		 snd_mixer_selem_get_name(element));
	note->index = snd_mixer_selem_get_index(element);
	note->known = 0;
	for (int i = 0; i < CHANNELS; i++)
		if (snd_mixer_selem_has_playback_channel(element, i) &&
		    snd_mixer_selem_get_playback_volume(element, i,
							&note->volume[i]) == 0)
			note->known |= UINT32_C(1) << i;
}

static int write_volumes(const struct note *note)
{
	_cleanup_(close_handle) snd_mixer_t *handle = NULL;
	snd_mixer_elem_t *element;
	int r = open_handle(&handle, note->card);

	if (r < 0)
		return r;
	element = find_named(handle, note->element, note->index);
	if (!element)
		return -ENOENT;
	for (int i = 0; i < CHANNELS && r >= 0; i++)
		if (note->known & UINT32_C(1) << i)
			r = snd_mixer_selem_set_playback_volume(
			    element, i, note->volume[i]);
	return r;
}

/* --- the note --- */

static char *note_path(const struct note *note)
{
	_cleanup_free_ char *directory = state_directory();
	char name[2 * NAME_SIZE + 16], *path;

	if (!directory || make_directories(directory) < 0)
		return NULL;
	snprintf(name, sizeof(name), "%s-%s-%u", note->card, note->element,
		 note->index);
	for (char *c = name; *c; c++)
		if (!isalnum((unsigned char)*c))
			*c = '-';
	if (asprintf(&path, "%s/" NOTE_PREFIX "%s", directory, name) < 0)
		return NULL;
	return path;
}

static int write_note(int fd, const struct note *note)
{
	int r = ftruncate(fd, 0) < 0 ? -errno : 0;

	if (r == 0)
		r = pwrite_all(fd, note, sizeof(*note), 0);
	if (r < 0)
		return r;
	/* The note is for a crash, which may be that of the machine. */
	return fdatasync(fd) < 0 ? -errno : 0;
}

/* Whether the file has a note that was written to its end. */
static bool read_note(int fd, struct note *ret)
{
	if (pread_all(fd, ret, sizeof(*ret), 0) != (ssize_t)sizeof(*ret) ||
	    memcmp(ret->magic, NOTE_MAGIC, sizeof(ret->magic)) != 0)
		return false;
	ret->card[NAME_SIZE - 1] = ret->element[NAME_SIZE - 1] = '\0';
	return true;
}

/* Opens and locks PATH. Returns a descriptor, or negative errno: -EWOULDBLOCK
 * while another client holds the lock. */
static int open_note(const char *path, int flags)
{
	for (;;) {
		_cleanup_close_ int fd =
		    open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | flags, 0600);
		struct stat st;

		if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0 ||
		    fstat(fd, &st) < 0)
			return -errno;
		/* Else another client removed it between open and flock. */
		if (st.st_nlink > 0)
			return TAKE_FD(fd);
	}
}

static void restore_file(const char *path)
{
	_cleanup_close_ int fd = open_note(path, 0);
	struct note note;
	int r;

	if (fd < 0)
		return;
	/* An incomplete note means that the volume was not touched yet. */
	if (read_note(fd, &note)) {
		r = write_volumes(&note);
		if (r < 0) {
			log_warning("Cannot restore the volume of '%s' on "
				    "'%s': %s",
				    note.element, note.card, snd_strerror(r));
			return;
		}
		log_notice("Restored the volume of '%s' on '%s', which a "
			   "client had left changed",
			   note.element, note.card);
	}
	unlink(path);
}

void mixer_restore_left_over(void)
{
	_cleanup_free_ char *directory = state_directory();
	const struct dirent *entry;
	DIR *dir = directory ? opendir(directory) : NULL;

	if (!dir)
		return;
	while ((entry = readdir(dir))) {
		char *path;

		if (strncmp(entry->d_name, NOTE_PREFIX, strlen(NOTE_PREFIX)) !=
			0 ||
		    asprintf(&path, "%s/%s", directory, entry->d_name) < 0)
			continue;
		restore_file(path);
		free(path);
	}
	closedir(dir);
}

/* --- a page --- */

/* "plughw:CARD=PCH,DEV=0" is on card "hw:PCH", "default" on "default". */
static void card_of_device(const char *device, char card[NAME_SIZE])
{
	const char *arguments = strchr(device, ':');
	const char *named;

	if (!arguments) {
		snprintf(card, NAME_SIZE, "default");
		return;
	}
	arguments++;
	named = strstr(arguments, "CARD=");
	if (named)
		arguments = named + strlen("CARD=");
	snprintf(card, NAME_SIZE, "hw:%.*s", (int)strcspn(arguments, ","),
		 arguments);
}

int mixer_new(struct mixer **ret, const char *device, const char *element)
{
	struct mixer *mixer = calloc(1, sizeof(*mixer));

	if (!mixer)
		return -ENOMEM;
	memcpy(mixer->note.magic, NOTE_MAGIC, sizeof(NOTE_MAGIC));
	card_of_device(device, mixer->note.card);
	snprintf(mixer->wished, sizeof(mixer->wished), "%s",
		 element ? element : "");
	mixer->note_fd = -1;
	*ret = mixer;
	return 0;
}

static void forget_note(struct mixer *mixer)
{
	mixer->note_fd = fd_close(mixer->note_fd);
	free(TAKE_PTR(mixer->note_path));
}

static int note_volume(struct mixer *mixer)
{
	int r;

	mixer->note_path = note_path(&mixer->note);
	if (!mixer->note_path)
		return -ENOENT;
	mixer->note_fd = open_note(mixer->note_path, O_CREAT);
	if (mixer->note_fd < 0)
		return mixer->note_fd;
	r = write_note(mixer->note_fd, &mixer->note);
	if (r < 0)
		unlink(mixer->note_path);
	return r;
}

static int set_percent(snd_mixer_elem_t *element, unsigned percent)
{
	long min, max;
	int r = snd_mixer_selem_get_playback_volume_range(element, &min, &max);

	if (r < 0)
		return r;
	return snd_mixer_selem_set_playback_volume_all(
	    element, min + ((max - min) * (long)percent + 50) / 100);
}

static int try_set(struct mixer *mixer, unsigned percent, const char **ret_step)
{
	_cleanup_(close_handle) snd_mixer_t *handle = NULL;
	snd_mixer_elem_t *element;
	int r;

	*ret_step = "open the mixer";
	r = open_handle(&handle, mixer->note.card);
	if (r < 0)
		return r;
	*ret_step = "find a playback volume (amixer lists them)";
	element = *mixer->wished ? find_named(handle, mixer->wished, 0)
				 : find_any(handle);
	if (!element)
		return -ENOENT;
	read_volumes(element, &mixer->note);
	*ret_step = "note the old volume";
	r = note_volume(mixer);
	if (r < 0)
		return r;
	*ret_step = "set the volume";
	r = set_percent(element, percent);
	if (r < 0)
		unlink(mixer->note_path);
	return r;
}

void mixer_set(struct mixer *mixer, unsigned percent)
{
	const char *step;
	int r;

	if (mixer->note_fd >= 0)
		return;
	/* A crashed client may have left its own volume set: undo that first,
	 * or it would be noted as the old one. */
	mixer_restore_left_over();
	r = try_set(mixer, percent, &step);
	if (r < 0) {
		forget_note(mixer);
		if (r != mixer->logged)
			log_warning("Cannot %s of '%s': %s; the page plays "
				    "at the present volume",
				    step, mixer->note.card, snd_strerror(r));
	}
	mixer->logged = r;
}

void mixer_restore(struct mixer *mixer)
{
	int r;

	if (mixer->note_fd < 0)
		return;
	r = write_volumes(&mixer->note);
	/* If the card is gone, the note stays for the next restore. */
	if (r < 0)
		log_warning("Cannot restore the volume of '%s': %s",
			    mixer->note.element, snd_strerror(r));
	else
		unlink(mixer->note_path);
	forget_note(mixer);
}

struct mixer *mixer_free(struct mixer *mixer)
{
	if (!mixer)
		return NULL;
	mixer_restore(mixer);
	forget_note(mixer);
	free(mixer);
	return NULL;
}
