/* SPDX-License-Identifier: Apache-2.0 */
/* The commands: one file each, all behind the table in main.c. */
#ifndef VRUN_CLI_COMMAND_H
#define VRUN_CLI_COMMAND_H

#include "base/err.h"

#define EXIT_VRUN 125 /* vrun itself failed */

/* argv[0] is the command's name. Each returns the exit code of the program. */
int cmd_run(int argc, char **argv);
int cmd_up(int argc, char **argv);
int cmd_ps(int argc, char **argv);
int cmd_sockets(int argc, char **argv);
int cmd_log(int argc, char **argv);
int cmd_kill(int argc, char **argv);
int cmd_create(int argc, char **argv);
int cmd_start(int argc, char **argv);
int cmd_state(int argc, char **argv);
int cmd_delete(int argc, char **argv);
int cmd_exec(int argc, char **argv);
int cmd_pause(int argc, char **argv);
int cmd_resume(int argc, char **argv);
int cmd_update(int argc, char **argv);
int cmd_events(int argc, char **argv);
int cmd_features(int argc, char **argv);
int cmd_list(int argc, char **argv);
int cmd_pack(int argc, char **argv);
int cmd_verify(int argc, char **argv);
int cmd_spec(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_hook(int argc, char **argv);
int cmd_supervise(int argc, char **argv);
int cmd_policy(int argc, char **argv);
int cmd_why(int argc, char **argv); /* cmd_policy_why.c */
int cmd_graph(int argc, char **argv);
int cmd_learn(int argc, char **argv);

/* "vrun COMMAND: text" with where to read on; returns EXIT_VRUN. */
int command_usage(const char *command, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Logs the error; returns EXIT_VRUN. */
int command_fail(const struct err *e);

#endif
