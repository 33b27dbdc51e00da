#!/bin/busybox sh
# shellcheck shell=dash
# SPDX-License-Identifier: Apache-2.0
#
# Runs in the test machine: vrun itself on this kernel, as root and as a user
# with subordinate ids. What an older kernel lacks must not be needed, or must
# be refused in words that name it. Prints TAP.
#
# The root is a tmpfs, /disk is ext4; bundles lie there unless a test says
# otherwise. tests/vm/init.sh has prepared it all.

. /tests-data/common.sh

isolation()
{
	run 'a bundle in full isolation' 0 '0 sandbox 1 lo' \
		'echo $(id -u) $(hostname) $$ $(tail -n +3 /proc/net/dev | cut -d: -f1)'
	run 'no capabilities, no new privileges, a filter' 0 'CapEff:0000000000000000 NoNewPrivs:1 Seccomp:2' \
		'echo $(grep -E "^(CapEff|NoNewPrivs|Seccomp):" /proc/self/status | tr -d "\t")'
	run 'every namespace is another one' 0 'namespaces: 0 shared' \
		"n=0; for k in user pid mnt net uts ipc cgroup time; do
			for o in $(for k in user pid mnt net uts ipc cgroup time; do
				readlink /proc/self/ns/$k; done | tr '\n' ' '); do
				[ \$(readlink /proc/self/ns/\$k) != \$o ] || n=\$((n + 1)); done; done
		echo namespaces: \$n shared" \
		'.linux.namespaces += [{type: "cgroup"}, {type: "time"}]'
	run 'masked and read-only paths' 0 'keys 0 timer 0 sys refused' \
		'echo keys $(cat /proc/keys | wc -c) timer $(cat /proc/timer_list | wc -c) sys \
			$(echo x 2>/dev/null >/proc/sys/kernel/domainname && echo written || echo refused)'
	# Modules of tunnels put an interface of theirs, which is down, into every namespace.
	run 'proc, sysfs, mqueue, tmpfs and a recursively read-only bind' 0 'lo mqueue one refused' \
		'echo $(ls /sys/class/net | grep -v -e ^sit0 -e ^tunl0) $(stat -f -c %T /dev/mqueue | sed "s/UNKNOWN/mqueue/") \
			$(cat /shown/sub/a) $(echo x 2>/dev/null >/shown/sub/a && echo written || echo refused)' \
		'.root.readonly = false | .mounts += [{destination: "/sys", type: "sysfs", source: "sysfs"},
			{destination: "/dev/mqueue", type: "mqueue", source: "mqueue"},
			{destination: "/shown", source: "/disk/shown", options: ["rbind", "rro"]}]'
	run 'a seccomp profile of the bundle' 0 'Operation not permitted' 'mkdir /tmp/x; true' \
		'.linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", syscalls: [{names: ["mkdir", "mkdirat"],
			action: "SCMP_ACT_ERRNO", errnoRet: 1}]}'
	run 'a tmpfs with a copy of what lay there' 0 'root:x:0:0' 'echo x >/etc/new && cat /etc/passwd' \
		'.mounts += [{destination: "/etc", type: "tmpfs", source: "tmpfs", options: ["tmpcopyup"]}]'
	bundle '[ -c /dev/pts/0 ] && tty && stty size' \
		'.process.terminal = true | .process.consoleSize = {height: 7, width: 9}'
	check 'a terminal' 0 '/dev/pts/0' as_who script -qec "vrun run $B" /dev/null
}

overlay()
{
	local status part

	if [ $who = root ] && ! at_least 5 19; then
		run 'a writable layer over mapped ids is refused in words' 125 'before Linux 5.19 no layer' 'true' \
			'.root.readonly = false | .annotations["org.vrun.overlay"] = "tmpfs"'
		return
	fi
	run 'a writable layer in memory' 0 'new' \
		'echo new >/etc/passwd && cat /etc/passwd && mkdir /made' \
		'.root.readonly = false | .annotations["org.vrun.overlay"] = "tmpfs"'
	check 'and the bundle is as it was' 0 'root:x:0:0' cat "$B/rootfs/etc/passwd"
	if at_least 6 6; then
		status=0 part=empty:
	else
		status=1 part='(before 6.6) directories of the bundle cannot be removed'
	fi
	run 'directories can be replaced in it, or vrun says that they cannot' $status "$part" \
		'rm -r /etc && mkdir /etc && echo "empty:" $(ls -A /etc)' \
		'.root.readonly = false | .annotations["org.vrun.overlay"] = "tmpfs"'
	run 'a writable layer in a directory' 0 '' 'echo kept >/kept && rm -r /etc && mkdir /etc' \
		'.root.readonly = false | .annotations["org.vrun.overlay"] = "layer"'
	jq '.process.args[2] = "cat /kept; ls -A /etc | wc -l"' "$B/config.json" >"$B/new"
	cat "$B/new" >"$B/config.json"
	check 'is there the next time' 0 'kept
0' v run "$B"
}

commands()
{
	local home=/disk/$who/project i

	cd "$home" || return
	check 'a command of the host' 0 'init vrun-init 2' v run -- sh -c 'echo init $(cat /proc/1/comm) $$'
	check 'writes in the current directory' 0 '' v run -- sh -c 'echo x >written'
	check 'which is its own there' 0 "$who" stat -c %U "$home/written"
	check 'and nowhere else' 1 'Read-only' v run -- sh -c ': >/usr/written'
	check 'exit status of a command' 7 '' v run -- sh -c 'exit 7'
	check 'a command that does not exist' 127 'No such file' v run -- /no/such
	cd /
	bundle 'cat /proc/1/comm; echo pid $$'
	check 'an init' 0 'pid 2' v run --init "$B"
	bundle 'sleep 1000'
	check 'detached' 0 "back-$who" v run -d --init --id "back-$who" "$B"
	check 'is listed' 0 "back-$who" v ps -q
	check 'is signalled' 0 '' v kill "back-$who"
	i=0
	while [ -n "$(v ps -q)" ] && [ $i -lt 100 ]; do
		i=$((i + 1))
		usleep 100000
	done
	check 'and is gone' 0 '' test $i -lt 100
}

hostile()
{
	local name

	mkdir -p /disk/victim
	for name in tmp dev; do
		bundle 'true'
		rm -rf "$B/rootfs/${name:?}"
		ln -s ../../../../../../disk/victim "$B/rootfs/$name"
		v run "$B" >/dev/null 2>&1 </dev/null
		check "a link at /$name does not lead out" 0 'victim: 0' \
			sh -c 'echo "victim:" $(ls -A /disk/victim | wc -l); ! grep -q victim /proc/mounts'
	done
	bundle 'cat /proc/self/comm'
	rm -rf "$B/rootfs/proc"
	ln -s tmp "$B/rootfs/proc"
	check 'a link at /proc is refused' 125 'symbolic link' v run "$B"
	run 'a masked path that is a link hides what it leads to inside' 0 'hidden 0 shown 26' \
		'echo hidden $(cat /secret | wc -c) shown $(cat /etc/passwd | wc -c)' \
		'.linux.maskedPaths += ["/alias"]'
}

resources()
{
	local limits='.linux.namespaces += [{type: "cgroup"}] | .root.readonly = false |
		.mounts += [{destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: ["ro"]}] |
		.linux.resources = {memory: {limit: 33554432}, pids: {limit: 7}, cpu: {quota: 50000, period: 100000}}'
	local script='cd /sys/fs/cgroup && echo $(cat memory.max pids.max cpu.max)'

	if [ "$who" = root ]; then
		run 'limits' 0 '33554432 7 50000 100000' "$script" "$limits"
		run 'devices that are closed' 1 'Operation not permitted' 'cat /device' \
			'.root.readonly = false | .linux.resources = {devices: [{allow: false}]} |
			.mounts += [{destination: "/device", source: "/disk/device", options: ["bind", "dev"]}]'
		return
	fi
	run 'limits without a cgroup of the user are refused' 125 'cgroup' "$script" "$limits"
	mkdir -p /sys/fs/cgroup/user/shell
	echo "+memory +pids +cpu" >/sys/fs/cgroup/cgroup.subtree_control
	echo "+memory +pids +cpu" >/sys/fs/cgroup/user/cgroup.subtree_control
	chown -R 1000:1000 /sys/fs/cgroup/user
	bundle "$script" "$limits"
	check 'limits below a cgroup of the user' 0 '33554432 7 50000 100000' \
		sh -c "echo \$\$ >/sys/fs/cgroup/user/shell/cgroup.procs &&
			exec /usr/bin/setpriv --reuid 1000 --regid 1000 --clear-groups --inh-caps=-all \
			env -i PATH=$PATH XDG_RUNTIME_DIR=/run/user/1000 vrun run $B"
}

# What is new since 5.15: there, or not needed, or refused by name.
newer()
{
	place=/tmp/$who
	cd "$place" || return
	if [ "$who" != root ] || at_least 6 3; then
		run 'a bundle on tmpfs' 0 'here' 'echo here'
	else
		run 'a bundle on tmpfs, which has no idmapped mounts before 6.3' 125 'idmapped mount' 'echo here'
		check 'with the host'"'"'s ids instead' 0 'here' v run --host-users "$B"
		check 'nor does a command get a writable directory on it' 125 'idmapped mount' v run -- echo here
	fi
	cd /
	place=/disk/$who
	if [ "$who" = user ]; then
		bundle 'echo here'
		cp /usr/bin/vrun /disk/user/own-vrun
		chown 1000:1000 /disk/user/own-vrun
		check 'a vrun that the app could write runs from a sealed copy' 0 here as_who /disk/user/own-vrun run "$B"
		if [ -e /proc/sys/vm/memfd_noexec ]; then
			check 'which memfd_noexec forbids' 125 'vm.memfd_noexec' \
				unshare -p -f sh -c "mount -t proc proc /proc; echo 2 >/proc/sys/vm/memfd_noexec
				/usr/bin/setpriv --reuid 1000 --regid 1000 --clear-groups \
				env -i PATH=$PATH XDG_RUNTIME_DIR=/run/user/1000 /disk/user/own-vrun run $B; r=\$?
				umount /proc; exit \$r"
		fi
		if [ -e /proc/sys/kernel/unprivileged_userns_clone ]; then
			echo 0 >/proc/sys/kernel/unprivileged_userns_clone
			check 'user namespaces that Debian'"'"'s switch forbids' 125 'kernel.unprivileged_userns_clone is 0' v run "$B"
			check 'and doctor names it' 1 'unprivileged_userns_clone' v doctor
			echo 1 >/proc/sys/kernel/unprivileged_userns_clone
		fi
		echo 0 >/proc/sys/user/max_user_namespaces
		check 'no user namespaces left' 125 'user.max_user_namespaces is 0' v run "$B"
		check 'and doctor names the limit' 1 'max_user_namespaces' v doctor
		echo 1000 >/proc/sys/user/max_user_namespaces
		check 'and with them again' 0 here v run "$B"
	fi
}

left_behind()
{
	check 'nothing is left behind' 0 'processes 0 mounts 0 cgroups 0' sh -c '
		echo processes $(ps | grep -c "[v]run run") mounts $(grep -c -E "/b/|vrun" /proc/mounts) \
			cgroups $(find /sys/fs/cgroup -type d -name "vrun-*" | wc -l); find /sys/fs/cgroup -type d -name "vrun-*"'
}

echo "# filesystems: $(cut -f2 /proc/filesystems | tr '\n' ' ')"
echo "# security modules: $(cat /sys/kernel/security/lsm 2>/dev/null)"
for who in root user; do
	place=/disk/$who
	isolation
	overlay
	commands
	hostile
	resources
	newer
	left_behind
done
echo "1..$count"
exit "$failed"
