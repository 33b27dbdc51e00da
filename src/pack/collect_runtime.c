/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interpreters load modules by name when they run, from places that no header
 * of theirs tells. This is the table of those places: to teach it a language,
 * add its lines. An entry is used when the interpreter is in the program's
 * chain or its shared library among those loaded; what the host lacks is
 * passed over.
 */
#include "pack/pack.h"

#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "base/log.h"

/*
 * %P: the interpreter's prefix (/usr of /usr/bin/x). %V: its version, the digits after its name.
 * %M: Debian's name of the architecture.
 */
static const struct {
	const char *name;    /* file name of the interpreter, or of a library; a pattern */
	const char *stem;    /* what %V follows */
	const char *dirs[10];
} runtimes[] = {
	{ "python[23].*", "python",
	  { "%P/lib/python%V", "%P/lib64/python%V", "%P/lib/python3/dist-packages",
	    "/usr/local/lib/python%V/dist-packages", "/usr/local/lib/python%V/site-packages",
	    "/etc/python%V", "/usr/share/python-wheels" } },
	{ "libpython[23].*", "libpython",
	  { "/usr/lib/python%V", "/usr/lib64/python%V", "/usr/lib/python3/dist-packages",
	    "/usr/local/lib/python%V/dist-packages", "/etc/python%V" } },
	{ "node", "node", { "/usr/share/nodejs", "/usr/lib/nodejs", "/usr/lib/%M/nodejs" } },
	{ "nodejs", "nodejs", { "/usr/share/nodejs", "/usr/lib/nodejs", "/usr/lib/%M/nodejs" } },
	{ "perl*", "perl",
	  { "/etc/perl", "/usr/local/lib/%M/perl", "/usr/local/share/perl", "/usr/lib/%M/perl-base",
	    "/usr/lib/%M/perl", "/usr/lib/%M/perl5", "/usr/share/perl", "/usr/share/perl5",
	    "%P/lib/perl5", "%P/lib64/perl5" } },
	{ "ruby*", "ruby",
	  { "%P/lib/ruby", "/usr/lib/%M/ruby", "/usr/lib/ruby", "/var/lib/gems",
	    "/usr/share/rubygems-integration", "/usr/share/ruby-rubygems" } },
	{ "php*", "php", { "/usr/lib/php", "/usr/share/php", "/etc/php" } },
	{ "lua*", "lua",
	  { "/usr/share/lua", "/usr/lib/%M/lua", "/usr/local/share/lua", "/usr/local/lib/lua" } },
	{ "tclsh*", "tclsh", { "/usr/share/tcltk", "/usr/lib/tcltk", "/usr/lib/%M/tcltk" } },
	{ "guile*", "guile", { "/usr/share/guile", "/usr/lib/%M/guile" } },
	{ "Rscript", "Rscript", { "/usr/lib/R", "/usr/share/R", "/etc/R" } },
	{ "erl", "erl", { "/usr/lib/erlang" } },
	{ "java", "java", { "%P/lib", "%P/conf", "%P/jre/lib" } },
};

/* Large, and of no use to a program that runs: test suites, static libraries, bytecode for other settings. */
static const char *const never[] = { "/python*/test",	   "/python*/config-*", "/python*/idlelib",
				     "/python*/turtledemo", "*/__pycache__/*.opt-?.pyc",
				     "*.a",		   "/CORE" };

static bool is_wanted(void *ctx, const char *path)
{
	char pattern[64];

	(void)ctx;
	for (size_t i = 0; i < sizeof never / sizeof *never; i++) {
		(void)snprintf(pattern, sizeof pattern, "*%s", never[i]);
		if (fnmatch(pattern, path, 0) == 0)
			return false;
	}
	return true;
}

struct runtime {
	const char *prefix, *version;
	const char *triplet;
};

/* Debian's directory for an architecture: the part of "/lib/x86_64-linux-gnu" after "/lib/". */
static const char *triplet(const struct pack *p)
{
	for (size_t i = 0; i < p->libs.loader.n_dirs; i++)
		if (strncmp(p->libs.loader.dirs[i], "/lib/", 5) == 0)
			return p->libs.loader.dirs[i] + 5;
	return NULL;
}

/* Fills in a place of the table. False when a part of it is not known. */
static bool expand(const struct runtime *r, const char *text, char *ret)
{
	size_t at = 0;

	for (; *text; text++) {
		const char *value = NULL;
		size_t n = 1;

		if (*text == '%') {
			text++;
			value = *text == 'P' ? r->prefix : *text == 'V' ? r->version : r->triplet;
			if (!value || !*value)
				return false;
			n = strlen(value);
		}
		if (at + n >= PATH_MAX)
			return false;
		memcpy(ret + at, value ? value : text, n);
		at += n;
	}
	ret[at] = '\0';
	return true;
}

static int take_links_in(struct pack *p, const char *dir, struct err *e);

static int take_dir(struct pack *p, const char *dir, struct err *e)
{
	int rc = place_tree(&p->place, dir, WHY_RUNTIME, is_wanted, NULL, e);

	if (rc == -ENOMEM || rc == -EINTR)
		return rc;
	return rc < 0 ? 0 : take_links_in(p, dir, e);
}

/* Modules are often links into a sibling's directory (sitecustomize.py, node modules, JVM settings). */
static int take_links_in(struct pack *p, const char *dir, struct err *e)
{
	AUTO_FREE struct node **v = tree_sorted(&p->tree);
	size_t n = p->tree.n;
	char real[PATH_MAX];

	if (!v)
		return err_num(e, ENOMEM, "packing");
	if (host_realpath(&p->host, dir, real, NULL) < 0)
		return 0;
	for (size_t i = 0; i < n; i++) {
		int rc;

		if (v[i]->kind != NODE_LINK || !path_below(v[i]->path, real))
			continue;
		rc = place_path(&p->place, v[i]->path, WHY_RUNTIME, NULL, e);
		if (rc == -ENOMEM || rc == -EINTR)
			return rc;
	}
	return 0;
}

bool runtime_known(const char *real)
{
	for (size_t i = 0; i < sizeof runtimes / sizeof *runtimes; i++)
		if (fnmatch(runtimes[i].name, path_base(real), 0) == 0)
			return true;
	return false;
}

/* Everything the table has for one file. */
static int take_runtime(struct pack *p, const char *real, struct err *e)
{
	const char *base = path_base(real);
	char prefix[PATH_MAX], version[32], dir[PATH_MAX];
	struct runtime r = { .prefix = prefix, .version = version, .triplet = triplet(p) };
	size_t n = strlen(real) - strlen(base);

	/* /usr/bin/python3.11 -> /usr */
	memcpy(prefix, real, n);
	prefix[n > 0 ? n - 1 : 0] = '\0';
	if (strrchr(prefix, '/'))
		*strrchr(prefix, '/') = '\0';
	for (size_t i = 0; i < sizeof runtimes / sizeof *runtimes; i++) {
		const char *digits = base + strlen(runtimes[i].stem);

		if (fnmatch(runtimes[i].name, base, 0) != 0)
			continue;
		(void)snprintf(version, sizeof version, "%.*s", (int)strspn(digits, "0123456789."),
			       digits);
		for (n = strlen(version); n > 0 && version[n - 1] == '.'; n--)
			version[n - 1] = '\0';
		for (size_t k = 0; k < sizeof runtimes[i].dirs / sizeof *runtimes[i].dirs; k++) {
			int rc;

			if (!runtimes[i].dirs[k] || !expand(&r, runtimes[i].dirs[k], dir))
				continue;
			rc = take_dir(p, dir, e);
			if (rc < 0)
				return rc;
		}
	}
	return 0;
}

/* A Python virtual environment is the interpreter's grandparent directory with a pyvenv.cfg in it. */
static int take_virtualenv(struct pack *p, const char *path, struct err *e)
{
	char dir[PATH_MAX], cfg[PATH_MAX], real[PATH_MAX];

	(void)snprintf(dir, sizeof dir, "%s", path);
	for (int i = 0; i < 2; i++) {
		char *slash = strrchr(dir, '/');

		if (!slash || slash == dir)
			return 0;
		*slash = '\0';
	}
	if (path_join(cfg, dir, "pyvenv.cfg") < 0 || host_realpath(&p->host, cfg, real, NULL) < 0)
		return 0;
	return take_dir(p, dir, e);
}

int collect_runtime(struct pack *p, struct err *e)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < p->program.n; i++) {
		if (p->program.step[i].script)
			continue;
		rc = take_virtualenv(p, p->program.step[i].path, e);
		if (rc == 0)
			rc = take_runtime(p, p->program.step[i].real, e);
	}
	for (size_t i = 1; rc == 0 && i < p->libs.program.n; i++)
		rc = take_runtime(p, p->libs.program.v[i]->real, e);
	return rc;
}
