/* SPDX-License-Identifier: Apache-2.0 */
/* vrun policy seccomp: the part of another runtime's configuration that makes a container vrun's to serve. */
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "cli/cmd_policy.h"
#include "cli/command.h"
#include "cli/profile.h"
#include "model/policy.h"

static int need_listen(const char *file, struct err *e)
{
	(void)err_set(e, EINVAL, "%s has rules, which a supervisor holds", file);
	return err_hint(e, "--listen PATH says where it listens");
}

static int print(const char *file, const char *listen, struct err *e)
{
	json_t *profile = NULL;
	struct json_doc doc;
	struct policy p;
	int rc = json_doc_load(&doc, AT_FDCWD, file, NULL, e);

	if (rc < 0)
		return rc;
	rc = policy_read(&p, &doc, NULL, e);
	if (rc == 0) {
		if (p.net == POLICY_NET_RULES && !listen)
			rc = need_listen(file, e);
		if (rc == 0)
			rc = profile_of_policy(&p, &profile, e);
		if (rc == 0 && p.net == POLICY_NET_RULES) {
			(void)json_object_set_new(profile, "listenerPath", json_string(listen));
			/* What the supervisor is handed with the listener: the policy itself. */
			(void)json_object_set_new(profile, "listenerMetadata", json_string(doc.text));
		}
		policy_fini(&p);
	}
	json_doc_fini(&doc);
	if (rc == 0 && (json_dumpf(profile, stdout, JSON_COMPACT) < 0 || putchar('\n') < 0 || fflush(stdout) != 0))
		rc = err_sys(e, "writing the profile");
	json_decref(profile);
	return rc;
}

int policy_cmd_seccomp(int argc, char **argv)
{
	static const struct option options[] = {
		{ "listen", required_argument, NULL, 'l' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	const char *listen = NULL;
	struct err e = { 0 };
	int opt;

	while ((opt = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (opt == 'h')
			return policy_help();
		if (opt == '?')
			return command_usage("policy", "seccomp takes --listen PATH and a file");
		listen = optarg;
	}
	if (argc - optind != 1)
		return command_usage("policy", "seccomp takes one file");
	if (listen && *listen != '/')
		return command_usage("policy", "--listen takes an absolute path: the runtime connects from elsewhere");
	return print(argv[optind], listen, &e) < 0 ? command_fail(&e) : 0;
}
