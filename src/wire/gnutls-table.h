/* SPDX-License-Identifier: MIT
 * Loads GnuTLS together with the first key: with its own libraries, it would
 * double the memory of a program that has no key. Never unloads it. */
#pragma once

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>

/* The functions that tls.c calls, without the prefix "gnutls_". */
#define GNUTLS_TABLE(X)                                                        \
	X(alert_get)                                                           \
	X(alert_get_name)                                                      \
	X(alert_send_appropriate)                                              \
	X(alpn_get_selected_protocol)                                          \
	X(alpn_set_protocols)                                                  \
	X(auth_get_type)                                                       \
	X(bye)                                                                 \
	X(credentials_set)                                                     \
	X(deinit)                                                              \
	X(error_is_fatal)                                                      \
	X(handshake)                                                           \
	X(handshake_set_max_packet_length)                                     \
	X(init)                                                                \
	X(kx_get)                                                              \
	X(malloc)                                                              \
	X(priority_deinit)                                                     \
	X(priority_init)                                                       \
	X(priority_set)                                                        \
	X(protocol_get_version)                                                \
	X(psk_allocate_client_credentials)                                     \
	X(psk_allocate_server_credentials)                                     \
	X(psk_free_client_credentials)                                         \
	X(psk_free_server_credentials)                                         \
	X(psk_set_client_credentials2)                                         \
	X(psk_set_server_credentials_function2)                                \
	X(record_check_pending)                                                \
	X(record_recv)                                                         \
	X(record_send)                                                         \
	X(rnd)                                                                 \
	X(session_get_ptr)                                                     \
	X(session_set_ptr)                                                     \
	X(strerror)                                                            \
	X(transport_set_errno)                                                 \
	X(transport_set_ptr)                                                   \
	X(transport_set_pull_function)                                         \
	X(transport_set_vec_push_function)

/* Pointers into the library, where gnutls_malloc is a variable. */
struct gnutls_table {
#define GNUTLS_MEMBER(name) __typeof__(gnutls_##name) *name;
	GNUTLS_TABLE(GNUTLS_MEMBER)
#undef GNUTLS_MEMBER
};

/* The table, which is static. NULL when the library or one of the functions is
 * missing; *ret_problem, which dlerror() owns, then says which. */
const struct gnutls_table *gnutls_table_load(const char **ret_problem);
