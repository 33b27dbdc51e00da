/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vrun-gateway: reads the policy, gives up whatever it does not need, serves
 * (gate.h). Started by vrun with the supervisor's socket and the policy.
 */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "gate/gate.h"
#include "gate/read.h"

static int serve(struct err *e)
{
	static struct gate_text text;
	static struct gate g;
	AUTO_FD int fd = GATEWAY_POLICY;
	int rc = gate_text_read(&text, fd, e);

	fd_close(&fd);
	if (rc < 0)
		return rc;
	g = (struct gate){ .sock = GATEWAY_SOCK, .text = &text };
	TAILQ_INIT(&g.timers);
	g.ep = epoll_create1(EPOLL_CLOEXEC);
	rc = g.ep < 0 ? err_sys(e, "epoll") : gate_names_init(&g, e);
	if (rc == 0)
		rc = gate_control_init(&g, GATEWAY_CONTROL, text.owner, e);
	if (rc == 0)
		rc = gate_confine(&text.policy, e);
	if (rc == 0)
		rc = gate_serve(&g, e);
	gate_control_fini(&g);
	if (g.names)
		gate_names_fini(&g);
	gate_text_fini(&text);
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
	(void)prctl(PR_SET_NAME, "vrun-gateway", 0, 0, 0); /* started by a descriptor */
	(void)signal(SIGPIPE, SIG_IGN);
	for (int fd = GATEWAY_SOCK; fd <= GATEWAY_CONTROL; fd++)
		(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
	if (serve(&e) == 0)
		return 0;
	log_err(&e);
	return 125;
}
