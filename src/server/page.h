/* SPDX-License-Identifier: MIT
 * A page, from the request to its last client: owns the source and the tape
 * that the source fills, and has the zones send it. Runs in the loop. The owner
 * decides when the page may begin and which zones it loses. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <systemd/sd-event.h>

#include "audio/filesource.h"
#include "audio/microphone.h"
#include "bus/names.h"
#include "server/archive.h"
#include "server/audience.h"
#include "server/connection.h"
#include "server/ledger.h"
#include "server/played.h"
#include "server/schedule.h"
#include "server/tape.h"

enum page_mode {
	PAGE_LIVE,  /* each chunk is sent as it is captured */
	PAGE_STORE, /* what is spoken is recorded whole, then sent */
};

/* Common to all pages. The strings must outlive them. */
struct page_config {
	struct microphone_config microphone; /* period_frames is not 0 */
	enum page_mode mode;
	double max_lag_seconds;
	double ahead_seconds; /* that a played page is sent before it is due */
	double sync_ms;	      /* from capture to sound; 0: no schedule */
	struct archive_config archive;
	struct recorder *recorder; /* of the archive; NULL: none */
	struct tape_shelf *shelf;  /* of all pages' tapes; NULL: no bound */
};

/* What a caller asks for. */
enum page_when_busy { PAGE_REFUSE, PAGE_QUEUE };
struct page_request {
	uint64_t zones; /* a bit for each zone; 0: all, for server_page() */
	int priority;
	enum page_when_busy when_busy;
	double seconds; /* of the microphone; 0: until it is stopped */
	int chime_fd;	/* a WAV file before the microphone or file, or -1 */
	int file_fd;	/* a WAV file to play; -1: the microphone */
	int next_fds[BUS_FILES_MAX - 1]; /* to play after it */
	unsigned next_count;
	enum filesource_kind file_kind;
	double gain_db; /* not of the chime */
};
/* Closes its descriptors. */
void page_request_close(const struct page_request *request);

enum page_state {
	PAGE_PREPARING, /* reads a file's header, a pipe's first sound or a
			   chime; holds nothing */
	PAGE_QUEUED,	/* prepared; waits for its zones or the microphone */
	PAGE_OPENING,	/* granted its zones; its source is being opened */
	PAGE_CHIME,	/* its source is open; the chime, if any, goes out */
	PAGE_SPEECH,	/* on the air, or in store mode: being recorded */
	PAGE_SENDING,	/* has ended; its clients still take the rest */
	PAGE_DONE,
};
const char *page_state_name(enum page_state state);

/* Why a page ended. */
enum page_end {
	PAGE_COMPLETE,	/* its time was up, or its file was played */
	PAGE_STOPPED,	/* somebody stopped it */
	PAGE_PREEMPTED, /* a page of higher priority took its place */
	PAGE_BUSY,	/* its zones were taken while it was prepared */
	PAGE_NO_DEVICE, /* the microphone could not be opened */
	PAGE_NOT_AUDIO, /* the file, or the chime, is no WAV file */
	PAGE_FAILED,	/* the microphone, the file or memory failed */
};
/* "complete", "stopped" and so on. */
const char *page_end_name(enum page_end end);

/* The public state of a page. */
struct page_info {
	uint32_t id; /* from 1 on */
	enum page_state state;
	bool is_file;
	int priority;
	uint64_t zones;	   /* as requested, a bit each */
	enum page_end end; /* from SENDING on */
	char
	    reason[SOURCE_REASON_SIZE]; /* why it failed, for a person, or "" */
	/* Valid once the source is open; until then the rate is 0. */
	struct wav_format format;
	uint64_t frames;	 /* due by now: page_due_frames() */
	uint64_t planned_frames; /* in all, or WAV_ENDLESS */
	uint64_t chime_frames;	 /* the first of them */
	uint64_t overruns;
	uint64_t overrun_frames; /* lost by these */
	uint32_t clients;	 /* receive it now */
	uint32_t reached;	 /* got it to its end */
	uint32_t lost;		 /* broke, left or were dropped */
	uint64_t skips;		 /* jumps of clients that lagged */
};

struct page;

struct page_callbacks {
	/* PAGE entered a state. */
	void (*on_state)(void *userdata, struct page *page);
	/* The microphone is in use; page_begin() tries again. */
	void (*on_busy)(void *userdata, struct page *page);
	/* The owner is to arbitrate and to free what is over, soon, but not
	 * from within this callback. */
	void (*on_settle)(void *userdata);
};

struct page {
	TAILQ_ENTRY(page) entry; /* of the owner's list */
	struct page_info info;
	const struct page_config *config;
	struct audience audience;
	enum page_when_busy when_busy;
	bool prepared;			      /* waits for page_begin() */
	bool begun;			      /* page_begin() was called */
	char busy_reason[SOURCE_REASON_SIZE]; /* why the microphone was busy, or
						 "" */
	double seconds;
	struct source *source; /* NULL once its device or file is closed */
	sd_event_source *io;
	struct ledger *ledger;	     /* of its clients; the owner's */
	struct tape *tape;	     /* NULL until the source is open */
	struct recording *recording; /* or NULL */
	uint64_t deadline_usec;	     /* when SENDING drops slow clients */
	uint64_t planned_size;	     /* bytes, chime included; or WAV_ENDLESS */
	struct schedule schedule;
	enum filesource_kind file_kind;
	struct played played;
	uint64_t skips; /* of clients that have ended */
	unsigned owed;	/* receipts that may still come */
	uint64_t chunk_usec;
	unsigned slow_turns; /* in a row */
	bool told_slow;
	uint64_t looked; /* bytes that page_take_peak() has seen */
	uint8_t *buffer; /* samples of a message, as they arrive */
	size_t have;	 /* bytes in buffer: between calls, less than a frame */
	uint32_t expected; /* bytes of the message that are still to be read */
	const struct page_callbacks *callbacks;
	void *userdata;
};

/* Begins to prepare the page that REQUEST asks for, in zones that exist. Takes
 * over its descriptors, also on error. CONFIG, ZONES, CALLBACKS and LEDGER,
 * which has its id, must outlive the page. 0 or negative errno. */
int page_new(struct page **ret, struct ledger *ledger, sd_event *event,
	     const struct page_config *config, struct zone *const *zones,
	     const struct page_request *request,
	     const struct page_callbacks *callbacks, void *userdata);
/* Waits for the source's thread, as source_free() does: not at all once
 * page_is_over(). Not from within a callback. Takes NULL; returns NULL. */
struct page *page_free(struct page *page);

/* Grants the zones to a page that is prepared, and opens its source. */
void page_begin(struct page *page);
/* Tells a page that is prepared to wait. */
void page_wait(struct page *page);
/* Ends a page that must not wait for busy zones or a busy microphone. */
void page_refuse(struct page *page);
/* Takes ZONES for a page of higher priority. A page that has none left ends. */
void page_lose(struct page *page, uint64_t zones);
/* Ends the page, and says why. No effect on a page that has ended. */
void page_stop(struct page *page, enum page_end end);

/* Attaches the clients that wait in zone Z to a live or played page, at the
 * frame that is due, but not to the last second of a played one. They get a
 * stored page when it ends. */
void page_join(struct page *page, unsigned z);
/* Counts the end of one of its clients. */
void page_count_end(struct page *page, enum connection_end end,
		    const struct connection *connection);
/* Counts a receipt, or that there will be none, of one that was sent all. */
void page_count_receipt(struct page *page);
/* To be called about once a second: feeds the archive, gives back memory, drops
 * clients that are too slow. */
void page_tick(struct page *page, uint64_t now_usec);

/* Whether its source is closed and all of it is sent. */
bool page_is_over(const struct page *page);
/* Frees what a page that is over needs no more, while receipts may come. */
void page_shrink(struct page *page);
/* Whether it has the microphone open, opens it or has yet to close it. */
bool page_has_microphone(const struct page *page);
/* Frames that are due by now: progress, the archive and late joiners go by
 * them. Of a stored page these are the frames that are recorded. */
uint64_t page_due_frames(const struct page *page);
/* The peak (0.0 to 1.0) of what became due since the last call, or in the last
 * second. */
double page_take_peak(struct page *page);
/* Its info, brought up to date. Owned by the page. */
const struct page_info *page_info(struct page *page);

/* Frames of a page of SECONDS, in whole chunks: floor(rate / chunk * seconds) *
 * chunk. */
uint64_t page_frames(uint32_t rate, uint32_t chunk_frames, double seconds);

/* --- for played.c --- */

/* How many bytes of its samples last so long. */
uint64_t page_bytes(const struct page *page, uint64_t usec);
/* From now on every connection is told when the page sounds, if that is wanted
 * (--sync). Frame 0 was captured, or is due, at START_NS, and sounds LEAST_USEC
 * later at least; it, and each after it, is sent HELD_USEC later at least. */
void page_begin_schedule(struct page *page, int64_t start_ns,
			 uint64_t least_usec, uint64_t held_usec);
/* Reads a message or samples of its source: 1, or 0 when there is nothing more
 * now. */
int page_read(struct page *page);
/* Appends as much as the page has room for; ends the page when it is full. (A
 * paced one ends when all of it is due.) */
void page_append(struct page *page, const uint8_t *data, size_t size);
/* More of it is due: the chime may be over. */
void page_end_chime(struct page *page);
/* How it ends when its source failed with ERROR. */
enum page_end page_end_of_error(const struct page *page, int error);
/* A turn took so long, which may be too long. */
void page_yield_if_slow(struct page *page, uint64_t took_usec);
