/* SPDX-License-Identifier: Apache-2.0 */
/* The small texts that packing reads: #! lines, accounts, packages, services, options, .pyc headers. */
#include <stdlib.h>
#include <sys/stat.h>

#include "pack/accounts.h"
#include "pack/dpkg.h"
#include "pack/loader.h"
#include "pack/manifest.h"
#include "pack/mentions.h"
#include "pack/needs.h"
#include "pack/notes.h"
#include "pack/ociconfig.h"
#include "pack/options.h"
#include "pack/program.h"
#include "pack/pyc.h"
#include "pack/services.h"
#include "tap.h"

static void test_shebang(void)
{
	static const struct {
		const char *line, *interp, *arg; /* interp NULL: none */
	} cases[] = {
		{ "#!/bin/sh\nrest", "/bin/sh", "" },
		{ "#! \t/bin/sh -e x \t\nrest", "/bin/sh", "-e x" },
		{ "#!/usr/bin/env python3", "/usr/bin/env", "python3" },
		{ "#!/bin/sh\r\n", "/bin/sh\r", "" },
		{ "#!\n/bin/sh", NULL, NULL },
		{ "#!", NULL, NULL },
		{ "# !/bin/sh", NULL, NULL },
		{ "", NULL, NULL },
	};
	static const struct {
		const char *arg, *name;
	} env[] = {
		{ "python3", "python3" },
		{ "-S python3 -u", "python3" },
		{ "-Spython3 -u", "python3" },
		{ "-iS A=1 B=2 node --x", "node" },
		{ "-u HOME -C /tmp perl", "perl" },
		{ "--split-string=ruby -w", "ruby" },
		{ "A=1", NULL },
		{ "", NULL },
		{ "-u", NULL },
	};
	char interp[PATH_MAX], arg[PATH_MAX];

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		int rc = program_parse_shebang(cases[i].line, interp, arg);

		TAP_INT(rc, cases[i].interp ? 0 : -ENOEXEC, "#! line %zu", i);
		if (rc == 0) {
			TAP_STR(interp, cases[i].interp, "its interpreter");
			TAP_STR(arg, cases[i].arg, "its argument");
		}
	}
	for (size_t i = 0; i < sizeof env / sizeof *env; i++) {
		int rc = program_parse_env(env[i].arg, interp);

		TAP_INT(rc, env[i].name ? 0 : -ENOEXEC, "env %s", env[i].arg);
		if (rc == 0)
			TAP_STR(interp, env[i].name, "executes");
	}
}

static void test_accounts(void)
{
	static const char passwd[] = "root:x:0:0:the admin:/root:/bin/bash\n"
				     "www-data:x:33:33:www:/var/www:/usr/sbin/nologin\n"
				     "alice:$6$secret:1000:1000:Alice:/home/alice:/bin/bash\n"
				     "redis:x:107:114::/var/lib/redis:/usr/sbin/nologin\n"
				     "broken:x:x:1::/:/bin/sh\n+nis\n";
	static const char group[] = "root:x:0:\nwww-data:x:33:alice,redis\nredis:x:114:\nalice:x:1000:\n";
	struct accounts a;
	struct err e = { 0 };
	struct tree t;
	uid_t uid = 7;
	gid_t gid = 7;

	TAP_INT(accounts_parse(&a, passwd, group, &e), 0, "accounts");
	TAP_INT(a.n_users, 4, "damaged lines are passed over");
	TAP_INT(accounts_resolve(&a, "redis", &uid, &gid, &e), 0, "a name");
	TAP_OK(uid == 107 && gid == 114, "its ids");
	TAP_INT(accounts_resolve(&a, "4242", &uid, &gid, &e), 0, "an unknown number");
	TAP_OK(uid == 4242 && gid == 4242, "stands for itself");
	TAP_STR(accounts_by_uid(&a, 4242) ? accounts_by_uid(&a, 4242)->name : "", "user4242", "which gets a name");
	TAP_INT(accounts_resolve(&a, "33:redis", &uid, &gid, &e), 0, "user and group");
	TAP_OK(uid == 33 && gid == 114, "their ids");
	TAP_INT(accounts_resolve(&a, "bob", &uid, &gid, &e), -ENOENT, "an unknown name");
	TAP_INT(accounts_resolve(&a, "root:none", &uid, &gid, &e), -ENOENT, "an unknown group");
	TAP_INT(accounts_resolve(&a, ":root", &uid, &gid, &e), -EINVAL, "no user");
	TAP_INT(accounts_resolve(&a, "4294967295", &uid, &gid, &e), -ENOENT, "(uid_t)-1 is no user");
	tree_init(&t);
	TAP_INT(accounts_add(&a, &t, &e), 0, "files");
	TAP_HAS(tree_find(&t, "/etc/passwd")->text, "root:x:0:0::/root:/bin/bash\n", "root, without its name");
	TAP_HAS(tree_find(&t, "/etc/passwd")->text, "redis:x:107:114:", "the one that was wanted");
	TAP_OK(!strstr(tree_find(&t, "/etc/passwd")->text, "alice"), "nobody else");
	TAP_HAS(tree_find(&t, "/etc/passwd")->text, "nobody:x:65534:", "nobody is always there");
	TAP_HAS(tree_find(&t, "/etc/group")->text, "www-data:x:33:redis\n", "members that are taken too");
	tree_fini(&t);
	accounts_fini(&a);
}

static char said[512]; /* what callbacks were told */

__attribute__((format(printf, 1, 2))) static void say(const char *fmt, ...)
{
	size_t n = strlen(said);
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(said + n, sizeof said - n, fmt, ap);
	va_end(ap);
}

static int say_package(void *ctx, struct dpkg_package *pkg)
{
	(void)ctx;
	say("%s ", pkg->name);
	return 0;
}

static void test_dpkg(void)
{
	static const char status[] =
		"Package: a\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\n"
		"Source: src-a (2)\nDescription: x\n more: lines\nDepends: b (>= 1) | c, d:any, nothing, v-mta\n\n"
		"Package: b\nStatus: deinstall ok config-files\nArchitecture: all\nVersion: 1\n\n"
		"Package: c\nStatus: install ok installed\nEssential: yes\nVersion: 3\nArchitecture: all\n\n"
		"Package: d\nStatus: hold ok installed\nProvides: x, v-mta (= 4)\nVersion: 4\nArchitecture: all\n\n"
		"Package: ../evil\nStatus: install ok installed\nVersion: 1\nArchitecture: all\n\n"
		"Package: e\nStatus: install ok unpacked\nVersion: 1\nArchitecture: all";
	struct err e = { 0 };
	struct dpkg d;

	TAP_INT(dpkg_parse(&d, strdup(status), &e), 0, "a package database");
	TAP_INT(d.n, 3, "of installed packages");
	TAP_STR(dpkg_find(&d, "a")->source, "src-a", "a source without its version");
	TAP_STR(dpkg_find(&d, "d")->source, "d", "a package is its own source");
	TAP_OK(dpkg_find(&d, "c")->essential && !dpkg_find(&d, "a")->essential, "which is essential");
	TAP_OK(!dpkg_find(&d, "b"), "removed ones are not there");
	TAP_STR(dpkg_find(&d, "v-mta")->name, "d", "who provides");
	TAP_OK(!dpkg_find(&d, "v-mt"), "a part of a name is none");
	said[0] = '\0';
	(void)dpkg_relations(&d, dpkg_find(&d, "a")->depends, say_package, NULL);
	TAP_STR(said, "c d d ", "dependencies: the first alternative that is installed");
	dpkg_close(&d);
}

static int wish_dir(void *ctx, const char *path, mode_t mode, const char *user, const char *group)
{
	(void)ctx;
	say("%s %o %s %s|", path, (unsigned)mode, user ? user : "-", group ? group : "-");
	return 0;
}

static int wish_user(void *ctx, const char *user, const char *group)
{
	(void)ctx;
	say("user %s:%s|", user, group ? group : "-");
	return 0;
}

static void test_services(void)
{
	const struct services_wish wish = { .dir = wish_dir, .user = wish_user };
	char tmpfiles[] = "# comment\nd /run/postgresql 2775 postgres postgres - -\n"
			  "D! /var/run/x - - -\nf /run/file 0644 root root - text\n"
			  "d /run/../etc 0755\nd /run/%i 0755\nd relative\n  \nd /run/short\n";
	char unit[] = "[Unit]\nUser=wrong\n[Service]\nUser = redis\nGroup=redis\n; User=no\n"
		      "RuntimeDirectory=redis redis/two:link\nRuntimeDirectoryMode=2755\nStateDirectory=../etc\n"
		      "LogsDirectory=%N\n[Install]\nUser=wrong\n";

	said[0] = '\0';
	TAP_INT(services_read_tmpfiles(tmpfiles, &wish), 0, "tmpfiles.d");
	TAP_STR(said, "/run/postgresql 2775 postgres postgres|/run/x 755 - -|/run/short 755 - -|",
		"its directories");
	said[0] = '\0';
	TAP_INT(services_read_unit(unit, &wish), 0, "a unit");
	TAP_STR(said, "user redis:redis|/run/redis 2755 redis redis|/run/redis/two 2755 redis redis|",
		"its user and directories");
}

static void test_options(void)
{
	static const struct {
		const char *text, *from, *to;
	} cases[] = {
		{ "/a", "/a", NULL },	  { "/a:/b", "/a", "/b" },     { "a:b", "a:b", NULL },
		{ "/a:b:/c", "/a:b", "/c" }, { "/x:/y:/z", "/x:/y", "/z" }, { ":/b", NULL, NULL },
		{ "", NULL, NULL },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct pack_mapping m = { 0 };
		char text[32];
		int rc;

		(void)snprintf(text, sizeof text, "%s", cases[i].text);
		rc = pack_options_split(text, &m);
		TAP_INT(rc, cases[i].from ? 0 : -EINVAL, "split \"%s\"", cases[i].text);
		if (rc == 0)
			TAP_STR(m.from, cases[i].from, "from");
		if (rc == 0 && cases[i].to)
			TAP_STR(m.to, cases[i].to, "to");
		if (rc == 0 && !cases[i].to)
			TAP_OK(!m.to, "and nowhere else");
	}
	TAP_INT(pack_options_cap("CAP_KILL"), 5, "a capability");
	TAP_INT(pack_options_cap("kill"), 5, "in short");
	TAP_INT(pack_options_cap("Net_Bind_Service"), 10, "in any case");
	TAP_INT(pack_options_cap("fly"), -1, "none of these");
	TAP_INT(pack_options_cap(""), -1, "nor an empty one");
}

static void test_manifest_paths(void)
{
	static const char *const paths[] = { "/plain", "/sp ace\t\n", "/\xff\xfe", "/back\\slash", "/\xc3\xa9",
					     "/\\x41" };
	static const char *const wrong[] = { "/\\x41", "/\\x4", "/\\", "/\\n", "/\\x00", "/\\xFF" };
	char text[MANIFEST_PATH_MAX], back[PATH_MAX];

	for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
		(void)manifest_encode_path(paths[i], text);
		TAP_INT(manifest_decode_path(text, back), 0, "decode %s", text);
		TAP_STR(back, paths[i], "gives the path again");
	}
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
		TAP_INT(manifest_decode_path(wrong[i], back), -EINVAL, "refuse %s", wrong[i]);
}

static void test_pyc(void)
{
	unsigned char data[16] = { 0xa7, 0x0d, 0x0d, 0x0a };
	char source[PATH_MAX];

	TAP_OK(pyc_source("/usr/lib/python3.11/__pycache__/ssl.cpython-311.pyc", source), "a compiled module");
	TAP_STR(source, "/usr/lib/python3.11/ssl.py", "its source");
	TAP_OK(pyc_source("/__pycache__/x.cpython-311.opt-1.pyc", source), "an optimised one");
	TAP_STR(source, "/x.py", "its source");
	TAP_OK(!pyc_source("/usr/lib/x.pyc", source), "not in a cache");
	TAP_OK(!pyc_source("/a/__pycache__/x.pyc", source), "no tag");
	TAP_OK(!pyc_source("/a/__pycache__/.x.pyc", source), "no name");
	data[8] = 100;
	data[12] = 50;
	TAP_OK(!pyc_retime(data, sizeof data, 101, 50, 7), "another time: stale stays stale");
	TAP_OK(!pyc_retime(data, sizeof data, 100, 51, 7), "another size");
	TAP_OK(!pyc_retime(data, 15, 100, 50, 7), "cut off");
	TAP_INT(data[8], 100, "none of these changed it");
	TAP_OK(pyc_retime(data, sizeof data, 100, 50, 0x01020304), "a right one");
	TAP_OK(data[8] == 4 && data[9] == 3 && data[10] == 2 && data[11] == 1, "gets the new time");
	data[4] = 1;
	TAP_OK(!pyc_retime(data, sizeof data, 0x01020304, 50, 7), "one that is checked by hash");
}

static int say_name(void *ctx, const char *name)
{
	(void)ctx;
	say("%s ", name);
	return strcmp(name, "libstop.so") == 0;
}

static void test_mentions(void)
{
	static const char data[] = "xlibno.so\0libz.so.1\0lib.so\0libfoo.so.conf\0libstdc++.so.6.0.30\0"
				   "lib/x.so\0libfoo-2.4.so\0libbar.so1\0libcut.so.";
	static const char stop[] = "\0liba.so\0libstop.so\0libb.so";

	said[0] = '\0';
	TAP_INT(mentions_scan(data, sizeof data - 2, say_name, NULL), 0, "names in a file");
	TAP_STR(said, "libz.so.1 libstdc++.so.6.0.30 libfoo-2.4.so ", "of libraries");
	said[0] = '\0';
	TAP_INT(mentions_scan(stop, sizeof stop, say_name, NULL), 1, "the callback can stop it");
	TAP_STR(said, "liba.so libstop.so ", "there");
}

static void test_names(void)
{
	char buf[64], dir[PATH_MAX];
	const struct loader l = { .lib = "lib/x86_64-linux-gnu", .platform = "x86_64" };
	struct arena arena = { 0 };
	const char *dirs[8];
	static const char image[] = "xx\0/no/libs\0/lib/one/\0/usr/lib/one/\0/lib/\0\0/alone/lib/\0";
	struct needs n = { 0 };
	struct notes notes;

	TAP_STR(ociconfig_name("Redis-Server", buf), "redis-server", "a host name");
	TAP_STR(ociconfig_name("python3.11", buf), "python3", "without what looks like a suffix");
	TAP_STR(ociconfig_name("__my app__.py", buf), "my-app", "with hyphens for the rest");
	TAP_STR(ociconfig_name("\xc3\xa9", buf), "app", "never empty");
	TAP_OK(ociconfig_name_ok("a-1") && !ociconfig_name_ok("-a") && !ociconfig_name_ok("A") &&
		       !ociconfig_name_ok("") && !ociconfig_name_ok("a."),
	       "which names may be given");
	TAP_INT(loader_expand(&l, "$ORIGIN/../$LIB/${PLATFORM}$X", 29, "/o", dir), 0, "expand");
	TAP_STR(dir, "/o/../lib/x86_64-linux-gnu/x86_64$X", "what the loader knows, and leaves the rest");
	TAP_INT(loader_expand(&l, "${ORIGIN", 8, "/o", dir), 0, "an open brace");
	TAP_STR(dir, "${ORIGIN", "stays");
	TAP_INT(loader_scan_dirs(&arena, image, sizeof image, dirs, 8), 3, "the loader's own directories");
	TAP_STR(dirs[1], "/usr/lib/one", "without the slash");
	TAP_INT(loader_scan_dirs(&arena, image, 12, dirs, 8), 0, "none");
	arena_fini(&arena);
	needs_symbol(&n, "listen");
	needs_symbol(&n, "setgroups");
	TAP_OK(n.known && n.listens && !n.connects && n.caps == 1ULL << 6, "what imports tell");
	notes_init(&notes);
	notes_add(&notes, "one %d", 1);
	notes_add(&notes, "one %d", 1);
	TAP_INT(notes.n, 1, "the same note once");
	notes_fini(&notes);
}

int main(void)
{
	test_shebang();
	test_accounts();
	test_dpkg();
	test_services();
	test_options();
	test_manifest_paths();
	test_pyc();
	test_mentions();
	test_names();
	return tap_done();
}
