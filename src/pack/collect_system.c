/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What any program may ask the system for, whoever packaged it: name services,
 * the time zone, certificates of authorities where something speaks TLS. Taken
 * only if the host has it. Nothing here says who the host is: /etc/hosts is
 * written anew, /etc/hostname and /etc/resolv.conf are left to the launcher.
 */
#include "pack/pack.h"

#include <fcntl.h>
#include <string.h>

#include "base/fd.h"
#include "pack/mentions.h"

#define MENTIONS_FILE_MAX (512U << 20)

static const char *const always[] = {
	"/etc/nsswitch.conf", "/etc/host.conf", "/etc/gai.conf",  "/etc/services",
	"/etc/protocols",     "/etc/localtime", "/etc/timezone", "/etc/os-release",
};

/* Where distributions keep the authorities' certificates and OpenSSL its settings; never private keys. */
static const char *const tls[] = {
	"/etc/ssl/certs",	      "/etc/ssl/openssl.cnf", "/etc/ssl/cert.pem",
	"/usr/lib/ssl/certs",	      "/usr/lib/ssl/cert.pem", "/usr/lib/ssl/openssl.cnf",
	"/etc/pki/tls/certs",	      "/etc/pki/tls/cert.pem", "/etc/pki/tls/openssl.cnf",
	"/etc/pki/ca-trust/extracted", "/etc/gnutls/config",
};

/* A library's start of name, and what it reads by itself. */
static const struct {
	const char *library, *path;
} reads[] = {
	{ "libtinfo.so.", "/lib/terminfo" },
	{ "libtinfo.so.", "/usr/share/terminfo" },
	{ "libncurses", "/etc/terminfo" },
};

static const char hosts[] = "127.0.0.1\tlocalhost\n"
			    "::1\tlocalhost ip6-localhost ip6-loopback\n";

/* Adds what is there; what is not, or may not be read, is no loss worth a word. */
static int take(struct pack *p, const char *path, struct err *e)
{
	int rc = place_tree(&p->place, path, WHY_SYSTEM, NULL, NULL, e);

	return rc == -ENOMEM || rc == -EINTR ? rc : 0;
}

/* Links in a directory of links (certificates by hash): what they lead to comes too. */
static int take_links_below(struct pack *p, const char *dir, struct err *e)
{
	AUTO_FREE struct node **v = NULL;
	char real[PATH_MAX];
	size_t n = p->tree.n;

	if (host_realpath(&p->host, dir, real, NULL) < 0)
		return 0;
	v = tree_sorted(&p->tree);
	if (!v)
		return err_num(e, ENOMEM, "packing");
	for (size_t i = 0; i < n; i++) {
		int rc;

		if (v[i]->kind != NODE_LINK || !path_below(v[i]->path, real))
			continue;
		rc = place_path(&p->place, v[i]->path, WHY_SYSTEM, NULL, e);
		if (rc == -ENOMEM || rc == -EINTR)
			return rc;
	}
	return 0;
}

static int collect_tls(struct pack *p, struct err *e)
{
	static const char *const speakers[] = { "libssl.so.", "libgnutls.so.", "libnss3.so",
						"libmbedtls.so.", "libwolfssl.so." };
	bool speaks = p->libs.program.v[0]->elf.is_go && !p->libs.program.v[0]->elf.dynamic;

	for (size_t i = 0; i < sizeof speakers / sizeof *speakers; i++)
		speaks = speaks || libs_has(&p->libs, speakers[i]);
	for (size_t i = 0; speaks && i < sizeof tls / sizeof *tls; i++) {
		int rc = take(p, tls[i], e);

		if (rc == 0)
			rc = take_links_below(p, tls[i], e);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* One line "database: service [action] service"; a '#' begins a comment. */
static int nss_line(struct pack *p, char *line, struct err *e)
{
	char name[128], *save = NULL, *word;

	line[strcspn(line, "#")] = '\0';
	word = strchr(line, ':');
	if (!word)
		return 0;
	for (word = strtok_r(word + 1, " \t", &save); word; word = strtok_r(NULL, " \t", &save)) {
		int rc;

		if (word[0] == '[' || strchr(word, '/') || strchr(word, ']'))
			continue;
		if (snprintf(name, sizeof name, "libnss_%s.so.2", word) >= (int)sizeof name)
			continue;
		rc = libs_dlopen(&p->libs, name, e);
		if (rc < 0 && rc != -EINVAL)
			return rc;
	}
	return 0;
}

/* glibc loads a library for each service that nsswitch.conf(5) names. */
static int collect_nss(struct pack *p, struct err *e)
{
	AUTO_FREE char *text = NULL;
	char *save = NULL;

	int rc;

	if (!libs_has(&p->libs, "libc.so.6"))
		return 0;
	/* glibc itself loads it when a thread is cancelled, and aborts without it. */
	rc = libs_dlopen(&p->libs, "libgcc_s.so.1", e);
	if (rc < 0 || host_read(&p->host, "/etc/nsswitch.conf", 1U << 20, &text, NULL, NULL) < 0)
		return rc < 0 ? rc : 0;
	for (char *l = strtok_r(text, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
		rc = nss_line(p, l, e);
		if (rc < 0)
			return rc;
	}
	return take(p, "/usr/lib/locale/C.utf8", e);
}

struct mentioning {
	struct pack *p;
	struct err *e;
};

static int take_mentioned(void *ctx, const char *name)
{
	struct mentioning *m = ctx;
	int rc = libs_dlopen(&m->p->libs, name, m->e);

	/* Not there, or not for this machine: it was only a guess. */
	return rc == -ENOMEM || rc == -EINTR ? rc : 0;
}

static void see_dlopen(void *ctx, const char *symbol)
{
	bool *found = ctx;

	*found = *found || strcmp(symbol, "dlopen") == 0;
}

static int scan_mentions(struct pack *p, const char *real, struct err *e)
{
	struct mentioning m = { .p = p, .e = e };
	AUTO_FD int fd = host_openat(&p->host, real, O_RDONLY);
	AUTO_FREE char *data = NULL;
	bool loads = false;
	size_t len;

	if (fd < 0 || elffile_imports(fd, see_dlopen, &loads) < 0 || !loads ||
	    fd_read_all(fd, real, MENTIONS_FILE_MAX, &data, &len, NULL) < 0)
		return 0;
	return mentions_scan(data, len, take_mentioned, &m);
}

/* What the program's own files may load by a name that they hold: itself, and libraries packaged with it. */
static int collect_mentioned(struct pack *p, struct err *e)
{
	size_t n = p->libs.program.n;
	int rc = scan_mentions(p, p->libs.program.v[0]->real, e);

	for (size_t i = 1; rc == 0 && i < n; i++) {
		const struct node *node = tree_find(&p->tree, p->libs.program.v[i]->real);

		if (node && node->why == WHY_PACKAGE)
			rc = scan_mentions(p, node->path, e);
	}
	return rc;
}

int collect_system(struct pack *p, struct err *e)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < sizeof always / sizeof *always; i++)
		rc = take(p, always[i], e);
	if (rc == 0)
		rc = collect_nss(p, e);
	if (rc == 0)
		rc = collect_mentioned(p, e);
	if (rc == 0)
		rc = collect_tls(p, e);
	for (size_t i = 0; rc == 0 && i < sizeof reads / sizeof *reads; i++)
		if (libs_has(&p->libs, reads[i].library))
			rc = take(p, reads[i].path, e);
	if (rc == 0)
		rc = tree_add_text(&p->tree, "/etc/hosts", 0644, hosts, WHY_SYSTEM, e);
	return rc < 0 ? rc : 0;
}
