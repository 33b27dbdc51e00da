#!/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=dash
#
# podman with vrun as its runtime where systemd manages control groups of version 2, as root and rootless, in the
# machine that boot.sh makes. TAP.

n=0
ok() # CONDITION-STATUS TEXT
{
	n=$((n + 1))
	if [ "$1" = 0 ]; then echo "ok $n - $2"; else echo "not ok $n - $2" && sed 's/^/# /' /tmp/out; fi
}

rootfs=/tmp/podman-rootfs
mkdir -p $rootfs/bin $rootfs/proc $rootfs/dev $rootfs/sys $rootfs/tmp $rootfs/run $rootfs/etc
cp /bin/busybox $rootfs/bin/
for applet in cat head sh sleep tail; do
	ln -s busybox $rootfs/bin/$applet
done
mkdir -p /etc/containers
echo '{"default": [{"type": "insecureAcceptAnything"}]}' >/etc/containers/policy.json
chmod 755 /etc/containers $rootfs

as_root()
{
	env HOME=/root XDG_RUNTIME_DIR=/run "$@"
}

# As a service of the user's own manager, which has its control groups.
as_user()
{
	/usr/bin/setpriv --reuid 1000 --regid 1000 --clear-groups env XDG_RUNTIME_DIR=/run/user/1000 \
		DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/1000/bus systemd-run --user --quiet --pipe --wait --collect \
		-p Delegate=yes -E PATH="$PATH" -E HOME=/tmp/user -E XDG_RUNTIME_DIR=/run/user/1000 \
		-E DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/1000/bus "$@" </dev/null
}

pod() # COMMAND...
{
	$who podman --root "$place/store" --runroot "$place/run" --tmpdir "$place/tmp" --storage-driver vfs --cgroup-manager systemd \
		--events-backend file --runtime /usr/bin/vrun "$@"
}

pod_run() # OPTION... COMMAND
{
	pod run --network none --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 "$@"
}

tests() # NAME
{
	mkdir -p "$place"
	[ "$who" = as_root ] || chown -R 1000:1000 "$place" $rootfs
	pod_run -d --name one --memory 64m --pids-limit 20 --rootfs $rootfs sleep 1000 >/tmp/out 2>&1
	[ "$(pod inspect --format '{{.State.Status}}' one 2>>/tmp/out)" = running ]
	ok $? "$1: a container with limits"
	group=/sys/fs/cgroup$(sed 's/^0:://' "/proc/$(pod inspect --format '{{.State.Pid}}' one)/cgroup")
	{ echo "$group"; cat "$group/memory.max" "$group/pids.max"; } >/tmp/out 2>&1
	case "$group $(tail -n 2 /tmp/out | tr '\n' ' ')" in
	*"$slice"/libpod-*.scope*" 67108864 20 ") true ;;
	*) false ;;
	esac
	ok $? "$1: they are those of a scope of systemd's"
	pod exec one sh -c 'cat /proc/self/cgroup; for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21; do sleep 10 & done' >/tmp/out 2>&1
	grep -q "can't fork" /tmp/out
	ok $? "$1: what is put in is under them, too"
	pod stats --no-stream --format '{{.PIDs}} {{.MemUsage}}' one >/tmp/out 2>&1 && grep -q '67.*MB' /tmp/out
	ok $? "$1: podman reads what it uses"
	pod pause one >/tmp/out 2>&1 && grep -q 'frozen 1' "$group/cgroup.events" && pod unpause one >>/tmp/out 2>&1 &&
		grep -q 'frozen 0' "$group/cgroup.events"
	ok $? "$1: pause and unpause"
	pod rm --force --time 0 one >/tmp/out 2>&1
	ok $? "$1: rm"
	pod_run --rm --memory 16m --memory-swap 16m --rootfs $rootfs sh -c 'head -c 64m /dev/zero | tail >/dev/null' >/tmp/out 2>&1
	[ $? = 137 ]
	ok $? "$1: who uses more is killed"
	find /sys/fs/cgroup -type d -name 'libpod-*' >/tmp/out
	[ ! -s /tmp/out ]
	ok $? "$1: no scope is left"
}

who=as_root place=/tmp/podman-root slice=/machine.slice
tests root
who=as_user place=/tmp/user/podman slice=/user@1000.service/user.slice
mkdir -p /tmp/user && chown 1000:1000 /tmp/user
tests "a user"
echo "1..$n"
