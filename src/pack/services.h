/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a package asks the service manager to prepare: directories in
 * tmpfiles.d(5) and the *Directory= settings and users of systemd.exec(5).
 * Read as text; nothing of systemd is needed.
 */
#ifndef VRUN_PACK_SERVICES_H
#define VRUN_PACK_SERVICES_H

#include <sys/types.h>

/* What a file asks for. Strings are valid during the call only. Any function may be NULL. */
struct services_wish {
	/* A directory, absolute and normal. user and group may be NULL. */
	int (*dir)(void *ctx, const char *path, mode_t mode, const char *user, const char *group);
	/* Whom the service runs as. group may be NULL. */
	int (*user)(void *ctx, const char *user, const char *group);
	void *ctx;
};

/* Both change the text. Lines that are not understood are passed over; what a call returns below 0 ends it. */
int services_read_tmpfiles(char *text, const struct services_wish *wish);
int services_read_unit(char *text, const struct services_wish *wish);

#endif
