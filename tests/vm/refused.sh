#!/bin/busybox sh
# shellcheck shell=dash
# SPDX-License-Identifier: Apache-2.0
#
# Runs in the test machine, in place of all others, on a kernel that is older
# than vrun takes: whatever is asked for, that is said, by root and by a user,
# and nothing is left behind. Prints TAP.

. /tests-data/common.sh

# Runs as a service, too, where nothing is prepared.
mkdir -p /disk /run/root /run/user/1000 /tests-data/rootfs/bin
[ -e /tests-data/rootfs/bin/sh ] || cp /bin/busybox /tests-data/rootfs/bin/sh
chmod 700 /run/root
echo '{"version": 1, "domain": "d", "net": {"rules": [{"allow": "connect", "to": "192.0.2.1:80"}]}}' >/tmp/rules.json
chmod 644 /tmp/rules.json
part='5.15 or '
for who in root user; do
	place=/disk/$who
	mkdir -p "$place/project"
	[ $who = root ] || chown -R 1000:1000 "$place" /run/user/1000
	run 'a bundle' 125 "$part" true
	check 'one under a policy with rules' 125 "$part" v run -p /tmp/rules.json "$B"
	check 'one of an engine' 1 "$part" v create --bundle "$B" "engine-$who"
	run 'one with a writable layer' 125 "$part" true '.root.readonly = false | .annotations["org.vrun.overlay"] = "tmpfs"'
	cd "$place/project" || exit
	check 'a command' 125 "$part" v run -- true
	check 'one under a policy with rules, too' 125 "$part" v run -p /tmp/rules.json -- true
	check 'one that is watched' 125 "$part" v learn -o learned.json -- true
	cd /
	check 'doctor' 1 "$part" v doctor
	check 'nothing is left behind' 0 'processes 0 mounts 0 cgroups 0 containers 0' sh -c "
		echo processes \$(ps | grep -c '[v]run run') mounts \$(grep -c -E '/b/|vrun' /proc/mounts) \\
			cgroups \$(find /sys/fs/cgroup -type d -name 'vrun-*' | wc -l) \\
			containers \$(ls /run/root/vrun /run/vrun /run/user/1000/vrun 2>/dev/null | grep -c json)"
done
echo "1..$count"
exit "$failed"
