/* SPDX-License-Identifier: Apache-2.0 */
/* Mounts: what each option string does, how they undo each other, sources and id maps. */
#include "base/kernel.h"
#include "bundle-text.h"
#include "tap.h"

static struct err e;

/* Reads one mount, given as the inside of its object, into a bundle of its own. */
static int read_mount(struct bundle *b, const char *inside)
{
	char text[2048];

	(void)snprintf(text, sizeof text,
		       BUNDLE_TEXT_HEAD
		       ",\n'linux':{'namespaces':[{'type':'mount'}]},\n'mounts':[{%s}]}",
		       inside);
	return bundle_from_text(b, text, &e);
}

/* One mount with the given type and options; the test ends when it is refused. */
static struct bundle options(const char *type, const char *list)
{
	struct bundle b;
	char text[1024];

	(void)snprintf(text, sizeof text,
		       "'destination':'/d','type':'%s','source':'s','options':[%s]", type, list);
	if (read_mount(&b, text) < 0) {
		TAP_OK(false, "%s: %s (%s)", list, e.text, e.hint);
		exit(tap_done());
	}
	return b;
}

#define ATIME MOUNT_ATTR__ATIME

/* Each option of the spec that acts on the mount: what it sets and clears. */
static const struct {
	const char *name;
	uint64_t set, clear;
} attrs[] = {
	{"ro", MOUNT_ATTR_RDONLY, 0},
	{"rw", 0, MOUNT_ATTR_RDONLY},
	{"nosuid", MOUNT_ATTR_NOSUID, 0},
	{"suid", 0, MOUNT_ATTR_NOSUID},
	{"nodev", MOUNT_ATTR_NODEV, 0},
	{"dev", 0, MOUNT_ATTR_NODEV},
	{"noexec", MOUNT_ATTR_NOEXEC, 0},
	{"exec", 0, MOUNT_ATTR_NOEXEC},
	{"nodiratime", MOUNT_ATTR_NODIRATIME, 0},
	{"diratime", 0, MOUNT_ATTR_NODIRATIME},
	{"nosymfollow", MOUNT_ATTR_NOSYMFOLLOW, 0},
	{"symfollow", 0, MOUNT_ATTR_NOSYMFOLLOW},
	{"noatime", MOUNT_ATTR_NOATIME, ATIME},
	{"atime", 0, ATIME},
	{"relatime", 0, ATIME},
	{"norelatime", 0, ATIME},
	{"strictatime", MOUNT_ATTR_STRICTATIME, ATIME},
	{"nostrictatime", 0, ATIME},
};

static void test_attrs(void)
{
	for (size_t i = 0; i < sizeof attrs / sizeof *attrs; i++) {
		char list[64];
		struct bundle b;
		const struct bundle_mount *m;

		(void)snprintf(list, sizeof list, "'bind','%s'", attrs[i].name);
		b = options("none", list);
		m = b.mounts;
		TAP_OK(m->attr_set == attrs[i].set && m->attr_clear == attrs[i].clear &&
			       m->rec_attr_set == 0 && m->rec_attr_clear == 0,
		       "%s", attrs[i].name);
		bundle_fini(&b);
		(void)snprintf(list, sizeof list, "'rbind','r%s'", attrs[i].name);
		b = options("none", list);
		m = b.mounts;
		TAP_OK(m->rec_attr_set == attrs[i].set && m->rec_attr_clear == attrs[i].clear &&
			       m->attr_set == 0 && m->attr_clear == 0,
		       "r%s", attrs[i].name);
		bundle_fini(&b);
	}
}

static const struct {
	const char *list;
	uint64_t set, clear;
	const char *what;
} orders[] = {
	{"'ro','rw'", 0, MOUNT_ATTR_RDONLY, "the later of ro and rw counts"},
	{"'rw','ro'", MOUNT_ATTR_RDONLY, 0, "whichever it is"},
	{"'noatime','strictatime'", MOUNT_ATTR_STRICTATIME, ATIME,
	 "one access-time mode at a time"},
	{"'noatime','atime'", 0, ATIME, "atime undoes noatime"},
	{"'strictatime','atime'", MOUNT_ATTR_STRICTATIME, ATIME, "but not strictatime"},
	{"'noatime','norelatime'", MOUNT_ATTR_NOATIME, ATIME, "nor norelatime noatime"},
	{"'strictatime','nostrictatime'", 0, ATIME, "nostrictatime undoes strictatime"},
	{"'noatime','nodiratime','relatime'", MOUNT_ATTR_NODIRATIME, ATIME, "nodiratime is apart"},
	{"'nosuid','nodev','noexec','defaults'",
	 MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, 0,
	 "defaults takes nothing back"},
};

static void test_orders(void)
{
	for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
		struct bundle b = options("tmpfs", orders[i].list);

		TAP_INT(b.mounts[0].attr_set, orders[i].set, "%s: set", orders[i].what);
		TAP_INT(b.mounts[0].attr_clear, orders[i].clear, "%s: clear", orders[i].what);
		bundle_fini(&b);
	}
}

static const struct {
	const char *list;
	unsigned flags;
} switches[] = {
	{"'sync'", BUNDLE_SB_SYNC},
	{"'sync','async'", 0},
	{"'dirsync'", BUNDLE_SB_DIRSYNC},
	{"'lazytime'", BUNDLE_SB_LAZYTIME},
	{"'lazytime','nolazytime'", 0},
	{"'mand'", BUNDLE_SB_MAND},
	{"'mand','nomand'", 0},
	{"'silent'", BUNDLE_SB_SILENT},
	{"'silent','loud'", 0},
	{"'iversion'", BUNDLE_SB_IVERSION},
	{"'iversion','noiversion'", 0},
	{"'ro'", BUNDLE_SB_RDONLY},
	{"'ro','rw'", 0},
	{"'rro'", 0},
};

static const struct {
	const char *name;
	unsigned long type;
} propagations[] = {
	{"private", MS_PRIVATE},
	{"rprivate", MS_PRIVATE | MS_REC},
	{"shared", MS_SHARED},
	{"rshared", MS_SHARED | MS_REC},
	{"slave", MS_SLAVE},
	{"rslave", MS_SLAVE | MS_REC},
	{"unbindable", MS_UNBINDABLE},
	{"runbindable", MS_UNBINDABLE | MS_REC},
	{"private','rprivate", MS_PRIVATE | MS_REC},
};

static void test_superblock_and_propagation(void)
{
	struct bundle b;
	char list[64];

	for (size_t i = 0; i < sizeof switches / sizeof *switches; i++) {
		b = options("ext4", switches[i].list);
		TAP_INT(b.mounts[0].sb_flags, switches[i].flags, "superblock with %s",
			switches[i].list);
		TAP_INT(b.mounts[0].data.n, 0, "and nothing left over");
		bundle_fini(&b);
	}
	b = options("bind", "'sync','ro'");
	TAP_INT(b.mounts[0].sb_flags, 0, "a bind leaves the superblock alone");
	TAP_INT(b.mounts[0].attr_set, MOUNT_ATTR_RDONLY, "and is read-only itself");
	bundle_fini(&b);
	for (size_t i = 0; i < sizeof propagations / sizeof *propagations; i++) {
		(void)snprintf(list, sizeof list, "'bind','%s'", propagations[i].name);
		b = options("none", list);
		TAP_INT(b.mounts[0].propagation, propagations[i].type, "%s", propagations[i].name);
		bundle_fini(&b);
	}
}

static void test_data(void)
{
	struct bundle b =
		options("tmpfs", "'nosuid','mode=755','size=65536k','huge','rmode=1','tmpcopyup'");
	const struct bundle_mount *m = b.mounts;

	TAP_INT(m->data.n, 4, "what is no known option is data");
	TAP_STR(m->data.v[0], "mode=755", "in order");
	TAP_STR(m->data.v[2], "huge", "flags too");
	TAP_STR(m->data.v[3], "rmode=1", "also with an r in front");
	TAP_OK(m->data.v[4] == NULL, "and terminated");
	TAP_OK(m->tmpcopyup, "tmpcopyup");
	TAP_INT(b.unsupported.n, 0, "which a launch carries out");
	TAP_STR(m->source, "s", "the source is kept");
	bundle_fini(&b);
	b = options("overlay", "'lowerdir=/a:/b','upperdir=/u,x','xino=on','remount'");
	TAP_STR(b.mounts[0].data.v[1], "upperdir=/u,x", "a comma stays");
	TAP_OK(b.mounts[0].remount, "remount");
	TAP_STR(b.unsupported.n == 1 ? b.unsupported.v[0] : NULL, "the mount option remount",
		"which a launch has to refuse");
	bundle_fini(&b);
}

static void test_binds(void)
{
	struct bundle b = options("none", "'rbind','rro'");
	const struct bundle_mount *m = b.mounts;

	TAP_OK(m->bind && m->rbind, "rbind");
	TAP_STR(m->type, "bind", "is of type bind");
	TAP_STR(m->source, "/b/s", "a relative source starts at the bundle");
	bundle_fini(&b);
	TAP_INT(read_mount(&b, "'destination':'d/e','type':'bind','source':'/s'"), 0,
		"type bind without options");
	TAP_OK(b.mounts[0].bind && !b.mounts[0].rbind, "is a bind");
	TAP_STR(b.mounts[0].source, "/s", "an absolute source stays");
	TAP_STR(b.mounts[0].destination, "/d/e", "a relative destination starts at /");
	bundle_fini(&b);
	TAP_INT(read_mount(&b, "'destination':'/d','source':'x','options':['bind']"), 0,
		"no type, but bind");
	TAP_STR(b.mounts[0].type, "bind", "is a bind");
	bundle_fini(&b);
	TAP_INT(read_mount(&b, "'destination':'/proc','type':'proc'"), 0, "no source");
	TAP_STR(b.mounts[0].source, "proc", "is the type");
	TAP_OK(!b.mounts[0].bind && b.mounts[0].attr_set == 0 && b.mounts[0].data.n == 0,
	       "and nothing else");
	bundle_fini(&b);
	TAP_INT(read_mount(&b,
			   "'destination':'/d','type':'none','options':['remount','bind','ro']"),
		0, "a remount needs no source");
	TAP_OK(b.mounts[0].remount && b.mounts[0].bind, "remount of a bind");
	bundle_fini(&b);
}

#define MAPS                                                                                       \
	"'uidMappings':[{'containerID':0,'hostID':1,'size':2}],'gidMappings':[{'containerID':3,'"  \
	"hostID':4,'size':5}]"

static void test_idmaps(void)
{
	struct bundle b;
	const struct bundle_mount *m;

	TAP_INT(read_mount(&b,
			   "'destination':'/d','source':'/s','options':['rbind','ridmap']," MAPS),
		0, "ridmap");
	m = b.mounts;
	TAP_OK(m->idmap == MOUNT_IDMAP_RECURSIVE && m->uid_map.n == 1 &&
		       m->uid_map.v[0].size == 2 && m->gid_map.n == 1 &&
		       m->gid_map.v[0].outside == 4,
	       "with maps");
	bundle_fini(&b);
	TAP_INT(read_mount(&b, "'destination':'/d','source':'/s','options':['rbind']," MAPS), 0,
		"maps alone");
	TAP_INT(b.mounts[0].idmap, MOUNT_IDMAP_PLAIN, "mean idmap");
	bundle_fini(&b);
	TAP_INT(read_mount(&b, "'destination':'/d','source':'/s','options':['bind','idmap']"),
		-EINVAL, "idmap without a map and without a user namespace");
	TAP_STR(e.text, "c.json:3: mounts[0]: no id map for an idmapped mount", "is named");
	TAP_INT(bundle_from_text(&b,
				 BUNDLE_TEXT_HEAD
				 ",'linux':{'namespaces':[{'type':'user'}]},'mounts':"
				 "[{'destination':'/d','source':'/s','options':['bind','idmap']}]}",
				 &e),
		0, "with a user namespace its map is meant");
	TAP_OK(b.mounts[0].idmap == MOUNT_IDMAP_PLAIN && b.mounts[0].uid_map.n == 0,
	       "and none is given");
	bundle_fini(&b);
}

static const struct {
	const char *inside, *text, *hint;
} wrong[] = {
	{"'type':'proc'",
	 "c.json:3: mounts[0].destination: missing, but the runtime spec requires it", ""},
	{"'destination':'','type':'proc'", "c.json:3: mounts[0].destination: is empty", ""},
	{"'destination':'/d'", "c.json:3: mounts[0].type: no filesystem to mount",
	 "name a type, or put \"bind\" or \"rbind\" into the options"},
	{"'destination':'/d',\n'type':'none'", "c.json:4: mounts[0].type: no filesystem to mount",
	 "name a type, or put \"bind\" or \"rbind\" into the options"},
	{"'destination':'/d','options':['bind']",
	 "c.json:3: mounts[0].source: missing, but the runtime spec requires it", ""},
	{"'destination':'/d','source':'/s','options':['bind',\n'nosiud']",
	 "c.json:4: mounts[0].options[1]: \"nosiud\": not an option of a bind mount",
	 "did you mean \"nosuid\"?"},
	{"'destination':'/d','source':'/s','options':['copy-symlink','bind']",
	 "c.json:3: mounts[0].options[0]: \"copy-symlink\": not an option of a bind mount", ""},
	{"'destination':'/d','source':'/s','options':['mode=755','bind',\n'uid=5']",
	 "c.json:4: mounts[0].options[2]: \"uid=5\": not an option of a bind mount", ""},
	{"'destination':'/d','type':'proc','options':'ro'",
	 "c.json:3: mounts[0].options: expected an array, found a string", ""},
	{"'destination':'/d','type':'proc','options':['ro',5]",
	 "c.json:3: mounts[0].options[1]: expected a string, found an integer", ""},
	{"'destination':'/d','type':'proc','options':['']",
	 "c.json:3: mounts[0].options[0]: is empty", ""},
	{"'destination':'/d','type':'proc','options':['tmpcopyup']",
	 "c.json:3: mounts[0].options[0]: tmpcopyup is for tmpfs only", ""},
	{"'destination':'/d','type':'tmpfs','options':['rshared',\n\n'rslave']",
	 "c.json:5: mounts[0].options[1]: a second kind of propagation", ""},
	{"'destination':'/d','type':'tmpfs','uidMappings':[{'containerID':0,'hostID':1,'size':2}]",
	 "c.json:3: mounts[0]: uidMappings without gidMappings", ""},
	{"'destination':'/d','type':'tmpfs','gidMappings':[{'containerID':0,'hostID':1,'size':2}]",
	 "c.json:3: mounts[0]: gidMappings without uidMappings", ""},
};

static void test_wrong(void)
{
	struct bundle b;

	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		TAP_INT(read_mount(&b, wrong[i].inside), -EINVAL, "wrong mount %zu", i);
		TAP_STR(e.text, wrong[i].text, "its complaint");
		TAP_STR(e.hint, wrong[i].hint, "its hint");
	}
}

/* As a command line would use it: options that do not come from a file. */
static void test_exposed(void)
{
	struct bundle_mount m = {.type = NULL};
	struct arena arena = {0};
	struct json_doc doc;
	struct jat at;

	TAP_INT(json_doc_parse(&doc, "--mount", "[\"rbind\", \"rro\"]", 16, &e), 0,
		"options from elsewhere");
	at = json_root(&doc);
	TAP_INT(bundle_mount_options(&m, &arena, &at, &e), 0, "are read");
	TAP_OK(m.rbind && m.rec_attr_set == MOUNT_ATTR_RDONLY, "the same way");
	json_doc_fini(&doc);
	arena_fini(&arena);
}

int main(void)
{
	test_attrs();
	test_orders();
	test_superblock_and_propagation();
	test_data();
	test_binds();
	test_idmaps();
	test_wrong();
	test_exposed();
	return tap_done();
}
