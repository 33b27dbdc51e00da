#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# podman with other runtimes, runc and crun: hooks start vrun's supervisor, which starts a gateway for a
# container whose policy leads outside. And podman with vrun as its runtime, and a network of podman's.

# shellcheck disable=SC2030,SC2031 # each test is a subshell
bats_require_minimum_version 1.5.0
load helper
load internet

setup()
{
	helper_setup
	need_command podman conmon runc crun busybox
	PODMAN=(podman)
	if ! is_root; then
		need_command newuidmap newgidmap
		# The user namespace that rootless podman makes for itself, with the tests' internet in it.
		# shellcheck disable=SC2034 # of internet.bash
		INTERNET_IDS=(--map-root-user --map-auto)
		PODMAN=(env _CONTAINERS_USERNS_CONFIGURED=done "_CONTAINERS_ROOTLESS_UID=$EUID" "_CONTAINERS_ROOTLESS_GID=$(id -g)" podman)
	fi
	PODMAN+=(--root "$T/store" --runroot "$T/runroot" --tmpdir "$T/ptmp" --storage-driver vfs
		--cgroup-manager cgroupfs --events-backend file)
	HEARD=$T/hook.log # where the supervisor says what it decides
	mkdir "$T/work" "$T/hooks"
	cd "$T/work" || return 1
	internet_start
}

teardown()
{
	if [[ -n ${PID[internet]-} ]]; then
		pod rm --all --force --time 0 >/dev/null 2>&1 || :
		# Files of a user's containers belong to ids that only this namespace has.
		on_host rm -rf "$T/store" "$T/runroot" "$T/ptmp"
		internet_stop
	fi
	helper_teardown
}

hook() # STAGE
{
	jq -n --arg vrun "$VRUN" --arg stage "$1" --arg log "$T/hook.log" '{version: "1.0.0", when: {always: true}, stages: [$stage],
		hook: {path: $vrun, args: ["vrun", "hook", "--log-to", $log, $stage]}}' >"$T/hooks/vrun-$1.json"
}

pod() # COMMAND ARG...
{
	on_host "${PODMAN[@]}" "$@"
}

import()
{
	make_rootfs "$T/rootfs"
	tar -C "$T/rootfs" -cf "$T/image.tar" .
	pod import "$T/image.tar" localhost/box >/dev/null 2>&1
}

# A container under the profile that a policy of these rules makes. Debian's podman asks for higher
# limits than a container's root may set.
pod_run() # DOMAIN RULES ARG...
{
	local name=$1

	jq -n --arg name "$name" --argjson rules "[$2]" '{version: 1, domain: $name, net: {rules: $rules}}' >"$T/$name.json"
	"$VRUN" policy seccomp --listen "$T/agent" "$T/$name.json" >"$T/$name.profile"
	shift 2
	pod run --name "$name" --network none -v "$PWD/resolv.conf:/etc/resolv.conf:ro" --ulimit nofile=1024:1024 \
		--ulimit nproc=1024:1024 --env "VRUN_TEST_MARK=$MARK" \
		--security-opt "seccomp=$T/$name.profile" "$@"
}

agent_gone()
{
	[[ ! -e $T/agent && -z $(pgrep -f "supervise --listen $T/agent") ]]
}

logged() # CONTAINER TEXT
{
	pod logs "$1" 2>&1 | grep -q "$2"
}

reach_outside()
{
	zone '{"web.example.com": {"A": ["192.0.2.10"]}, "evil.example.net": {"A": ["192.0.2.99"]}}'
	import
	echo "nameserver 127.0.0.53" >resolv.conf
	cat >client.sh <<-'END'
		ip=$(nslookup -type=a web.example.com 2>/dev/null | sed -n '/^Name/,$s/^Address[^:]*: //p')
		echo "web $(nc ${ip:-0.0.0.0} 80 </dev/null 2>&1 | cut -d' ' -f1-2)"
		nslookup evil.example.net 2>&1 | grep -o NXDOMAIN | sort -u
		nc 192.0.2.99 80 </dev/null 2>&1
	END
	cat >server.sh <<-'END'
		echo up
		while :; do echo hello | nc -l -p 80; done
	END
	pod_run shop '{"allow": "listen", "at": ":80", "from": ["host"], "publish": "127.0.0.1:18080"}' \
		-d -v "$PWD:/work:ro" box sh /work/server.sh >"$T/id"
	wait_until logged shop up
	run --separate-stderr pod_run client '{"allow": "connect", "to": "web.example.com:80"}' --rm -v "$PWD:/work:ro" box sh /work/client.sh
	# shellcheck disable=SC2154 # set by run
	assert_output "web 192.0.2.10 80
NXDOMAIN
nc: can't connect to remote host (192.0.2.99): Permission denied" || fail "$stderr" "$(<"$HEARD")"
	assert_contains "$(<"$HEARD")" '"decision":"deny"'
	wait_until published 2>/dev/null || fail "$(pod logs shop 2>&1)" "$(<"$HEARD")"
	pod rm --all --force --time 0 >/dev/null
}

published()
{
	[[ $(on_host socat -u TCP4:127.0.0.1:18080 -) == hello ]]
}

@test "containers of podman with runc reach what their policies name outside and are reached, by hooks and gateways" {
	hook createRuntime
	hook poststop
	PODMAN+=(--runtime "$(command -v runc)" --hooks-dir "$T/hooks")
	reach_outside
	wait_until agent_gone

	# One whose filter is never loaded leaves nobody behind that waits for it.
	run pod_run early '{"allow": "connect", "to": "192.0.2.10:80"}' --rm --ulimit nofile=1:1 box true
	assert_not_equal "$status" 0
	wait_until agent_gone
	assert_equal "$(pod ps -aq)" ''
}

# crun connects to the supervisor before it runs any hook: somebody listens there already.
@test "containers of podman with crun do so by a supervisor that listens" {
	PODMAN+=(--runtime "$(command -v crun)")
	# crun 1.8 refuses a machine with both versions of cgroups: here it sees one.
	! mountpoint -q /sys/fs/cgroup/unified || on_host umount /sys/fs/cgroup/unified 2>/dev/null ||
		on_host mount -t tmpfs none /sys/fs/cgroup
	spawn agent on_host "$VRUN" supervise --listen "$T/agent" </dev/null
	wait_until on_host grep -q " 00010000 .* $T/agent\$" /proc/net/unix
	HEARD=$T/agent.out
	reach_outside
	wait_exit "${PID[agent]}"
	assert_equal "$(pod ps -aq)" ''
}

@test "a network of podman's is outside of vrun's containers" {
	zone '{"web.example.com": {"A": ["192.0.2.10"]}, "evil.example.net": {"A": ["192.0.2.99"]}}'
	import
	mkdir -m 0700 "$T/run/oci"
	printf '#!/bin/sh\nexec "%s" --root "%s" "$@"\n' "$VRUN" "$T/run/oci" >"$T/vrun"
	chmod +x "$T/vrun"
	PODMAN+=(--runtime "$T/vrun")
	jq -nc '{version: 1, net: {rules: [{allow: "connect", to: "web.example.com:80"},
		{allow: "listen", at: ":80", from: "host", publish: "127.0.0.1:18080"}]}}' >"$T/policy.json"
	# The servers' own namespace: from there their addresses are this machine's.
	pod run -d --name one --network "ns:/proc/$INTERNET_SERVERS/ns/net" --dns 198.51.100.53 --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 \
		--env "VRUN_TEST_MARK=$MARK" --annotation "\"org.vrun.policy=$(sed 's/"/""/g' "$T/policy.json")\"" box sh -c '
		cut -d: -f1 /proc/net/dev | tail -n +3 | tr -d " "
		ip=$(nslookup -type=a web.example.com 2>/dev/null | sed -n "/^Name/,\$s/^Address[^:]*: //p")
		nc "${ip:-0.0.0.0}" 80 </dev/null 2>&1
		nc 192.0.2.99 80 </dev/null 2>&1
		echo up
		while :; do echo hello | nc -l -p 80; done' >"$T/id"
	wait_until logged one up || fail "$(pod logs one 2>&1)"
	assert_matches "$(pod logs one 2>&1)" '^lo'$'\n''192.0.2.10 80 from 192.0.2.10'$'\n''nc: .*192.0.2.99.*Permission denied'$'\n''up$'
	assert_equal "$(on_servers socat -u TCP4:127.0.0.1:18080 -)" hello
	run on_host socat -u TCP4:127.0.0.1:18080 -
	assert_contains "$output" refused
	assert_equal "$(<"$T/questions")" "A web.example.com"
}
