# SPDX-License-Identifier: MIT
intercomctl_SOURCES = \
	src/ctl/bus.c \
	src/ctl/bus.h \
	src/ctl/check.c \
	src/ctl/ctl.h \
	src/ctl/keygen.c \
	src/ctl/main.c \
	src/ctl/missing.c \
	src/ctl/missing.h \
	src/ctl/monitor.c \
	src/ctl/page.c \
	src/ctl/save.c \
	src/ctl/status.c \
	src/ctl/stop.c \
	src/ctl/value.c \
	src/ctl/value.h
