/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "cli/command.h"

static const char help[] = "Usage: vrun spec [-o FILE | -b DIR]\n\n"
			   "Prints an example config.json for a bundle: a shell in full isolation.\n\n"
			   "  -o, --output FILE   write to a new FILE instead of standard output\n"
			   "  -f, --file FILE     the same\n"
			   "  -b, --bundle DIR    write to a new DIR/config.json\n"
			   "      --rootless      accepted; the example needs no root\n"
			   "  -h, --help\n";

static const char example[] =
	"{\n"
	"  \"ociVersion\": \"1.2.0\",\n"
	"  \"process\": {\n"
	"    \"terminal\": true,\n"
	"    \"user\": { \"uid\": 0, \"gid\": 0 },\n"
	"    \"args\": [\"sh\"],\n"
	"    \"env\": [\n"
	"      \"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\",\n"
	"      \"TERM=xterm\"\n"
	"    ],\n"
	"    \"cwd\": \"/\",\n"
	"    \"capabilities\": {\n"
	"      \"bounding\": [], \"effective\": [], \"permitted\": [], \"inheritable\": [], \"ambient\": []\n"
	"    },\n"
	"    \"rlimits\": [{ \"type\": \"RLIMIT_NOFILE\", \"soft\": 1024, \"hard\": 1024 }],\n"
	"    \"noNewPrivileges\": true\n"
	"  },\n"
	"  \"root\": { \"path\": \"rootfs\", \"readonly\": true },\n"
	"  \"hostname\": \"vrun\",\n"
	"  \"mounts\": [\n"
	"    { \"destination\": \"/proc\", \"type\": \"proc\", \"source\": \"proc\",\n"
	"      \"options\": [\"nosuid\", \"noexec\", \"nodev\"] },\n"
	"    { \"destination\": \"/dev\", \"type\": \"tmpfs\", \"source\": \"tmpfs\",\n"
	"      \"options\": [\"nosuid\", \"strictatime\", \"mode=755\", \"size=65536k\"] },\n"
	"    { \"destination\": \"/dev/pts\", \"type\": \"devpts\", \"source\": \"devpts\",\n"
	"      \"options\": [\"nosuid\", \"noexec\", \"newinstance\", \"ptmxmode=0666\", \"mode=0620\"] },\n"
	"    { \"destination\": \"/dev/shm\", \"type\": \"tmpfs\", \"source\": \"shm\",\n"
	"      \"options\": [\"nosuid\", \"noexec\", \"nodev\", \"mode=1777\", \"size=65536k\"] },\n"
	"    { \"destination\": \"/dev/mqueue\", \"type\": \"mqueue\", \"source\": \"mqueue\",\n"
	"      \"options\": [\"nosuid\", \"noexec\", \"nodev\"] },\n"
	"    { \"destination\": \"/sys\", \"type\": \"sysfs\", \"source\": \"sysfs\",\n"
	"      \"options\": [\"nosuid\", \"noexec\", \"nodev\", \"ro\"] },\n"
	"    { \"destination\": \"/tmp\", \"type\": \"tmpfs\", \"source\": \"tmpfs\",\n"
	"      \"options\": [\"nosuid\", \"nodev\", \"mode=1777\"] }\n"
	"  ],\n"
	"  \"linux\": {\n"
	"    \"namespaces\": [\n"
	"      { \"type\": \"user\" }, { \"type\": \"pid\" }, { \"type\": \"network\" }, { \"type\": \"ipc\" },\n"
	"      { \"type\": \"uts\" }, { \"type\": \"mount\" }, { \"type\": \"cgroup\" }\n"
	"    ],\n"
	"    \"maskedPaths\": [\n"
	"      \"/proc/acpi\", \"/proc/asound\", \"/proc/kcore\", \"/proc/keys\", \"/proc/latency_stats\",\n"
	"      \"/proc/timer_list\", \"/proc/timer_stats\", \"/proc/sched_debug\", \"/proc/scsi\",\n"
	"      \"/sys/firmware\", \"/sys/devices/virtual/powercap\"\n"
	"    ],\n"
	"    \"readonlyPaths\": [\n"
	"      \"/proc/bus\", \"/proc/fs\", \"/proc/irq\", \"/proc/sys\", \"/proc/sysrq-trigger\"\n"
	"    ]\n"
	"  }\n"
	"}\n";

static int write_example(const char *path, struct err *e)
{
	int fd = path ? open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644) : STDOUT_FILENO;
	int rc;

	if (fd < 0)
		return err_sys(e, "%s", path);
	rc = fd_write_all(fd, example, strlen(example));
	if (path && close(fd) < 0 && rc == 0)
		rc = -errno;
	if (rc < 0 && path)
		(void)unlink(path);
	return rc < 0 ? err_num(e, -rc, "%s", path ? path : "standard output") : 0;
}

int cmd_spec(int argc, char **argv)
{
	static const struct option options[] = {
		{ "output", required_argument, NULL, 'o' },
		{ "file", required_argument, NULL, 'o' }, /* crun's name */
		{ "bundle", required_argument, NULL, 'b' },
		{ "rootless", no_argument, NULL, 'R' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	AUTO_FREE char *in_bundle = NULL;
	const char *path = NULL;
	struct err e = { 0 };
	int opt;

	opterr = 0;
	while ((opt = getopt_long(argc, argv, "o:f:b:h", options, NULL)) != -1) {
		if (opt == 'h')
			return fputs(help, stdout) >= 0 && fflush(stdout) == 0 ? 0 : EXIT_VRUN;
		if (opt == '?')
			return command_usage("spec", "unknown option or missing value");
		if (opt == 'o' || opt == 'f')
			path = optarg;
		if (opt != 'b')
			continue;
		mem_free(&in_bundle);
		if (asprintf(&in_bundle, "%s/config.json", optarg) < 0)
			return EXIT_VRUN;
		path = in_bundle;
	}
	if (optind < argc)
		return command_usage("spec", "no arguments are taken");
	return write_example(path, &e) < 0 ? command_fail(&e) : 0;
}
