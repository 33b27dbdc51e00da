/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks a bundle's tree against its manifest.json. Neither is trusted: no
 * symlink is followed anywhere below the bundle, nothing outside it is opened,
 * and what the manifest says is checked before it is used.
 *
 * The manifest is not signed. Verifying finds damage and later changes; that a
 * bundle is the one that somebody packed is shown by the manifest's own digest
 * (sha256sum manifest.json), kept elsewhere.
 */
#ifndef VRUN_PACK_VERIFY_H
#define VRUN_PACK_VERIFY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "pack/progress.h"

enum verify_kind { VERIFY_DIFFERS, VERIFY_MISSING, VERIFY_EXTRA, VERIFY_KINDS };

struct verify_finding {
	enum verify_kind kind;
	const char *path; /* inside the bundle: "/rootfs/etc/passwd". Not quoted */
	const char *what; /* "content", "mode 0644, not 0755" ...; "" for missing ones */
	struct verify_finding *next;
};

#define VERIFY_FINDINGS_MAX 10000U /* kept; all are counted */

struct verify_report {
	struct arena arena;
	struct verify_finding *first, **last;
	uint64_t count[VERIFY_KINDS];
	uint64_t checked; /* entries of the manifest that were looked at */
	bool edited_config, edited_policy; /* not findings: these are the user's to edit */
};

/* "differs", "missing", "extra" */
const char *verify_kind_name(enum verify_kind kind);

/*
 * Verifies the bundle in a directory; with `data` its data directories too,
 * which a program that ran has usually changed. 0 when the check could be made,
 * whatever it found. Errors: no manifest, a damaged or hostile one, something
 * unreadable. The caller calls verify_report_fini() in any case. progress may
 * be NULL.
 */
int verify_bundle(struct verify_report *r, const char *bundle, bool data, struct progress *progress,
		  struct err *e);
void verify_report_fini(struct verify_report *r);

/* Whether nothing was found. */
bool verify_report_ok(const struct verify_report *r);

/* `vrun verify`: parses its arguments, prints, and returns the exit code (0, 1, 125). */
int verify_main(int argc, char **argv);

#endif
