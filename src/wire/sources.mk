# SPDX-License-Identifier: MIT
libintercom_a_SOURCES += \
	src/wire/arrivals.c src/wire/arrivals.h \
	src/wire/gnutls-table.c src/wire/gnutls-table.h \
	src/wire/heartbeat.c src/wire/heartbeat.h \
	src/wire/keyfile.c src/wire/keyfile.h \
	src/wire/line.c src/wire/line.h \
	src/wire/net.c src/wire/net.h \
	src/wire/receipt.c src/wire/receipt.h \
	src/wire/resolver.c src/wire/resolver.h \
	src/wire/tls.c src/wire/tls.h \
	src/wire/transport.c src/wire/transport.h
