# SPDX-License-Identifier: MIT
libintercom_a_SOURCES += \
	src/bus/names.h \
	src/bus/watch.c src/bus/watch.h
