/* SPDX-License-Identifier: MIT
 * How the virtual card is configured and commanded. Nothing is declared here:
 * ALSA loads it, and tests talk to it through files. */
#pragma once

/*
 * An asound.conf of its own in INTERCOM_ALSA_CONF, with
 * ALSA_CONFIG_PATH=/path/to/tests/alsa.conf:
 *
 *	pcm_type.vcard { lib "/path/to/vcard.so" }
 *	pcm.card {
 *		type vcard
 *		control "/path/to/directory"	# optional, must exist
 *		drift 50	# ppm by which the card is fast
 *		open_delay 400	# ms that opening takes
 *		patient 1	# no xrun only because the machine is busy
 *		resume 1	# a suspend is resumed in place, else prepared
 *		format "S16_LE" rate 48000 channels 2	# the only ones
 *		period_bytes_min 64 period_bytes_max 4096
 *		buffer_bytes_min 64 buffer_bytes_max 65536
 *		delay 200	# ms from the ring to the loudspeaker
 *		jump 100	# ms by which the fault of that name adds to it
 *		timing 50	# the delay fails with EIO before the start and
 *				# for so many ms after it
 *		step 48		# the position is told in such steps, in frames;
 *				# -1: in periods
 *		handed_on 1	# as PulseAudio's plug-in: it has passed on what
 *				# it was given, and rewinds only its counters
 *		start_delay 1000	# ms from the start to the first frame
 *		stall_after 1500	# ms after which it becomes "stalled"
 *		capture {
 *			file "in.raw" loop 1	# frame n of the file is frame
 *						# n since the first start
 *			clicks 1	# 8 frames of full scale on each whole
 *					# second of CLOCK_MONOTONIC, and again
 *					# 50 ms after each tenth
 *			tone 440	# Hz, half of full scale; where it also
 *					# clicks a fiftieth, and a tenth of that
 *					# in a fifth of each second
 *		}
 *		playback {
 *			file "out.raw"	# appended to when a frame is PLAYED
 *			log "out.log"	# a line for each span that was played
 *		}
 *	}
 *
 * A line of the playback log is "POSITION COUNT TIME": COUNT frames beginning
 * with frame POSITION of the file were played, the first of them at TIME ns of
 * CLOCK_MONOTONIC. Lines that begin with '#' are events.
 *
 * Files in the control directory command the card:
 *	unplugged	open fails with ENODEV; what is open is disconnected
 *	busy		open fails with EBUSY
 *	stalled		the clock of the card stands still
 *	jump		the delay grows; the card removes the file
 *	xrun		an xrun; the card removes the file
 *	suspend		a suspend; the card removes the file
 *	asleep		resume does nothing and prepare fails with EAGAIN
 * It writes there "log", lines of "TIME EVENT DIRECTION" (open, refused,
 * hw_params .., start, stop, lost, xrun, suspend, resume, unplug, jump, close),
 * and holds "lock-DIRECTION" while it is open: like hardware, it opens once.
 *
 * The clock of a patient card waits when a ring is full or about to be empty: a
 * capture goes on when the program has read, and a playback gives it time to
 * look and to write. Then a busy machine delays a test and does not fail it.
 *
 * What is behind the ring when the program stops the card is "lost": not heard.
 * The htimestamp is the time of the look: alsa-lib makes it (pcm_ioplug.c).
 *
 * After an xrun the capture goes on where the clock is, not where it was.
 */
