/* SPDX-License-Identifier: Apache-2.0 */
#include <linux/filter.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "gate/gate.h"

/*
 * The peer's address and port, in the headers of what arrives. The filter of a
 * TCP socket sees a packet from its TCP header on, and the network's header at
 * SKF_NET_OFF. An IPv6 socket with an IPv4 peer gets IPv4 packets.
 */
#define AT_VERSION (SKF_NET_OFF + 0)
#define AT_SOURCE4 (SKF_NET_OFF + 12)
#define AT_SOURCE6 (SKF_NET_OFF + 8)
#define AT_PORT 0
#define LOCK_MAX 16

static void add(struct sock_filter *v, unsigned short *n, struct sock_filter op)
{
	v[(*n)++] = op;
}

static uint32_t word(const uint8_t *b)
{
	return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

int gate_lock(int fd, const struct addr *peer, uint16_t port)
{
	bool v4 = addr_is_v4(peer);
	const unsigned words = v4 ? 1 : 4;
	/* Version, port, words: each a load and a comparison; then yes, then no. */
	const unsigned short end = (unsigned short)(3 + 2 + 2 * words);
	struct sock_filter v[LOCK_MAX];
	struct sock_fprog prog = { .filter = v };
	static bool forbidden; /* our rights do not change */
	unsigned short n = 0;
	int on = 1;

	if (forbidden)
		return 0;
#define MUST_BE(k) add(v, &n, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (k), 0, (uint8_t)(end - n)))
	add(v, &n, (struct sock_filter)BPF_STMT(BPF_LD | BPF_B | BPF_ABS, (uint32_t)AT_VERSION));
	add(v, &n, (struct sock_filter)BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 4));
	MUST_BE(v4 ? 4 : 6);
	add(v, &n, (struct sock_filter)BPF_STMT(BPF_LD | BPF_H | BPF_ABS, AT_PORT));
	MUST_BE(port);
	for (unsigned i = 0; i < words; i++) {
		uint32_t at = (uint32_t)(v4 ? AT_SOURCE4 : AT_SOURCE6) + 4 * i;

		add(v, &n, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, at));
		MUST_BE(word(peer->b + (v4 ? 12 : 4 * i)));
	}
	add(v, &n, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, UINT32_MAX));
	add(v, &n, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, 0));
#undef MUST_BE
	prog.len = n;
	/* Since 2025 kernels want CAP_NET_ADMIN for filters of TCP sockets. What would be locked against
	 * has no connect(2) there: Landlock is older than that. */
	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof prog) < 0) {
		forbidden = errno == EPERM;
		return forbidden ? 0 : -errno;
	}
	return setsockopt(fd, SOL_SOCKET, SO_LOCK_FILTER, &on, sizeof on) < 0 ? -errno : 0;
}

/* What the kernel does not take here (a congestion control that is not for everybody) stays as it is. */
static void set_options(int fd, const struct gateway_request *r)
{
	for (uint32_t i = 0; i < r->n_options; i++)
		(void)setsockopt(fd, r->options[i].level, r->options[i].name, r->options[i].value,
				 r->options[i].len);
}

/*
 * The app has the port, and is told so, whatever the host says: another sandbox, what is left of a closed connection or the
 * host itself may have it, or it takes rights. Then it is another one, as it may be behind a router.
 */
static int bind_local(int fd, const struct gateway_request *r)
{
	struct sockaddr_in6 sa6 = { .sin6_family = AF_INET6, .sin6_port = htons(r->local_port) };
	struct sockaddr_in sa4 = { .sin_family = AF_INET, .sin_port = htons(r->local_port) };
	const struct sockaddr *sa = r->v6 ? (const void *)&sa6 : (const void *)&sa4;

	if (r->local_port == 0)
		return 0;
	if (bind(fd, sa, r->v6 ? sizeof sa6 : sizeof sa4) == 0 || errno == EADDRINUSE || errno == EACCES)
		return 0;
	return -errno;
}

int gate_socket(const struct gateway_request *r, const struct addr *peer)
{
	AUTO_FD int fd = socket(r->v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int off = 0, rc;

	if (fd < 0)
		return -errno;
	/* As the kernel has it where the host's default is another. */
	if (r->v6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) < 0)
		return -errno;
	set_options(fd, r);
	rc = bind_local(fd, r);
	if (rc == 0)
		rc = gate_lock(fd, peer, r->port);
	return rc < 0 ? rc : fd_take(&fd);
}

int gate_socket_connect(int fd, bool v6, const struct addr *peer, uint16_t port)
{
	struct sockaddr_storage sa;
	socklen_t len = addr_to_sockaddr(peer, port, v6 ? AF_INET6 : AF_INET, &sa);

	if (len == 0)
		return -ENETUNREACH;
	return connect(fd, (const struct sockaddr *)&sa, len) < 0 ? -errno : 0;
}
