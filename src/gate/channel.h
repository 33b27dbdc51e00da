/* SPDX-License-Identifier: Apache-2.0 */
/*
 * c-ares in the gateway's loop. A channel asks the name servers that there were when it was opened; when
 * resolv.conf has changed the next question opens another one, and those that the old one still
 * waits for are left to it. Its callbacks come from within calls of c-ares, in which no channel is closed.
 */
#ifndef VRUN_GATE_CHANNEL_H
#define VRUN_GATE_CHANNEL_H

#include <ares.h>
#include <sys/queue.h>
#include <sys/stat.h>

struct gate;
struct gate_channel;

#define GATE_CHANNELS_MAX 4 /* more changes in the time of one answer are not followed at once */

struct gate_channels {
	struct gate *gate;
	const char *servers; /* borrowed; in place of those of resolv.conf. NULL: those */
	LIST_HEAD(, gate_channel) list;
	unsigned n;
	struct gate_channel *current; /* NULL: none */
	struct stat conf;             /* of resolv.conf when that one was made */
};

/* 0, or -EIO: c-ares does not start. */
int gate_channels_init(struct gate_channels *all, struct gate *g, const char *servers);
/* What is pending is called back with ARES_EDESTRUCTION. */
void gate_channels_fini(struct gate_channels *all);

/*
 * The channel for one more question, which is counted from now on; NULL: none. Once c-ares has it
 * gate_channel_sent() follows, and gate_channel_end() in its callback, which may come before that.
 */
struct gate_channel *gate_channel_begin(struct gate_channels *all);
ares_channel gate_channel_ares(const struct gate_channel *c);
void gate_channel_sent(struct gate_channel *c);
void gate_channel_end(struct gate_channel *c);

#endif
