# SPDX-License-Identifier: MIT
# --- tests: the unit tests are libcheck programs, the end-to-end tests drive
# the real programs on the virtual sound card
UNIT_TESTS = \
	test-announcement \
	test-archive \
	test-backoff \
	test-bus-text \
	test-chime \
	test-chime-loader \
	test-client \
	test-client-options \
	test-connection \
	test-ctl-value \
	test-gate \
	test-gnutls-table \
	test-fifo \
	test-hook \
	test-keyfile \
	test-latency \
	test-samples \
	test-log \
	test-meter \
	test-mixer \
	test-net \
	test-options \
	test-tape \
	test-export \
	test-pcm \
	test-peers \
	test-filesource \
	test-poller \
	test-ratelimit \
	test-microphone \
	test-report \
	test-resolver \
	test-saver \
	test-server \
	test-server-options \
	test-service \
	test-session \
	test-source \
	test-speaker \
	test-thread \
	test-transport \
	test-wav \
	test-wavfile \
	test-zone
# The inputs that the fuzz targets keep, run by these targets without libFuzzer.
REPLAY_TESTS = \
	replay-accept \
	replay-bus \
	replay-keyfile \
	replay-options \
	replay-repair \
	replay-session \
	replay-wav
E2E_TESTS = \
	tests/e2e_abuse.py \
	tests/e2e_archive.py \
	tests/e2e_bus.py \
	tests/e2e_client.py \
	tests/e2e_client_net.py \
	tests/e2e_hostile.py \
	tests/e2e_interop.py \
	tests/e2e_server.py \
	tests/e2e_terminal.py \
	tests/e2e_tls.py
dist_check_SCRIPTS = $(E2E_TESTS)
EXTRA_DIST += tests/dbus_client.py tests/e2e_lib.py tests/help \
	tests/soak_client.py tests/tsan.supp

AM_CHECK_LIBS = $(LDADD) $(CHECK_LIBS)
test_archive_SOURCES = tests/test-archive.c tests/folder.c tests/folder.h
test_archive_LDADD = $(AM_CHECK_LIBS)
test_backoff_SOURCES = tests/test-backoff.c
test_backoff_LDADD = $(AM_CHECK_LIBS)
test_bus_text_SOURCES = tests/test-bus-text.c
test_bus_text_LDADD = $(AM_CHECK_LIBS)
test_chime_SOURCES = tests/test-chime.c
test_chime_LDADD = $(AM_CHECK_LIBS)
test_client_options_SOURCES = tests/test-client-options.c tests/arguments.h \
	tests/capture.h
test_client_options_LDADD = $(AM_CHECK_LIBS)
test_connection_SOURCES = tests/test-connection.c
test_connection_LDADD = $(AM_CHECK_LIBS)
test_fifo_SOURCES = tests/test-fifo.c
test_fifo_LDADD = $(AM_CHECK_LIBS)
test_keyfile_SOURCES = tests/test-keyfile.c
test_keyfile_LDADD = $(AM_CHECK_LIBS)
test_hook_SOURCES = tests/test-hook.c
test_hook_LDADD = $(AM_CHECK_LIBS)
test_samples_SOURCES = tests/test-samples.c
test_samples_LDADD = $(AM_CHECK_LIBS)
test_log_SOURCES = tests/test-log.c
test_log_LDADD = $(AM_CHECK_LIBS)
test_options_SOURCES = tests/test-options.c tests/capture.h
test_options_LDADD = $(AM_CHECK_LIBS)
test_peers_SOURCES = tests/test-peers.c
test_peers_LDADD = $(AM_CHECK_LIBS)
test_ratelimit_SOURCES = tests/test-ratelimit.c
test_ratelimit_LDADD = $(AM_CHECK_LIBS)
test_saver_SOURCES = tests/test-saver.c tests/folder.c tests/folder.h
test_saver_LDADD = $(AM_CHECK_LIBS)
test_latency_SOURCES = tests/test-latency.c
test_latency_LDADD = $(AM_CHECK_LIBS)
test_server_options_SOURCES = tests/test-server-options.c tests/arguments.h \
	tests/capture.h
test_server_options_LDADD = $(AM_CHECK_LIBS)
test_service_SOURCES = tests/test-service.c
test_service_LDADD = $(AM_CHECK_LIBS)
test_session_SOURCES = tests/test-session.c
test_session_LDADD = $(AM_CHECK_LIBS)
test_source_SOURCES = tests/test-source.c
test_source_LDADD = $(AM_CHECK_LIBS)
test_tape_SOURCES = tests/test-tape.c
test_tape_LDADD = $(AM_CHECK_LIBS)
test_export_SOURCES = tests/test-export.c
test_export_LDADD = $(AM_CHECK_LIBS)
test_net_SOURCES = tests/test-net.c
test_net_LDADD = $(AM_CHECK_LIBS)
test_filesource_SOURCES = tests/test-filesource.c
test_filesource_LDADD = $(AM_CHECK_LIBS)
test_microphone_SOURCES = tests/test-microphone.c tests/card.c tests/card.h
test_microphone_LDADD = $(AM_CHECK_LIBS)
test_announcement_SOURCES = tests/test-announcement.c tests/card.c tests/card.h
test_announcement_LDADD = $(AM_CHECK_LIBS)
test_poller_SOURCES = tests/test-poller.c
test_poller_LDADD = $(AM_CHECK_LIBS)
test_zone_SOURCES = tests/test-zone.c
test_zone_LDADD = $(AM_CHECK_LIBS)
test_resolver_SOURCES = tests/test-resolver.c
test_resolver_LDADD = $(AM_CHECK_LIBS)
test_mixer_SOURCES = tests/test-mixer.c tests/capture.h \
	tests/folder.c tests/folder.h
test_mixer_LDADD = $(AM_CHECK_LIBS)
test_meter_SOURCES = tests/test-meter.c tests/capture.h
test_meter_LDADD = $(AM_CHECK_LIBS)
test_report_SOURCES = tests/test-report.c tests/capture.h
test_report_LDADD = $(AM_CHECK_LIBS)
test_speaker_SOURCES = tests/test-speaker.c tests/capture.h \
	tests/card.c tests/card.h
test_speaker_LDADD = $(AM_CHECK_LIBS)
test_thread_SOURCES = tests/test-thread.c
test_thread_LDADD = $(AM_CHECK_LIBS)
test_client_SOURCES = tests/test-client.c tests/card.c tests/card.h \
	tests/folder.c tests/folder.h
test_client_LDADD = $(AM_CHECK_LIBS)
test_chime_loader_SOURCES = tests/test-chime-loader.c
test_chime_loader_LDADD = $(AM_CHECK_LIBS)
test_gnutls_table_SOURCES = tests/test-gnutls-table.c \
	tests/folder.c tests/folder.h
test_gnutls_table_LDADD = $(AM_CHECK_LIBS)
test_gate_SOURCES = tests/test-gate.c tests/capture.h
test_gate_LDADD = $(AM_CHECK_LIBS)
test_ctl_value_SOURCES = tests/test-ctl-value.c src/ctl/value.c src/ctl/value.h
test_ctl_value_LDADD = $(AM_CHECK_LIBS)
test_server_SOURCES = tests/test-server.c tests/card.c tests/card.h
test_server_LDADD = $(AM_CHECK_LIBS)
test_transport_SOURCES = tests/test-transport.c
test_transport_LDADD = $(AM_CHECK_LIBS) $(GNUTLS_LIBS)
test_wav_SOURCES = tests/test-wav.c
test_wav_LDADD = $(AM_CHECK_LIBS)
test_wavfile_SOURCES = tests/test-wavfile.c tests/folder.c tests/folder.h
test_wavfile_LDADD = $(AM_CHECK_LIBS)
test_pcm_SOURCES = tests/test-pcm.c
test_pcm_LDADD = $(AM_CHECK_LIBS)

# The virtual sound card. Without sanitizers: plain aplay loads it too.
EXTRA_PROGRAMS = vcard.so vctl.so
vcard_so_SOURCES = tests/vcard.c tests/vcard.h
vcard_so_CFLAGS = -std=gnu11 $(WARN_CFLAGS) $(ALSA_CFLAGS) -fPIC -DPIC
vcard_so_LDFLAGS = -shared
vcard_so_LDADD = $(ALSA_LIBS) -lm
vctl_so_SOURCES = tests/vctl.c
vctl_so_CFLAGS = $(vcard_so_CFLAGS)
vctl_so_LDFLAGS = -shared
vctl_so_LDADD = $(ALSA_LIBS)

# --- fuzzing: scripts/fuzz. With --enable-fuzzers all is instrumented
FUZZERS_ALL = \
	fuzz-accept \
	fuzz-bus \
	fuzz-keyfile \
	fuzz-options \
	fuzz-repair \
	fuzz-session \
	fuzz-wav
EXTRA_PROGRAMS += $(FUZZERS_ALL)
if FUZZERS
fuzzers: $(FUZZERS_ALL)
endif
.PHONY: fuzzers
EXTRA_DIST += tests/fuzz/corpus tests/fuzz/make-seeds
# The linker puts the targets' functions in the place of these.
FUZZ_ACCEPT_WRAP = \
	-Wl,--wrap=clock_nanosleep,--wrap=pthread_join,--wrap=thread_start
FUZZ_BUS_WRAP = $(FUZZ_ACCEPT_WRAP) \
	-Wl,--wrap=sd_bus_open_user,--wrap=sd_bus_request_name_async
# With _FORTIFY_SOURCE ppoll() has the other name.
FUZZ_SESSION_WRAP = \
	-Wl,--wrap=clock_gettime,--wrap=net_connect \
	-Wl,--wrap=ppoll,--wrap=__ppoll_chk,--wrap=resolver_literal
fuzz_accept_SOURCES = tests/fuzz/fuzz-accept.c tests/fuzz/fuzz.h \
	tests/fuzz/fuzz-clock.h
fuzz_accept_LDFLAGS = $(AM_LDFLAGS) $(FUZZER_LDFLAGS) \
	$(FUZZ_ACCEPT_WRAP)
replay_accept_SOURCES = $(fuzz_accept_SOURCES) tests/fuzz/replay.c
replay_accept_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_ACCEPT_WRAP)
fuzz_bus_SOURCES = tests/fuzz/fuzz-bus.c tests/fuzz/fuzz.h \
	tests/fuzz/fuzz-clock.h
fuzz_bus_LDFLAGS = $(AM_LDFLAGS) $(FUZZER_LDFLAGS) \
	$(FUZZ_BUS_WRAP)
replay_bus_SOURCES = $(fuzz_bus_SOURCES) tests/fuzz/replay.c
replay_bus_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_BUS_WRAP)
fuzz_keyfile_SOURCES = tests/fuzz/fuzz-keyfile.c tests/fuzz/fuzz.h
fuzz_keyfile_LDFLAGS = $(AM_LDFLAGS) $(FUZZER_LDFLAGS)
replay_keyfile_SOURCES = $(fuzz_keyfile_SOURCES) tests/fuzz/replay.c
fuzz_options_SOURCES = tests/fuzz/fuzz-options.c tests/fuzz/fuzz.h
fuzz_options_LDFLAGS = $(AM_LDFLAGS) $(FUZZER_LDFLAGS)
replay_options_SOURCES = $(fuzz_options_SOURCES) tests/fuzz/replay.c
fuzz_repair_SOURCES = tests/fuzz/fuzz-repair.c tests/fuzz/fuzz.h
fuzz_repair_LDFLAGS = $(AM_LDFLAGS) $(FUZZER_LDFLAGS)
replay_repair_SOURCES = $(fuzz_repair_SOURCES) tests/fuzz/replay.c
fuzz_session_SOURCES = tests/fuzz/fuzz-session.c tests/fuzz/fuzz.h
fuzz_session_LDFLAGS = $(AM_LDFLAGS) $(FUZZER_LDFLAGS) \
	$(FUZZ_SESSION_WRAP)
replay_session_SOURCES = $(fuzz_session_SOURCES) tests/fuzz/replay.c
replay_session_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_SESSION_WRAP)
fuzz_wav_SOURCES = tests/fuzz/fuzz-wav.c tests/fuzz/fuzz.h
fuzz_wav_LDFLAGS = $(AM_LDFLAGS) $(FUZZER_LDFLAGS)
replay_wav_SOURCES = $(fuzz_wav_SOURCES) tests/fuzz/replay.c

if HAVE_CHECK
check_PROGRAMS = vcard.so vctl.so $(UNIT_TESTS) $(REPLAY_TESTS)
TESTS = $(UNIT_TESTS) $(REPLAY_TESTS) $(E2E_TESTS)
endif
TEST_EXTENSIONS = .py
PY_LOG_COMPILER = $(PYTHON)
# A machine may be busy with other things: libcheck's own limit is 4 seconds.
AM_TESTS_ENVIRONMENT = \
	CK_DEFAULT_TIMEOUT=120; export CK_DEFAULT_TIMEOUT; \
	BUILDDIR='$(abs_builddir)'; export BUILDDIR; \
	SRCDIR='$(abs_srcdir)'; export SRCDIR; \
	VCARD_SO='$(abs_builddir)/vcard.so'; export VCARD_SO; \
	CK_DEFAULT_TIMEOUT=120; export CK_DEFAULT_TIMEOUT;
