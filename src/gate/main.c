/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vrun-gateway: reads the policy, gives up whatever it does not need, serves
 * (gate.h). Started by vrun with the supervisor's socket and the policy.
 */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "gate/gate.h"
#include "model/json.h"

#define POLICY_MAX (32U << 20) /* bytes of both texts */

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

/* {"policy": {"name", "text"}, "ceiling": ...}, to the end of the pipe. */
static int read_policies(struct policy *policy, struct policy *ceiling, bool *ret_has_ceiling, struct err *e)
{
	AUTO_FD int fd = GATEWAY_POLICY;
	AUTO_FREE char *text = NULL;
	struct json_doc doc;
	struct jat root;
	size_t len;
	int rc = fd_read_all(fd, "policy", POLICY_MAX, &text, &len, e);

	if (rc == 0)
		rc = json_doc_parse(&doc, "policy", text, len, e);
	if (rc < 0)
		return rc;
	root = json_root(&doc);
	rc = json_expect_object(&root, e);
	if (rc == 0) {
		rc = read_one(&root, "policy", policy, e);
		rc = rc == 0 ? json_error(&root, e, "policy is missing") : rc;
	}
	if (rc > 0) {
		rc = read_one(&root, "ceiling", ceiling, e);
		*ret_has_ceiling = rc > 0;
	}
	json_doc_fini(&doc);
	return rc < 0 ? rc : 0;
}

static int serve(struct err *e)
{
	static struct policy policy, ceiling;
	static struct gate g;
	bool has_ceiling = false;
	int rc = read_policies(&policy, &ceiling, &has_ceiling, e);

	if (rc < 0)
		return rc;
	g = (struct gate){ .sock = GATEWAY_SOCK, .policy = &policy, .ceiling = has_ceiling ? &ceiling : NULL };
	TAILQ_INIT(&g.timers);
	g.ep = epoll_create1(EPOLL_CLOEXEC);
	rc = g.ep < 0 ? err_sys(e, "epoll") : gate_names_init(&g, e);
	if (rc == 0)
		rc = gate_confine(&policy, e);
	if (rc == 0)
		rc = gate_serve(&g, e);
	if (g.names)
		gate_names_fini(&g);
	policy_fini(&policy);
	if (has_ceiling)
		policy_fini(&ceiling);
	return rc;
}

int main(void)
{
	int type = 0;
	socklen_t len = sizeof type;
	struct err e;

	if (getsockopt(GATEWAY_SOCK, SOL_SOCKET, SO_TYPE, &type, &len) < 0 || type != SOCK_SEQPACKET) {
		(void)err_set(&e, EINVAL, "vrun-gateway is started by vrun, for sandboxes whose policy leads outside");
		log_err(&e);
		return 125;
	}
	(void)signal(SIGPIPE, SIG_IGN);
	(void)fcntl(GATEWAY_SOCK, F_SETFD, FD_CLOEXEC);
	if (serve(&e) == 0)
		return 0;
	log_err(&e);
	return 125;
}
