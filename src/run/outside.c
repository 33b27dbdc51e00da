/* SPDX-License-Identifier: Apache-2.0 */
#include "run/outside.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "run/namespaces.h"
#include "run/netfiles.h"
#include "run/policy_apply.h"

#define RESOLV_CONF_MAX 65536

void outside_plan(struct launch *l)
{
	struct bundle_ns *ns = &l->bundle->ns[NS_NET];

	if (!l->opt->engine || !ns->path || (!l->supervised && l->opt->policy->net == PROFILE_NET_NONE))
		return;
	l->outside = ns->path;
	ns->path = NULL;
}

int outside_open(const struct launch *l, int *ret_fd, struct err *e)
{
	*ret_fd = -1;
	return l->outside ? namespaces_open_one(NS_NET, l->outside, ret_fd, e) : 0;
}

static char *read_resolv_conf(const struct bundle *b)
{
	const char *source = NULL;
	AUTO_FREE char *text = NULL;
	AUTO_FD int fd = -1;
	struct err ignored;

	for (size_t i = 0; i < b->n_mounts; i++)
		if (b->mounts[i].bind && strcmp(b->mounts[i].destination, NETFILES_RESOLV_CONF) == 0)
			source = b->mounts[i].source;
	/* A FIFO would be waited for. */
	fd = source ? open(source, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK) : -1;
	if (fd < 0 || fd_read_all(fd, source, RESOLV_CONF_MAX, &text, NULL, &ignored) < 0)
		return NULL;
	return mem_take(&text);
}

void outside_servers(const struct launch *l, char ret[static OUTSIDE_SERVERS_MAX])
{
	AUTO_FREE char *text = l->outside ? read_resolv_conf(l->bundle) : NULL;
	char *line, *rest = text, *words;
	size_t len = 0;

	ret[0] = '\0';
	for (int n = 0; n < OUTSIDE_SERVERS && (line = strsep(&rest, "\n")) != NULL;) {
		const char *key = strtok_r(line, " \t\r", &words), *value = strtok_r(NULL, " \t\r", &words);
		char one[ADDR_TEXT_MAX];
		struct addr a;

		if (!key || !value || strcmp(key, "nameserver") != 0 || addr_parse(value, &a, NULL) < 0)
			continue;
		len += (size_t)snprintf(ret + len, OUTSIDE_SERVERS_MAX - len, "%s%s", n ? "," : "",
					addr_format(&a, one, sizeof one));
		n++;
	}
}

bool outside_is_sandbox(const struct bundle *b)
{
	static const char *const keys[] = { "io.kubernetes.cri.container-type", "io.kubernetes.cri-o.ContainerType" };

	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
		const char *type = bundle_annotation(b, keys[i]);

		if (type && strcmp(type, "sandbox") == 0)
			return true;
	}
	return false;
}
