/* SPDX-License-Identifier: Apache-2.0 */
/* --publish: rules beside those of the policy's file. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/addr.h"
#include "base/fd.h"
#include "base/num.h"
#include "model/endpoint.h"
#include "run/policy_apply.h"

#define HOST_DEFAULT "127.0.0.1"
#define PORT_ROOM 8

static int bad(const char *text, struct err *e)
{
	(void)err_set(e, EINVAL, "--publish %s", text);
	return err_hint(e, "write ADDRESS:PORT:PORT, of this machine and of the app, as in 127.0.0.1:8080:80; "
			   "[::1]:8080:80; 8080:80 is 127.0.0.1:8080:80; port 0 of the machine: any; for UDP 5353:53/udp");
}

/* What stands behind the port of the domain, which is copied: NULL: nothing that is a protocol. */
static const char *split_proto(const char *behind, char port[static PORT_ROOM])
{
	size_t n = strcspn(behind, "/");

	if (n >= PORT_ROOM)
		return NULL;
	memcpy(port, behind, n);
	port[n] = '\0';
	if (behind[n] == '\0')
		return "tcp";
	return strcmp(behind + n, "/tcp") == 0 ? "tcp" : strcmp(behind + n, "/udp") == 0 ? "udp" : NULL;
}

/* [ADDRESS:]PORT:PORT[/PROTO] to "ADDRESS:PORT" of the machine, and the port of the domain. */
static int split(const char *text, char *host, size_t size, unsigned *ret_port, const char **ret_proto,
		 bool *ret_loopback, struct err *e)
{
	const char *colon = strrchr(text, ':');
	char behind[PORT_ROOM];
	uint64_t port;
	uint16_t host_port;
	struct addr a;
	int n;

	*ret_proto = colon ? split_proto(colon + 1, behind) : NULL;
	if (!*ret_proto || num_parse_u64(behind, 1, UINT16_MAX, &port) < 0)
		return bad(text, e);
	n = memchr(text, ':', (size_t)(colon - text)) ?
		    snprintf(host, size, "%.*s", (int)(colon - text), text) :
		    snprintf(host, size, HOST_DEFAULT ":%.*s", (int)(colon - text), text);
	if (n < 0 || (size_t)n >= size || endpoint_parse_publish(host, &a, &host_port, NULL) < 0)
		return bad(text, e);
	*ret_port = (unsigned)port;
	*ret_loopback = addr_kind(&a) == ADDR_LOOPBACK;
	return 0;
}

/* Who may come in: this machine; and where others can reach it, they. */
static json_t *rule_of(const char *text, struct err *e)
{
	char host[ADDR_TEXT_MAX + 10], at[8];
	const char *proto = NULL;
	bool loopback = false;
	unsigned port = 0;

	if (split(text, host, sizeof host, &port, &proto, &loopback, e) < 0)
		return NULL;
	(void)snprintf(at, sizeof at, ":%u", port);
	return json_pack("{s:s, s:s, s:s, s:o, s:s}", "allow", "listen", "at", at, "proto", proto, "from",
			 loopback ? json_pack("[s]", "host") : json_pack("[s, s, s]", "host", "0.0.0.0/0", "::/0"),
			 "publish", host);
}

/* The policy's rules, made where there are none. NULL: it forbids all network. */
static json_t *rules_of(json_t *root)
{
	json_t *net = json_object_get(root, "net"), *rules = json_object_get(net, "rules");
	const char *word = json_string_value(net);

	if (word && strcmp(word, "none") == 0)
		return NULL;
	if (!json_is_object(net)) {
		net = json_object();
		(void)json_object_set_new(root, "net", net);
	}
	if (!rules) {
		rules = json_array();
		(void)json_object_set_new(net, "rules", rules);
	}
	return rules;
}

int policy_publish(struct json_doc *doc, bool has_doc, const char *const *list, struct err *e)
{
	json_t *root = has_doc ? json_deep_copy(doc->root) : json_pack("{s:i}", "version", 1);
	json_t *rules = json_is_object(root) ? rules_of(root) : NULL;
	AUTO_FREE char *text = NULL;
	struct json_doc made;
	int rc = 0;

	if (!rules) {
		(void)err_set(e, EINVAL, "--publish: \"net\" of %s is \"none\"", doc->name);
		rc = err_hint(e, "leave \"net\" out, or give it rules");
	}
	for (; rc == 0 && *list; list++) {
		json_t *rule = rule_of(*list, e);

		rc = rule ? 0 : -EINVAL;
		if (rc == 0 && json_array_append_new(rules, rule) < 0)
			rc = err_num(e, ENOMEM, "--publish");
	}
	text = rc == 0 ? json_dumps(root, JSON_INDENT(2)) : NULL;
	json_decref(root);
	if (rc < 0)
		return rc;
	if (!text)
		return err_num(e, ENOMEM, "--publish");
	rc = json_doc_parse(&made, has_doc ? doc->name : "--publish", text, strlen(text), e);
	if (rc < 0)
		return rc;
	if (has_doc)
		json_doc_fini(doc);
	*doc = made;
	return 0;
}
