#!/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=dash
#
# `vrun run` with limits on cgroup v2, as root and as an unprivileged user, in
# the machine that boot.sh makes. TAP.

n=0
ok() # CONDITION-STATUS TEXT
{
	n=$((n + 1))
	if [ "$1" = 0 ]; then echo "ok $n - $2"; else echo "not ok $n - $2" && sed 's/^/# /' /tmp/out; fi
}

bundle=/tmp/bundle
mkdir -p $bundle/rootfs/bin $bundle/rootfs/proc $bundle/rootfs/dev $bundle/rootfs/tmp
cp /bin/busybox $bundle/rootfs/bin/busybox

config() # LIMIT-IN-BYTES
{
	cat >$bundle/config.json <<-EOF
	{ "ociVersion": "1.2.0", "root": { "path": "rootfs" },
	  "process": { "cwd": "/", "user": { "uid": 0, "gid": 0 },
	    "args": ["/bin/busybox", "sh", "-c", "busybox head -c 64m /dev/zero | busybox tail >/dev/null"],
	    "env": ["PATH=/bin"] },
	  "mounts": [
	    { "destination": "/proc", "type": "proc", "source": "proc" },
	    { "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"] } ],
	  "linux": {
	    "namespaces": [ { "type": "pid" }, { "type": "mount" }, { "type": "ipc" }, { "type": "uts" },
	      { "type": "network" }, { "type": "cgroup" } $2 ],
	    "resources": { "memory": { "limit": $1 }, "pids": { "limit": 20 } } } }
	EOF
}

left() # directories of sandboxes in the hierarchy
{
	find /sys/fs/cgroup -name 'vrun-vrun-*' 2>/dev/null
}

limits() # WHO COMMAND...
{
	who=$1
	shift
	config 268435456 "$users"
	"$@" >/tmp/out 2>&1
	ok $? "$who: 64 MiB fit below 256"
	config 16777216 "$users"
	"$@" >/tmp/out 2>&1
	[ $? = 137 ]
	ok $? "$who: 64 MiB are too much for 16"
	[ -z "$(left)" ]
	ok $? "$who: no cgroup is left: $(left)"
}

# tmpfs has no idmapped mounts on this kernel: root without a user namespace.
users=
limits root vrun run --host-users $bundle
users=', { "type": "user" }'
if [ -d /run/systemd/system ]; then
	limits "a user with a manager" /usr/bin/setpriv --reuid 1000 --regid 1000 --clear-groups \
		env XDG_RUNTIME_DIR=/run/user/1000 vrun run $bundle
else
	# A new one each time: handing controllers down, it takes no more processes of its own.
	in_delegated()
	{
		d=$(mktemp -d /sys/fs/cgroup/delegated.XXXXXX)
		chown 1000:1000 "$d" "$d/cgroup.procs" "$d/cgroup.subtree_control" "$d/cgroup.threads"
		sh -c 'echo $$ >"$2/cgroup.procs" &&
			exec /usr/bin/setpriv --reuid 1000 --regid 1000 --clear-groups \
				env XDG_RUNTIME_DIR=/run/user/1000 vrun run "$1"' sh "$1" "$d"
	}
	limits "a user with a delegated cgroup" in_delegated $bundle
	/usr/bin/setpriv --reuid 1000 --regid 1000 --clear-groups env XDG_RUNTIME_DIR=/run/user/1000 \
		vrun run $bundle >/tmp/out 2>&1
	[ $? = 125 ] && grep -q -e --best-effort /tmp/out
	ok $? "a user without one is told what to do"
	/usr/bin/setpriv --reuid 1000 --regid 1000 --clear-groups env XDG_RUNTIME_DIR=/run/user/1000 \
		vrun run --best-effort $bundle >/tmp/out 2>&1 && grep -q 'left out' /tmp/out
	ok $? "and may go without"
fi
echo "1..$n"
