/* SPDX-License-Identifier: MIT
 * A page, from the request to the last client: a source that is prepared, the
 * tape that it fills, the zones that hear it. Runs in the loop. Which zones it
 * gets, and when it may begin, is decided by its owner. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <systemd/sd-event.h>

#include "audio/microphone.h"
#include "server/archive.h"
#include "server/connection.h"
#include "server/tape.h"
#include "server/zone.h"

enum page_mode {
	PAGE_LIVE,  /* each chunk is sent as it is captured */
	PAGE_STORE, /* the page is recorded whole, then sent */
};

/* What is common to all pages. Strings must outlive them. */
struct page_config {
	struct microphone_config microphone; /* period_frames must not be 0 */
	enum page_mode mode;
	double max_lag_seconds;
	struct archive_config archive; /* with dir NULL: none is kept */
};

/* What somebody wants to be paged. */
enum page_when_busy { PAGE_REFUSE, PAGE_QUEUE };
struct page_request {
	uint64_t zones; /* a bit for each zone; 0: all */
	int priority;
	enum page_when_busy when_busy;
	double seconds; /* microphone: duration, 0 without end */
	int chime_fd;	/* microphone: a WAV file, or -1 */
	int file_fd;	/* a WAV file to play, or -1 for the microphone */
};

enum page_state {
	PAGE_PREPARING, /* its file or chime is read; it holds nothing yet */
	PAGE_QUEUED,	/* prepared; waits for zones or the microphone */
	PAGE_OPENING,	/* has its zones; the microphone is being opened */
	PAGE_CHIME,	/* the chime goes out, the microphone is open */
	PAGE_SPEECH,	/* on the air; in store mode: being recorded */
	PAGE_SENDING,	/* complete; slow clients still take it */
	PAGE_DONE,
};
const char *page_state_name(enum page_state state);

/* Why a page has ended. */
enum page_end {
	PAGE_COMPLETE,	/* its time was up, or its file at the end */
	PAGE_STOPPED,	/* somebody stopped it */
	PAGE_PREEMPTED, /* a page of higher priority */
	PAGE_BUSY,	/* when it was prepared its zones were taken */
	PAGE_NO_DEVICE, /* the microphone could not be opened */
	PAGE_NOT_AUDIO, /* the file, or the chime, is no WAV file */
	PAGE_FAILED,	/* the microphone, file or memory gave out */
};
/* "complete", "stopped" .. */
const char *page_end_name(enum page_end end);

/* What everybody may know of a page. */
struct page_info {
	uint32_t id; /* from 1 on */
	enum page_state state;
	bool is_file;
	int priority;
	uint64_t zones;	   /* asked for */
	enum page_end end; /* from SENDING on */
	char reason[160];  /* why it failed, for a person; or "" */
	/* Once the source is open; before that the rate is 0. */
	struct wav_format format;
	uint64_t frames;	 /* that are due by now: page_due_frames() */
	uint64_t planned_frames; /* in all, or WAV_ENDLESS */
	uint64_t chime_frames;	 /* of these, the chime */
	uint64_t overruns;
	uint64_t overrun_frames; /* replaced by silence */
	uint32_t clients;	 /* that receive it now */
	uint32_t reached;	 /* got it to its end */
	uint32_t lost;		 /* broke, left or were dropped */
	uint64_t skips;		 /* jumps of clients that lagged */
};

struct page;

struct page_callbacks {
	/* It entered a state. */
	void (*on_state)(void *userdata, struct page *page);
	/* The microphone is in use by somebody: page_begin() tries again. */
	void (*on_busy)(void *userdata, struct page *page);
	/* It is prepared, or something may be freed or granted to others. */
	void (*on_settle)(void *userdata);
};

struct page {
	TAILQ_ENTRY(page) entry; /* the owner's list */
	struct page_info info;
	const struct page_config *config;
	struct zone *const *zones; /* the owner's; NULL at the end */
	enum page_when_busy when_busy;
	bool prepared;	       /* and waits for page_begin() */
	char busy_reason[160]; /* the microphone was found busy, or "" */
	uint64_t held;	       /* zones in which it is on the air */
	double seconds;
	struct source *source; /* NULL when its device or file is closed */
	sd_event_source *io;
	struct tape *tape; /* NULL until the source is open */
	struct archive_writer *archive;
	uint64_t deadline_usec; /* of SENDING */
	uint64_t planned_size;	/* bytes with the chime; WAV_ENDLESS */
	uint64_t skips;		/* of clients that are gone */
	uint64_t chunk_usec;
	unsigned slow_turns; /* in a row */
	bool told_slow;
	double peak;
	uint8_t *buffer; /* a message's samples, as they come */
	size_t have;	 /* bytes in buffer: less than a frame between calls */
	uint32_t expected; /* bytes of the message still to be read */
	const struct page_callbacks *callbacks;
	void *userdata;
};

/* Begins to prepare the page that REQUEST asks for; all its zones are known.
 * Takes over its descriptors, also on error. CONFIG, ZONES and CALLBACKS must
 * outlive it. 0 or negative errno. */
int page_new(struct page **ret, uint32_t id, sd_event *event,
	     const struct page_config *config, struct zone *const *zones,
	     const struct page_request *request,
	     const struct page_callbacks *callbacks, void *userdata);
/* Waits for the source's thread, 0.1 s at most when it was not released. Not
 * from within a callback. Takes NULL; returns NULL. */
struct page *page_free(struct page *page);

/* The page is prepared, and has its zones now. */
void page_begin(struct page *page);
/* Prepared, but it has to wait. */
void page_wait(struct page *page);
/* Ends it, since it does not wait for zones or a microphone that is busy. */
void page_refuse(struct page *page);
/* Takes these zones from it, for a page of higher priority. */
void page_lose(struct page *page, uint64_t zones);
/* Ends the page for this reason. Nothing when it has ended already. */
void page_stop(struct page *page, enum page_end end);

/* Attaches the clients that wait in zone Z to a live page, at what is due. */
void page_join(struct page *page, unsigned z);
/* A client's page is over. */
void page_count_end(struct page *page, enum connection_end end,
		    const struct connection *connection);
/* About once a second: the archive, memory, and who is too slow. */
void page_tick(struct page *page, uint64_t now_usec);

/* Whether the device or file is closed, all is sent and all is written. */
bool page_is_over(struct page *page);
/* Whether it has, or will have, the microphone open. */
bool page_has_microphone(const struct page *page);
/* How many frames of it should have been heard by now, but for latency: what
 * progress, the archive and late joiners go by. */
uint64_t page_due_frames(const struct page *page);
/* Its info, brought up to date. */
const struct page_info *page_info(struct page *page);

/* Frames of a page of SECONDS: whole chunks only, as the Python scripts did
 * it: floor(rate / chunk * seconds) * chunk. */
uint64_t page_frames(uint32_t rate, uint32_t chunk_frames, double seconds);
