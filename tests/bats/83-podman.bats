#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# podman with vrun as its runtime, by root and by a user: Debian's podman and
# conmon, an image that is imported from a packed bundle, no network needed.

bats_require_minimum_version 1.5.0
load helper

setup()
{
	helper_setup
	need_command podman conmon redis-server redis-cli busybox
	is_root || need_command newuidmap newgidmap
	# Its storage is as far from the machine's as its options allow.
	PODMAN=(podman --root "$T/store" --runroot "$T/runroot" --tmpdir "$T/ptmp" --storage-driver vfs
		--cgroup-manager cgroupfs --events-backend file --runtime "$T/vrun")
	# Its clean-up after a container's end does not know of --runtime-flag.
	mkdir -m 0700 "$T/run/oci"
	printf '#!/bin/sh\nexec "%s" --root "%s" "$@"\n' "$VRUN" "$T/run/oci" >"$T/vrun"
	chmod +x "$T/vrun"
	# These limits are the caller's: Debian's podman asks for more than a container's root may have.
	LIMITS=(--ulimit nofile=1024:1024 --ulimit nproc=1024:1024 --network none --env "VRUN_TEST_MARK=$MARK")
}

teardown()
{
	"${PODMAN[@]}" rm --all --force --time 0 >/dev/null 2>&1 || :
	# Files of a user's containers belong to ids that only its namespace has.
	is_root || podman unshare rm -rf "$T/store" "$T/runroot" "$T/ptmp" 2>/dev/null || :
	helper_teardown
}

pod() # COMMAND ARG...
{
	"${PODMAN[@]}" "$@"
}

pod_run() # ARG...
{
	pod run "${LIMITS[@]}" "$@"
}

# podman takes annotations as comma-separated values: the whole in quotes, and quotes doubled.
annotation() # KEY=VALUE
{
	printf '"%s"' "${1//\"/\"\"}"
}

import() # NAME ROOTFS
{
	tar -C "$2" -cf "$T/image.tar" .
	pod import "$T/image.tar" "localhost/$1" >/dev/null 2>&1
	rm "$T/image.tar"
}

import_busybox()
{
	make_rootfs "$T/rootfs"
	import box "$T/rootfs"
	rm -rf "$T/rootfs"
}

@test "podman run, exec, logs, inspect, pause, stop and rm work" {
	import_busybox
	run -0 --separate-stderr pod_run --rm box echo hello
	assert_output hello
	run pod_run --rm box sh -c 'exit 7'
	assert_status 7
	run -127 pod_run --rm box /no/such
	assert_contains "$output" "/no/such"
	assert_equal "$(echo in | pod_run --rm -i box cat)" in
	run -0 --separate-stderr pod_run --rm -t box tty
	assert_contains "$output" /dev/pts/

	pod_run -d --name one --stop-signal KILL box sh -c 'echo out; echo err >&2; exec sleep 1000' >/dev/null
	assert_equal "$(pod inspect one --format '{{.State.Status}} {{.OCIRuntime}}')" "running $T/vrun"
	run -0 --separate-stderr pod exec one sh -c 'echo $$; hostname'
	assert_not_equal "${lines[0]}" 1
	run pod exec one sh -c 'exit 4'
	assert_status 4
	run -127 pod exec one /no/such
	assert_equal "$(echo x | pod exec -i one cat)" x
	run -0 --separate-stderr pod exec -t one tty
	assert_contains "$output" /dev/pts/
	run -0 pod logs one
	assert_equal "$(sort <<<"$output")" "err"$'\n'"out"
	run -0 pod stop --time 5 one
	assert_equal "$(pod inspect one --format '{{.State.Status}} {{.State.ExitCode}}')" "exited 137"
	run -0 pod start one
	assert_equal "$(pod inspect one --format '{{.State.Status}}')" running
	run -0 pod rm --force --time 0 one
	assert_equal "$(find "$T/run/oci" -mindepth 1 ! -path '*/filters*')" ""
}

@test "what podman says of a container's files, user and rights is so" {
	mkdir -m 0777 "$T/volume"
	import_busybox
	run -0 --separate-stderr pod_run --rm --read-only --tmpfs /x -v "$T/volume:/v" --cap-drop all --hostname foo \
		--user 5:6 box sh -c 'touch /v/a && ! touch /a 2>/dev/null && touch /x/a; hostname; id -u; id -g; cat /proc/self/status'
	assert_equal "$(head -n 3 <<<"$output")" "foo"$'\n'"5"$'\n'"6"
	assert_matches "$output" $'\nCapBnd:\t0000000000000000\n'
	assert_matches "$output" $'\nSeccomp:\t2\n'
	[[ -e $T/volume/a ]]
	# Its streams are its user's, also by their names.
	run -0 --separate-stderr pod_run --rm --user 5:6 box sh -c 'echo out >/dev/stdout'
	assert_output out
	run -0 --separate-stderr pod_run --rm -t --user 5:6 box sh -c 'echo out >/dev/stdout'
	assert_contains "$output" out
	pod_run -d --name user --user 5:6 box sleep 1000 >/dev/null
	run -0 --separate-stderr pod exec user sh -c 'echo out >/dev/stdout'
	assert_output out
	run -0 --separate-stderr pod_run --rm --shm-size 1m --env A=b --workdir /tmp box sh -c 'df -k /dev/shm | tail -n 1 | tr -s " " | cut -d " " -f 2; echo $A; pwd'
	assert_output "1024"$'\n'"b"$'\n'"/tmp"
	is_root || chmod 0777 "$T/volume"
	pod unshare rm -f "$T/volume/a" 2>/dev/null || rm -f "$T/volume/a"
}

@test "restart policies and health checks work" {
	import_busybox
	pod_run --name again --restart on-failure:2 box sh -c 'echo up; exit 3' >/dev/null 2>&1 || :
	wait_until restarts again 3
	run -0 pod wait again
	assert_equal "$(pod inspect again --format '{{.RestartCount}} {{.State.ExitCode}}')" "2 3"
	pod_run -d --name well --health-cmd 'test -e /tmp/well' --health-interval disable box sleep 1000 >/dev/null 2>&1
	run pod healthcheck run well
	assert_status 1
	pod exec well touch /tmp/well
	run -0 pod healthcheck run well
}

restarts() # NAME COUNT
{
	[[ $(pod logs "$1" 2>/dev/null | grep -c up) == "$2" ]]
}

@test "containers of one fabric talk as their policies in annotations say" {
	local fabric="f${MARK//[^a-zA-Z0-9]/}"

	run "$VRUN" pack -q -o "$T/db" redis-server --bind '*' --protected-mode no --save '' --daemonize no
	assert_status 0
	cp "$(command -v redis-cli)" "$T/db/rootfs/usr/bin/"
	while read -r lib; do
		mkdir -p "$T/db/rootfs$(dirname "$lib")"
		[[ -e $T/db/rootfs$lib ]] || cp -L "$lib" "$T/db/rootfs$lib"
	done < <(ldd "$(command -v redis-cli)" | grep -o '/[^ ]*')
	import db "$T/db/rootfs"
	pod_run -d --name server --annotation "org.vrun.fabric=$fabric" \
		--annotation "$(annotation 'org.vrun.policy={"version": 1, "domain": "db", "net": {"address": ["10.88.0.20"], "rules": [{"allow": "listen", "at": ":6379", "from": ["app"]}]}}')" \
		db /usr/bin/redis-server --bind '*' --protected-mode no --save '' --daemonize no >/dev/null
	wait_until ready server
	run -0 --separate-stderr pod_run --rm --annotation "org.vrun.fabric=$fabric" \
		--annotation "$(annotation 'org.vrun.policy={"version": 1, "domain": "app", "net": {"rules": [{"allow": "connect", "to": "db:6379"}]}}')" \
		db /usr/bin/redis-cli -h 10.88.0.20 ping
	assert_output PONG
	run pod_run --rm --annotation "org.vrun.fabric=$fabric" \
		--annotation "$(annotation 'org.vrun.policy={"version": 1, "domain": "other", "net": {"rules": [{"allow": "connect", "to": "db:6379"}]}}')" \
		db /usr/bin/redis-cli -h 10.88.0.20 ping
	assert_contains "$output" "Permission denied"
	# A process that is put in is served, too.
	run -0 --separate-stderr pod exec server /usr/bin/redis-cli -h 127.0.0.1 ping
	assert_output PONG
	run pod_run --rm --annotation "$(annotation 'org.vrun.policy={"version": 1, "nets": {}}')" db /usr/bin/redis-cli ping
	assert_status 126
	assert_contains "$output" "org.vrun.policy"
}

ready() # NAME
{
	pod logs "$1" 2>&1 | grep -q 'Ready to accept'
}

# bats test_tags=identity:root
@test "limits hold, and pause and stats work" {
	import_busybox
	pod_run -d --name one --memory 64m --pids-limit 20 box sleep 1000 >/dev/null
	run -0 --separate-stderr pod stats --no-stream --format '{{.PIDs}} {{.MemLimit}}' one
	assert_contains "$output" "1 "
	run pod exec one sh -c 'for i in $(seq 30); do sleep 10 & done'
	assert_contains "$output" "can't fork"
	run -0 pod pause one
	assert_equal "$(pod inspect one --format '{{.State.Status}}')" paused
	run -0 pod unpause one
	run pod_run --rm --memory 16m box sh -c 'head -c 64m /dev/zero | tail'
	assert_not_equal "$status" 0
}

# bats test_tags=identity:user
@test "limits are no hindrance to a user, whom podman gives none on cgroup v1" {
	import_busybox
	run -0 --separate-stderr pod_run --rm --memory 64m --pids-limit 20 box echo hello
	assert_output hello
	# shellcheck disable=SC2154 # set by run
	[[ $(stat -f -c %T /sys/fs/cgroup) == cgroup2fs ]] || assert_contains "$stderr" "not supported and ignored on cgroups V1"
}

# bats test_tags=identity:root
@test "ids that podman maps are those of the files" {
	import_busybox
	run -0 --separate-stderr pod_run --rm --uidmap 0:100000:65536 --gidmap 0:100000:65536 box sh -c 'tr -s " " </proc/self/uid_map; stat -c %u /bin/busybox; touch /x && stat -c %u /x'
	assert_output " 0 100000 65536"$'\n'"0"$'\n'"0"
}
