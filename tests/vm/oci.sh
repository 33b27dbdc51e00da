#!/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=dash
#
# The commands of an OCI runtime on cgroup v2, as root, in the machine that
# boot.sh makes. TAP.

n=0
ok() # CONDITION-STATUS TEXT
{
	n=$((n + 1))
	if [ "$1" = 0 ]; then echo "ok $n - $2"; else echo "not ok $n - $2" && sed 's/^/# /' /tmp/out; fi
}

bundle=/tmp/oci-bundle
mkdir -p $bundle/rootfs/bin $bundle/rootfs/proc $bundle/rootfs/dev $bundle/rootfs/tmp
cp /bin/busybox $bundle/rootfs/bin/busybox
cat >$bundle/config.json <<EOF
{ "ociVersion": "1.2.0", "root": { "path": "rootfs" },
  "process": { "cwd": "/", "user": { "uid": 0, "gid": 0 }, "args": ["/bin/busybox", "sleep", "1000"], "env": ["PATH=/bin"] },
  "mounts": [
    { "destination": "/proc", "type": "proc", "source": "proc" },
    { "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"] } ],
  "hooks": { "createRuntime": [ { "path": "/bin/busybox", "args": ["sh", "-c", "/bin/busybox cat >/tmp/state"] } ] },
  "linux": {
    "cgroupsPath": "/oci/one",
    "namespaces": [ { "type": "pid" }, { "type": "mount" }, { "type": "ipc" }, { "type": "uts" },
      { "type": "network" }, { "type": "cgroup" } ],
    "resources": { "memory": { "limit": 67108864 }, "pids": { "limit": 20 } } } }
EOF

has_status() # STATUS
{
	vrun state one >/tmp/out 2>&1 && grep -q "\"status\": \"$1\"" /tmp/out
}

cgroup=/sys/fs/cgroup/oci/one
vrun create -b $bundle --pid-file /tmp/pid one </dev/null >/tmp/out 2>&1
ok $? "create"
has_status created
ok $? "it is created"
grep -q '"status": *"creating"' /tmp/state
ok $? "the hook was told"
grep -qx "$(cat /tmp/pid)" $cgroup/cgroup.procs
ok $? "it is in its cgroup"
vrun start one >/tmp/out 2>&1 && has_status running
ok $? "start"
vrun pause one >/tmp/out 2>&1 && has_status paused && grep -q 'frozen 1' $cgroup/cgroup.events
ok $? "pause"
vrun resume one >/tmp/out 2>&1 && has_status running
ok $? "resume"
vrun update --pids-limit 30 --memory 33554432 one >/tmp/out 2>&1 &&
	[ "$(cat $cgroup/pids.max $cgroup/memory.max | tr '\n' ' ')" = "30 33554432 " ]
ok $? "update"
vrun events --stats one >/tmp/out 2>&1 && grep -q '"limit":33554432' /tmp/out
ok $? "events"
vrun exec one /bin/busybox cat /proc/self/cgroup >/tmp/out 2>&1 && grep -qx '0::/' /tmp/out
ok $? "exec is in the container's cgroup namespace"
! vrun exec one /bin/busybox sh -c 'busybox head -c 64m /dev/zero | busybox tail >/dev/null' >/tmp/out 2>&1
ok $? "and under its limits"
vrun kill one KILL >/tmp/out 2>&1
i=0
while ! has_status stopped && [ $i -lt 100 ]; do
	sleep 0.1
	i=$((i + 1))
done
has_status stopped
ok $? "kill"
[ -d $cgroup ] && vrun delete one >/tmp/out 2>&1 && [ ! -d $cgroup ]
ok $? "delete removes the cgroup"
vrun create -b $bundle one </dev/null >/tmp/out 2>&1 && vrun start one >>/tmp/out 2>&1 &&
	vrun delete --force one >>/tmp/out 2>&1 && [ ! -d $cgroup ] && [ -z "$(vrun list -q)" ]
ok $? "delete --force does it with one that runs"
# AppArmor, where the kernel has it and boot.sh found its compiler.
load_profile()
{
	[ -s /tests-data/apparmor.bin ] && [ "$(cat /sys/module/apparmor/parameters/enabled 2>/dev/null)" = Y ] || return 1
	[ -e /sys/kernel/security/apparmor ] || mount -t securityfs securityfs /sys/kernel/security || return 1
	# The kernel takes a policy in one write.
	dd if=/tests-data/apparmor.bin of=/sys/kernel/security/apparmor/.replace bs=1M count=1 2>/dev/null
}

# The bundle's program and profile.
confine() # PROFILE ARGS
{
	sed "s|\"cwd\"|\"apparmorProfile\": \"$1\", \"cwd\"|; s|\"args\": [^]]*]|\"args\": $2|; s|\"hooks\": .*||" \
		$bundle/config.json >$bundle/other.json
}

if load_profile; then
	look='["/bin/busybox", "sh", "-c", "/bin/busybox cat /proc/self/attr/current; echo a >/tmp/allowed; echo b >/tmp/denied; [ -e /tmp/allowed ] \&\& [ ! -e /tmp/denied ]"]'
	confine vrun-test "$look"
	cp $bundle/config.json $bundle/first.json
	cp $bundle/other.json $bundle/config.json
	vrun run --host-users $bundle >/tmp/out 2>&1 && grep -q '^vrun-test (enforce)' /tmp/out
	ok $? "an AppArmor profile holds"
	vrun run --host-users --init $bundle >/tmp/out 2>&1 && grep -q '^vrun-test (enforce)' /tmp/out
	ok $? "below an init, too"
	cp $bundle/first.json $bundle/config.json
	confine vrun-test '["/bin/busybox", "sleep", "1000"]'
	vrun create -b $bundle -f $bundle/other.json one </dev/null >/tmp/out 2>&1 && vrun start one >>/tmp/out 2>&1 &&
		vrun exec one /bin/busybox cat /proc/self/attr/current >/tmp/out 2>&1 && grep -q '^vrun-test (enforce)' /tmp/out
	ok $? "exec is under it"
	vrun delete --force one
	confine vrun-no-such "$look"
	cp $bundle/other.json $bundle/config.json
	vrun run --host-users $bundle >/tmp/out 2>&1
	[ $? = 125 ] && grep -q 'AppArmor profile vrun-no-such: No such file or directory (load it' /tmp/out
	ok $? "one that is not loaded is an error"
	cp $bundle/first.json $bundle/config.json
fi
echo "1..$n"
