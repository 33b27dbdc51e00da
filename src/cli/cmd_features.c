/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/oci.h"
#include "model/bundle.h"

static const char help[] = "Usage: vrun features\n\n"
			   "Prints what of the OCI runtime specification is there, as JSON (features.md).\n\n"
			   "      --root DIR   accepted\n"
			   "  -h, --help\n";

/* Words that are read but that a launch refuses. */
static bool is_refused(const char *word)
{
	return strcmp(word, "remount") == 0 || strcmp(word, "SCMP_ACT_NOTIFY") == 0 ||
	       strcmp(word, "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV") == 0;
}

static json_t *words(enum bundle_words kind)
{
	json_t *list = json_array();
	const char *word;

	for (size_t i = 0; (word = bundle_word(kind, i)) != NULL; i++)
		if (!is_refused(word))
			(void)json_array_append_new(list, json_string(word));
	return list;
}

static json_t *mount_options(void)
{
	json_t *list = words(WORDS_MOUNT_ATTRS), *others = words(WORDS_MOUNT_OTHERS);
	const char *word;
	char recursive[32];

	for (size_t i = 0; (word = bundle_word(WORDS_MOUNT_ATTRS, i)) != NULL; i++) {
		(void)snprintf(recursive, sizeof recursive, "r%s", word);
		(void)json_array_append_new(list, json_string(recursive));
	}
	(void)json_array_extend(list, others);
	json_decref(others);
	return list;
}

static json_t *linux_features(void)
{
	json_t *namespaces = json_array();

	for (int k = 0; k < NS_KINDS; k++)
		(void)json_array_append_new(namespaces, json_string(bundle_ns_name((enum ns_kind)k)));
	return json_pack("{s:o, s:o, s:{s:b, s:b, s:b, s:b, s:b}, s:{s:b, s:o, s:o, s:o, s:o}, s:{s:b}, s:{s:b}, "
			 "s:{s:b}, s:{s:{s:b}}}",
			 "namespaces", namespaces, "capabilities", words(WORDS_CAPS), "cgroup", "v1", 1, "v2", 1, "systemd",
			 1, "systemdUser", 1, "rdma", 1, "seccomp", "enabled", 1, "actions", words(WORDS_ACTIONS),
			 "operators", words(WORDS_OPERATORS), "archs", words(WORDS_ARCHS), "supportedFlags",
			 words(WORDS_FILTER_FLAGS), "apparmor", "enabled", 1, "selinux", "enabled", 1, "intelRdt",
			 "enabled", 0, "mountExtensions", "idmap", "enabled", 1);
}

int cmd_features(int argc, char **argv)
{
	int rc = oci_parse_plain(argc, argv, "no arguments", 0, 0);

	if (rc != 0)
		return rc == OCI_HELP ? oci_help(help) : rc;
	return oci_print(json_pack("{s:s, s:s, s:[s, s, s, s, s, s], s:o, s:o, s:{s:s}}", "ociVersionMin", "1.0.0",
				   "ociVersionMax", "1.2.0", "hooks", "prestart", "createRuntime", "createContainer",
				   "startContainer", "poststart", "poststop", "mountOptions", mount_options(), "linux",
				   linux_features(), "annotations", "org.vrun.version", PACKAGE_VERSION));
}
