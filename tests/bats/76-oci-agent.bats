#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# bats file_tags=identity:root
#
# The seam: Debian's crun and runc hand their containers to vrun's supervisor,
# by linux.seccomp.listenerPath, and their apps get virtual sockets.

bats_require_minimum_version 1.5.0
load helper

# crun 1.8 refuses a host that has controllers of the first version and a second hierarchy beside
# them, though it is to make no cgroup: it is shown a plain second version.
run_crun() # ARG...
{
	unshare -m sh -c 'umount -l /sys/fs/cgroup 2>/dev/null; mount -t cgroup2 none /sys/fs/cgroup &&
		exec crun --root "$0" --cgroup-manager=disabled "$@"' "$T/crun" "$@"
}

run_runc() # ARG...
{
	runc --root "$T/runc" "$@"
}

# A packed program as other runtimes take it: their version of the specification, no namespace for
# users, and the calls of vrun-supervise trapped.
agent_bundle() # NAME ARG...
{
	local name=$1

	shift
	run "$VRUN" pack -q -o "$T/$name" "$@"
	assert_status 0
	edit_bundle "$T/$name" '.ociVersion = "1.0.2" | .annotations = {} | .process.noNewPrivileges = true
		| .root.readonly = false | .linux.namespaces |= map(select(.type != "user"))
		| .linux.seccomp = {
			defaultAction: "SCMP_ACT_ALLOW", listenerPath: "'"$T"'/agent", syscalls: (
				[{ names: ["bind", "listen", "accept", "accept4", "connect", "getsockname", "getpeername"],
				   action: "SCMP_ACT_NOTIFY" },
				 { names: ["getsockopt"], action: "SCMP_ACT_NOTIFY",
				   args: [{ index: 1, value: 1, op: "SCMP_CMP_EQ" }, { index: 2, value: 39, op: "SCMP_CMP_EQ" }] }]
				+ [2, 10 | { names: ["socket"], action: "SCMP_ACT_NOTIFY",
				   args: [{ index: 0, value: ., op: "SCMP_CMP_EQ" },
					  { index: 1, value: 15, valueTwo: 1, op: "SCMP_CMP_MASKED_EQ" }] }]) }'
}

policy() # NAME ADDRESS RULE
{
	printf '{"version": 1, "domain": "%s", "net": {"address": ["%s"], "rules": [%s]}}\n' "$1" "$2" "$3" \
		>"$T/$1/policy.json"
}

@test "containers of crun and runc talk through one supervisor, as their policies say" {
	need_command crun runc redis-server redis-cli unshare
	agent_bundle db redis-server --unixsocket /tmp/redis --bind '*' --protected-mode no --save '' --daemonize no
	agent_bundle app redis-cli -h 10.88.0.20 ping
	cp -r "$T/app" "$T/other"
	policy db 10.88.0.20 '{"allow": "listen", "at": ":6379", "from": ["app"]}'
	policy app 10.88.0.21 '{"allow": "connect", "to": "db:6379"}'
	policy other 10.88.0.22 '{"allow": "connect", "to": "db:6379"}'
	spawn supervisor "$VRUN" supervise --listen "$T/agent" </dev/null
	wait_path "$T/agent"
	spawn db run_crun run -b "$T/db" "$MARK-db" </dev/null
	wait_until grep -q 'Ready to accept' "$T/db.out"
	# Bound by a porter, since nobody says that the container is walled.
	assert_contains "$(<"$T/db.out")" "now ready to accept connections at /tmp/redis" "redis' own socket"

	run -0 run_runc run -b "$T/app" "$MARK-app"
	assert_output PONG
	run -0 run_crun run -b "$T/app" "$MARK-app"
	assert_output PONG
	run run_runc run -b "$T/other" "$MARK-other"
	assert_not_equal "$status" 0
	assert_contains "$output" "Permission denied"
	assert_contains "$(<"$T/supervisor.out")" '"decision":"deny"'

	run_crun kill "$MARK-db" KILL
	wait_exit "${PID[db]}" || :
	run_crun delete --force "$MARK-db" 2>/dev/null || :
	# It ends with its last container.
	wait_exit "${PID[supervisor]}" || :
	rm -rf "$T/crun" "$T/runc"
	assert_nothing_left
}
