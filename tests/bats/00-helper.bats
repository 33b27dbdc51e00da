#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# The helpers themselves: what they say is left must be left, and what they wait for must come.

bats_require_minimum_version 1.5.0
load helper

@test "the directory of a test is its own and its name is the marker" {
	assert_matches "$T" '^/tmp/vt-[A-Za-z0-9]{6,10}$'
	assert_equal "$(stat -c %a "$T/run")" 700
	assert_equal "$XDG_RUNTIME_DIR" "$T/run"
	assert_nothing_left
}

@test "an assertion that does not hold prints both sides" {
	run assert_equal left right "they differ"
	assert_equal "$status" 1
	assert_equal "$output" $'they differ\n  got:  left\n  want: right'
	run assert_contains "the whole" "part"
	assert_equal "$status" 1
	run assert_matches "abc" '^b'
	assert_equal "$status" 1
}

@test "a process that was left behind is seen until it has gone" {
	mkfifo gate
	spawn left sh -c 'read x <gate'
	wait_until grep -qsF read "/proc/${PID[left]}/cmdline"
	run nothing_left
	assert_equal "$status" 1
	assert_contains "$(marked_processes)" "${PID[left]}"
	echo go >gate
	wait_exit "${PID[left]}"
	assert_equal "$status" 0
	rm gate
	assert_nothing_left
}

@test "state, sockets and temporary files that were left behind are seen" {
	: >"$T/run/entry"
	assert_contains "$(state_entries)" "$T/run/entry"
	rm "$T/run/entry"
	mkdir -p "$T/run/vrun/$MARK-1"
	assert_contains "$(state_entries)" "$MARK-1"
	rmdir "$T/run/vrun/$MARK-1"
	: >"$T/tmp/x"
	assert_contains "$(state_entries)" "$T/tmp/x"
	rm "$T/tmp/x"
	mkfifo up
	spawn listen sh -c "exec socat -d -d ABSTRACT-LISTEN:$MARK-socket - 2>up"
	wait_line up
	assert_contains "$(state_entries)" "@$MARK-socket"
	kill "${PID[listen]}"
	wait_exit "${PID[listen]}"
	assert_nothing_left
}

# bats test_tags=identity:root
@test "a mount and a control group that were left behind are seen" {
	local group

	mkdir m
	mount -t tmpfs none m
	assert_equal "$(marked_mounts)" "$T/m"
	umount m
	group=$(dirname "$(find /sys/fs/cgroup -maxdepth 2 -name cgroup.procs | head -n 1)")/$MARK-1
	mkdir "$group"
	assert_equal "$(marked_cgroups)" "$group"
	rmdir "$group"
	assert_nothing_left
}

@test "a process in another mount namespace is found by what is mounted there" {
	mkfifo up gate
	mkdir dir
	spawn away env -u VRUN_TEST_MARK unshare -Urm sh -c 'exec 5>up 6<>gate
		mount --bind dir dir && cd / && exec env -i sh -c "echo up >&5; read x <&6"'
	wait_line up
	wait_until grep -qsF "$MARK" "/proc/${PID[away]}/mountinfo"
	assert_contains "$(marked_processes)" "${PID[away]}"
	kill -KILL "${PID[away]}"
	wait_exit "${PID[away]}"
	rm up gate
	assert_nothing_left
}

@test "the exit status of a background command is its own" {
	spawn seven sh -c 'exit 7'
	wait_exit "${PID[seven]}"
	assert_equal "$status" 7
}

@test "a path is waited for" {
	spawn maker make_when_watched "$T/made"
	wait_path "$T/made"
	wait_exit "${PID[maker]}"
	assert_equal "$status" 0
}

# Not before somebody waits for it.
make_when_watched() # PATH
{
	wait_until pgrep -fx "inotifywait .* $(dirname "$1")" && : >"$1"
}

@test "a line that does not come is a failure, not a hang" {
	mkfifo never
	WAIT_SECONDS=1 run wait_line never
	assert_equal "$status" 1
	assert_contains "$output" "no line came"
}

@test "the root file system runs its applets and is copied, not shared" {
	make_rootfs "$T/a"
	make_rootfs "$T/b"
	assert_equal "$("$T/a/bin/echo" hello)" hello
	: >"$T/a/etc/mine"
	[[ ! -e $T/b/etc/mine ]]
	assert_equal "$(stat -c %a "$T/a/tmp")" 1777
}

@test "a bundle is the template changed by filters" {
	make_bundle "$T/b" '.process.args = ["id"]' '.hostname = "h"'
	assert_equal "$(jq -c '[.process.args[0], .hostname, .root.path]' b/config.json)" \
		'["id","h","rootfs"]'
	edit_bundle "$T/b" 'del(.hostname)'
	assert_equal "$(jq -r .hostname b/config.json)" null
}

@test "as_user has no privileges and an environment of its own" {
	need_user
	run as_user sh -c 'id -u; env | cut -d= -f1 | sort | tr "\n" " "; grep CapEff /proc/self/status'
	assert_equal "$status" 0
	assert_not_equal "${lines[0]}" 0
	assert_equal "${lines[1]}" "HOME LANG PATH PWD TERM TMPDIR USER VRUN VRUN_TEST_MARK XDG_RUNTIME_DIR CapEff:	0000000000000000"
	as_user sh -c ': >"$HOME/file"; rm "$HOME/file"; test -O "$XDG_RUNTIME_DIR"'
}
