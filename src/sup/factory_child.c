/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The factory's own process.
 *
 * It goes into an app's namespace for one request and comes back. The ends of
 * the interfaces of apps that send datagrams lie in a namespace of their own,
 * the sink, where there is nothing else: frames are seen by packet sockets
 * there, and the kernel's own stack drops them, since they carry the address of
 * the sender (no ARP).
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/kernel.h"
#include "kern/helper.h"
#include "kern/netlink.h"
#include "sup/confine.h"
#include "sup/factory_impl.h"

#define RESOLVER_ADDRESS 0x7f000035 /* 127.0.0.53 */
#define PACKET_BUFFER (1 << 20)     /* bytes of datagrams that wait for the supervisor */
#define APP_INDEX 2                 /* of the app's interface: the first after lo */

struct place {
	int home; /* the namespace that it stays in: the supervisor's, later the sink */
	bool sink;
	struct stat own; /* of the supervisor's namespace */
	uint32_t next_index;
	int resolver, kept;
};

static int enter(int ns, struct err *e)
{
	return setns(ns, CLONE_NEWNET) < 0 ? err_sys(e, "entering the app's network namespace") : 0;
}

static void go_home(const struct place *p)
{
	if (setns(p->home, CLONE_NEWNET) < 0)
		_exit(125); /* what came next would be done to the app's namespace */
}

static int set_int(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof value);
}

/* --- sockets ----------------------------------------------------------------------- */

/* In the namespace of the caller. An app that serves names itself can bind the wildcard beside it. */
static int open_resolver(uint64_t *ret_cookie, struct err *e)
{
	const struct sockaddr_in at = { .sin_family = AF_INET,
					.sin_port = htons(FACTORY_DNS_PORT),
					.sin_addr.s_addr = htonl(RESOLVER_ADDRESS) };
	AUTO_FD int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	socklen_t len = sizeof *ret_cookie;

	if (fd < 0 || set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1) < 0 ||
	    bind(fd, (const struct sockaddr *)&at, sizeof at) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, ret_cookie, &len) < 0)
		return err_sys(e, "the resolver's socket");
	return fd_take(&fd);
}

/* At the other end of the app's interface. Frames carry what their checksums need (linux/virtio_net.h). */
static int open_packets(int index, struct err *e)
{
	const struct sockaddr_ll at = { .sll_family = AF_PACKET,
					.sll_protocol = htons(ETH_P_ALL),
					.sll_ifindex = index };
	AUTO_FD int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || set_int(fd, SOL_PACKET, PACKET_VNET_HDR, 1) < 0 ||
	    set_int(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1) < 0 ||
	    /* The queue of an interface is only set up some time after the other end is. */
	    set_int(fd, SOL_PACKET, PACKET_QDISC_BYPASS, 1) < 0 ||
	    bind(fd, (const struct sockaddr *)&at, sizeof at) < 0)
		return err_sys(e, "packet socket");
	/* Beyond what the host allows only for its root. */
	if (set_int(fd, SOL_SOCKET, SO_RCVBUFFORCE, PACKET_BUFFER) < 0)
		(void)set_int(fd, SOL_SOCKET, SO_RCVBUF, PACKET_BUFFER);
	return fd_take(&fd);
}

/* --- a namespace --------------------------------------------------------------------- */

/* Once, before the first interface. */
static int make_sink(struct place *p, struct err *e)
{
	int ns;

	if (p->sink)
		return 0;
	if (unshare(CLONE_NEWNET) < 0)
		return err_sys(e, "making a network namespace");
	ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (ns < 0)
		_exit(125);
	(void)close(p->home);
	p->home = ns;
	p->sink = true;
	return 0;
}

static int make_interface(struct place *p, const struct factory_request *q, int ns, struct netlink_veth *app,
			  int *ret_packets, struct err *e)
{
	char name[IFNAMSIZ];
	struct netlink_veth here = { .name = name, .mac = { 0x02, 'v', 'r', 'n', 0, 1 } };
	int rc = make_sink(p, e);

	if (rc < 0)
		return rc;
	here.index = (int)p->next_index++;
	(void)snprintf(name, sizeof name, "d%d", here.index);
	*app = (struct netlink_veth){
		"eth0", APP_INDEX,
		{ 0x02, 'v', 'r', 'n', (uint8_t)(q->number >> 8), (uint8_t)q->number }
	};
	here.mac[1] = 'V';
	rc = netlink_veth_make(&here, app, ns, e);
	if (rc == 0)
		rc = *ret_packets = open_packets(here.index, e);
	return rc < 0 ? rc : 0;
}

/* The supervisor's own namespace is no app's, and neither is one with ways out. */
static int check_namespace(const struct place *p, int ns, struct err *e)
{
	struct stat st;
	int rc;

	if (fstat(ns, &st) < 0)
		return err_sys(e, "network namespace");
	if (st.st_dev == p->own.st_dev && st.st_ino == p->own.st_ino)
		return err_set(e, EINVAL, "its network namespace is the supervisor's own");
	rc = enter(ns, e);
	if (rc == 0)
		rc = netlink_check_empty(e);
	go_home(p);
	return rc == -EEXIST ? err_hint(e, "give the container a network namespace of its own") : rc;
}

static int network(struct place *p, const struct factory_request *q, int ns, struct factory_reply *r,
		   int *fds)
{
	struct err *e = &r->error;
	struct netlink_veth app = { 0 };
	int rc = check_namespace(p, ns, e);

	if (rc == 0 && q->udp)
		rc = make_interface(p, q, ns, &app, &fds[1], e);
	if (rc == 0)
		rc = enter(ns, e);
	if (rc < 0)
		return rc;
	rc = netlink_domain(q->udp ? &app : NULL, q->addresses, q->n, e);
	if (rc == 0)
		rc = fds[0] = open_resolver(&r->cookie, e);
	go_home(p);
	memcpy(r->mac, app.mac, sizeof r->mac);
	return rc;
}

/* --- the resolver ----------------------------------------------------------------------- */

static _Noreturn void become_resolver(int program, int sock, pid_t parent)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0 && getppid() == parent && dup2(sock, 3) == 3 &&
	    (program == 4 || dup3(program, 4, O_CLOEXEC) == 4) && sys_close_range(5, ~0U, 0) == 0)
		helper_exec_fd(4, "vrun-resolver");
	_exit(125);
}

static int resolver(const struct place *p, struct err *e, int *ret)
{
	AUTO_FD int its = -1;
	pid_t parent = getpid(), pid;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_sys(e, "socket of the resolver");
	*ret = pair[0];
	its = pair[1];
	pid = fork();
	if (pid == 0)
		become_resolver(p->resolver, its, parent);
	return pid < 0 ? err_sys(e, "starting the resolver") : 0;
}

/* --- porters ------------------------------------------------------------------------------ */

/* No reply: should it not be there, its socket is closed with ours, and that is the answer. */
static void porter(const struct place *p, int sock, const struct factory_request *q, const int *fds, int n)
{
	if (n != PORTER_FDS || fork() != 0)
		return;
	/* It may wait for long, and must not seem to be the factory after that one's end. */
	(void)close(sock);
	(void)close(p->home);
	(void)close(p->resolver);
	(void)close(p->kept);
	porter_main(&q->porter, fds);
}

/* --- scribes ------------------------------------------------------------------------------ */

static void scribe(const int *fds, int n)
{
	if (n == SCRIBE_FDS && fork() == 0)
		scribe_main(fds);
}

/* --- requests ------------------------------------------------------------------------------ */

static void serve(struct place *p, int sock, const struct factory_request *q, int ns)
{
	struct factory_reply r = { .serial = q->serial };
	int fds[2] = { -1, -1 }, rc;
	size_t n = 0;

	if (q->what == FACTORY_NETWORK && ns >= 0 && q->n <= FACTORY_ADDRESSES_MAX)
		(void)network(p, q, ns, &r, fds);
	else if (q->what == FACTORY_RESOLVER)
		(void)resolver(p, &r.error, &fds[0]);
	else
		(void)err_set(&r.error, EINVAL, "the factory does not know the request");
	while (!r.error.num && n < 2 && fds[n] >= 0)
		n++;
	rc = factory_send(sock, &r, sizeof r, fds, n);
	/* That passes: it is no reason to leave the supervisor without a factory for good. */
	if (rc == -ETOOMANYREFS && n) {
		(void)fd_send_refused(&r.error);
		rc = factory_send(sock, &r, sizeof r, NULL, 0);
	}
	if (rc < 0)
		_exit(125);
	fd_close(&fds[0]);
	fd_close(&fds[1]);
}

_Noreturn void factory_main(int sock, int resolver_program, int kept, bool foreign)
{
	static struct factory_request q;
	struct place p = { .home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC),
			   .next_index = 100,
			   .resolver = resolver_program,
			   .kept = kept };
	const struct sigaction ignore = { .sa_handler = SIG_IGN };
	int fds[FACTORY_FDS_MAX], n;
	struct err e;

	(void)sigaction(SIGCHLD, &ignore, NULL); /* resolvers are not waited for */
	if (p.home < 0 || fstat(p.home, &p.own) < 0 || confine_factory(foreign, &e) < 0)
		_exit(125);
	for (;;) {
		n = factory_receive(sock, &q, sizeof q, fds, 0);
		if (n == -EINTR)
			continue;
		if (n < 0)
			break;
		if (q.what == FACTORY_PORTER)
			porter(&p, sock, &q, fds, n);
		else if (q.what == FACTORY_SCRIBE)
			scribe(fds, n);
		else
			serve(&p, sock, &q, n > 0 ? fds[0] : -1);
		for (int i = 0; i < n; i++)
			fd_close(&fds[i]);
	}
	/* The resolver hears the end of its own socket. */
	while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
		;
	_exit(0);
}
