/* SPDX-License-Identifier: Apache-2.0 */
/* "vrun pack" and "vrun verify" are the helper program vrun-pack, which links what they need. */
#include <stdlib.h>

#include "base/fd.h"
#include "cli/command.h"
#include "cli/helper.h"

static int hand_over(int argc, char **argv)
{
	AUTO_FREE char **args = calloc((size_t)argc + 2, sizeof *args);
	char name[] = "vrun-pack";
	struct err e = { 0 };

	if (!args)
		return EXIT_VRUN;
	args[0] = name;
	for (int i = 0; i < argc; i++)
		args[i + 1] = argv[i];
	(void)helper_exec("vrun-pack", args, &e);
	return command_fail(&e);
}

int cmd_pack(int argc, char **argv)
{
	return hand_over(argc, argv);
}

int cmd_verify(int argc, char **argv)
{
	return hand_over(argc, argv);
}
