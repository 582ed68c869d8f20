# SPDX-License-Identifier: MIT
libintercom_a_SOURCES += \
	src/base/backoff.c src/base/backoff.h \
	src/base/ending.c src/base/ending.h \
	src/base/io.c src/base/io.h \
	src/base/log.c src/base/log.h \
	src/base/notify.c src/base/notify.h \
	src/base/options.c src/base/options.h \
	src/base/ratelimit.c src/base/ratelimit.h \
	src/base/screen.c src/base/screen.h \
	src/base/statedir.c src/base/statedir.h \
	src/base/thread.c src/base/thread.h \
	src/base/utf8.c src/base/utf8.h \
	src/base/util.h \
	src/base/wallclock.c src/base/wallclock.h
