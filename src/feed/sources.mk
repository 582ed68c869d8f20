# SPDX-License-Identifier: MIT
libintercom_a_SOURCES += \
	src/feed/debts.c src/feed/debts.h \
	src/feed/session.c src/feed/session.h
