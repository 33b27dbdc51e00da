#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# Namespaces: which are new, which are joined, whose ids are whose, and what the network is.

# shellcheck disable=SC2154 # stderr comes from run --separate-stderr
bats_require_minimum_version 1.5.0
load helper

setup()
{
	helper_setup
	HOLDER=
}

# Sets the program of a bundle to a shell script.
script() # DIR SCRIPT
{
	jq --arg script "$2" '.process.args = ["/bin/sh", "-c", $script]' "$1/config.json" \
		>"$1/config.json.new" && mv "$1/config.json.new" "$1/config.json"
}

namespaces()
{
	local kind

	for kind in user pid mnt net uts ipc cgroup time; do
		printf '%s %s\n' "$kind" "$(readlink "/proc/self/ns/$kind")"
	done
}

INSIDE='for kind in user pid mnt net uts ipc cgroup time; do
	echo "$kind $(readlink /proc/self/ns/$kind)"; done'

# The namespaces that a bundle's program shares with us: their names on one line.
shared()
{
	comm -12 <(namespaces | sort) <(sort <<<"$1") | cut -d' ' -f1 | tr '\n' ' '
}

@test "each namespace that the bundle lists is new, and the others are ours" {
	make_bundle "$T/b"
	script "$T/b" "$INSIDE"
	run -0 vrun run "$T/b"
	assert_equal "$(shared "$output")" "cgroup time "
	edit_bundle "$T/b" '.linux.namespaces += [{ type: "cgroup" }, { type: "time" }]'
	run -0 vrun run "$T/b"
	assert_equal "$(shared "$output")" ""
	edit_bundle "$T/b" '.linux.namespaces |= map(select(.type != "uts" and .type != "ipc")) | del(.hostname)'
	run -0 vrun run "$T/b"
	assert_equal "$(shared "$output")" "ipc uts "
}

@test "two sandboxes share no namespace but those that are not asked for" {
	local pid kind same=""

	make_bundle "$T/b" '.process.args = ["sleep", "1000"]'
	run_detached "$T/b"
	pid=$(record "$REPLY" .pid)
	script "$T/b" "$INSIDE"
	run -0 vrun run "$T/b"
	for kind in user pid mnt net uts ipc cgroup time; do
		[[ $output != *"$kind $(readlink "/proc/$pid/ns/$kind")"* ]] || same+="$kind "
	done
	assert_equal "$same" "cgroup time "
	end_sandbox "$REPLY"
}

@test "the network namespace is new even when the bundle does not list one" {
	make_bundle "$T/b" '.linux.namespaces |= map(select(.type != "network"))'
	script "$T/b" "$INSIDE"
	run -0 vrun run "$T/b"
	assert_equal "$(shared "$output")" "cgroup time "
}

@test "a bundle without a mount namespace is refused, and the error says what to add" {
	make_bundle "$T/b" '.linux.namespaces |= map(select(.type != "mount"))'
	run --separate-stderr vrun run "$T/b"
	assert_vrun_error 'mount namespace'
	assert_contains "$stderr" '"type": "mount"'
}

# --- pid ------------------------------------------------------------------------------------

@test "the app is process 1 and sees only its own" {
	make_bundle "$T/b"
	# The shell itself looks: with other programs in a pipe it would be a matter of who starts first.
	script "$T/b" 'echo $$; cd /proc; echo [0-9]*'
	run -0 vrun run "$T/b"
	assert_output $'1\n1'
}

@test "under an init the app is process 2 and orphans are collected" {
	make_bundle "$T/b"
	# A grandchild whose parent ends, ends itself: nobody but process 1 can wait for it.
	script "$T/b" 'echo $$; mkfifo /tmp/gate; sh -c "sh -c \"read x </tmp/gate\" & echo \$! >/tmp/pid"
		echo go >/tmp/gate
		n=0; while [ -e /proc/$(cat /tmp/pid) ] && [ $n -lt 2000 ]; do n=$((n + 1)); usleep 10000; done
		[ -e /proc/$(cat /tmp/pid) ] && echo zombie || echo collected'
	run -0 vrun run --init "$T/b"
	assert_output $'2\ncollected'
	assert_nothing_left
}

@test "the annotation org.vrun.init gives a bundle an init" {
	make_bundle "$T/b" '.annotations["org.vrun.init"] = "true"'
	script "$T/b" 'echo $$; cat /proc/1/comm'
	run -0 vrun run "$T/b"
	assert_output $'2\nvrun-init'
}

# --- uts, ipc, time -----------------------------------------------------------------------------

@test "host name and domain name are the bundle's, and the host keeps its own" {
	local before

	before=$(hostname)
	make_bundle "$T/b" '.hostname = "box" | .domainname = "example.test"'
	script "$T/b" 'hostname; cat /proc/sys/kernel/domainname'
	run -0 vrun run "$T/b"
	assert_output $'box\nexample.test'
	assert_equal "$(hostname)" "$before"
}

@test "System V shared memory of the host is not seen" {
	local id

	id=$(ipcmk -M 4096 | grep -o '[0-9]*$')
	make_bundle "$T/b" '.process.args = ["cat", "/proc/sysvipc/shm"]'
	run vrun run "$T/b"
	ipcrm -m "$id"
	assert_status 0
	assert_equal "${#lines[@]}" 1 "lines of /proc/sysvipc/shm: the heading only"
}

@test "a time namespace has the offsets of the bundle" {
	local host inside

	make_bundle "$T/b" '.linux.namespaces += [{ type: "time" }]' \
		'.linux.timeOffsets = { boottime: { secs: 100000 }, monotonic: { secs: 5 } }' \
		'.process.args = ["cut", "-d.", "-f1", "/proc/uptime"]'
	host=$(cut -d. -f1 /proc/uptime)
	inside=$(vrun run "$T/b")
	((inside >= host + 100000 && inside < host + 100100)) ||
		fail "uptime inside: $inside, outside: $host"
}

# --- ids ---------------------------------------------------------------------------------------------

# The second field of the first line of a map is where inside's first id lies outside.
@test "root's sandboxes never have the host's ids" {
	make_bundle "$T/b"
	script "$T/b" 'cat /proc/self/uid_map /proc/self/gid_map'
	run -0 vrun run "$T/b"
	if is_root; then
		read -r inside outside size <<<"${lines[0]}"
		assert_equal "$inside $size" "0 65536"
		((outside >= 100000)) || fail "uid map: ${lines[0]}"
		read -r inside outside size <<<"${lines[1]}"
		((outside >= 100000)) || fail "gid map: ${lines[1]}"
	else
		read -r inside outside size <<<"${lines[0]}"
		assert_equal "$inside $outside $size" "0 $(id -u) 1"
	fi
}

# bats test_tags=identity:root
@test "two sandboxes of root with different ids have different users" {
	local first

	make_bundle "$T/b" '.process.args = ["cat", "/proc/self/uid_map"]'
	first=$(vrun run --id "$MARK-a" "$T/b")
	run -0 vrun run --id "$MARK-b" "$T/b"
	assert_not_equal "$output" "$first"
}

# bats test_tags=identity:root
@test "--host-users leaves root's ids as they are" {
	make_bundle "$T/b" '.process.args = ["cat", "/proc/self/uid_map"]'
	run -0 vrun run --host-users "$T/b"
	assert_matches "$output" '^ *0 +0 +[0-9]+$'
}

# bats test_tags=identity:root
@test "mappings of the bundle are used as they are" {
	make_bundle "$T/b" '.linux.uidMappings = [{ containerID: 0, hostID: 300000, size: 10 }]' \
		'.linux.gidMappings = [{ containerID: 0, hostID: 400000, size: 20 }]'
	script "$T/b" 'cat /proc/self/uid_map /proc/self/gid_map | tr -s " "'
	run -0 vrun run "$T/b"
	assert_output $' 0 300000 10\n 0 400000 20'
}

# bats test_tags=identity:root
@test "files of root's bundle belong to root inside, and what is made there is not root's outside" {
	mkdir -m 0777 data
	make_bundle "$T/b" '.mounts += [{ destination: "/data", type: "bind", source: (env.T + "/data"),
		options: ["rbind"] }]'
	script "$T/b" 'stat -c %u /etc/passwd; : >/data/made'
	run -0 vrun run "$T/b"
	assert_output 0
	[[ $(stat -c %u data/made) -ge 100000 || $(stat -c %u data/made) == 0 ]]
	# A bind mount of a writable directory must not make a set-id file of the host's root.
	script "$T/b" 'cp /bin/busybox /data/sh && chmod 4755 /data/sh'
	run vrun run "$T/b"
	if [[ -e data/sh && $(stat -c %u data/sh) == 0 ]]; then
		[[ ! -u data/sh ]] || fail "a set-user-id file of root's lies outside: $(ls -l data/sh)"
	fi
}

@test "an unprivileged caller's uid stands for the configured one" {
	! is_root || need_user
	user_dir >/dev/null
	make_bundle "$T/b" '.process.user = { uid: 1000, gid: 1000 }'
	script "$T/b" 'id -u; cat /proc/self/uid_map'
	give_bundle "$T/b"
	run -0 as_user "$VRUN" run "$T/b"
	assert_equal "${lines[0]}" 1000
	assert_matches "$output" "1000 +$(as_user id -u) +1"
}

@test "a user with subordinate ids has many inside, and files of theirs" {
	need_subordinate_ids
	make_bundle "$T/b"
	script "$T/b" 'cd /tmp; : >f; chown 33:44 f && stat -c "%u %g" f
		su app -c "id -u"; cat /proc/self/uid_map | wc -l'
	edit_bundle "$T/b" '.process.capabilities |= map_values(["CAP_CHOWN", "CAP_SETUID", "CAP_SETGID"])'
	run -0 vrun run "$T/b"
	assert_equal "${lines[0]}" "33 44"
	assert_equal "${lines[1]}" 1000
}

# bats test_tags=identity:root
@test "a user without subordinate ids gets one id, and a bundle that wants none more runs" {
	need_plain_user
	make_bundle "$T/b" '.process.user = { uid: 5, gid: 6 }'
	script "$T/b" 'id -u; id -g; cat /proc/self/uid_map | tr -s " "'
	chown -R "$VRUN_TEST_PLAIN:" "$T/b"
	run -0 as_plain_user "$VRUN" run "$T/b"
	assert_output $'5\n6\n 5 '"$(id -u "$VRUN_TEST_PLAIN")"' 1'
}

@test "a bundle may map one id, the caller's own" {
	make_bundle "$T/b" ".linux.uidMappings = [{ containerID: 0, hostID: $(id -u), size: 1 }]" \
		".linux.gidMappings = [{ containerID: 0, hostID: $(id -g), size: 1 }]"
	script "$T/b" 'cat /proc/self/uid_map /proc/self/gid_map | tr -s " "'
	run -0 vrun run "$T/b"
	assert_output " 0 $(id -u) 1"$'\n'" 0 $(id -g) 1"
}

@test "mappings that the caller may not have are refused by name" {
	need_user
	make_bundle "$T/b" '.linux.uidMappings = [{ containerID: 0, hostID: 0, size: 1 }]' \
		'.linux.gidMappings = [{ containerID: 0, hostID: 0, size: 1 }]'
	give_bundle "$T/b"
	run --separate-stderr as_user "$VRUN" run "$T/b"
	assert_vrun_error map
	edit_bundle "$T/b" 'del(.linux.gidMappings)'
	give_bundle "$T/b"
	run --separate-stderr as_user "$VRUN" run "$T/b"
	assert_vrun_error gidMappings
	assert_nothing_left
}

@test "a uid outside the map is refused, and the error says so" {
	make_bundle "$T/b" '.process.user.uid = 4000000000'
	if ! is_root; then
		edit_bundle "$T/b" ".linux.uidMappings = [{ containerID: 0, hostID: $(id -u), size: 1 }] |
			.linux.gidMappings = [{ containerID: 0, hostID: $(id -g), size: 1 }]"
	fi
	run --separate-stderr vrun run "$T/b"
	assert_vrun_error 4000000000
}

# --- joining ---------------------------------------------------------------------------------------------

# A process that keeps namespaces open for as long as a FIFO is not written to.
hold_namespaces() # UNSHARE-OPTIONS...
{
	mkfifo hold.up hold.gate
	spawn holder unshare "$@" sh -c 'echo up >hold.up; exec sleep 1000'
	wait_line hold.up
	rm hold.up hold.gate
	HOLDER=${PID[holder]}
	# With --fork the namespaces are the child's.
	[[ " $* " != *" --fork "* ]] || HOLDER=$(pgrep -P "$HOLDER")
}

# bats test_tags=identity:root
@test "a network namespace is joined by its path" {
	hold_namespaces --net
	make_bundle "$T/b" '.linux.namespaces |= map(if .type == "network"
		then .path = "/proc/'"$HOLDER"'/ns/net" else . end)'
	script "$T/b" 'readlink /proc/self/ns/net'
	run -0 vrun run "$T/b"
	assert_output "$(readlink "/proc/$HOLDER/ns/net")"
}

@test "user and network namespaces of the caller's own are joined together" {
	hold_namespaces --user --map-root-user --net
	make_bundle "$T/b" '.linux.namespaces |= map(if .type == "network" or .type == "user"
		then .path = "/proc/'"$HOLDER"'/ns/" + { network: "net", user: "user" }[.type] else . end)'
	script "$T/b" 'readlink /proc/self/ns/net; readlink /proc/self/ns/user'
	run -0 vrun run "$T/b"
	assert_output "$(readlink "/proc/$HOLDER/ns/net")"$'\n'"$(readlink "/proc/$HOLDER/ns/user")"
}

@test "the caller's own network is joined by no path" {
	local path

	for path in /proc/self/ns/net "/proc/$$/ns/net" "/proc/$$/root/proc/self/ns/net"; do
		make_bundle "$T/b" '.linux.namespaces |= map(if .type == "network" then .path = "'"$path"'" else . end)' \
			'.linux.seccomp = { defaultAction: "SCMP_ACT_ALLOW" }'
		script "$T/b" 'echo ran'
		run --separate-stderr vrun run "$T/b"
		assert_vrun_error "network namespace $path: it is the "
		assert_equal "$output" ""
		rm -rf "$T/b"
	done
}

@test "a network that is joined is out of reach, whatever the bundle's own filter allows" {
	hold_namespaces --user --map-root-user --net
	make_bundle "$T/b" '.linux.namespaces |= map(if .type == "network" or .type == "user"
		then .path = "/proc/'"$HOLDER"'/ns/" + { network: "net", user: "user" }[.type] else . end)' \
		'.linux.seccomp = { defaultAction: "SCMP_ACT_ALLOW" }'
	script "$T/b" 'nc -w 1 127.0.0.1 9; nslookup a.example 127.0.0.1; ping -c 1 -w 1 127.0.0.1; ip -o link | grep -c lo:'
	run vrun run "$T/b"
	assert_contains "$output" "nc: socket: Permission denied"
	assert_contains "$output" "nslookup: socket: Permission denied"
	assert_matches "$output" 'ping: .*(socket|denied|permitted)'
	assert_equal "${lines[-1]}" 1 "what the network has may be seen"
	echo '{ "version": 1, "net": "loopback" }' >"$T/p.json"
	run --separate-stderr vrun run -p "$T/p.json" "$T/b"
	assert_vrun_error "a network namespace of others"
}

@test "user, ipc, uts and pid namespaces are joined by their paths" {
	local kind

	hold_namespaces --user --map-root-user --fork --pid --ipc --uts
	make_bundle "$T/b" '.linux.namespaces |= map(if .type | IN("user", "ipc", "uts", "pid")
		then .path = "/proc/'"$HOLDER"'/ns/\(.type)" else . end) | del(.hostname)'
	script "$T/b" "$INSIDE"
	run -0 vrun run "$T/b"
	for kind in user ipc uts pid; do
		assert_contains "$output" "$kind $(readlink "/proc/$HOLDER/ns/$kind")"
	done
}

# bats test_tags=identity:root
@test "the ipc and uts namespaces of the host's users are joined under a new user namespace" {
	hold_namespaces --fork --ipc --uts
	make_bundle "$T/b" '.linux.namespaces |= map(if .type | IN("ipc", "uts")
		then .path = "/proc/'"$HOLDER"'/ns/\(.type)" else . end) | del(.hostname)'
	script "$T/b" "$INSIDE"
	run -0 vrun run "$T/b"
	assert_contains "$output" "ipc $(readlink "/proc/$HOLDER/ns/ipc")"
	assert_contains "$output" "uts $(readlink "/proc/$HOLDER/ns/uts")"
}

@test "a path that is no namespace, or of another kind, is refused by name" {
	make_bundle "$T/b" '.linux.namespaces |= map(if .type == "network"
		then .path = "/etc/passwd" else . end)'
	run --separate-stderr vrun run "$T/b"
	assert_vrun_error /etc/passwd
	edit_bundle "$T/b" '.linux.namespaces |= map(if .type == "network"
		then .path = "/proc/self/ns/uts" else . end)'
	run --separate-stderr vrun run "$T/b"
	assert_vrun_error /proc/self/ns/uts
	edit_bundle "$T/b" '.linux.namespaces |= map(if .type == "network"
		then .path = "/nowhere" else . end)'
	run --separate-stderr vrun run "$T/b"
	assert_vrun_error /nowhere
	assert_nothing_left
}

# --- network -----------------------------------------------------------------------------------------------

@test "the network is a loopback interface that is up, and nothing else" {
	make_bundle "$T/b"
	script "$T/b" 'ls /sys/class/net 2>/dev/null; tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d " "
		cat /proc/net/route | tail -n +2 | wc -l; cut -d" " -f1,4 /proc/net/if_inet6'
	run -0 vrun run "$T/b"
	assert_equal "${lines[0]}" lo
	assert_equal "${lines[1]}" 0 "routes"
	assert_equal "${#lines[@]}" 3 "lines, the last being the IPv6 address of lo"
	assert_equal "${lines[2]}" "00000000000000000000000000000001 10"
}

@test "without a policy there are no internet sockets at all" {
	make_bundle "$T/b"
	script "$T/b" 'nc -w 1 127.0.0.1 1; echo "$?"; ping -c 1 127.0.0.1; echo "$?"'
	run -0 vrun run "$T/b"
	assert_contains "$output" 'ermission denied'
	assert_equal "${lines[1]}" 1
}

# bats test_tags=identity:root
@test "a socket that listens on the host's loopback cannot be reached" {
	spawn server socat TCP-LISTEN:0,bind=127.0.0.1 -
	wait_until grep -q "$(printf '0100007F:')" "/proc/${PID[server]}/net/tcp"
	make_bundle "$T/b"
	script "$T/b" 'tail -n +2 /proc/net/tcp /proc/net/tcp6 /proc/net/udp /proc/net/unix 2>/dev/null |
		grep -c :'
	run vrun run "$T/b"
	assert_equal "$(tail -n 1 <<<"$output")" 0 "sockets that the app sees"
}

# --- sysctl ---------------------------------------------------------------------------------------------------

@test "sysctls of the bundle's own namespaces are set, and the host's stay" {
	local before

	before=$(cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/msgmax)
	make_bundle "$T/b" '.linux.sysctl = { "net.ipv4.ip_unprivileged_port_start": "80",
		"kernel.msgmax": "1000" }'
	script "$T/b" 'cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/msgmax'
	run -0 vrun run "$T/b"
	assert_output $'80\n1000'
	assert_equal "$(cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/msgmax)" "$before"
}

@test "a sysctl that is the host's, or climbs out, is refused by name" {
	local before

	before=$(</proc/sys/vm/swappiness)
	make_bundle "$T/b" '.linux.sysctl = { "vm.swappiness": "1" }'
	run --separate-stderr vrun run "$T/b"
	assert_vrun_error vm.swappiness
	edit_bundle "$T/b" '.linux.sysctl = { "net/../vm/swappiness": "1" }'
	run --separate-stderr vrun run "$T/b"
	assert_status 125
	edit_bundle "$T/b" '.linux.sysctl = { "kernel.core_pattern": "|/tmp/x" }'
	run --separate-stderr vrun run "$T/b"
	assert_vrun_error kernel.core_pattern
	# One of a namespace that is not the bundle's own.
	edit_bundle "$T/b" '.linux.sysctl = { "kernel.msgmax": "1000" } |
		.linux.namespaces |= map(select(.type != "ipc"))'
	run --separate-stderr vrun run "$T/b"
	assert_vrun_error kernel.msgmax
	assert_equal "$(</proc/sys/vm/swappiness)" "$before"
}

# --- root of a user namespace ---------------------------------------------------------------

@test "root of a user namespace with a single id launches bundles and commands" {
	make_bundle "$T/b" '.process.args = ["sh", "-c", "id -u; id -g; touch /tmp/x && echo made"]'
	run -0 unshare -Ur "$VRUN" run "$T/b"
	assert_output $'0\n0\nmade'
	edit_bundle "$T/b" '.process.user = {uid: 1000, gid: 1000}'
	run -0 unshare -Ur "$VRUN" run --init "$T/b"
	assert_output $'1000\n1000\nmade'
	mkdir work
	cd work
	run -0 unshare -Ur "$VRUN" run -T -- sh -c 'id -u; touch made' </dev/null
	assert_output 0
	[[ -O made ]]
	assert_nothing_left
}

@test "root of a user namespace with a range gives it on" {
	# unshare has newuidmap make the range: somebody with subordinate ids has to call it.
	need_user
	is_root || need_subordinate_ids
	make_bundle "$T/b" '.process.args = ["sh", "-c", "id -u; id -G; cut -c 1-32 /proc/self/uid_map"]' \
		'.process.user = {uid: 1000, gid: 1000, additionalGids: [2000]}'
	give_bundle "$T/b"
	run -0 --separate-stderr as_user unshare -Ur --map-auto "$VRUN" run "$T/b"
	assert_equal "${lines[0]} ${lines[1]}" "1000 1000 2000"
	# The app's id is the caller's, the others lie around it: as read inside, from the namespace above.
	assert_matches "${lines[2]}" '^ +0 +1 +1000$'
	assert_matches "${lines[3]}" '^ +1000 +0 +1$'
	assert_matches "${lines[4]}" '^ +1001 +1001 '
	assert_nothing_left
}

@test "a host that allows no more namespaces is told which switch that is" {
	make_bundle "$T/b"
	run --separate-stderr unshare -Ur sh -c 'echo 0 >/proc/sys/user/max_net_namespaces && exec "$0" run "$1"' "$VRUN" "$T/b"
	assert_vrun_error "network namespace: No space left on device"
	assert_contains "$stderr" "sysctl -w user.max_net_namespaces="
	run --separate-stderr unshare -Ur sh -c 'echo 0 >/proc/sys/user/max_user_namespaces && exec "$0" run "$1"' "$VRUN" "$T/b"
	assert_vrun_error "new namespaces: No space left on device"
	assert_contains "$stderr" "sysctl -w user.max_user_namespaces="
	assert_nothing_left
}
