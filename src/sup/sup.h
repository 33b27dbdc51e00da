/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The supervisor: answers the socket calls of containers under their policies.
 *
 * Theory of operation
 *
 * A trapped call comes as a notification of its container's listener. It is
 * looked up in the table of trapped calls and handed to its handler, which
 * reads what it needs once, asks whether the call is still there, decides, and
 * acts itself on a duplicate of the app's socket: never through the app's
 * descriptor, which another thread may exchange at any time. Only listen() of
 * a socket that is not virtual is continued: it can reach nobody.
 *
 * The loop never waits on an app. A call that has to wait (accept, connect to
 * a full queue) becomes a `struct wait`, which keeps the duplicate, and is
 * finished by an event, a deadline, or the sweep that finds that its thread
 * does not wait any more: the kernel does not tell.
 *
 * An interrupted call is repeated by the app's kernel. When it had its effect
 * already, its result is kept and given to the repetition.
 */
#ifndef VRUN_SUP_SUP_H
#define VRUN_SUP_SUP_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "kern/alive.h"
#include "kern/procs.h"
#include "kern/sockdiag.h"
#include "model/policy_decide.h"
#include "model/syscalls.h"
#include "sup/audit.h"
#include "sup/domain.h"
#include "sup/fabric.h"
#include "sup/factory.h"
#include "sup/flow.h"
#include "sup/guard.h"
#include "sup/hunch.h"
#include "sup/limbo.h"
#include "sup/loop.h"
#include "sup/outgoing.h"
#include "sup/relay.h"
#include "sup/relay_pipes.h"
#include "sup/resolver.h"
#include "sup/query.h"
#include "sup/survey.h"
#include "sup/vsk.h"

/* A trapped call. Copied: it outlives the notification. */
struct call {
	struct sup *sup;
	struct domain *domain;
	struct listener *listener; /* that it came from */
	uint64_t id;
	pid_t tid;
	enum trap trap;
	uint64_t args[6];
};

/* What a handler returns beside a value (>= 0) or -errno. */
#define CALL_ANSWERED INT64_MIN        /* answered already, waiting, or nobody is there any more */
#define CALL_CONTINUE (INT64_MIN + 1)  /* the kernel may do it: harmless with any memory and any socket */

int64_t handle_socket(struct call *c);
int64_t handle_bind(struct call *c);
int64_t handle_listen(struct call *c);
int64_t handle_accept(struct call *c); /* accept4, too */
int64_t handle_connect(struct call *c);
int64_t handle_getsockname(struct call *c);
int64_t handle_getpeername(struct call *c);
int64_t handle_getsockopt(struct call *c);
int64_t handle_setsockopt(struct call *c);
int64_t handle_sendto(struct call *c);
int64_t handle_shutdown(struct call *c);
int64_t handle_send_multi(struct call *c);
int64_t handle_ioctl(struct call *c);
int64_t handle_epoll_create(struct call *c); /* epoll_create1, too */

struct wait {
	TAILQ_ENTRY(wait) link;
	TAILQ_ENTRY(wait) by_cookie;
	struct watch watch; /* of the duplicate, when it waits for the socket */
	struct call call;
	int fd;           /* owned; the duplicate */
	bool watched;
	bool unseen; /* in sup->unseen (hunch.h) */
	TAILQ_ENTRY(wait) in_unseen;
	uint64_t cookie;  /* of the socket waited for: the listener */
	int64_t deadline; /* milliseconds of the monotonic clock; INT64_MAX: none */
	/* Tries again: a result, or -EAGAIN to wait on. */
	int64_t (*retry)(struct wait *w);
	int timeout_error; /* positive errno at the deadline */
};

TAILQ_HEAD(wait_queue, wait);

#define ARRIVED_MAX 32
#define WAIT_BUCKETS 256
#define REPLAY_SLOTS 256
struct replay {
	pid_t tid; /* 0: free */
	uint32_t serial; /* of the domain: another one's thread may have the number by now */
	enum trap trap;
	uint64_t args[6];
	uint64_t cookie; /* 0: of no one socket */
	int64_t result;
	uint64_t at; /* where the data belongs */
	void *data;  /* owned; stays for the next one; or NULL */
	size_t len, room;
};

struct sup {
	struct loop loop;
	struct factory factory;
	struct guard guard;
	bool bell_bound; /* guard_bell() is, to where tokens come from */
	struct resolver resolver;
	struct flows flows;
	struct limbo limbo;
	struct alive handed; /* sockets of the host's */
	struct alive spare;  /* knows nothing, for the next that is replaced; ep -1: there is none */
	int64_t host_until; /* microseconds of the monotonic clock: no costly look at which of them are closed */
	struct handoff_defaults *defaults; /* owned; NULL: not known yet */
	struct relay_pipes pipes;
	struct relay_waits relay_waits;
	struct fabric fabric;
	struct sockdiag diag;
	struct procs procs;
	struct vsk_table table;
	struct survey survey;
	struct survey_job collector;
	uint32_t next_domain;
	unsigned collections; /* surveys of the collector that may still come; 0: it rests */
	int64_t collect_us;   /* that its surveys have taken */
	unsigned n_missed;    /* rows of which it has to have another look */
	struct queries queries;
	struct domain_list domains;
	struct domain_list retired; /* whose apps have ended, and have sent what is not out yet */
	LIST_HEAD(, domain_at) addresses[DOMAIN_BUCKETS]; /* theirs */
	struct wait_queue waits; /* those that wait longest first */
	struct wait_queue waits_for[WAIT_BUCKETS]; /* the same, by cookie */
	struct wait_queue unseen; /* accepts that nobody has looked at (hunch.h) */
	struct loop_alarm unseen_until;
	struct hunch hunches[HUNCH_SLOTS];
	uint64_t arrived[ARRIVED_MAX]; /* listeners that have got connections; accepts that wait are not watched */
	uint64_t late[ARRIVED_MAX];    /* listeners whose tokens do not come */
	unsigned n_late;
	struct loop_alarm late_tokens;
	unsigned n_held;               /* domains that have to wait for their rate */
	unsigned n_arrived;            /* beyond ARRIVED_MAX: any may have */
	int64_t next_look; /* when the waits are looked through, INT64_MAX: not at all */
	struct replay replays[REPLAY_SLOTS];
	unsigned n_replays;
	unsigned wire_port; /* the next one that a wire's client is given, modulo their number; 0: not begun */
	void (*audit)(void *ctx, const struct audit_record *r); /* with its line */
	void *audit_ctx;
	void (*complain)(const struct err *e); /* what went wrong and nobody waits to hear; or NULL */
	size_t n_files, files_max; /* descriptors for domains, all together; that the kernel allows, for everything */
	size_t own_sockets; /* the supervisor's, in F */
	uint16_t last_number; /* that a domain was given */
	bool served; /* there was a container */
	bool one_cpu; /* sup_one_cpu() knew until cpus_until */
	int64_t cpus_until;
};

/* Moves the calling thread into its own network namespace. No fini on failure. */
int sup_init(struct sup *s, struct err *e);
void sup_fini(struct sup *s);

/* Takes a domain of domain_new() in. Its calls wait until sup_serve(). */
void sup_add(struct sup *s, struct domain *d);
int sup_serve(struct sup *s, struct domain *d, struct err *e);
/* The same for a listener that was added since. */
int sup_serve_listener(struct sup *s, struct listener *l, struct err *e);
/*
 * Ends it: calls of its apps that wait, and all that come, get ENOSYS. What they
 * have sent through relays goes out for LINGER_MS more, and is cut off with a reset then.
 */
void sup_remove(struct sup *s, struct domain *d);
/* The last of that is out: the loop frees it. */
void sup_bury(struct domain *d);

/* Its policy or ceiling has another "trapRate". */
void sup_set_rate(struct domain *d);

/* It may run on one CPU only, as apps may then: a hint. */
bool sup_one_cpu(struct sup *s);

/* A call of the domain's was worth about so much of the loop's time: where there are others, its next ones wait. */
void sup_charge(struct domain *d, int64_t microseconds);

/*
 * So many more descriptors are to be held for the domain, for as long as an app likes. False: it has its share, and
 * others are to find some, too. Given back with sup_give_files().
 */
bool sup_take_files(struct domain *d, size_t n);
void sup_give_files(struct domain *d, size_t n);

/* One turn: what is ready, what is due. Waits for events at most until something is due. */
int sup_turn(struct sup *s, struct err *e);

/* --- for the handlers ---------------------------------------------------------- */

/* The app's socket behind args[0]. */
struct target {
	int fd; /* owned */
	uint64_t cookie;
	int family;      /* of a socket that is not virtual: AF_UNIX, AF_NETLINK */
	struct vsk *row; /* NULL: not virtual */
	bool datagram;   /* not virtual: the domain's own, of UDP (datagram.h) */
};

void target_fini(struct target *t);
#define AUTO_TARGET __attribute__((cleanup(target_fini)))

/*
 * 0 or what the call gets: -EBADF, -ENOTSOCK, -EPERM for a socket that is not
 * the domain's. An AUTO_TARGET holds the duplicate, also then.
 */
int64_t call_target(struct call *c, struct target *ret);

/* A socket address argument, as the kernel would take it: -EINVAL, -EFAULT. Zeroed behind its length. */
int call_read_address(struct call *c, unsigned arg, struct sockaddr_storage *ret, size_t *ret_len);
/* Writes one back through pointer and length, as the kernel would. */
int call_write_address(struct call *c, uint64_t at, uint64_t len_at, const void *sa, size_t len);
/* As above for a virtual address, in the family of the row. */
int call_write_name(struct call *c, uint64_t at, uint64_t len_at, const struct vsk *v,
		    const struct addr *a, uint16_t port);

/* The same of the row's peer, without asking anything: `room` is the length that was read before call_valid(). */
int call_put_name(struct call *c, uint64_t at, uint64_t len_at, int room, const struct vsk *v);

/* The call still waits for its answer. To be asked after reading and before acting. */
bool call_valid(const struct call *c);
void call_reply(struct call *c, int64_t result, uint64_t cookie);
/* The same for a call that also writes to memory, and must not be done twice: which is the same call
 * its arguments tell. -EFAULT in place of the result when the memory is not there. */
void call_reply_data(struct call *c, int64_t result, uint64_t at, const void *data, size_t len);

/* Turns the call into a wait. Takes the duplicate. -EAGAIN: too many wait; 0: the caller returns
 * CALL_ANSWERED. `events` of the duplicate (EPOLLIN) try again, 0: sup_retry() does. `timeout` is in
 * milliseconds, negative: none. */
int call_wait(struct call *c, int *fd, uint64_t cookie, uint32_t events, int64_t timeout, int timeout_error,
	      int64_t (*retry)(struct wait *w));

/* Keeps a connection of that mode, which has a row of that cookie, for the listener's next accept. Takes the descriptor. Those who poll the
 * listener see it before the loop waits again. */
void accept_park(struct sup *s, struct vsk *listener, uint64_t cookie, int *fd, bool nonblock);
/* Now. `each`: everybody who polls is to be woken once more, though only one thread has ever accepted there. */
void accept_show(struct sup *s, struct vsk *listener, bool each);
/* Ends those of them that are doomed. */
void accept_cut(struct sup *s, struct vsk *listener);
/* The listener has tokens that the kernel has not shown yet; after a while they are taken for lost. */
void sup_tokens_late(struct sup *s, uint64_t cookie);

void wait_free(struct wait *w);
/* Serves one that nobody has looked at, if its thread still waits; frees it. */
void wait_look_at(struct wait *w);
void wait_tokens_lost(struct loop_alarm *a);
/* Gives connections that were made meanwhile to the accepts that wait for them. */
void wait_hand_over(struct sup *s);
/* Ends those whose time is up or whose thread has gone, and says in s->next_look when to look again. */
void wait_look(struct sup *s, int64_t now);

/* Tries connects again that wait for room in the listener's queue. */
void sup_retry(struct sup *s, uint64_t cookie);
/*
 * A connection was made to a listener: an accept that waits for one gets it
 * before the loop waits again. Not at once, for waits may be gone through.
 */
void sup_arrived(struct sup *s, uint64_t cookie);
/* Drops waits whose thread does not wait any more, and the duplicates they hold. */
void sup_sweep(struct sup *s);
/* The same of a listener, as far as is needed to know that it is somebody else's too. */
void sup_sweep_listener(struct sup *s, uint64_t cookie);
/* Looks which streams the kernel still knows and frees the rows of the others: at once. */
void sup_collect(struct sup *s);
/* Sockets of F that are open, of apps and of the supervisor; 0: not known. */
size_t sup_count_sockets(void);
/* Whether the domain has less than `most` sockets, after a look at which of them are closed where it seems not to: rows
 * that somebody holds, and no descriptor of their sockets, may be gone then. */
bool sup_make_room(struct sup *s, struct domain *d, uint64_t most);
/* The same for one domain, but not again at once when it took long. */
void sup_collect_domain(struct sup *s, struct domain *d);
/* The same in slices, beside whatever else there is to do; for a table that has grown. */
void sup_collect_slowly(struct sup *s);

/* Tells everybody who is to hear of a decision: the domain's trail and summary, readers, the audit
 * stream, as its policy wants it. */
void sup_audit(struct domain *d, struct audit_record *r);

/* A trapped call, from its beginning to its answer, or to what will answer it. */
void sup_call(struct call *c);

/* Writes the audit record that the policy wants of a decision; returns the call's result: 0 or -errno. */
int64_t call_verdict(struct call *c, const struct policy_attempt *a, const struct policy_verdict *v);

/* Milliseconds of SO_RCVTIMEO or SO_SNDTIMEO; negative: for ever. */
int64_t socket_timeout(int fd, int option);
/* The same of what such an option is. */
int64_t socket_milliseconds(const struct timeval *t);
bool socket_nonblocking(int fd);
/*
 * accept4(2), close-on-exec, of whatever the app's mode is: a descriptor or -errno; -EAGAIN: nobody is there; -ETIME:
 * somebody was, and others were faster, which took a millisecond. socket_init() comes before, once: it takes SIGALRM
 * and the interval timer of the process.
 */
int socket_accept(int fd, struct sockaddr *sa, socklen_t *len, int flags);
void socket_init(void);
bool socket_readable(int fd); /* has something to accept, or an error */
bool socket_ended(int fd);    /* its peer sends no more */
bool socket_listens(int fd);
bool socket_over(int fd);     /* of TCP: has no connection, or none any more */

#endif
