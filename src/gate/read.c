/* SPDX-License-Identifier: Apache-2.0 */
#include "gate/read.h"

#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "model/json.h"

#define TEXT_MAX (32U << 20) /* bytes of both texts */

static int read_one(const struct jat *root, const char *key, struct policy *ret, struct err *e)
{
	const char *name, *text;
	struct json_doc doc;
	struct jat obj;
	int rc = json_get_object(root, key, &obj, e);

	if (rc <= 0)
		return rc;
	if (json_get_string(&obj, "name", &name, e) != 1 || json_get_string(&obj, "text", &text, e) != 1)
		return json_error(&obj, e, "name or text is missing");
	rc = json_doc_parse(&doc, name, text, strlen(text), e);
	if (rc < 0)
		return rc;
	rc = policy_read(ret, &doc, NULL, e);
	json_doc_fini(&doc);
	return rc < 0 ? rc : 1;
}

static int read_members(const struct jat *root, struct gate_text *t, struct err *e)
{
	const char *servers;
	int rc = read_one(root, "policy", &t->policy, e);

	if (rc == 0)
		rc = json_error(root, e, "policy is missing");
	if (rc > 0) {
		rc = read_one(root, "ceiling", &t->ceiling, e);
		t->has_ceiling = rc > 0;
	}
	if (rc >= 0)
		rc = json_get_int(root, "owner", 0, UINT32_MAX, &t->owner, e);
	if (rc >= 0)
		rc = json_get_string(root, "servers", &servers, e);
	if (rc > 0 && !(t->servers = strdup(servers)))
		rc = err_num(e, ENOMEM, "name servers");
	return rc < 0 ? rc : 0;
}

int gate_text_read(struct gate_text *ret, int fd, struct err *e)
{
	struct gate_text t = { .owner = -1 };
	AUTO_FREE char *text = NULL;
	struct json_doc doc;
	struct jat root;
	size_t len;
	int rc = fd_read_all(fd, "policy", TEXT_MAX, &text, &len, e);

	if (rc == 0)
		rc = json_doc_parse(&doc, "policy", text, len, e);
	if (rc < 0)
		return rc;
	policy_init_none(&t.policy);
	policy_init_none(&t.ceiling);
	root = json_root(&doc);
	rc = json_expect_object(&root, e);
	if (rc == 0)
		rc = read_members(&root, &t, e);
	json_doc_fini(&doc);
	if (rc < 0)
		gate_text_fini(&t);
	else
		*ret = t;
	return rc;
}

void gate_text_fini(struct gate_text *t)
{
	policy_fini(&t->policy);
	policy_fini(&t->ceiling);
	free(t->servers);
	t->servers = NULL;
}
