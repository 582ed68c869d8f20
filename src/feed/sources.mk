# SPDX-License-Identifier: MIT
libintercom_a_SOURCES += \
	src/feed/session.c src/feed/session.h
