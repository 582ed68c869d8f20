/* SPDX-License-Identifier: MIT
 * Finds the functions of GnuTLS at run time. Only one thread may call it. */
#include "wire/gnutls-table.h"

#include <dlfcn.h>
#include <stdbool.h>

/* Since GnuTLS 3.4: a program built with one release runs with later ones. */
#define SONAME "libgnutls.so.30"

static struct gnutls_table table;
static bool loaded;

/* NOLINTNEXTLINE(readability-function-size): the list is in the header */
static bool fill_table(void *library)
{
#define GNUTLS_FIND(name)                                                      \
	table.name = dlsym(library, "gnutls_" #name);                          \
	if (!table.name)                                                       \
		return false;
	GNUTLS_TABLE(GNUTLS_FIND)
#undef GNUTLS_FIND
	return true;
}

const struct gnutls_table *gnutls_table_load(const char **ret_problem)
{
	void *library;

	if (loaded)
		return &table;
	library = dlopen(SONAME, RTLD_NOW | RTLD_LOCAL);
	if (!library || !fill_table(library)) {
		*ret_problem = dlerror();
		return NULL;
	}
	loaded = true;
	return &table;
}
