# SPDX-License-Identifier: MIT
intercom_client_SOURCES = src/client/main.c
libintercom_a_SOURCES += \
	src/client/card.c src/client/card.h \
	src/client/cardrate.c src/client/cardrate.h \
	src/client/client.c src/client/client.h \
	src/client/configuration.h \
	src/client/cut.c src/client/cut.h \
	src/client/fifo.c src/client/fifo.h \
	src/client/follow.c src/client/follow.h \
	src/client/hook.c src/client/hook.h \
	src/client/instep.c src/client/instep.h \
	src/client/journal.c src/client/journal.h \
	src/client/keeper.c src/client/keeper.h \
	src/client/latency.c src/client/latency.h \
	src/client/meter.c src/client/meter.h \
	src/client/mixer.c src/client/mixer.h \
	src/client/options.c src/client/options.h \
	src/client/pulse.c src/client/pulse.h \
	src/client/reserve.c src/client/reserve.h \
	src/client/rendezvous.c src/client/rendezvous.h \
	src/client/saver.c src/client/saver.h \
	src/client/soundtest.c src/client/soundtest.h \
	src/client/speaker.c src/client/speaker.h \
	src/client/station.c src/client/station.h \
	src/client/turn.c src/client/turn.h
