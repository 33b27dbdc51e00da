#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# linux.resources and linux.cgroupsPath through `vrun run`. What each key does
# is in tests/unit/test-cgroup*.c. Whether an unprivileged user may have limits
# depends on the host: "make check-vm" has one where that is so.

# shellcheck disable=SC2154 # stderr comes from run --separate-stderr
bats_require_minimum_version 1.5.0
load helper

eats() # DIR MEBIBYTES: a bundle that holds so much memory
{
	make_bundle "$1" '.process.args = ["/bin/sh", "-c", "head -c '"$2"'m /dev/zero | tail"]'
}

# bats test_tags=identity:root
@test "an app that goes over its memory limit is killed, one below it is not" {
	eats "$T/b" 64
	edit_bundle "$T/b" '.linux.resources.memory = {"limit": 16777216}'
	run vrun run "$T/b"
	assert_not_equal "$status" 0 "exit status of an app that was killed"
	edit_bundle "$T/b" '.linux.resources.memory.limit = 268435456'
	run vrun run "$T/b"
	assert_status 0
	assert_nothing_left
}

# bats test_tags=identity:root
@test "a limit of processes makes fork fail" {
	make_bundle "$T/b" '.linux.resources.pids = {"limit": 3}' \
		'.process.args = ["/bin/sh", "-c", "sleep 60 & sleep 60 & sleep 60 & sleep 60 & wait"]'
	run vrun run "$T/b"
	assert_contains "$output" fork
	assert_nothing_left
}

# bats test_tags=identity:root
@test "the app sees its own cgroup as the root" {
	make_bundle "$T/b" '.linux.resources.pids = {"limit": 30}' \
		'.linux.namespaces += [{"type": "cgroup"}]' \
		'.process.args = ["/bin/cat", "/proc/self/cgroup"]'
	run vrun run "$T/b"
	assert_status 0
	assert_lacks "$output" vrun- "paths of /proc/self/cgroup"
}

# bats test_tags=identity:root
@test "a path for the cgroup is taken, and removed with what was made for it" {
	local path=/$MARK-outer/inner

	make_bundle "$T/b" '.linux.cgroupsPath = "'"$path"'"' '.linux.resources.pids = {"limit": 30}' \
		'.process.args = ["/bin/sleep", "1000"]'
	run_detached "$T/b"
	assert_not_equal "$(find /sys/fs/cgroup -path "*$path" 2>/dev/null)" "" "directories while it runs"
	end_sandbox "$REPLY"
	wait_until cgroups_gone
}

cgroups_gone()
{
	[[ -z $(find /sys/fs/cgroup -path "*$MARK*" 2>/dev/null) ]]
}

# bats test_tags=identity:root
@test "a cgroup with processes of the host's is not the app's to limit and to kill" {
	local top=/sys/fs/cgroup where

	[[ ! -d $top/pids ]] || top=$top/pids
	mkdir -p "$top/$MARK/inner" || unsupported "no cgroup can be made"
	make_bundle "$T/b" '.linux.cgroupsPath = "/'"$MARK"'"' '.linux.resources.pids = {"limit": 30}' \
		'.process.args = ["/bin/echo", "ran"]'
	spawn host sleep 1000
	for where in "$MARK" "$MARK/inner"; do
		echo "${PID[host]}" >"$top/$where/cgroup.procs"
		run --separate-stderr vrun run "$T/b"
		assert_vrun_error "/$MARK has processes"
		assert_equal "$output" ""
		kill -0 "${PID[host]}" || fail "the host's process is gone"
		assert_equal "$(cat "$top/$MARK/pids.max" 2>/dev/null || echo max)" max
	done
	kill "${PID[host]}"
	wait_exit "${PID[host]}"
	# Empty it may be used, and stays whoever's it was.
	rmdir "$top/$MARK/inner"
	run vrun run "$T/b"
	assert_output ran
	rmdir "$top/$MARK"
	assert_nothing_left
}

# bats test_tags=identity:root
@test "a monitor that is killed leaves no cgroup behind" {
	local pid

	make_bundle "$T/b" '.linux.resources.pids = {"limit": 30}' '.process.args = ["/bin/sleep", "1000"]'
	new_id
	spawn monitor "$VRUN" run --id "$REPLY" "$T/b"
	pid=${PID[monitor]}
	wait_until in_cgroup "$REPLY"
	kill -KILL "$pid"
	wait_exit "$pid"
	wait_until cgroups_gone
	assert_nothing_left
}

in_cgroup() # ID
{
	[[ -n $(find /sys/fs/cgroup -name "vrun-$1" 2>/dev/null) ]]
}

# bats test_tags=identity:user
@test "limits that cannot be had are an error with a remedy, and left out with --best-effort" {
	# The top of a hierarchy is root's on every host.
	make_bundle "$T/b" '.linux.resources.memory = {"limit": 16777216}' \
		'.linux.cgroupsPath = "/'"$MARK"'"' '.process.args = ["/bin/echo", "ran"]'
	run --separate-stderr vrun run "$T/b"
	assert_vrun_error "--best-effort"
	assert_equal "$output" ""
	run --separate-stderr vrun run --best-effort "$T/b"
	assert_status 0
	assert_output ran
	assert_contains "$stderr" "left out"
	assert_nothing_left
}

# bats test_tags=identity:root
@test "a key that this host cannot honour is named" {
	make_bundle "$T/b" '.linux.resources.rdma = {"no-such-device0": {"hcaHandles": 3}}'
	run --separate-stderr vrun run "$T/b"
	assert_vrun_error rdma
	run --separate-stderr vrun run --best-effort "$T/b"
	assert_status 0
	assert_contains "$stderr" rdma
	assert_nothing_left
}

@test "the device list that most bundles have makes no cgroup" {
	make_bundle "$T/b" '.linux.resources.devices = [{"allow": false, "access": "rwm"}]' \
		'.process.args = ["/bin/sleep", "1000"]'
	run_detached "$T/b"
	run ! in_cgroup "$REPLY"
	end_sandbox "$REPLY"
	edit_bundle "$T/b" '.process.args = ["/bin/sh", "-c", "echo x >/dev/null && head -c 1 /dev/zero | wc -c"]'
	run vrun run "$T/b"
	assert_status 0
	assert_output 1
}

@test "what is no path and what is no limit is refused before anything is made" {
	local bad

	for bad in '.linux.cgroupsPath = "/a/../../b"' '.linux.resources.unified = {"cgroup.procs": "1"}' \
		'.linux.resources.unified = {"../x.y": "1"}'; do
		rm -rf "$T/b"
		make_bundle "$T/b" "$bad"
		run --separate-stderr vrun run "$T/b"
		assert_status 125
		assert_contains "$stderr" linux.
	done
	assert_nothing_left
}
