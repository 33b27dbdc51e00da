/* SPDX-License-Identifier: Apache-2.0 */
/* The config.json reader: what each property becomes. */
#include <linux/ioprio.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/kernel.h"
#include "bundle-text.h"
#include "tap.h"

static struct err e;

/* Reads a document that has to be right; without it the test cannot go on. */
static struct bundle good(const char *text, const char *what)
{
	struct bundle b;

	if (!TAP_OK(bundle_from_text(&b, text, &e) == 0, "%s", what)) {
		printf("#   %s (%s)\n", e.text, e.hint);
		exit(tap_done());
	}
	return b;
}

/* The list's words with spaces between them. */
static const char *joined(const struct strlist *l)
{
	static char buf[512];
	size_t n = 0;

	buf[0] = '\0';
	for (size_t i = 0; i < l->n; i++)
		n += (size_t)snprintf(buf + n, sizeof buf - n, "%s%s", i ? " " : "", l->v[i]);
	if (l->v && l->v[l->n])
		return "(not terminated)";
	return buf;
}

static void test_top(void)
{
	struct bundle b = good("{'ociVersion':'1.0.2-dev','root':{'path':'rootfs'}}",
			       "the smallest document");

	TAP_STR(b.oci_version, "1.0.2-dev", "its version");
	TAP_STR(b.root_path, "rootfs", "its root");
	TAP_STR(b.dir, "/b", "its directory");
	TAP_OK(!b.root_readonly && !b.process.given && !b.resources.given && !b.seccomp.given,
	       "nothing else is given");
	TAP_OK(b.hostname == NULL && b.n_mounts == 0 && b.n_annotations == 0, "nor listed");
	TAP_OK(bundle_annotation(&b, "x") == NULL, "an absent annotation");
	bundle_fini(&b);
	TAP_OK(b.root_path == NULL, "nothing is left of it");

	b = good(
		"{'ociVersion':'1.3','root':{'path':'/r','readonly':true}, 'unknown': {'x': 1},\n"
		"'hostname':'h','domainname':'d.test','linux':{'namespaces':[{'type':'uts'}],'new':"
		"[]},\n"
		"'annotations':{'a.b':'','org.vrun.overlay':'tmpfs','org.vrun.policy':'p/q.json',\n"
		"'org.vrun.init':'true','org.vrun.owner':'app','org.vrun.later':'x'}}",
		"unknown properties are ignored");
	TAP_OK(b.root_readonly, "a read-only root");
	TAP_STR(b.hostname, "h", "hostname");
	TAP_STR(b.domainname, "d.test", "domainname");
	TAP_STR(bundle_annotation(&b, "org.vrun.overlay"), "tmpfs", "an annotation");
	TAP_STR(bundle_annotation(&b, "a.b"), "", "an empty annotation");
	TAP_INT(b.n_annotations, 6, "all annotations are kept");
	TAP_INT(b.unsupported.n, 0, "nothing unsupported");
	bundle_fini(&b);

	b = good(BUNDLE_TEXT_HEAD
		 ",'linux':{'intelRdt':{},'netDevices':{'eth0':{}},'memoryPolicy':{'mode':'MPOL_"
		 "BIND'}},"
		 "'vm':{'kernel':{'path':'/"
		 "k'}},'zos':{'x':1},'windows':{'x':1},'solaris':{'x':1},'freebsd':{'x':1}}",
		 "what other platforms and later versions have");
	TAP_STR(joined(&b.unsupported),
		"linux.intelRdt linux.netDevices linux.memoryPolicy vm zos windows solaris freebsd",
		"is recorded");
	bundle_fini(&b);
	b = good(BUNDLE_TEXT_HEAD ",'linux':{'netDevices':{}},'vm':{},'zos':null,'hostname':''}",
		 "empty forms of it");
	TAP_INT(b.unsupported.n, 0, "ask for nothing");
	TAP_OK(b.hostname == NULL, "an empty hostname is none");
	bundle_fini(&b);
}

static void test_process(void)
{
	struct bundle b = good(
		BUNDLE_TEXT_HEAD
		",'process':{'terminal':true,'consoleSize':{'height':25,'width':80},\n"
		"'user':{'uid':1,'gid':2,'umask':63,'additionalGids':[5,6]},'args':['sh','-c',''],"
		"\n"
		"'env':['PATH=/bin','EMPTY=','A=b=c'],'cwd':'/"
		"w','noNewPrivileges':true,'oomScoreAdj':-5,\n"
		"'apparmorProfile':'prof','selinuxLabel':'label',\n"
		"'execCPUAffinity':{'initial':'7','final':'0-3,7'},\n"
		"'ioPriority':{'class':'IOPRIO_CLASS_BE','priority':4},\n"
		"'scheduler':{'policy':'SCHED_FIFO','priority':10,'flags':['SCHED_FLAG_RESET_ON_"
		"FORK','SCHED_FLAG_KEEP_PARAMS']},\n"
		"'rlimits':[{'type':'RLIMIT_NOFILE','soft':1024,'hard':18446744073709551615},\n"
		"{'type':'RLIMIT_CORE','soft':0,'hard':0}],\n"
		"'capabilities':{'bounding':['CAP_CHOWN','CAP_CHECKPOINT_RESTORE'],'permitted':['"
		"CAP_KILL','CAP_KILL'],\n"
		"'effective':['CAP_KILL'],'inheritable':[],'ambient':['CAP_KILL']}}}",
		"a process with everything");
	const struct bundle_process *p = &b.process;

	TAP_OK(p->given && p->terminal && p->no_new_privs, "switches");
	TAP_OK(p->rows == 25 && p->columns == 80, "console size");
	TAP_STR(joined(&p->args), "sh -c ", "args");
	TAP_STR(joined(&p->env), "PATH=/bin EMPTY= A=b=c", "env");
	TAP_STR(p->cwd, "/w", "cwd");
	TAP_OK(p->user.uid == 1 && p->user.gid == 2 && p->user.has_umask && p->user.umask == 077,
	       "user");
	TAP_OK(p->user.n_groups == 2 && p->user.groups[0] == 5 && p->user.groups[1] == 6, "groups");
	TAP_OK(p->has_oom_score && p->oom_score_adj == -5, "oomScoreAdj");
	TAP_STR(p->apparmor, "prof", "apparmorProfile");
	TAP_STR(p->selinux, "label", "selinuxLabel");
	TAP_STR(p->affinity_initial, "7", "execCPUAffinity.initial");
	TAP_STR(p->affinity_final, "0-3,7", "execCPUAffinity.final");
	TAP_INT(p->has_ioprio ? p->ioprio : -1, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_BE, 4),
		"ioPriority");
	TAP_OK(p->scheduler.given && p->scheduler.policy == 1 && p->scheduler.priority == 10 &&
		       p->scheduler.flags == 0x11,
	       "scheduler");
	TAP_INT(p->n_rlimits, 2, "rlimits");
	TAP_OK(p->rlimits[0].resource == RLIMIT_NOFILE && p->rlimits[0].soft == 1024 &&
		       p->rlimits[0].hard == RLIM_INFINITY,
	       "the largest limit");
	TAP_OK(p->caps.given && p->caps.bounding == (1ULL << 40 | 1) &&
		       p->caps.permitted == 1 << 5 && p->caps.effective == 1 << 5 &&
		       p->caps.inheritable == 0 && p->caps.ambient == 1 << 5,
	       "capabilities");
	bundle_fini(&b);

	b = good(BUNDLE_TEXT_HEAD
		 ",'process':{'cwd':'/','args':['x'],'consoleSize':{'height':-1},\n"
		 "'capabilities':{},'apparmorProfile':'','execCPUAffinity':{'final':''},\n"
		 "'scheduler':{'policy':'SCHED_DEADLINE','runtime':2000,'deadline':3000,'period':"
		 "3000}}}",
		 "a short process; without a terminal its consoleSize does not matter");
	TAP_OK(p->user.uid == 0 && p->user.gid == 0 && !p->user.has_umask,
	       "the user is root of the container");
	TAP_OK(p->caps.given && p->caps.bounding == 0, "empty capabilities are none");
	TAP_OK(!p->has_oom_score && !p->has_ioprio && p->apparmor == NULL && p->env.n == 0,
	       "the rest is absent");
	TAP_OK(p->has_exec_affinity && p->affinity_final == NULL,
	       "an empty list of cpus is absent");
	TAP_OK(p->scheduler.policy == 6 && p->scheduler.runtime == 2000 &&
		       p->scheduler.deadline == 3000 && p->scheduler.period == 3000,
	       "a deadline scheduler");
	bundle_fini(&b);
}

static void test_namespaces(void)
{
	struct bundle b =
		good(BUNDLE_TEXT_HEAD
		     ",'linux':{'namespaces':[{'type':'pid','path':'/proc/1/ns/"
		     "pid'},{'type':'network'},\n"
		     "{'type':'mount'},{'type':'ipc'},{'type':'uts'},{'type':'user'},{'type':'"
		     "cgroup'},{'type':'time'}],\n"
		     "'uidMappings':[{'containerID':0,'hostID':1000,'size':1},{'containerID':1,'"
		     "hostID':100000,'size':65535}],\n"
		     "'gidMappings':[{'containerID':0,'hostID':0,'size':4294967295}],\n"
		     "'timeOffsets':{'monotonic':{'secs':-5,'nanosecs':999999999},'boottime':{'"
		     "secs':7}},\n"
		     "'personality':{'domain':'LINUX32','flags':[]},'rootfsPropagation':'rslave','"
		     "mountLabel':'ml',\n"
		     "'maskedPaths':['/proc/kcore','/x'],'readonlyPaths':['/proc/"
		     "sys'],'cgroupsPath':'system.slice:v:1',\n"
		     "'sysctl':{'net.ipv4.ip_forward':'1','net/ipv4/conf/eth0.1/forwarding':'0',\n"
		     "'net.ipv4.conf.eth0/"
		     "2.forwarding':'1','kernel.shmmax':'5','fs.mqueue.msg_max':'6','user.max_mnt_"
		     "namespaces':'7'}}}",
		     "linux with everything");

	for (int k = 0; k < NS_KINDS; k++)
		TAP_OK(b.ns[k].listed && (b.ns[k].path != NULL) == (k == NS_PID), "namespace %s",
		       bundle_ns_name((enum ns_kind)k));
	TAP_STR(b.ns[NS_PID].path, "/proc/1/ns/pid", "a path to join");
	TAP_STR(bundle_ns_name((enum ns_kind)99), "(unknown)", "no such kind");
	TAP_INT(b.uid_map.n, 2, "uid map");
	TAP_OK(b.uid_map.v[1].inside == 1 && b.uid_map.v[1].outside == 100000 &&
		       b.uid_map.v[1].size == 65535,
	       "a line of it");
	TAP_OK(b.gid_map.n == 1 && b.gid_map.v[0].size == UINT32_MAX, "gid map of all ids");
	TAP_OK(b.has_time_monotonic && b.time_monotonic_secs == -5 &&
		       b.time_monotonic_nsecs == 999999999,
	       "monotonic offset");
	TAP_OK(b.has_time_boottime && b.time_boottime_secs == 7 && b.time_boottime_nsecs == 0,
	       "boottime offset");
	TAP_OK(b.has_personality && b.personality == PER_LINUX32, "personality");
	TAP_INT(b.root_propagation, MS_SLAVE | MS_REC, "rootfsPropagation");
	TAP_STR(b.mount_label, "ml", "mountLabel");
	TAP_STR(joined(&b.masked_paths), "/proc/kcore /x", "maskedPaths");
	TAP_STR(joined(&b.readonly_paths), "/proc/sys", "readonlyPaths");
	TAP_STR(b.cgroups_path, "system.slice:v:1", "cgroupsPath");
	TAP_INT(b.n_sysctl, 6, "sysctl");
	for (size_t i = 0; i < b.n_sysctl; i++) {
		const struct key_value *kv = &b.sysctl[i];

		if (strcmp(kv->value, "1") == 0 && strstr(kv->key, "eth0"))
			TAP_STR(kv->key, "net/ipv4/conf/eth0.2/forwarding",
				"a dotted name with a slash");
		else if (strcmp(kv->value, "0") == 0)
			TAP_STR(kv->key, "net/ipv4/conf/eth0.1/forwarding", "a name with slashes");
		else if (strcmp(kv->value, "1") == 0)
			TAP_STR(kv->key, "net/ipv4/ip_forward", "a dotted name");
	}
	bundle_fini(&b);
	b = good(BUNDLE_TEXT_HEAD ",'linux':{'rootfsPropagation':'','timeOffsets':{},'personality':"
				  "{'domain':'LINUX'}}}",
		 "an empty propagation");
	TAP_INT(b.root_propagation, 0, "is none");
	TAP_OK(b.has_personality && b.personality == PER_LINUX, "personality LINUX");
	TAP_OK(!b.has_time_boottime && !b.has_time_monotonic, "no offsets");
	bundle_fini(&b);
}

static void test_devices(void)
{
	struct bundle b = good(
		BUNDLE_TEXT_HEAD
		",'linux':{'devices':[{'path':'/dev/"
		"fuse','type':'c','major':10,'minor':229,'fileMode':438,'uid':1,'gid':2},\n"
		"{'path':'/dev/sda','type':'b','major':8,'minor':0,'fileMode':24996},{'path':'/run/"
		"fifo','type':'p'},\n"
		"{'path':'/dev/u','type':'u','major':1,'minor':1048575}]}}",
		"devices");

	TAP_INT(b.n_devices, 4, "their number");
	if (!b.devices)
		return;
	TAP_STR(b.devices[0].path, "/dev/fuse", "path");
	TAP_OK(b.devices[0].type == 'c' && b.devices[0].major == 10 && b.devices[0].minor == 229 &&
		       b.devices[0].mode == 0666 && b.devices[0].uid == 1 && b.devices[0].gid == 2,
	       "a character device");
	TAP_OK(b.devices[1].type == 'b' && b.devices[1].mode == 0644,
	       "a mode with the type of the file in it");
	TAP_OK(b.devices[2].type == 'p' && b.devices[2].mode == 0666, "a pipe");
	TAP_OK(b.devices[3].type == 'c' && b.devices[3].minor == 0xfffff,
	       "an unbuffered one is a character device");
	bundle_fini(&b);
}

static void test_memory_and_cpu(void)
{
	struct bundle b =
		good(BUNDLE_TEXT_HEAD
		     ",'linux':{'resources':{'memory':{'limit':512,'reservation':-1,'swap':512,'"
		     "kernel':-1,\n"
		     "'kernelTCP':3,'swappiness':0,'disableOOMKiller':true,'useHierarchy':false,'"
		     "checkBeforeUpdate':true},\n"
		     "'cpu':{'shares':18446744073709551615,'quota':-1,'period':500000,'burst':0,'"
		     "realtimeRuntime':5,\n"
		     "'realtimePeriod':6,'cpus':'2-3','mems':'0-7','idle':1},'pids':{'limit':0}}}}",
		     "resources");
	const struct bundle_resources *r = &b.resources;

	TAP_OK(r->given, "are given");
	TAP_OK(r->has_mem_limit && r->mem_limit == 512 && r->has_mem_reservation &&
		       r->mem_reservation == -1 && r->has_mem_swap && r->mem_swap == 512 &&
		       r->has_mem_kernel && r->mem_kernel == -1 && r->has_mem_kernel_tcp &&
		       r->mem_kernel_tcp == 3,
	       "memory limits");
	TAP_OK(r->has_swappiness && r->swappiness == 0, "swappiness may be 0");
	TAP_OK(r->has_disable_oom && r->disable_oom && r->has_use_hierarchy && !r->use_hierarchy &&
		       r->has_check_before_update && r->check_before_update,
	       "memory switches");
	TAP_OK(r->has_cpu_shares && r->cpu_shares == UINT64_MAX && r->has_cpu_quota &&
		       r->cpu_quota == -1 && r->has_cpu_period && r->cpu_period == 500000 &&
		       r->has_cpu_burst && r->cpu_burst == 0,
	       "cpu");
	TAP_OK(r->has_rt_runtime && r->rt_runtime == 5 && r->has_rt_period && r->rt_period == 6,
	       "real time");
	TAP_OK(r->has_cpu_idle && r->cpu_idle == 1, "idle");
	TAP_STR(r->cpus, "2-3", "cpus");
	TAP_STR(r->mems, "0-7", "mems");
	TAP_OK(r->has_pids && r->pids_limit == 0, "a pids limit of 0 is one");
	bundle_fini(&b);

	b = good(BUNDLE_TEXT_HEAD ",'linux':{'resources':{'memory':{'limit':0,'reservation':0,'"
				  "swap':0,'kernel':0,'kernelTCP':0},\n"
				  "'cpu':{'shares':0,'quota':0,'period':0,'realtimeRuntime':0,'"
				  "realtimePeriod':0,'cpus':'','idle':0},\n"
				  "'blockIO':{'weight':0,'leafWeight':0},'pids':{},'network':{}}}}",
		 "zeros as engines write them");
	TAP_OK(!r->has_mem_limit && !r->has_mem_reservation && !r->has_mem_swap &&
		       !r->has_mem_kernel && !r->has_mem_kernel_tcp && !r->has_cpu_shares &&
		       !r->has_cpu_quota && !r->has_cpu_period && !r->has_rt_runtime &&
		       !r->has_rt_period && !r->has_blkio_weight && !r->has_blkio_leaf,
	       "are absent values");
	TAP_OK(r->has_cpu_idle && !r->has_pids && !r->has_net_class && r->cpus == NULL,
	       "others are not");
	bundle_fini(&b);
}

static void test_other_resources(void)
{
	struct bundle b = good(
		BUNDLE_TEXT_HEAD
		",'linux':{'resources':{'devices':[{'allow':false,'access':'rwm'},{'allow':true,'"
		"type':'c','major':10,'minor':229,'access':'wr'},\n"
		"{'allow':true,'type':'b','major':8,'minor':-1},{'allow':true,'type':'a','major':-"
		"1,'access':''}],\n"
		"'blockIO':{'weight':10,'leafWeight':1000,'weightDevice':[{'major':8,'minor':16,'"
		"weight':500,'leafWeight':300},{'major':8,'minor':0,'leafWeight':20}],\n"
		"'throttleReadBpsDevice':[{'major':8,'minor':0,'rate':600}],'"
		"throttleWriteBpsDevice':[{'major':8,'minor':0,'rate':18446744073709551615}],\n"
		"'throttleReadIOPSDevice':[{'major':8,'minor':0,'rate':1},{'major':8,'minor':1,'"
		"rate':2}],'throttleWriteIOPSDevice':[]},\n"
		"'hugepageLimits':[{'pageSize':'2MB','limit':9223372036854772000},{'pageSize':'"
		"64KB','limit':0}],\n"
		"'network':{'classID':1048577,'priorities':[{'name':'eth0','priority':500}]},\n"
		"'rdma':{'mlx5_1':{'hcaHandles':3,'hcaObjects':10000}},'unified':{'memory.high':'1'"
		"}}}}",
		"more resources");
	const struct bundle_resources *r = &b.resources;

	TAP_INT(r->n_devices, 4, "device rules");
	TAP_OK(!r->devices[0].allow && r->devices[0].type == 'a' && r->devices[0].major == -1 &&
		       r->devices[0].minor == -1,
	       "a rule for all");
	TAP_STR(r->devices[1].access, "wr", "access");
	TAP_OK(r->devices[1].allow && r->devices[1].type == 'c' && r->devices[1].major == 10 &&
		       r->devices[1].minor == 229,
	       "a rule for one device");
	TAP_OK(r->devices[2].type == 'b' && r->devices[2].major == 8 && r->devices[2].minor == -1,
	       "any minor");
	TAP_STR(r->devices[2].access, "rwm", "all access when none is named");
	TAP_STR(r->devices[3].access, "rwm", "or an empty one");
	TAP_OK(r->has_blkio_weight && r->blkio_weight == 10 && r->has_blkio_leaf &&
		       r->blkio_leaf_weight == 1000,
	       "block weights");
	TAP_OK(r->n_blkio_weights == 2 && r->blkio_weights[0].weight == 500 &&
		       r->blkio_weights[0].leaf_weight == 300 && r->blkio_weights[0].minor == 16 &&
		       !r->blkio_weights[1].has_weight && r->blkio_weights[1].has_leaf,
	       "weights by device");
	TAP_OK(r->n_throttle[THROTTLE_READ_BPS] == 1 &&
		       r->throttle[THROTTLE_READ_BPS][0].rate == 600,
	       "read bytes");
	TAP_OK(r->n_throttle[THROTTLE_WRITE_BPS] == 1 &&
		       r->throttle[THROTTLE_WRITE_BPS][0].rate == UINT64_MAX,
	       "write bytes");
	TAP_OK(r->n_throttle[THROTTLE_READ_IOPS] == 2 &&
		       r->throttle[THROTTLE_READ_IOPS][1].minor == 1,
	       "reads");
	TAP_INT(r->n_throttle[THROTTLE_WRITE_IOPS], 0, "writes");
	TAP_INT(r->n_hugepages, 2, "huge pages");
	TAP_STR(r->hugepages[0].page_size, "2MB", "a page size");
	TAP_INT(r->hugepages[0].limit, 9223372036854772000, "its limit");
	TAP_OK(r->has_net_class && r->net_class == 1048577, "classID");
	TAP_OK(r->n_net_prios == 1, "priorities");
	TAP_STR(r->net_prios[0].key, "eth0", "interface");
	TAP_STR(r->net_prios[0].value, "500", "priority");
	TAP_OK(r->n_rdma == 1 && r->rdma[0].has_handles && r->rdma[0].handles == 3 &&
		       r->rdma[0].has_objects && r->rdma[0].objects == 10000,
	       "rdma");
	TAP_STR(r->rdma[0].device, "mlx5_1", "its device");
	TAP_OK(r->n_unified == 1, "unified");
	TAP_STR(r->unified[0].key, "memory.high", "its file");
	TAP_STR(r->unified[0].value, "1", "its content");
	bundle_fini(&b);
}

static void test_seccomp(void)
{
	struct bundle b = good(
		BUNDLE_TEXT_HEAD
		",'linux':{'seccomp':{'defaultAction':'SCMP_ACT_ERRNO','defaultErrnoRet':38,\n"
		"'architectures':['SCMP_ARCH_X86_64','SCMP_ARCH_X32'],'flags':['SECCOMP_FILTER_"
		"FLAG_LOG'],\n"
		"'listenerPath':'/run/agent','listenerMetadata':'md','syscalls':[\n"
		"{'names':['getcwd','chmod'],'action':'SCMP_ACT_ALLOW'},\n"
		"{'names':['mknod'],'action':'SCMP_ACT_NOTIFY','args':[]},{'names':['x'],'action':'"
		"SCMP_ACT_TRACE','errnoRet':65535},\n"
		"{'names':['clone'],'action':'SCMP_ACT_ALLOW','args':[{'index':5,'value':"
		"18446744073709551615,'valueTwo':9223372036854775808,'op':'SCMP_CMP_MASKED_EQ'},\n"
		"{'index':0,'value':1,'valueTwo':0,'op':'SCMP_CMP_NE'}]}]}}}",
		"seccomp");
	const struct bundle_seccomp *s = &b.seccomp;

	TAP_STR(s->default_action, "SCMP_ACT_ERRNO", "defaultAction");
	TAP_OK(s->given && s->has_default_errno && s->default_errno == 38, "defaultErrnoRet");
	TAP_STR(joined(&s->architectures), "SCMP_ARCH_X86_64 SCMP_ARCH_X32", "architectures");
	TAP_STR(joined(&s->flags), "SECCOMP_FILTER_FLAG_LOG", "flags");
	TAP_STR(s->listener_path, "/run/agent", "listenerPath");
	TAP_STR(s->listener_metadata, "md", "listenerMetadata");
	TAP_INT(s->n_rules, 4, "rules");
	TAP_STR(joined(&s->rules[0].names), "getcwd chmod", "names");
	TAP_STR(s->rules[0].action, "SCMP_ACT_ALLOW", "action");
	TAP_OK(!s->rules[0].has_errno && s->rules[2].has_errno && s->rules[2].errno_ret == 65535,
	       "errnoRet");
	TAP_INT(s->rules[3].n_args, 2, "args");
	TAP_STR(s->rules[3].args[0].op, "SCMP_CMP_MASKED_EQ", "operator");
	TAP_OK(s->rules[3].args[0].index == 5 && s->rules[3].args[0].value == UINT64_MAX &&
		       s->rules[3].args[0].value_two == (uint64_t)INT64_MAX + 1,
	       "values of 64 bits");
	bundle_fini(&b);
}

static void test_hooks(void)
{
	struct bundle b = good(BUNDLE_TEXT_HEAD
			       ",'hooks':{'prestart':[{'path':'/"
			       "p','args':['p','1'],'env':['k=v'],'timeout':5},{'path':'/q'}],\n"
			       "'createRuntime':[{'path':'/cr'}],'createContainer':[{'path':'/"
			       "cc'}],'startContainer':[{'path':'/sc'}],\n"
			       "'poststart':[{'path':'/ps'}],'poststop':[{'path':'/po'}]}}",
			       "hooks");
	static const char *const first[HOOK_KINDS] = {"/p", "/cr", "/cc", "/sc", "/ps", "/po"};

	for (int k = 0; k < HOOK_KINDS; k++)
		TAP_STR(b.hooks.n[k] ? b.hooks.v[k][0].path : NULL, first[k],
			"first hook of kind %d", k);
	TAP_INT(b.hooks.n[HOOK_PRESTART], 2, "two of one kind");
	TAP_STR(joined(&b.hooks.v[HOOK_PRESTART][0].args), "p 1", "args");
	TAP_STR(joined(&b.hooks.v[HOOK_PRESTART][0].env), "k=v", "env");
	TAP_INT(b.hooks.v[HOOK_PRESTART][0].timeout, 5, "timeout");
	TAP_INT(b.hooks.v[HOOK_PRESTART][1].timeout, 0, "no timeout");
	bundle_fini(&b);
}

/* The kernel takes 340 lines in a map, and so does the reader. */
static void test_map_lines(int lines)
{
	static const char before[] = BUNDLE_TEXT_HEAD ",'linux':{'namespaces':[{'type':'user'}],";
	static char text[64 * 1024];
	struct bundle b;
	size_t n = (size_t)snprintf(text, sizeof text, "%s\n'uidMappings':[", before);
	int rc;

	for (int i = 0; i < lines; i++)
		n += (size_t)snprintf(text + n, sizeof text - n,
				      "%s{'containerID':%d,'hostID':%d,'size':1}", i ? ",\n" : "",
				      i, 1000 + i);
	(void)snprintf(text + n, sizeof text - n, "]%s", "}}");
	rc = bundle_from_text(&b, text, &e);
	if (lines > 340) {
		TAP_INT(rc, -EINVAL, "%d lines of a map", lines);
		TAP_STR(e.text,
			"c.json:2: linux.uidMappings: 341 lines; the kernel takes at most 340",
			"and named");
		return;
	}
	TAP_INT(rc, 0, "%d lines of a map", lines);
	TAP_INT(b.uid_map.n, (size_t)lines, "are read");
	bundle_fini(&b);
}

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");

	if (f) {
		(void)fputs(text, f);
		(void)fclose(f);
	}
}

static void test_load(void)
{
	char dir[] = "/tmp/test-bundle-XXXXXX", path[64], want[64], cwd[4096];
	struct bundle b;
	int rc;

	if (!TAP_OK(mkdtemp(dir) && getcwd(cwd, sizeof cwd) && chdir(dir) == 0, "a directory"))
		return;
	TAP_INT(bundle_load(&b, dir, &e), -ENOENT, "no config.json");
	(void)snprintf(want, sizeof want, "%s/config.json: No such file or directory", dir);
	TAP_STR(e.text, want, "and named");
	TAP_HAS(e.hint, "a bundle is a directory with config.json", "with a hint");
	TAP_INT(bundle_load(&b, "", &e), -EINVAL, "an empty name");
	(void)snprintf(path, sizeof path, "%s/config.json", dir);
	write_file(path, "{\"ociVersion\": \"1.2.0\",\n\"root\": {\"path\": 5}}");
	TAP_INT(bundle_load(&b, ".", &e), -EINVAL, "a wrong one");
	TAP_STR(e.text, "./config.json:2: root.path: expected a string, found an integer",
		"is named as the caller names it");
	write_file(path, "{\"ociVersion\": \"1.2.0\", \"root\": {\"path\": \"r\"}}");
	static const char *const names[] = {".", "./", "././/"};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		rc = bundle_load(&b, names[i], &e);
		TAP_STR(rc == 0 ? b.dir : e.text, dir, "\"%s\" becomes absolute", names[i]);
		if (rc == 0)
			bundle_fini(&b);
	}
	(void)snprintf(path, sizeof path, "%s//", dir);
	rc = bundle_load(&b, path, &e);
	TAP_STR(rc == 0 ? b.dir : e.text, dir, "slashes at the end go");
	if (rc == 0)
		bundle_fini(&b);
	(void)snprintf(path, sizeof path, "%s/config.json", dir);
	TAP_INT(bundle_load(&b, path, &e), -ENOTDIR, "a file instead of a directory");
	TAP_HAS(e.hint, "a bundle is a directory", "with a hint");
	TAP_OK(unlink(path) == 0 && chdir(cwd) == 0 && rmdir(dir) == 0, "cleaned up");
}

int main(void)
{
	test_top();
	test_process();
	test_namespaces();
	test_devices();
	test_memory_and_cpu();
	test_other_resources();
	test_seccomp();
	test_hooks();
	test_map_lines(340);
	test_map_lines(341);
	test_load();
	return tap_done();
}
