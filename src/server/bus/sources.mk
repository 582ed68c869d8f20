# SPDX-License-Identifier: MIT
libintercom_a_SOURCES += \
	src/server/bus/bus.c src/server/bus/bus.h \
	src/server/bus/caller.c src/server/bus/caller.h \
	src/server/bus/request.c src/server/bus/request.h \
	src/server/bus/signal.c src/server/bus/signal.h \
	src/server/bus/status.c src/server/bus/status.h \
	src/server/bus/text.c src/server/bus/text.h
