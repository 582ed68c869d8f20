# SPDX-License-Identifier: MIT
intercom_server_SOURCES = src/server/main.c
libintercom_a_SOURCES += \
	src/server/arbiter.c src/server/arbiter.h \
	src/server/archive.c src/server/archive.h \
	src/server/connection.c src/server/connection.h \
	src/server/console.c src/server/console.h \
	src/server/export.c src/server/export.h \
	src/server/gate.c src/server/gate.h \
	src/server/options.c src/server/options.h \
	src/server/page.c src/server/page.h \
	src/server/poller.c src/server/poller.h \
	src/server/server.c src/server/server.h \
	src/server/summary.c src/server/summary.h \
	src/server/systemd.c src/server/systemd.h \
	src/server/tape.c src/server/tape.h \
	src/server/timer.c src/server/timer.h \
	src/server/zone.c src/server/zone.h
