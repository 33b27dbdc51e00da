/* SPDX-License-Identifier: Apache-2.0 */
/* What the two sides of the factory's socket say: one message each, both of a fixed size. */
#ifndef VRUN_SUP_FACTORY_IMPL_H
#define VRUN_SUP_FACTORY_IMPL_H

#include "sup/factory.h"
#include "sup/porter.h"
#include "sup/scribe.h"

enum factory_what { FACTORY_NETWORK, FACTORY_RESOLVER, FACTORY_PORTER, FACTORY_SCRIBE };

/* FACTORY_NETWORK comes with the descriptor of the namespace, FACTORY_PORTER with those of enum porter_fd,
 * FACTORY_SCRIBE with those of enum scribe_fd; these have no reply: who is forked answers. */
struct factory_request {
	uint32_t serial;
	uint32_t what; /* enum factory_what */
	uint32_t n;
	uint16_t number;
	bool udp;
	struct addr addresses[FACTORY_ADDRESSES_MAX];
	struct porter_task porter;
};

#define FACTORY_FDS_MAX 5

/* Comes with the resolver's socket, and the packet socket when there is one. */
struct factory_reply {
	uint32_t serial;
	struct err error; /* num 0: it went well */
	uint64_t cookie;
	uint8_t mac[6];
};

/*
 * Sends one message with up to FACTORY_FDS_MAX descriptors; 0 or -errno.
 * Receives one; returns how many descriptors came, -EPIPE at the end.
 */
int factory_send(int sock, const void *data, size_t len, const int *fds, size_t n);
int factory_receive(int sock, void *data, size_t len, int *ret_fds, int flags);

/* The factory's process. Never returns. */
_Noreturn void factory_main(int sock, int resolver, int kept, bool foreign);

#endif
