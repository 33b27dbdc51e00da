/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one table of the system calls that a supervisor deals with: which are
 * trapped and when, which are refused without asking it, and which socket
 * options exist for an app. The filter, the supervisor's dispatch and the
 * manual come from here.
 *
 * It holds for domains whose policy has rules. Streams that are TCP sockets of
 * the supervisor's namespace need no trap for recv, send, poll, shutdown and
 * close: an address given to send is ignored by a TCP socket, unless
 * MSG_FASTOPEN is with it, and that flag is refused by value. Wires
 * (POLICY_NEEDS_WIRE) are AF_UNIX sockets, which take an address amiss, eat
 * data for MSG_ERRQUEUE, have no options of TCP, and remember a shutdown for
 * ever; what shows that is trapped or refused for them alone.
 */
#ifndef VRUN_MODEL_SYSCALLS_H
#define VRUN_MODEL_SYSCALLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum trap {
	TRAP_SOCKET,
	TRAP_BIND,
	TRAP_LISTEN,
	TRAP_ACCEPT,
	TRAP_ACCEPT4,
	TRAP_CONNECT,
	TRAP_GETSOCKNAME,
	TRAP_GETPEERNAME,
	TRAP_GETSOCKOPT,
	TRAP_SETSOCKOPT,
	TRAP_SENDTO,
	TRAP_SHUTDOWN,
	TRAP_SEND_MULTI,
	TRAP_EPOLL_CREATE,
	TRAP_EPOLL_CREATE1,
	TRAP_IOCTL,
	TRAP_COUNT
};

struct trap_info {
	const char *name; /* as in the manual, "socket" */
	uint32_t nr;
	const char *when; /* for people; no verb, no full stop */
};

/* Never NULL for a trap of the table. */
const struct trap_info *trap_info(enum trap t);
/* The trap of a system call number, or -1. */
int trap_find(uint32_t nr);

/* What becomes of an option. Neither side of it is a pointer: (level, option), by value. */
enum option_use {
	OPTION_SHUT,    /* ENOPROTOOPT, from the filter */
	OPTION_NATIVE,  /* the kernel answers, nobody is asked */
	OPTION_TRAPPED, /* the supervisor answers from the socket's row */
};
/* `set`: setsockopt, else getsockopt. `needs`: policy_needs() of the domain's policy. */
enum option_use syscalls_option(unsigned needs, bool set, int level, int option);

enum syscall_verdict { SYSCALL_ALLOW, SYSCALL_TRAP, SYSCALL_REFUSE };

/* A condition on the low 32 bits of an argument, which is an int to the kernel. */
struct syscall_cond {
	uint8_t arg;
	bool masked;     /* (argument & lo) is not 0; else lo <= argument <= hi */
	bool masked_eq;  /* (argument & lo) == hi */
	uint32_t lo, hi;
};
#define SYSCALL_CONDS_MAX 3

struct syscall_rule {
	uint32_t nr;
	enum syscall_verdict verdict;
	int error; /* REFUSE: positive errno */
	unsigned n_conds;
	struct syscall_cond conds[SYSCALL_CONDS_MAX]; /* all must hold */
};

#define SYSCALL_RULES_MAX 160
struct syscall_rules {
	size_t n;
	struct syscall_rule v[SYSCALL_RULES_MAX]; /* the first that fits decides */
};

/*
 * The table as rules for a domain whose policy needs that (policy_needs()), in
 * the order in which they have to be tried. They come before a profile's.
 */
void syscalls_rules(unsigned needs, struct syscall_rules *ret);

#endif
