/* SPDX-License-Identifier: MIT
 * The names and limits of org.alsaintercom1(5), which the server and
 * intercomctl share. */
#pragma once

#define BUS_NAME "org.alsaintercom1"
#define BUS_PATH "/org/alsaintercom1"
#define BUS_INTERFACE "org.alsaintercom1.Server"

#define BUS_ERROR_NO_DEVICE "org.alsaintercom1.Error.NoDevice"
#define BUS_ERROR_BUSY "org.alsaintercom1.Error.Busy"
#define BUS_ERROR_UNKNOWN_ZONE "org.alsaintercom1.Error.UnknownZone"
#define BUS_ERROR_NOT_AUDIO "org.alsaintercom1.Error.NotAudio"
#define BUS_ERROR_NOT_FOUND "org.alsaintercom1.Error.NotFound"
#define BUS_ERROR_LIMIT "org.alsaintercom1.Error.Limit"
#define BUS_ERROR_STOPPED "org.alsaintercom1.Error.Stopped"
#define BUS_ERROR_FAILED "org.alsaintercom1.Error.Failed"

/* Why a loudspeaker is missing: the word, and what a person is told. */
#define BUS_MISSING_WHYS(X)                                                    \
	X(ABSENT, "absent", "not connected")                                   \
	X(SILENT, "silent", "connected, but it does not answer")               \
	X(CARD_MISSING, "card-missing", "its card is gone")                    \
	X(CARD_BUSY, "card-busy", "another program uses its card")             \
	X(LOCKED_OUT, "locked-out", "its key was removed or changed")

/* The longest page, in seconds; 0 stands for no end. */
#define BUS_SECONDS_MAX (86400.0 * 365)

enum {
	BUS_ZONES_MAX = 64,
	BUS_PAGES_MAX = 64, /* in progress or waiting */
	/* In one page. With a chime these are the descriptors that dbus-daemon
	 * takes in a message: max_message_unix_fds of the system bus. */
	BUS_FILES_MAX = 15,
	BUS_HEARD_MAX = 64,   /* loudspeakers in a PageHeard */
	BUS_PRIORITY_MIN = 0, /* routine */
	BUS_PRIORITY_DEFAULT = 5,
	BUS_PRIORITY_MAX = 9, /* emergency */
};
