/* SPDX-License-Identifier: MIT
 * The kernel copies from one memfd to the other, a piece in each turn. */
#include "server/tapecopy.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>

#include "base/io.h"
#include "base/util.h"

enum {
	PIECE_SIZE = 256 << 10,
	SEALS = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL,
};

struct tapecopy {
	int from_fd, to_fd;
	off_t offset;  /* of the next piece */
	uint64_t left; /* bytes */
	sd_event_source *step;
	tapecopy_on_done on_done;
	void *userdata;
};

static int copy_piece(struct tapecopy *copy)
{
	size_t wish = copy->left < PIECE_SIZE ? (size_t)copy->left : PIECE_SIZE;
	ssize_t n = sendfile(copy->to_fd, copy->from_fd, &copy->offset, wish);

	if (n < 0)
		return errno == EINTR || errno == EAGAIN ? 0 : -errno;
	if (n == 0)
		return -EIO;
	copy->left -= (uint64_t)n;
	return 0;
}

static int finish(const struct tapecopy *copy)
{
	if (fcntl(copy->to_fd, F_ADD_SEALS, SEALS) < 0 ||
	    lseek(copy->to_fd, 0, SEEK_SET) < 0)
		return -errno;
	return copy->to_fd;
}

static int on_step(sd_event_source *source, void *userdata)
{
	struct tapecopy *copy = userdata;
	int r = 0;

	if (copy->left > 0)
		r = copy_piece(copy);
	if (r == 0 && copy->left > 0)
		return 0;
	(void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
	copy->on_done(copy->userdata, r < 0 ? r : finish(copy));
	return 0;
}

static int write_header(const struct tapecopy *copy,
			const struct wav_format *format)
{
	uint8_t header[WAV_HEADER_SIZE_MAX];
	size_t size = wav_encode(header, format, copy->left, NULL);

	return write_all(copy->to_fd, header, size);
}

static int open_both(struct tapecopy *copy, const struct tape *tape)
{
	size_t frame_size = wav_frame_size(&tape->format);
	uint64_t first = tape->first, size = tape_page_size(tape);

	/* tape_forget() cuts at a megabyte, not at a frame. */
	first += (frame_size - first % frame_size) % frame_size;
	if (first >= size)
		return -ENODATA;
	copy->offset = (off_t)first;
	copy->left = size - first;
	copy->from_fd = tape_dup(tape);
	if (copy->from_fd < 0)
		return copy->from_fd;
	copy->to_fd =
	    memfd_create("intercom-page", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	return copy->to_fd < 0 ? -errno : 0;
}

static int begin(struct tapecopy *copy, sd_event *event,
		 const struct tape *tape)
{
	int r = open_both(copy, tape);

	if (r == 0)
		r = write_header(copy, &tape->format);
	if (r == 0)
		r = sd_event_add_defer(event, &copy->step, on_step, copy);
	if (r >= 0)
		r = sd_event_source_set_priority(copy->step,
						 SD_EVENT_PRIORITY_IDLE);
	return r < 0 ? r : sd_event_source_set_enabled(copy->step, SD_EVENT_ON);
}

int tapecopy_new(struct tapecopy **ret, sd_event *event,
		 const struct tape *tape, tapecopy_on_done on_done,
		 void *userdata)
{
	struct tapecopy *copy = calloc(1, sizeof(*copy));
	int r;

	if (!copy)
		return -ENOMEM;
	copy->from_fd = copy->to_fd = -1;
	copy->on_done = on_done;
	copy->userdata = userdata;
	r = begin(copy, event, tape);
	if (r < 0) {
		tapecopy_free(copy);
		return r;
	}
	*ret = copy;
	return 0;
}

struct tapecopy *tapecopy_free(struct tapecopy *copy)
{
	if (!copy)
		return NULL;
	sd_event_source_disable_unref(copy->step);
	fd_close(copy->from_fd);
	fd_close(copy->to_fd);
	free(copy);
	return NULL;
}
