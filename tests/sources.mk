# SPDX-License-Identifier: MIT
# --- tests: the unit tests are libcheck programs, the end-to-end tests drive
# the real programs on the virtual sound card
UNIT_TESTS = \
	tests/test-arbiter \
	tests/test-archive \
	tests/test-backoff \
	tests/test-bus-text \
	tests/test-cardrate \
	tests/test-cardstate \
	tests/test-chime \
	tests/test-client \
	tests/test-client-options \
	tests/test-connection \
	tests/test-connection-receipt \
	tests/test-converter \
	tests/test-ctl-value \
	tests/test-cut \
	tests/test-fifo \
	tests/test-filesource \
	tests/test-follow \
	tests/test-gain \
	tests/test-gate \
	tests/test-gnutls-table \
	tests/test-heartbeat \
	tests/test-hook \
	tests/test-instep \
	tests/test-journal \
	tests/test-keeper \
	tests/test-keyfile \
	tests/test-latency \
	tests/test-ledger \
	tests/test-line \
	tests/test-log \
	tests/test-logbook \
	tests/test-meter \
	tests/test-microphone \
	tests/test-mixer \
	tests/test-net \
	tests/test-notify \
	tests/test-options \
	tests/test-pacer \
	tests/test-page \
	tests/test-pcm \
	tests/test-peers \
	tests/test-poller \
	tests/test-ratelimit \
	tests/test-receipt \
	tests/test-recorder \
	tests/test-rendezvous \
	tests/test-resample \
	tests/test-reserve \
	tests/test-resolver \
	tests/test-retimer \
	tests/test-roll \
	tests/test-samples \
	tests/test-saver \
	tests/test-schedule \
	tests/test-server \
	tests/test-server-options \
	tests/test-session \
	tests/test-source \
	tests/test-speaker \
	tests/test-summary \
	tests/test-systemd \
	tests/test-tape \
	tests/test-tapecopy \
	tests/test-thread \
	tests/test-transport \
	tests/test-vitals \
	tests/test-trend \
	tests/test-wallclock \
	tests/test-wav \
	tests/test-wavfile \
	tests/test-zone
# They run the inputs that are kept; with --enable-fuzzers libFuzzer is in the
# place of replay.c, and they are made by make fuzzers: scripts/fuzz.
FUZZ_TARGETS = \
	tests/fuzz/fuzz-accept \
	tests/fuzz/fuzz-bus \
	tests/fuzz/fuzz-keyfile \
	tests/fuzz/fuzz-options \
	tests/fuzz/fuzz-receipt \
	tests/fuzz/fuzz-repair \
	tests/fuzz/fuzz-session \
	tests/fuzz/fuzz-wav
# The longest ones first, so that nobody waits for them at the end.
E2E_TESTS = \
	tests/e2e_abuse.py \
	tests/e2e_hang.py \
	tests/e2e_roll.py \
	tests/e2e_client.py \
	tests/e2e_client_played.py \
	tests/e2e_tls.py \
	tests/e2e_archive.py \
	tests/e2e_bus.py \
	tests/e2e_cards.py \
	tests/e2e_client_net.py \
	tests/e2e_documents.py \
	tests/e2e_examples.py \
	tests/e2e_files.py \
	tests/e2e_heard.py \
	tests/e2e_hostile.py \
	tests/e2e_interop.py \
	tests/e2e_played.py \
	tests/e2e_recipes.py \
	tests/e2e_receipts.py \
	tests/e2e_roll_net.py \
	tests/e2e_server.py \
	tests/e2e_survival.py \
	tests/e2e_sync_server.py \
	tests/e2e_terminal.py
# They want all of the machine, and run when the others are done: first the one
# that is on time, then the one that takes it.
SYNC_TEST = tests/e2e_sync_client.py
FLOOD_TEST = tests/e2e_flood.py
dist_check_SCRIPTS = $(E2E_TESTS) $(SYNC_TEST) $(FLOOD_TEST)
EXTRA_DIST += tests/alsa.conf tests/desktop.py tests/qemu-leaves-out \
	tests/sound-server tests/dbus_client.py tests/e2e_lib.py tests/help \
	tests/old_and_new.py tests/soak_client.py tests/soak_server.py \
	tests/tsan.supp

# What they share, main() included.
tests_libtest_a_SOURCES = tests/main.c tests/test.h tests/arguments.h \
	tests/capture.h tests/card.c tests/card.h tests/folder.c \
	tests/folder.h tests/source-reader.h tests/tape-reader.h
tests_test_follow_SOURCES = tests/test-follow.c tests/rooms.c tests/rooms.h
tests_test_ctl_value_SOURCES = tests/test-ctl-value.c src/ctl/value.c
# The test stands in its way.
# It counts.
tests_test_wavfile_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=renameat2
tests_test_systemd_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=log_takes_fields \
	-Wl,--wrap=sd_journal_send,--wrap=sd_journal_sendv
tests_test_page_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=zone_push
tests_test_zone_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=connection_push
# It is the card.
tests_test_cardstate_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=snd_card_get_index,--wrap=snd_ctl_open,--wrap=snd_ctl_close \
	-Wl,--wrap=snd_ctl_pcm_info,--wrap=snd_pcm_open
# Here the test is the peer; the others must not load what has no key. It sets
# the clock.
tests_test_transport_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=wallclock_offset_ns
tests_test_transport_LDADD = $(LDADD) $(GNUTLS_LIBS)

# The virtual sound card. Without sanitizers: plain aplay loads it too.
EXTRA_PROGRAMS = vcard.so vctl.so hang.so vclock.so vhw.so
vcard_so_SOURCES = tests/vcard.c tests/vcard.h \
	src/audio/samples.c src/audio/wav.c
vcard_so_CFLAGS = -std=gnu11 $(WARN_CFLAGS) $(ALSA_CFLAGS) -fPIC -DPIC
vcard_so_LDFLAGS = -shared
vcard_so_LDADD = $(ALSA_LIBS) -lm
vctl_so_SOURCES = tests/vctl.c
vctl_so_CFLAGS = $(vcard_so_CFLAGS)
vctl_so_LDFLAGS = -shared
vctl_so_LDADD = $(ALSA_LIBS)
# A disk that hangs, for LD_PRELOAD.
hang_so_SOURCES = tests/hang.c
hang_so_CFLAGS = $(vcard_so_CFLAGS) -U_FORTIFY_SOURCE
hang_so_LDFLAGS = -shared
hang_so_LDADD = -ldl
vclock_so_SOURCES = tests/vclock.c
vclock_so_CFLAGS = $(vcard_so_CFLAGS)
vclock_so_LDFLAGS = -shared
vclock_so_LDADD = -ldl
vhw_so_SOURCES = tests/vhw.c
vhw_so_CFLAGS = $(vcard_so_CFLAGS)
vhw_so_LDFLAGS = -shared

# --- fuzzing
EXTRA_PROGRAMS += $(FUZZ_TARGETS)
fuzzers: $(FUZZ_TARGETS)
.PHONY: fuzzers
EXTRA_DIST += tests/fuzz/corpus tests/fuzz/make-seeds
EXTRA_LIBRARIES = tests/fuzz/libreplay.a
tests_fuzz_libreplay_a_SOURCES = tests/fuzz/replay.c tests/fuzz/fuzz.h \
	tests/fuzz/fuzz-clock.h tests/fuzz/fuzz-keys.h
FUZZ_LIBS = $(FUZZER_LDFLAGS) tests/fuzz/libreplay.a $(INTERCOM_LIBS)
tests_fuzz_fuzz_accept_LDADD = $(FUZZ_LIBS)
tests_fuzz_fuzz_bus_LDADD = $(FUZZ_LIBS)
tests_fuzz_fuzz_keyfile_LDADD = $(FUZZ_LIBS)
tests_fuzz_fuzz_options_LDADD = $(FUZZ_LIBS)
tests_fuzz_fuzz_receipt_LDADD = $(FUZZ_LIBS)
tests_fuzz_fuzz_repair_LDADD = $(FUZZ_LIBS)
tests_fuzz_fuzz_session_LDADD = $(FUZZ_LIBS)
tests_fuzz_fuzz_wav_LDADD = $(FUZZ_LIBS)
# The linker puts the targets' functions in the place of these.
tests_fuzz_fuzz_accept_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=clock_nanosleep,--wrap=source_free,--wrap=thread_start \
	-Wl,--wrap=source_prepared,--wrap=source_go
tests_fuzz_fuzz_bus_LDFLAGS = $(tests_fuzz_fuzz_accept_LDFLAGS) \
	-Wl,--wrap=sd_bus_open_user,--wrap=sd_bus_request_name_async
# With _FORTIFY_SOURCE ppoll() has the other name.
tests_fuzz_fuzz_session_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=clock_gettime,--wrap=net_connect \
	-Wl,--wrap=ppoll,--wrap=__ppoll_chk,--wrap=resolver_literal

if HAVE_CHECK
check_LIBRARIES = tests/libtest.a tests/fuzz/libreplay.a
check_PROGRAMS = vcard.so vctl.so hang.so vclock.so vhw.so $(UNIT_TESTS) $(FUZZ_TARGETS)
TESTS = $(UNIT_TESTS) $(E2E_TESTS) $(SYNC_TEST) $(FLOOD_TEST)
$(SYNC_TEST:.py=.log): $(UNIT_TESTS:=.log) $(E2E_TESTS:.py=.log)
$(FLOOD_TEST:.py=.log): $(SYNC_TEST:.py=.log)
if !FUZZERS
TESTS += $(FUZZ_TARGETS)
endif
endif
TEST_EXTENSIONS = .py
PY_LOG_COMPILER = $(PYTHON)
AM_TESTS_ENVIRONMENT = \
	BUILDDIR='$(abs_builddir)'; export BUILDDIR; \
	SRCDIR='$(abs_srcdir)'; export SRCDIR; \
	VCARD_SO='$(abs_builddir)/vcard.so'; export VCARD_SO;
