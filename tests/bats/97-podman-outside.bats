#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# podman with another runtime, runc: its hooks start vrun's supervisor, which starts a gateway for a
# container whose policy leads outside.

bats_require_minimum_version 1.5.0
load helper
load internet

setup()
{
	helper_setup
	need_command podman conmon runc busybox
	PODMAN=(podman)
	if ! is_root; then
		need_command newuidmap newgidmap
		# The user namespace that rootless podman makes for itself, with the tests' internet in it.
		# shellcheck disable=SC2034 # of internet.bash
		INTERNET_IDS=(--map-root-user --map-auto)
		PODMAN=(env _CONTAINERS_USERNS_CONFIGURED=done "_CONTAINERS_ROOTLESS_UID=$EUID" "_CONTAINERS_ROOTLESS_GID=$(id -g)" podman)
	fi
	PODMAN+=(--root "$T/store" --runroot "$T/runroot" --tmpdir "$T/ptmp" --storage-driver vfs
		--cgroup-manager cgroupfs --events-backend file --runtime "$(command -v runc)" --hooks-dir "$T/hooks")
	mkdir "$T/work" "$T/hooks"
	cd "$T/work" || return 1
	hook createRuntime
	hook poststop
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

@test "containers of podman reach what their policies name outside and are reached, by hooks and gateways" {
	zone '{"web.example.com": {"A": ["192.0.2.10"]}, "evil.example.net": {"A": ["192.0.2.99"]}}'
	make_rootfs "$T/rootfs"
	tar -C "$T/rootfs" -cf "$T/image.tar" .
	pod import "$T/image.tar" localhost/box >/dev/null 2>&1
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
nc: can't connect to remote host (192.0.2.99): Permission denied" || fail "$stderr" "$(<"$T/hook.log")"
	assert_contains "$(<"$T/hook.log")" '"decision":"deny"'
	wait_until published 2>/dev/null || fail "$(pod logs shop 2>&1)" "$(<"$T/hook.log")"
	pod rm --all --force --time 0 >/dev/null
	wait_until agent_gone

	# One whose filter is never loaded leaves nobody behind that waits for it.
	run pod_run early '{"allow": "connect", "to": "192.0.2.10:80"}' --rm --ulimit nofile=1:1 box true
	assert_not_equal "$status" 0
	wait_until agent_gone
	assert_equal "$(pod ps -aq)" ''
}

published()
{
	[[ $(on_host socat -u TCP4:127.0.0.1:18080 -) == hello ]]
}
