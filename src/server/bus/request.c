/* SPDX-License-Identifier: MIT
 * The signature of Talk is "asda{sv}", that of Play "asha{sv}". */
#include "server/bus/request.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>

#include "audio/gain.h"
#include "base/util.h"
#include "bus/names.h"

/* A message closes its own descriptors when it is freed. */
static int keep_fd(int fd)
{
	int kept = fcntl(fd, F_DUPFD_CLOEXEC, 3);

	return kept < 0 ? -errno : kept;
}

static int read_zones(sd_bus_message *m, const struct server *server,
		      uint64_t *ret, sd_bus_error *error)
{
	uint64_t zones = 0;
	const char *name;
	int r = sd_bus_message_enter_container(m, 'a', "s");

	if (r < 0)
		return r;
	while ((r = sd_bus_message_read(m, "s", &name)) > 0) {
		int z = server_find_zone(server, name);

		if (z < 0)
			return sd_bus_error_setf(
			    error, BUS_ERROR_UNKNOWN_ZONE,
			    "There is no zone '%s'; "
			    "'intercomctl zones' lists them",
			    name);
		zones |= UINT64_C(1) << z;
	}
	if (r < 0)
		return r;
	*ret = zones;
	return sd_bus_message_exit_container(m);
}

static int read_seconds(sd_bus_message *m, const struct server *server,
			double *ret, sd_bus_error *error)
{
	const struct microphone_config *microphone =
	    &server_config(server)->page.microphone;
	double seconds;
	int r = sd_bus_message_read(m, "d", &seconds);

	if (r < 0)
		return r;
	if (!isfinite(seconds) || seconds > BUS_SECONDS_MAX)
		return sd_bus_error_setf(
		    error, SD_BUS_ERROR_INVALID_ARGS,
		    "%g seconds: 0 (no end) to %.0f is accepted, or a negative "
		    "number for the server's default",
		    seconds, BUS_SECONDS_MAX);
	if (seconds > 0 && page_frames(microphone->format.rate,
				       microphone->period_frames, seconds) == 0)
		return sd_bus_error_setf(
		    error, SD_BUS_ERROR_INVALID_ARGS,
		    "%g seconds: shorter than one chunk of %u frames", seconds,
		    microphone->period_frames);
	*ret = seconds < 0 ? server_config(server)->seconds : seconds;
	return 0;
}

static int read_file(sd_bus_message *m, int *ret_fd)
{
	int fd, r = sd_bus_message_read(m, "h", &fd);

	if (r < 0)
		return r;
	fd = keep_fd(fd);
	if (fd < 0)
		return fd;
	*ret_fd = fd;
	return 0;
}

static int refuse_type(sd_bus_error *error, const char *key, const char *wants)
{
	return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS,
				 "Option '%s' has to be %s", key, wants);
}

/* Takes three integer types, since some languages choose one themselves. */
static int read_priority(sd_bus_message *m, const char *type,
			 struct bus_request *request, sd_bus_error *error)
{
	int32_t value = -1;
	uint8_t byte;
	int r;

	if (strcmp(type, "y") == 0) {
		r = sd_bus_message_read(m, "y", &byte);
		value = byte;
	} else if (strcmp(type, "i") == 0 || strcmp(type, "u") == 0) {
		r = sd_bus_message_read(m, type, &value);
	} else {
		return refuse_type(error, "priority", "of type i, u or y");
	}
	if (r < 0)
		return r;
	if (value < BUS_PRIORITY_MIN || value > BUS_PRIORITY_MAX)
		return refuse_type(error, "priority",
				   "from 0 (routine) to 9 (emergency)");
	request->page.priority = value;
	return 0;
}

static int read_bool(sd_bus_message *m, const char *type, const char *key,
		     int *ret, sd_bus_error *error)
{
	if (strcmp(type, "b") != 0)
		return refuse_type(error, key, "of type b");
	return sd_bus_message_read(m, "b", ret);
}

static int read_queue(sd_bus_message *m, const char *type,
		      struct bus_request *request, sd_bus_error *error)
{
	int queue = 0, r = read_bool(m, type, "queue", &queue, error);

	request->page.when_busy = queue ? PAGE_QUEUE : PAGE_REFUSE;
	return r;
}

static int read_keep(sd_bus_message *m, const char *type,
		     struct bus_request *request, sd_bus_error *error)
{
	int keep = 0, r = read_bool(m, type, "keep", &keep, error);

	if (keep)
		request->orphan = BUS_REQUEST_KEEP;
	return r;
}

static int read_chime(sd_bus_message *m, const char *type,
		      struct bus_request *request, sd_bus_error *error)
{
	if (strcmp(type, "h") != 0)
		return refuse_type(error, "chime", "a file descriptor (h)");
	if (request->page.chime_fd >= 0)
		return refuse_type(error, "chime", "given once");
	return read_file(m, &request->page.chime_fd);
}

/* Takes an integer as well, since some languages choose the type themselves. */
static int read_gain(sd_bus_message *m, const char *type,
		     struct bus_request *request, sd_bus_error *error)
{
	double db = 0;
	int32_t whole = 0;
	int r;

	if (strcmp(type, "d") == 0) {
		r = sd_bus_message_read(m, "d", &db);
	} else if (strcmp(type, "i") == 0) {
		r = sd_bus_message_read(m, "i", &whole);
		db = whole;
	} else {
		return refuse_type(error, "gain", "of type d or i");
	}
	if (r < 0)
		return r;
	if (!(db >= GAIN_DB_MIN && db <= GAIN_DB_MAX))
		return refuse_type(error, "gain", "from -60 to 40 (dB)");
	request->page.gain_db = db;
	return 0;
}

/* Files to play after the first one. */
static int read_next(sd_bus_message *m, const char *type,
		     struct bus_request *request, sd_bus_error *error)
{
	struct page_request *page = &request->page;
	int fd, r;

	if (strcmp(type, "ah") != 0)
		return refuse_type(error, "next", "file descriptors (ah)");
	if (page->file_fd < 0)
		return refuse_type(error, "next",
				   "left out when the microphone is used");
	r = sd_bus_message_enter_container(m, 'a', "h");
	while (r >= 0 && (r = sd_bus_message_at_end(m, 0)) == 0) {
		if (page->next_count == ARRAY_SIZE(page->next_fds))
			return sd_bus_error_setf(
			    error, SD_BUS_ERROR_INVALID_ARGS,
			    "A page has at most %d files", BUS_FILES_MAX);
		r = read_file(m, &fd);
		if (r >= 0)
			page->next_fds[page->next_count++] = fd;
	}
	return r < 0 ? r : sd_bus_message_exit_container(m);
}

/* A regular file ends; a pipe may not. */
static bool is_regular(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

/* A pipe that somebody speaks into, or that a relay fills. */
static int read_kind(sd_bus_message *m, const char *type, const char *key,
		     enum filesource_kind kind, struct bus_request *request,
		     sd_bus_error *error)
{
	int given = 0, r = read_bool(m, type, key, &given, error);

	if (r < 0 || !given)
		return r;
	if (request->page.file_fd < 0)
		return refuse_type(error, key,
				   "left out when the microphone is used");
	if (request->page.file_kind != FILESOURCE_RECORDING)
		return sd_bus_error_setf(
		    error, SD_BUS_ERROR_INVALID_ARGS,
		    "Of the options 'live' and 'relayed' one is possible");
	if (is_regular(request->page.file_fd))
		return refuse_type(error, key,
				   "left out: this is a file, not a pipe");
	request->page.file_kind = kind;
	return r;
}

static int read_live(sd_bus_message *m, const char *type,
		     struct bus_request *request, sd_bus_error *error)
{
	return read_kind(m, type, "live", FILESOURCE_LIVE, request, error);
}

static int read_relayed(sd_bus_message *m, const char *type,
			struct bus_request *request, sd_bus_error *error)
{
	return read_kind(m, type, "relayed", FILESOURCE_RELAYED, request,
			 error);
}

static const struct {
	const char *key;
	int (*read)(sd_bus_message *m, const char *type,
		    struct bus_request *request, sd_bus_error *error);
} options[] = {
    {"priority", read_priority}, {"queue", read_queue}, {"chime", read_chime},
    {"next", read_next},	 {"keep", read_keep},	{"live", read_live},
    {"relayed", read_relayed},	 {"gain", read_gain},
};

/* Reads the variant of the option KEY, which comes next in the message. */
static int read_option(sd_bus_message *m, const char *key,
		       struct bus_request *request, sd_bus_error *error)
{
	const char *type;
	int r = sd_bus_message_peek_type(m, NULL, &type);

	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(options); i++) {
		if (strcmp(options[i].key, key) != 0)
			continue;
		r = sd_bus_message_enter_container(m, 'v', type);
		if (r >= 0)
			r = options[i].read(m, type, request, error);
		return r < 0 ? r : sd_bus_message_exit_container(m);
	}
	if (r < 0)
		return r;
	return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS,
				 "There is no option '%s'", key);
}

static int read_options(sd_bus_message *m, struct bus_request *request,
			sd_bus_error *error)
{
	int r = sd_bus_message_enter_container(m, 'a', "{sv}");

	if (r < 0)
		return r;
	while ((r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
		const char *key;

		r = sd_bus_message_read(m, "s", &key);
		if (r >= 0)
			r = read_option(m, key, request, error);
		if (r >= 0)
			r = sd_bus_message_exit_container(m);
		if (r < 0)
			return r;
	}
	return r < 0 ? r : sd_bus_message_exit_container(m);
}

static bool has_end(const struct page_request *page)
{
	bool has_end;

	if (page->file_fd < 0)
		return page->seconds > 0;
	has_end = is_regular(page->file_fd);
	for (unsigned i = 0; i < page->next_count; i++)
		has_end = has_end && is_regular(page->next_fds[i]);
	return has_end;
}

/* What is sent as it comes cannot wait for a sound before it. */
static int check_kind(const struct page_request *page, sd_bus_error *error)
{
	if (page->file_kind == FILESOURCE_RECORDING ||
	    (page->chime_fd < 0 && page->next_count == 0))
		return 0;
	return sd_bus_error_setf(
	    error, SD_BUS_ERROR_INVALID_ARGS,
	    "With the options 'live' and 'relayed' one pipe is played, without "
	    "a chime or other files");
}

static int read_all(struct bus_request *request, sd_bus_message *m,
		    enum bus_request_kind kind, const struct server *server,
		    sd_bus_error *error)
{
	int r = read_zones(m, server, &request->page.zones, error);

	if (r < 0)
		return r;
	if (kind == BUS_REQUEST_TALK)
		r = read_seconds(m, server, &request->page.seconds, error);
	else
		r = read_file(m, &request->page.file_fd);
	if (r >= 0)
		r = read_options(m, request, error);
	if (r < 0)
		return r;
	if (request->orphan != BUS_REQUEST_KEEP && !has_end(&request->page))
		request->orphan = BUS_REQUEST_STOP_ALWAYS;
	return check_kind(&request->page, error);
}

int bus_request_read(struct bus_request *ret, sd_bus_message *m,
		     enum bus_request_kind kind, const struct server *server,
		     sd_bus_error *error)
{
	struct bus_request request = {
	    .page = {.priority = BUS_PRIORITY_DEFAULT,
		     .chime_fd = -1,
		     .file_fd = -1},
	};
	int r = read_all(&request, m, kind, server, error);

	if (r < 0) {
		page_request_close(&request.page);
		return r;
	}
	*ret = request;
	return 0;
}
