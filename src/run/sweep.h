/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sockets of supervisors that were killed together with everybody who would
 * have removed them: nobody has them on record, so whoever looks at the state
 * directory does it.
 */
#ifndef VRUN_RUN_SWEEP_H
#define VRUN_RUN_SWEEP_H

#define SWEEP_AGE 60 /* seconds; between bind(2) and listen(2) a young one is refused, too */

/* Removes those of the state directory at which nobody listens any more. Waits for nobody. */
void sweep_sockets(int state_fd);

#endif
