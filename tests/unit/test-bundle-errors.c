/* SPDX-License-Identifier: Apache-2.0 */
/* The config.json reader: each complaint, with its line, its path and its hint. */
#include "bundle-text.h"
#include "tap.h"

static struct err e;

/* A document around a fragment, which begins on line 2. */
enum section { WHOLE, TOP, PROCESS, PROC, LINUX, NS, RESOURCES, SECCOMP };
static const struct {
	const char *before, *after;
} sections[] = {
	[WHOLE] = {"\n", ""},
	[TOP] = {BUNDLE_TEXT_HEAD ",\n", "}"},
	[PROCESS] = {BUNDLE_TEXT_HEAD ",'process':{\n", "}}"},
	[PROC] = {BUNDLE_TEXT_HEAD ",'process':{'cwd':'/','args':['x'],\n", "}}"},
	[LINUX] = {BUNDLE_TEXT_HEAD ",'linux':{\n", "}}"},
	[NS] = {BUNDLE_TEXT_HEAD
		",'linux':{'namespaces':[{'type':'user'},{'type':'network'},{'type':'time'}],\n",
		"}}"},
	[RESOURCES] = {BUNDLE_TEXT_HEAD ",'linux':{'resources':{\n", "}}}"},
	[SECCOMP] = {BUNDLE_TEXT_HEAD ",'linux':{'seccomp':{'defaultAction':'SCMP_ACT_ALLOW',\n",
		     "}}}"},
};

struct row {
	enum section section;
	const char *fragment, *text, *hint;
};

#define REQUIRED "missing, but the runtime spec requires it"

static const struct row top_rows[] = {
	{WHOLE, "[]", "c.json:2: (document): expected an object, found an array", ""},
	{WHOLE, "{'root':{'path':'r'}}", "c.json:2: ociVersion: " REQUIRED, ""},
	{WHOLE, "{'ociVersion':1.2,'root':{'path':'r'}}",
	 "c.json:2: ociVersion: expected a string, found a fraction", ""},
	{WHOLE, "{'ociVersion':'','root':{'path':'r'}}", "c.json:2: ociVersion: is empty", ""},
	{WHOLE, "{'ociVersion':'one','root':{'path':'r'}}",
	 "c.json:2: ociVersion: \"one\": expected a version like \"1.2.0\"", ""},
	{WHOLE, "{'ociVersion':'1.2.','root':{'path':'r'}}",
	 "c.json:2: ociVersion: \"1.2.\": expected a version like \"1.2.0\"", ""},
	{WHOLE, "{'ociVersion':'1.2.0-','root':{'path':'r'}}",
	 "c.json:2: ociVersion: \"1.2.0-\": expected a version like \"1.2.0\"", ""},
	{WHOLE, "{'ociVersion':'1.2.0 ','root':{'path':'r'}}",
	 "c.json:2: ociVersion: \"1.2.0 \": expected a version like \"1.2.0\"", ""},
	{WHOLE, "{'ociVersion':'2.0.0','root':{'path':'r'}}",
	 "c.json:2: ociVersion: \"2.0.0\": not a version that vrun knows",
	 "vrun reads version 1 of the OCI runtime spec"},
	{WHOLE, "{'ociVersion':'11.0','root':{'path':'r'}}",
	 "c.json:2: ociVersion: \"11.0\": not a version that vrun knows",
	 "vrun reads version 1 of the OCI runtime spec"},
	{WHOLE, "{'ociVersion':'1.2.0'\n}", "c.json:3: root: " REQUIRED, ""},
	{WHOLE, "{'ociVersion':'1.2.0','root':'r'}",
	 "c.json:2: root: expected an object, found a string", ""},
	{WHOLE, "{'ociVersion':'1.2.0','root':{}}", "c.json:2: root.path: " REQUIRED, ""},
	{WHOLE, "{'ociVersion':'1.2.0','root':{'path':''}}", "c.json:2: root.path: is empty", ""},
	{WHOLE, "{'ociVersion':'1.2.0','root':{'path':'r','readonly':'yes'}}",
	 "c.json:2: root.readonly: expected a boolean, found a string", ""},
	{TOP, "'hostname':'h'",
	 "c.json:2: hostname: would rename the host, since linux.namespaces has no \"uts\"",
	 "add {\"type\": \"uts\"} to linux.namespaces"},
	{TOP, "'domainname':'d'",
	 "c.json:2: domainname: would rename the host, since linux.namespaces has no \"uts\"",
	 "add {\"type\": \"uts\"} to linux.namespaces"},
	{TOP, "'hostname':'12345678901234567890123456789012345678901234567890123456789012345'",
	 "c.json:2: hostname: 65 bytes; the kernel takes at most 64", ""},
	{TOP, "'mounts':{}", "c.json:2: mounts: expected an array, found an object", ""},
	{TOP, "'mounts':[\n'x']", "c.json:3: mounts[0]: expected an object, found a string", ""},
	{TOP, "'annotations':{'a':1}",
	 "c.json:2: annotations.a: expected a string, found an integer", ""},
	{TOP, "'annotations':{'a':null}", "c.json:2: annotations.a: expected a string, found null",
	 ""},
	{TOP, "'annotations':{'':'x'}", "c.json:2: annotations.: a key is empty", ""},
	{TOP, "'annotations':[]", "c.json:2: annotations: expected an object, found an array", ""},
	{TOP, "'annotations':{\n'org.vrun.policy':'../p'}",
	 "c.json:3: annotations.org.vrun.policy: \"../p\": expected a path inside the bundle", ""},
	{TOP, "'annotations':{'org.vrun.policy':'/p'}",
	 "c.json:2: annotations.org.vrun.policy: \"/p\": expected a path inside the bundle", ""},
	{TOP, "'annotations':{'org.vrun.policy':''}",
	 "c.json:2: annotations.org.vrun.policy: \"\": expected a path inside the bundle", ""},
	{TOP, "'annotations':{'org.vrun.policy':'a/..'}",
	 "c.json:2: annotations.org.vrun.policy: \"a/..\": expected a path inside the bundle", ""},
	{TOP, "'annotations':{'org.vrun.overlay':''}",
	 "c.json:2: annotations.org.vrun.overlay: expected \"tmpfs\" or a directory", ""},
	{TOP, "'annotations':{'org.vrun.init':'yes'}",
	 "c.json:2: annotations.org.vrun.init: expected \"true\" or \"false\"", ""},
	{TOP, "'annotations':{'org.vrun.owner':'root'}",
	 "c.json:2: annotations.org.vrun.owner: expected \"app\"", ""},
	{TOP, "'hooks':[]", "c.json:2: hooks: expected an object, found an array", ""},
	{TOP, "'hooks':{'prestart':{}}",
	 "c.json:2: hooks.prestart: expected an array, found an object", ""},
	{TOP, "'hooks':{'poststop':[{}]}", "c.json:2: hooks.poststop[0].path: " REQUIRED, ""},
	{TOP, "'hooks':{'createRuntime':[{'path':'bin/x'}]}",
	 "c.json:2: hooks.createRuntime[0].path: \"bin/x\": the path must be absolute", ""},
	{TOP, "'hooks':{'createContainer':[{'path':'/x'},\n{'path':'/x','env':['A=b','C']}]}",
	 "c.json:3: hooks.createContainer[1].env[1]: \"C\": expected NAME=VALUE", ""},
	{TOP, "'hooks':{'startContainer':[{'path':'/x','args':'x'}]}",
	 "c.json:2: hooks.startContainer[0].args: expected an array, found a string", ""},
	{TOP, "'hooks':{'poststart':[{'path':'/x','timeout':0}]}",
	 "c.json:2: hooks.poststart[0].timeout: 0 is out of range (1 to 2147483647)", ""},
	{TOP, "'linux':5", "c.json:2: linux: expected an object, found an integer", ""},
	{TOP, "'vm':5", "c.json:2: vm: expected an object, found an integer", ""},
	{LINUX, "'intelRdt':'x'", "c.json:2: linux.intelRdt: expected an object, found a string",
	 ""},
};

static const struct row process_rows[] = {
	{TOP, "'process':[]", "c.json:2: process: expected an object, found an array", ""},
	{PROCESS, "'cwd':'/'", "c.json:2: process.args: " REQUIRED, ""},
	{PROCESS, "'cwd':'/','args':[]", "c.json:2: process.args: names no program", ""},
	{PROCESS, "'cwd':'/','args':['']", "c.json:2: process.args: names no program", ""},
	{PROCESS, "'cwd':'/','args':['a',\n7]",
	 "c.json:3: process.args[1]: expected a string, found an integer", ""},
	{PROCESS, "'commandLine':'x','cwd':'/'", "c.json:2: process.args: " REQUIRED, ""},
	{PROCESS, "'args':['a']", "c.json:2: process.cwd: " REQUIRED, ""},
	{PROCESS, "'args':['a'],'cwd':'tmp'",
	 "c.json:2: process.cwd: \"tmp\": the path must be absolute", ""},
	{PROC, "'env':['A=1',\n'B']", "c.json:3: process.env[1]: \"B\": expected NAME=VALUE", ""},
	{PROC, "'env':['=x']", "c.json:2: process.env[0]: \"=x\": the variable has no name", ""},
	{PROC, "'env':['\\u001b[2J']",
	 "c.json:2: process.env[0]: \"\\x1b[2J\": expected NAME=VALUE", ""},
	{PROC, "'terminal':1", "c.json:2: process.terminal: expected a boolean, found an integer",
	 ""},
	{PROC, "'noNewPrivileges':'no'",
	 "c.json:2: process.noNewPrivileges: expected a boolean, found a string", ""},
	{PROC, "'terminal':true,'consoleSize':{'height':5}",
	 "c.json:2: process.consoleSize.width: " REQUIRED, ""},
	{PROC, "'terminal':true,'consoleSize':{'height':65536,'width':1}",
	 "c.json:2: process.consoleSize.height: 65536 is out of range (0 to 65535)", ""},
	{PROC, "'user':{'gid':0}", "c.json:2: process.user.uid: " REQUIRED, ""},
	{PROC, "'user':{'uid':0}", "c.json:2: process.user.gid: " REQUIRED, ""},
	{PROC, "'user':{'uid':-1,'gid':0}",
	 "c.json:2: process.user.uid: -1 is out of range (0 to 4294967294)", ""},
	{PROC, "'user':{'uid':4294967295,'gid':0}",
	 "c.json:2: process.user.uid: 4294967295 is out of range (0 to 4294967294)", ""},
	{PROC, "'user':{'uid':1,'gid':0,'umask':512}",
	 "c.json:2: process.user.umask: 512 is out of range (0 to 511)", ""},
	{PROC, "'user':{'uid':1,'gid':0,'additionalGids':[1,\n-2]}",
	 "c.json:3: process.user.additionalGids[1]: -2 is out of range (0 to 4294967294)", ""},
	{PROC, "'oomScoreAdj':1001",
	 "c.json:2: process.oomScoreAdj: 1001 is out of range (-1000 to 1000)", ""},
	{PROC, "'capabilities':[]",
	 "c.json:2: process.capabilities: expected an object, found an array", ""},
	{PROC, "'capabilities':{'bounding':['CAP_CHOWN',\n'CAP_NET_RAWW']}",
	 "c.json:3: process.capabilities.bounding[1]: \"CAP_NET_RAWW\": unknown capability",
	 "did you mean \"CAP_NET_RAW\"?"},
	{PROC, "'capabilities':{'ambient':['cap_chown']}",
	 "c.json:2: process.capabilities.ambient[0]: \"cap_chown\": unknown capability",
	 "did you mean \"CAP_CHOWN\"?"},
	{PROC, "'capabilities':{'permitted':['sys_admin']}",
	 "c.json:2: process.capabilities.permitted[0]: \"sys_admin\": unknown capability",
	 "did you mean \"CAP_SYS_ADMIN\"?"},
	{PROC, "'capabilities':{'inheritable':['everything, please, and then some more']}",
	 "c.json:2: process.capabilities.inheritable[0]: \"everything, please, and then some "
	 "more\": unknown capability",
	 ""},
	{PROC, "'capabilities':{'permitted':['CAP_KILL'],\n'effective':['CAP_KILL','CAP_BPF']}",
	 "c.json:3: process.capabilities.effective: CAP_BPF is not in \"permitted\"", ""},
	{PROC, "'rlimits':[{'soft':1,'hard':1}]", "c.json:2: process.rlimits[0].type: " REQUIRED,
	 ""},
	{PROC, "'rlimits':[{'type':'RLIMIT_NOFILES','soft':1,'hard':1}]",
	 "c.json:2: process.rlimits[0].type: \"RLIMIT_NOFILES\": unknown limit",
	 "did you mean \"RLIMIT_NOFILE\"?"},
	{PROC, "'rlimits':[{'type':'RLIMIT_AS','hard':1}]",
	 "c.json:2: process.rlimits[0].soft: " REQUIRED, ""},
	{PROC, "'rlimits':[{'type':'RLIMIT_AS','soft':1}]",
	 "c.json:2: process.rlimits[0].hard: " REQUIRED, ""},
	{PROC, "'rlimits':[{'type':'RLIMIT_AS','soft':-1,'hard':1}]",
	 "c.json:2: process.rlimits[0].soft: -1 is out of range (0 to 18446744073709551615)", ""},
	{PROC, "'rlimits':[{'type':'RLIMIT_AS','soft':2,'hard':1}]",
	 "c.json:2: process.rlimits[0]: the soft limit, 2, is above the hard one, 1", ""},
	{PROC,
	 "'rlimits':[{'type':'RLIMIT_AS','soft':1,'hard':1},{'type':'RLIMIT_CPU','soft':1,'hard':1}"
	 ",\n"
	 "{'type':'RLIMIT_AS','soft':1,'hard':1}]",
	 "c.json:3: process.rlimits[2]: the same limit as element 0", ""},
	{PROC, "'scheduler':{}", "c.json:2: process.scheduler.policy: " REQUIRED, ""},
	{PROC, "'scheduler':{'policy':'SCHED_OTTER'}",
	 "c.json:2: process.scheduler.policy: \"SCHED_OTTER\": unknown scheduling policy",
	 "did you mean \"SCHED_OTHER\"?"},
	{PROC, "'scheduler':{'policy':'SCHED_ISO'}",
	 "c.json:2: process.scheduler: Linux has no SCHED_ISO", ""},
	{PROC, "'scheduler':{'policy':'SCHED_OTHER','nice':20}",
	 "c.json:2: process.scheduler.nice: 20 is out of range (-20 to 19)", ""},
	{PROC, "'scheduler':{'policy':'SCHED_RR'}",
	 "c.json:2: process.scheduler: a real-time policy needs a priority from 1 to 99", ""},
	{PROC, "'scheduler':{'policy':'SCHED_BATCH','priority':5}",
	 "c.json:2: process.scheduler: priority is for SCHED_FIFO and SCHED_RR only", ""},
	{PROC, "'scheduler':{'policy':'SCHED_IDLE','nice':5}",
	 "c.json:2: process.scheduler: nice is for SCHED_OTHER and SCHED_BATCH only", ""},
	{PROC, "'scheduler':{'policy':'SCHED_OTHER','runtime':5}",
	 "c.json:2: process.scheduler: runtime, deadline and period are for SCHED_DEADLINE only",
	 ""},
	{PROC, "'scheduler':{'policy':'SCHED_DEADLINE','runtime':5000,'deadline':4000}",
	 "c.json:2: process.scheduler: expected 1024 <= runtime <= deadline <= period", ""},
	{PROC, "'scheduler':{'policy':'SCHED_OTHER','flags':['SCHED_FLAG_X']}",
	 "c.json:2: process.scheduler.flags[0]: \"SCHED_FLAG_X\": unknown scheduler flag", ""},
	{PROC, "'ioPriority':{'priority':1}", "c.json:2: process.ioPriority.class: " REQUIRED, ""},
	{PROC, "'ioPriority':{'class':'IOPRIO_CLASS_RT'}",
	 "c.json:2: process.ioPriority.priority: " REQUIRED, ""},
	{PROC, "'ioPriority':{'class':'IOPRIO_CLASS_NONE','priority':1}",
	 "c.json:2: process.ioPriority.class: \"IOPRIO_CLASS_NONE\": unknown class", ""},
	{PROC, "'ioPriority':{'class':'IOPRIO_CLASS_BE','priority':8}",
	 "c.json:2: process.ioPriority.priority: 8 is out of range (0 to 7)", ""},
	{PROC, "'execCPUAffinity':{'final':'0-'}",
	 "c.json:2: process.execCPUAffinity.final: \"0-\": expected a list of numbers like "
	 "\"0-3,7\"",
	 ""},
	{PROC, "'execCPUAffinity':{'initial':'3-1'}",
	 "c.json:2: process.execCPUAffinity.initial: \"3-1\": expected a list of numbers like "
	 "\"0-3,7\"",
	 ""},
	{PROC, "'execCPUAffinity':{'initial':'1,'}",
	 "c.json:2: process.execCPUAffinity.initial: \"1,\": expected a list of numbers like "
	 "\"0-3,7\"",
	 ""},
	{PROC, "'execCPUAffinity':{'initial':'1-2-3'}",
	 "c.json:2: process.execCPUAffinity.initial: \"1-2-3\": expected a list of numbers like "
	 "\"0-3,7\"",
	 ""},
	{PROC, "'execCPUAffinity':{'initial':'123456789'}",
	 "c.json:2: process.execCPUAffinity.initial: \"123456789\": expected a list of numbers "
	 "like \"0-3,7\"",
	 ""},
};

static const struct row linux_rows[] = {
	{LINUX, "'namespaces':[{}]", "c.json:2: linux.namespaces[0].type: " REQUIRED, ""},
	{LINUX, "'namespaces':['pid']",
	 "c.json:2: linux.namespaces[0]: expected an object, found a string", ""},
	{LINUX, "'namespaces':[{'type':'networks'}]",
	 "c.json:2: linux.namespaces[0].type: \"networks\": unknown kind of namespace",
	 "did you mean \"network\"?"},
	{LINUX, "'namespaces':[{'type':'pid'},{'type':'ipc'},\n{'type':'pid'}]",
	 "c.json:3: linux.namespaces[2]: a second namespace of type \"pid\"", ""},
	{LINUX, "'namespaces':[{'type':'pid','path':'ns/pid'}]",
	 "c.json:2: linux.namespaces[0].path: \"ns/pid\": the path must be absolute", ""},
	{LINUX, "'namespaces':[{'type':'pid','path':''}]",
	 "c.json:2: linux.namespaces[0].path: is empty", ""},
	{LINUX, "'uidMappings':[{'containerID':0,'hostID':1,'size':1}]",
	 "c.json:2: linux.uidMappings: an id map, but linux.namespaces has no \"user\"",
	 "add {\"type\": \"user\"} to linux.namespaces"},
	{NS, "'gidMappings':[{'hostID':1,'size':1}]",
	 "c.json:2: linux.gidMappings[0].containerID: " REQUIRED, ""},
	{NS, "'gidMappings':[{'containerID':1,'size':1}]",
	 "c.json:2: linux.gidMappings[0].hostID: " REQUIRED, ""},
	{NS, "'gidMappings':[{'containerID':1,'hostID':1}]",
	 "c.json:2: linux.gidMappings[0].size: " REQUIRED, ""},
	{NS, "'uidMappings':[{'containerID':-1,'hostID':1,'size':1}]",
	 "c.json:2: linux.uidMappings[0].containerID: -1 is out of range (0 to 4294967294)", ""},
	{NS, "'uidMappings':[{'containerID':0,'hostID':1,'size':0}]",
	 "c.json:2: linux.uidMappings[0]: size is 0, so the line maps nothing", ""},
	{NS, "'uidMappings':[{'containerID':0,'hostID':1,'size':4294967295}]",
	 "c.json:2: linux.uidMappings[0]: the range goes past the highest id, 4294967294", ""},
	{NS, "'uidMappings':[{'containerID':4294967294,'hostID':1,'size':2}]",
	 "c.json:2: linux.uidMappings[0]: the range goes past the highest id, 4294967294", ""},
	{NS,
	 "'uidMappings':[{'containerID':0,'hostID':100,'size':10},\n{'containerID':9,'hostID':200,'"
	 "size':5}]",
	 "c.json:3: linux.uidMappings[1]: containerID range overlaps line 0", ""},
	{NS,
	 "'uidMappings':[{'containerID':5,'hostID':100,'size':10},\n{'containerID':0,'hostID':109,'"
	 "size':5}]",
	 "c.json:3: linux.uidMappings[1]: hostID range overlaps line 0", ""},
	{NS,
	 "'uidMappings':[{'containerID':5,'hostID':100,'size':10},\n{'containerID':0,'hostID':200,'"
	 "size':6}]",
	 "c.json:3: linux.uidMappings[1]: containerID range overlaps line 0", ""},
	{LINUX, "'timeOffsets':{'boottime':{'secs':1}}",
	 "c.json:2: linux.timeOffsets: offsets can be set in a new time namespace only",
	 "list {\"type\": \"time\"} without a path in linux.namespaces"},
	{LINUX, "'namespaces':[{'type':'time','path':'/n'}],'timeOffsets':{'boottime':{}}",
	 "c.json:2: linux.timeOffsets: offsets can be set in a new time namespace only",
	 "list {\"type\": \"time\"} without a path in linux.namespaces"},
	{NS, "'timeOffsets':{'boottim':{}}",
	 "c.json:2: linux.timeOffsets.boottim: unknown key \"boottim\"",
	 "did you mean \"boottime\"?"},
	{NS, "'timeOffsets':{'monotonic':5}",
	 "c.json:2: linux.timeOffsets.monotonic: expected an object, found an integer", ""},
	{NS, "'timeOffsets':{'monotonic':{'nanosecs':1000000000}}",
	 "c.json:2: linux.timeOffsets.monotonic.nanosecs: 1000000000 is out of range (0 to "
	 "999999999)",
	 ""},
	{NS, "'timeOffsets':{'monotonic':{'secs':9223372037}}",
	 "c.json:2: linux.timeOffsets.monotonic.secs: 9223372037 is out of range (-9223372036 to "
	 "9223372036)",
	 ""},
	{LINUX, "'devices':[{'type':'c','major':1,'minor':1}]",
	 "c.json:2: linux.devices[0].path: " REQUIRED, ""},
	{LINUX, "'devices':[{'path':'dev/x','type':'p'}]",
	 "c.json:2: linux.devices[0].path: \"dev/x\": the path must be absolute", ""},
	{LINUX, "'devices':[{'path':'/dev/x'}]", "c.json:2: linux.devices[0].type: " REQUIRED, ""},
	{LINUX, "'devices':[{'path':'/dev/x','type':'d'}]",
	 "c.json:2: linux.devices[0].type: \"d\": unknown type of device (c, b, u or p)", ""},
	{LINUX, "'devices':[{'path':'/dev/x','type':'c','minor':1}]",
	 "c.json:2: linux.devices[0].major: " REQUIRED, ""},
	{LINUX, "'devices':[{'path':'/dev/x','type':'b','major':1}]",
	 "c.json:2: linux.devices[0].minor: " REQUIRED, ""},
	{LINUX, "'devices':[{'path':'/dev/x','type':'b','major':4096,'minor':1}]",
	 "c.json:2: linux.devices[0].major: 4096 is out of range (0 to 4095)", ""},
	{LINUX, "'devices':[{'path':'/dev/x','type':'c','major':1,'minor':1,'fileMode':25008}]",
	 "c.json:2: linux.devices[0].fileMode: 25008 has another type of file in it than \"c\"",
	 ""},
	{LINUX, "'devices':[{'path':'/dev/x','type':'p','fileMode':2048}]",
	 "c.json:2: linux.devices[0].fileMode: 2048 has set-id or sticky bits; it is a decimal "
	 "number",
	 ""},
	{LINUX, "'cgroupsPath':'/a/../b'",
	 "c.json:2: linux.cgroupsPath: \"/a/../b\": the path has \"..\" in it", ""},
	{LINUX, "'rootfsPropagation':'slaves'",
	 "c.json:2: linux.rootfsPropagation: \"slaves\": unknown kind of propagation",
	 "did you mean \"slave\"?"},
	{LINUX, "'maskedPaths':['/a',\n'b']",
	 "c.json:3: linux.maskedPaths[1]: \"b\": the path must be absolute", ""},
	{LINUX, "'readonlyPaths':['']",
	 "c.json:2: linux.readonlyPaths[0]: \"\": the path must be absolute", ""},
	{LINUX, "'personality':{}", "c.json:2: linux.personality.domain: " REQUIRED, ""},
	{LINUX, "'personality':{'domain':'LINUX64'}",
	 "c.json:2: linux.personality.domain: \"LINUX64\": unknown execution domain",
	 "did you mean \"LINUX\"?"},
	{LINUX, "'personality':{'domain':'LINUX','flags':['x']}",
	 "c.json:2: linux.personality.flags: the runtime spec defines no flags", ""},
	{LINUX, "'sysctl':{'net.core.somaxconn':'1'}",
	 "c.json:2: linux.sysctl.net.core.somaxconn: would change the host, since linux.namespaces "
	 "has no \"network\"",
	 "add {\"type\": \"network\"} to linux.namespaces"},
	{NS, "'sysctl':{'kernel.shmmax':'1'}",
	 "c.json:2: linux.sysctl.kernel.shmmax: would change the host, since linux.namespaces has "
	 "no \"ipc\"",
	 "add {\"type\": \"ipc\"} to linux.namespaces"},
	{NS, "'sysctl':{'kernel.core_pattern':'|/x'}",
	 "c.json:2: linux.sysctl.kernel.core_pattern: a kernel parameter of the whole host, not of "
	 "a namespace",
	 ""},
	{NS, "'sysctl':{'kernel.shmmaxx':'1'}",
	 "c.json:2: linux.sysctl.kernel.shmmaxx: a kernel parameter of the whole host, not of a "
	 "namespace",
	 ""},
	{NS, "'sysctl':{'net/../kernel/core_pattern':'x'}",
	 "c.json:2: linux.sysctl.net/../kernel/core_pattern: not the name of a kernel parameter",
	 ""},
	{NS, "'sysctl':{'net...core_pattern':'x'}",
	 "c.json:2: linux.sysctl.net...core_pattern: not the name of a kernel parameter", ""},
	{NS, "'sysctl':{'net.ipv4.':'x'}",
	 "c.json:2: linux.sysctl.net.ipv4.: not the name of a kernel parameter", ""},
	{NS, "'sysctl':{'net.x':1}",
	 "c.json:2: linux.sysctl.net.x: expected a string, found an integer", ""},
};

static const struct row resource_rows[] = {
	{LINUX, "'resources':[]", "c.json:2: linux.resources: expected an object, found an array",
	 ""},
	{RESOURCES, "'memory':{'limit':-2}",
	 "c.json:2: linux.resources.memory.limit: -2 is out of range (-1 to 9223372036854775807)",
	 ""},
	{RESOURCES, "'memory':{'limit':18446744073709551615}",
	 "c.json:2: linux.resources.memory.limit: 18446744073709551615 is out of range (-1 to "
	 "9223372036854775807)",
	 ""},
	{RESOURCES, "'memory':{'limit':'512M'}",
	 "c.json:2: linux.resources.memory.limit: expected an integer, found a string", ""},
	{RESOURCES, "'memory':{'swappiness':101}",
	 "c.json:2: linux.resources.memory.swappiness: 101 is out of range (0 to 100)", ""},
	{RESOURCES, "'memory':{'limit':100,\n'swap':99}",
	 "c.json:3: linux.resources.memory.swap: swap counts memory and swap together, so it "
	 "cannot be below limit",
	 ""},
	{RESOURCES, "'memory':{'limit':-1,'swap':99}",
	 "c.json:2: linux.resources.memory.swap: a swap limit with unlimited memory", ""},
	{RESOURCES, "'memory':{'disableOOMKiller':0}",
	 "c.json:2: linux.resources.memory.disableOOMKiller: expected a boolean, found an integer",
	 ""},
	{RESOURCES, "'cpu':{'shares':-1}",
	 "c.json:2: linux.resources.cpu.shares: -1 is out of range (0 to 18446744073709551615)",
	 ""},
	{RESOURCES, "'cpu':{'quota':-2}",
	 "c.json:2: linux.resources.cpu.quota: -2 is out of range (-1 to 9223372036854775807)", ""},
	{RESOURCES, "'cpu':{'quota':5,\n'burst':6}",
	 "c.json:3: linux.resources.cpu.burst: burst is above quota", ""},
	{RESOURCES, "'cpu':{'idle':2}",
	 "c.json:2: linux.resources.cpu.idle: 2 is out of range (0 to 1)", ""},
	{RESOURCES, "'cpu':{'cpus':'all'}",
	 "c.json:2: linux.resources.cpu.cpus: \"all\": expected a list of numbers like \"0-3,7\"",
	 ""},
	{RESOURCES, "'cpu':{'mems':'0;1'}",
	 "c.json:2: linux.resources.cpu.mems: \"0;1\": expected a list of numbers like \"0-3,7\"",
	 ""},
	{RESOURCES, "'pids':{'limit':-2}",
	 "c.json:2: linux.resources.pids.limit: -2 is out of range (-1 to 9223372036854775807)",
	 ""},
	{RESOURCES, "'pids':5",
	 "c.json:2: linux.resources.pids: expected an object, found an integer", ""},
	{RESOURCES, "'devices':[{'access':'r'}]",
	 "c.json:2: linux.resources.devices[0].allow: " REQUIRED, ""},
	{RESOURCES, "'devices':[{'allow':true,'type':'p'}]",
	 "c.json:2: linux.resources.devices[0].type: \"p\": unknown type of device (a, b or c)",
	 ""},
	{RESOURCES, "'devices':[{'allow':true,'access':'rx'}]",
	 "c.json:2: linux.resources.devices[0].access: \"rx\": expected some of r, w and m", ""},
	{RESOURCES, "'devices':[{'allow':true,'access':'rr'}]",
	 "c.json:2: linux.resources.devices[0].access: \"rr\": expected some of r, w and m", ""},
	{RESOURCES, "'devices':[{'allow':true,'minor':-2}]",
	 "c.json:2: linux.resources.devices[0].minor: -2 is out of range (-1 to 1048575)", ""},
	{RESOURCES, "'blockIO':{'weight':9}",
	 "c.json:2: linux.resources.blockIO.weight: 9 is out of range (10 to 1000)", ""},
	{RESOURCES, "'blockIO':{'leafWeight':65536}",
	 "c.json:2: linux.resources.blockIO.leafWeight: 65536 is out of range (0 to 65535)", ""},
	{RESOURCES, "'blockIO':{'weightDevice':[{'minor':1,'weight':20}]}",
	 "c.json:2: linux.resources.blockIO.weightDevice[0].major: " REQUIRED, ""},
	{RESOURCES, "'blockIO':{'weightDevice':[{'major':1,'minor':1}]}",
	 "c.json:2: linux.resources.blockIO.weightDevice[0]: neither weight nor leafWeight", ""},
	{RESOURCES, "'blockIO':{'throttleReadIOPSDevice':[{'major':1,'minor':1}]}",
	 "c.json:2: linux.resources.blockIO.throttleReadIOPSDevice[0].rate: " REQUIRED, ""},
	{RESOURCES, "'blockIO':{'throttleWriteBpsDevice':[{'major':1,'rate':1}]}",
	 "c.json:2: linux.resources.blockIO.throttleWriteBpsDevice[0].minor: " REQUIRED, ""},
	{RESOURCES, "'hugepageLimits':[{'limit':1}]",
	 "c.json:2: linux.resources.hugepageLimits[0].pageSize: " REQUIRED, ""},
	{RESOURCES, "'hugepageLimits':[{'pageSize':'2MB'}]",
	 "c.json:2: linux.resources.hugepageLimits[0].limit: " REQUIRED, ""},
	{RESOURCES, "'hugepageLimits':[{'pageSize':'2M','limit':1}]",
	 "c.json:2: linux.resources.hugepageLimits[0].pageSize: \"2M\": expected a size like "
	 "\"2MB\"",
	 ""},
	{RESOURCES, "'hugepageLimits':[{'pageSize':'02MB','limit':1}]",
	 "c.json:2: linux.resources.hugepageLimits[0].pageSize: \"02MB\": expected a size like "
	 "\"2MB\"",
	 ""},
	{RESOURCES, "'network':{'classID':-1}",
	 "c.json:2: linux.resources.network.classID: -1 is out of range (0 to 4294967295)", ""},
	{RESOURCES, "'network':{'priorities':[{'priority':1}]}",
	 "c.json:2: linux.resources.network.priorities[0].name: " REQUIRED, ""},
	{RESOURCES, "'network':{'priorities':[{'name':'eth0'}]}",
	 "c.json:2: linux.resources.network.priorities[0].priority: " REQUIRED, ""},
	{RESOURCES, "'rdma':{'x':{}}",
	 "c.json:2: linux.resources.rdma.x: neither hcaHandles nor hcaObjects", ""},
	{RESOURCES, "'rdma':{'x':5}",
	 "c.json:2: linux.resources.rdma.x: expected an object, found an integer", ""},
	{RESOURCES, "'unified':{'../x':'1'}",
	 "c.json:2: linux.resources.unified.../x: not the name of a file in a cgroup", ""},
	{RESOURCES, "'unified':{'..':'1'}",
	 "c.json:2: linux.resources.unified...: not the name of a file in a cgroup", ""},
	{RESOURCES, "'unified':{'memory.max':1}",
	 "c.json:2: linux.resources.unified.memory.max: expected a string, found an integer", ""},
};

static const struct row seccomp_rows[] = {
	{LINUX, "'seccomp':{}", "c.json:2: linux.seccomp.defaultAction: " REQUIRED, ""},
	{LINUX, "'seccomp':{'defaultAction':'SCMP_ACT_ALOW'}",
	 "c.json:2: linux.seccomp.defaultAction: \"SCMP_ACT_ALOW\": unknown action",
	 "did you mean \"SCMP_ACT_ALLOW\"?"},
	{LINUX, "'seccomp':{'defaultAction':'SCMP_ACT_NOTIFY'}",
	 "c.json:2: linux.seccomp: SCMP_ACT_NOTIFY without a listenerPath", ""},
	{SECCOMP, "'defaultErrnoRet':1",
	 "c.json:2: linux.seccomp.defaultErrnoRet: SCMP_ACT_ALLOW has no error number", ""},
	{SECCOMP, "'architectures':['SCMP_ARCH_X86_64',\n'SCMP_ARCH_X86-64']",
	 "c.json:3: linux.seccomp.architectures[1]: \"SCMP_ARCH_X86-64\": unknown architecture",
	 "did you mean \"SCMP_ARCH_X86_64\"?"},
	{SECCOMP, "'flags':['SECCOMP_FILTER_FLAG_LOGS']",
	 "c.json:2: linux.seccomp.flags[0]: \"SECCOMP_FILTER_FLAG_LOGS\": unknown filter flag",
	 "did you mean \"SECCOMP_FILTER_FLAG_LOG\"?"},
	{SECCOMP, "'listenerMetadata':'x'",
	 "c.json:2: linux.seccomp.listenerMetadata: metadata without a listenerPath to send it to",
	 ""},
	{SECCOMP, "'listenerPath':'run/x'",
	 "c.json:2: linux.seccomp.listenerPath: \"run/x\": the path must be absolute", ""},
	{SECCOMP, "'syscalls':[{'action':'SCMP_ACT_ALLOW'}]",
	 "c.json:2: linux.seccomp.syscalls[0].names: " REQUIRED, ""},
	{SECCOMP, "'syscalls':[{'names':['x']}]",
	 "c.json:2: linux.seccomp.syscalls[0].action: " REQUIRED, ""},
	{SECCOMP, "'syscalls':[{'names':[],'action':'SCMP_ACT_LOG'}]",
	 "c.json:2: linux.seccomp.syscalls[0].names: names no system call", ""},
	{SECCOMP, "'syscalls':[{'names':['x',\n''],'action':'SCMP_ACT_LOG'}]",
	 "c.json:3: linux.seccomp.syscalls[0].names[1]: is empty", ""},
	{SECCOMP, "'syscalls':[{'names':['x'],'action':'SCMP_ACT_KILL','errnoRet':5}]",
	 "c.json:2: linux.seccomp.syscalls[0].errnoRet: SCMP_ACT_KILL has no error number", ""},
	{SECCOMP, "'syscalls':[{'names':['x'],'action':'SCMP_ACT_ERRNO','errnoRet':4096}]",
	 "c.json:2: linux.seccomp.syscalls[0].errnoRet: 4096 is out of range (0 to 4095)", ""},
	{SECCOMP,
	 "'syscalls':[{'names':['x'],'action':'SCMP_ACT_LOG'},\n{'names':['y'],'action':'SCMP_ACT_"
	 "NOTIFY'}]",
	 "c.json:3: linux.seccomp.syscalls[1]: SCMP_ACT_NOTIFY without a listenerPath", ""},
	{SECCOMP,
	 "'syscalls':[{'names':['x'],'action':'SCMP_ACT_LOG','args':[{'index':6,'value':0,'op':'"
	 "SCMP_CMP_EQ'}]}]",
	 "c.json:2: linux.seccomp.syscalls[0].args[0].index: 6 is out of range (0 to 5)", ""},
	{SECCOMP,
	 "'syscalls':[{'names':['x'],'action':'SCMP_ACT_LOG','args':[{'value':0,'op':'SCMP_CMP_EQ'}"
	 "]}]",
	 "c.json:2: linux.seccomp.syscalls[0].args[0].index: " REQUIRED, ""},
	{SECCOMP,
	 "'syscalls':[{'names':['x'],'action':'SCMP_ACT_LOG','args':[{'index':0,'op':'SCMP_CMP_EQ'}"
	 "]}]",
	 "c.json:2: linux.seccomp.syscalls[0].args[0].value: " REQUIRED, ""},
	{SECCOMP,
	 "'syscalls':[{'names':['x'],'action':'SCMP_ACT_LOG','args':[{'index':0,'value':0}]}]",
	 "c.json:2: linux.seccomp.syscalls[0].args[0].op: " REQUIRED, ""},
	{SECCOMP,
	 "'syscalls':[{'names':['x'],'action':'SCMP_ACT_LOG','args':[{'index':0,'value':0,'op':'=='"
	 "}]}]",
	 "c.json:2: linux.seccomp.syscalls[0].args[0].op: \"==\": unknown operator", ""},
	{SECCOMP,
	 "'syscalls':[{'names':['x'],'action':'SCMP_ACT_LOG','args':[{'index':0,'value':0,'"
	 "valueTwo':1,'op':'SCMP_CMP_GE'}]}]",
	 "c.json:2: linux.seccomp.syscalls[0].args[0].valueTwo: SCMP_CMP_GE compares with one "
	 "value only",
	 ""},
};

static void test_rows(const struct row *rows, size_t n)
{
	char text[2048];
	struct bundle b;

	for (size_t i = 0; i < n; i++) {
		(void)snprintf(text, sizeof text, "%s%s%s", sections[rows[i].section].before,
			       rows[i].fragment, sections[rows[i].section].after);
		if (!TAP_OK(bundle_from_text(&b, text, &e) == -EINVAL, "refused: %s", rows[i].text))
			printf("#   read: %s\n", text);
		TAP_STR(e.text, rows[i].text, "and named");
		TAP_STR(e.hint, rows[i].hint, "hint");
	}
}

#define TEST_ROWS(rows) test_rows(rows, sizeof(rows) / sizeof *(rows))

/* The process' ids have to be in the container's own map. */
static void test_unmapped(void)
{
	static const char map[] = "'linux':{'namespaces':[{'type':'user'}],'uidMappings':[{'"
				  "containerID':0,'hostID':1,'size':10}],\n"
				  "'gidMappings':[{'containerID':5,'hostID':1,'size':1}]},\n'"
				  "process':{'cwd':'/','args':['x'],'user':";
	static const struct {
		const char *user, *text;
	} users[] = {
		{"{'uid':10,'gid':5}",
		 "c.json:4: process.user.uid: 10 is not in the container's id map"},
		{"{'uid':9,'gid':4}",
		 "c.json:4: process.user.gid: 4 is not in the container's id map"},
		{"{'uid':9,'gid':5,'additionalGids':[5,6]}",
		 "c.json:4: process.user.additionalGids[1]: 6 is not in the container's id map"},
		{"{'uid':9,'gid':5,'additionalGids':[5]}", NULL},
	};
	char text[1024];
	struct bundle b;

	for (size_t i = 0; i < sizeof users / sizeof *users; i++) {
		(void)snprintf(text, sizeof text, "%s,\n%s%s}}", BUNDLE_TEXT_HEAD, map,
			       users[i].user);
		TAP_INT(bundle_from_text(&b, text, &e), users[i].text ? -EINVAL : 0, "user %s",
			users[i].user);
		if (users[i].text)
			TAP_STR(e.text, users[i].text, "and named");
		else
			bundle_fini(&b);
	}
}

/* NULs, duplicates and broken JSON do not get as far as the reader. */
static void test_syntax(void)
{
	struct bundle b;

	TAP_INT(bundle_from_text(&b, "{'ociVersion':'1.2.0','root':{'path':'a\\u0000b'}}", &e),
		-EINVAL, "a NUL");
	TAP_HAS(e.text, "c.json:1:", "is placed");
	TAP_INT(bundle_from_text(
			&b, "{'ociVersion':'1.2.0','root':{'path':'a'},\n'root':{'path':'b'}}", &e),
		-EINVAL, "a second root");
	TAP_HAS(e.text, "c.json:2:", "is placed");
}

int main(void)
{
	TEST_ROWS(top_rows);
	TEST_ROWS(process_rows);
	TEST_ROWS(linux_rows);
	TEST_ROWS(resource_rows);
	TEST_ROWS(seccomp_rows);
	test_unmapped();
	test_syntax();
	return tap_done();
}
