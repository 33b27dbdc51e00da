/* SPDX-License-Identifier: Apache-2.0 */
/* What the handlers have in common: the app's socket, its memory, decisions. */
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "base/fd.h"
#include "kern/guestmem.h"
#include "sup/datagram.h"
#include "sup/transport.h"

#define ACCEPT_US 1000 /* that an accept may wait for what somebody else has taken */

/* A row that was collected while its socket was unconnected, or never was there. */
static int64_t row_anew(struct call *c, struct target *t)
{
	struct sockaddr_in6 at = { 0 };
	socklen_t len = sizeof at;
	struct fabric_mark m;
	bool over;

	if (!fabric_get_mark(&c->sup->fabric, t->fd, &m)) {
		socklen_t size = sizeof t->family;

		if (getsockopt(t->fd, SOL_SOCKET, SO_DOMAIN, &t->family, &size) < 0)
			return -errno;
		if (fabric_has(&c->sup->fabric, t->fd))
			return -EPERM; /* a wire of a domain that is gone */
		t->datagram = datagram_is_own(c->domain, t->fd, t->family);
		if (t->datagram)
			return 0;
		/* A stranger's network socket, inherited or received: not for this domain. */
		return t->family == AF_UNIX || t->family == AF_NETLINK ? 0 : -EPERM;
	}
	if (m.domain != c->domain->number)
		return -EPERM;
	/* Only sockets lose their rows that were never bound, or have lost their connection: reset, say, the
	 * kernel lists them no more, while the app still has them. */
	if (getsockname(t->fd, (struct sockaddr *)&at, &len) < 0 || (at.sin6_port != 0 && !socket_over(t->fd)))
		return -EPERM;
	over = at.sin6_port != 0;
	t->row = vsk_new(&c->sup->table, c->domain, t->cookie, m.v6);
	if (!t->row)
		return -ENOMEM;
	if (c->domain->n_forgotten)
		c->domain->n_forgotten--;
	transport_of(t->row)->describe(c->sup, t->fd, t->row);
	if (over) /* for connect(2) it stays so, and nobody is at the other end */
		vsk_set_status(&c->sup->table, t->row, VSK_CONNECTED);
	return 0;
}

void target_fini(struct target *t)
{
	fd_close(&t->fd);
}

int64_t call_target(struct call *c, struct target *ret)
{
	socklen_t len = sizeof ret->cookie;

	*ret = (struct target){ .fd = -1 };
	ret->fd = procs_getfd(&c->sup->procs, c->tid, (int)c->args[0]);
	if (ret->fd == -EMFILE || ret->fd == -ENFILE || ret->fd == -ENOMEM)
		return ret->fd == -ENOMEM ? -ENOMEM : -ENFILE; /* the supervisor's */
	if (ret->fd < 0)
		return ret->fd == -ESRCH ? CALL_ANSWERED : ret->fd == -EBADF ? -EBADF : -EPERM;
	if (getsockopt(ret->fd, SOL_SOCKET, SO_COOKIE, &ret->cookie, &len) < 0)
		return errno == EBADF ? -EBADF : -ENOTSOCK; /* EBADF: opened with O_PATH */
	ret->row = vsk_find(&c->sup->table, ret->cookie);
	if (!ret->row)
		return row_anew(c, ret);
	if (ret->row->domain != c->domain)
		return -EPERM;
	if (ret->row->out)
		outgoing_settle(c, ret);
	return ret->row ? 0 : -ENOMEM;
}

int call_read_address(struct call *c, unsigned arg, struct sockaddr_storage *ret, size_t *ret_len)
{
	int len = (int)c->args[arg + 1];

	memset(ret, 0, sizeof *ret);
	if (len < 0 || (size_t)len > sizeof *ret)
		return -EINVAL;
	*ret_len = (size_t)len;
	return guestmem_read(c->tid, c->args[arg], ret, (size_t)len) < 0 ? -EFAULT : 0;
}

static int put_address(struct call *c, uint64_t at, uint64_t len_at, int room, const void *sa, size_t len)
{
	int full = (int)len;

	if (room < 0)
		return -EINVAL;
	return guestmem_write_two(c->tid, at, sa, room < full ? (size_t)room : len, len_at, &full, sizeof full) < 0 ?
		       -EFAULT :
		       0;
}

int call_write_address(struct call *c, uint64_t at, uint64_t len_at, const void *sa, size_t len)
{
	int room;

	if (guestmem_read(c->tid, len_at, &room, sizeof room) < 0)
		return -EFAULT;
	if (room < 0)
		return -EINVAL;
	if (!call_valid(c))
		return -ENOENT;
	return put_address(c, at, len_at, room, sa, len);
}

static socklen_t name_of(const struct vsk *v, const struct addr *a, uint16_t port, struct sockaddr_storage *ret)
{
	const struct addr any = addr_v4(0, 0, 0, 0);
	socklen_t len = addr_to_sockaddr(a, port, v->v6 ? AF_INET6 : AF_INET, ret);

	/* not bound yet: the wildcard of the other family */
	return len ? len : addr_to_sockaddr(&any, port, AF_INET, ret);
}

int call_write_name(struct call *c, uint64_t at, uint64_t len_at, const struct vsk *v,
		    const struct addr *a, uint16_t port)
{
	struct sockaddr_storage sa;
	socklen_t len = name_of(v, a, port, &sa);

	return call_write_address(c, at, len_at, &sa, len);
}

int call_put_name(struct call *c, uint64_t at, uint64_t len_at, int room, const struct vsk *v)
{
	struct sockaddr_storage sa;
	socklen_t len = name_of(v, &v->remote, v->remote_port, &sa);

	return put_address(c, at, len_at, room, &sa, len);
}

void sup_audit(struct domain *d, struct audit_record *r)
{
	const struct policy_audit *wanted = &d->policy.audit;
	bool allow = r->verdict->allow;
	AUTO_FREE char *line = NULL;

	attempts_note(r);
	if (!allow) {
		d->n_denied++;
		summary_add(&d->summary, r);
	}
	if (allow ? wanted->allowed : wanted->denied)
		line = audit_json(r);
	if (!line)
		return;
	trail_add(&d->trail, line, strlen(line));
	query_record(d->sup, d, line, strlen(line));
	r->line = line;
	if (d->sup->audit)
		d->sup->audit(d->sup->audit_ctx, r);
	r->line = NULL;
}

int64_t call_verdict(struct call *c, const struct policy_attempt *a, const struct policy_verdict *v)
{
	struct audit_record r = { .domain = c->domain,
					.pid = c->tid,
					.call = trap_info(c->trap)->name,
					.attempt = a,
					.verdict = v };
	int num;

	if (asks_hold(c, a, v))
		return CALL_ANSWERED; /* and on record when it is decided */
	sup_audit(c->domain, &r);
	if (v->allow)
		return 0;
	num = policy_verdict_errno(v, v->policy == &c->domain->policy || v->policy == domain_ceiling(c->domain));
	if (num)
		return -num;
	if (call_valid(c)) /* or the number may be another's by now */
		(void)kill(c->tid, SIGKILL);
	return CALL_ANSWERED;
}

int64_t socket_milliseconds(const struct timeval *t)
{
	return t->tv_sec == 0 && t->tv_usec == 0 ? -1 : t->tv_sec * INT64_C(1000) + (t->tv_usec + 999) / 1000;
}

int64_t socket_timeout(int fd, int option)
{
	struct timeval t = { 0 };
	socklen_t len = sizeof t;

	return getsockopt(fd, SOL_SOCKET, option, &t, &len) < 0 ? -1 : socket_milliseconds(&t);
}

static sigset_t alarm_set; /* the signal that ends accept4(2) */

static void nothing(int sig)
{
	(void)sig;
}

/*
 * The timer goes on when its signal is taken (kernel/signal.c, dequeue_signal()), which is
 * blocked outside of socket_accept(): whoever does not accept is not woken, and
 * who does has no timer to set.
 */
void socket_init(void)
{
	const struct sigaction sa = { .sa_handler = nothing }; /* without SA_RESTART */
	const struct itimerval again = { { 0, ACCEPT_US }, { 0, ACCEPT_US } };

	(void)sigemptyset(&alarm_set);
	(void)sigaddset(&alarm_set, SIGALRM);
	(void)sigprocmask(SIG_BLOCK, &alarm_set, NULL);
	(void)sigaction(SIGALRM, &sa, NULL);
	(void)setitimer(ITIMER_REAL, &again, NULL);
}

/*
 * What made the listener readable may be gone: another supervisor's app may have the same
 * one, or a process without any. The mode is the app's to change, so nothing but
 * a signal makes accept4(2) return. It comes again and again: the first one may be early.
 */
int socket_accept(int fd, struct sockaddr *sa, socklen_t *len, int flags)
{
	int got;

	if (!socket_readable(fd))
		return -EAGAIN;
	(void)sigprocmask(SIG_UNBLOCK, &alarm_set, NULL);
	got = accept4(fd, sa, len, flags | SOCK_CLOEXEC);
	if (got < 0)
		got = errno == EINTR ? -ETIME : errno == EMFILE ? -ENFILE : -errno;
	(void)sigprocmask(SIG_BLOCK, &alarm_set, NULL);
	return got;
}

bool socket_readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

bool socket_ended(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLRDHUP };

	return poll(&p, 1, 0) == 1;
}

bool socket_listens(int fd)
{
	int yes = 0;
	socklen_t len = sizeof yes;

	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &yes, &len) == 0 && yes;
}

bool socket_over(int fd)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof info;

	return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 && info.tcpi_state == TCP_CLOSE;
}

bool socket_nonblocking(int fd)
{
	return fcntl(fd, F_GETFL) & O_NONBLOCK;
}
