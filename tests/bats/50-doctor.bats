#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# `vrun doctor`, as root and as an unprivileged user, on this host as it is and
# with pieces of it taken away. How it judges hosts that are not at hand is in
# tests/unit/test-doctor.c.

bats_require_minimum_version 1.5.0
load helper

# One member of the check with that id, from the JSON in $output.
check() # ID MEMBER
{
	jq -r --arg id "$1" --arg member "$2" \
		'[.checks[] | select(.id == $id)] | if length == 0 then "absent" else .[0][$member] end' \
		<<<"$output"
}

# A user namespace that this identity can make and be root of; nothing in it is the host's root.
need_userns()
{
	unshare -Ur true 2>/dev/null || unsupported "no user namespaces here"
}

@test "this host is said to run vrun where vrun runs" {
	mkdir work && cd work
	run --separate-stderr vrun doctor --json
	new_id
	if "$VRUN" run --id "$REPLY" -- true; then
		assert_status 0
		assert_not_equal "$(jq -r .verdict <<<"$output")" missing "the verdict where a sandbox ran"
	else
		assert_status 1
		assert_equal "$(jq -r .verdict <<<"$output")" missing "the verdict where none ran"
	fi
	# shellcheck disable=SC2154 # set by run
	assert_equal "$stderr" "" "standard error"
}

@test "the table has one line for each check, in the order of the JSON" {
	local json table

	json=$(vrun doctor --json | jq -r '.checks[] | .status + " " + .title')
	table=$(vrun doctor | grep -E '^  (ok|degraded|missing) ' | sed -E 's/^ +([a-z]+) +/\1 /')
	assert_equal "$(wc -l <<<"$table")" "$(wc -l <<<"$json")" "number of checks"
	while read -r want <&3 && read -r got <&4; do
		assert_equal "${got:0:${#want}}" "$want"
	done 3<<<"$json" 4<<<"$table"
}

@test "every check has a known status, and every one that is not ok says what vrun does" {
	run --separate-stderr vrun doctor --json
	assert_equal "$(jq -r '[.checks[] | select(.status | IN("ok", "degraded", "missing") | not)] | length' \
		<<<"$output")" 0 "checks with another status"
	assert_equal "$(jq -r '[.checks[] | select(.status != "ok" and .effect == "")] | length' \
		<<<"$output")" 0 "checks without an effect"
	assert_equal "$(jq -r '[.checks[] | select(.found == "")] | length' <<<"$output")" 0 \
		"checks that found nothing"
}

@test "the report is in colour on a terminal only, and not with NO_COLOR" {
	local escape=$'\x1b'

	need_command script
	assert_lacks "$(vrun doctor)" "$escape" "through a pipe"
	assert_contains "$(env -u NO_COLOR script -qec "'$VRUN' doctor" /dev/null </dev/null)" "$escape" \
		"on a terminal"
	assert_lacks "$(NO_COLOR=1 script -qec "'$VRUN' doctor" /dev/null </dev/null)" "$escape" \
		"on a terminal with NO_COLOR"
}

# How long that takes in microseconds, in $REPLY.
took() # COMMAND...
{
	local start=${EPOCHREALTIME/./}

	"$@" >/dev/null || :
	REPLY=$((${EPOCHREALTIME/./} - start))
}

@test "it takes less than 300 ms and leaves nothing behind" {
	local mounts doctor help round

	mounts=$(wc -l </proc/self/mountinfo)
	# It takes ten milliseconds, and a program that only says something two. Where that one takes longer, so may this.
	for round in {1..20}; do
		took vrun --help
		help=$REPLY
		took vrun doctor
		doctor=$REPLY
		((doctor >= 300000 && doctor >= help * 50)) || break
	done
	((doctor < 300000 || doctor < help * 50)) || fail "took $doctor us, where \"vrun --help\" takes $help (round $round)"
	assert_equal "$(wc -l </proc/self/mountinfo)" "$mounts" "mounts"
	assert_nothing_left
	assert_equal "$(find /sys/fs/cgroup -name 'vrun-doctor-*' 2>/dev/null)" "" "cgroups"
	[[ ! -e $XDG_RUNTIME_DIR/vrun ]] || fail "it made a state directory"
}

@test "a host without user namespaces is found out, with the switch and the command" {
	need_userns
	# shellcheck disable=SC2016
	run --separate-stderr unshare -Ur sh -c \
		'echo 0 >/proc/sys/user/max_user_namespaces && exec "$VRUN" doctor --json'
	assert_status 1
	assert_equal "$(jq -r .verdict <<<"$output")" missing
	assert_equal "$(check user-namespaces status)" missing
	assert_contains "$(check user-namespaces found)" "user.max_user_namespaces is 0"
	assert_contains "$(check user-namespaces fix)" "sysctl -w user.max_user_namespaces="
}

@test "a kind of namespace that is used up is named" {
	need_userns
	# Not root inside, whose way is another: the launch of an unprivileged user.
	# shellcheck disable=SC2016
	run --separate-stderr unshare -Ur sh -c \
		'echo 0 >/proc/sys/user/max_net_namespaces &&
		 exec unshare -U --map-user=1000 --map-group=1000 "$VRUN" doctor --json'
	assert_status 1
	assert_equal "$(check user-namespaces status)" ok
	assert_equal "$(check namespaces status)" missing
	assert_contains "$(check namespaces found)" network
	assert_contains "$(check namespaces fix)" "user.max_net_namespaces="
}

@test "the root of a user namespace with one id is told that it has none to give" {
	need_userns
	run --separate-stderr unshare -Ur "$VRUN" doctor --json
	assert_status 1
	assert_equal "$(check user-namespaces status)" missing
	assert_contains "$(check user-namespaces found)" "only 1 ids"
}

@test "inside a sandbox it says that a filter stands in the way" {
	mkdir work && cd work
	cp "$VRUN" vrun
	new_id
	run --separate-stderr vrun run --id "$REPLY" -- "$PWD/vrun" doctor --json
	assert_status 1
	assert_equal "$(check user-namespaces status)" missing
	assert_contains "$(check user-namespaces found)" "system-call filter"
	assert_equal "$(check user-notification status)" degraded
}

@test "a low limit of descriptors is found" {
	# shellcheck disable=SC2016
	run --separate-stderr bash -c 'ulimit -n 100 && exec "$VRUN" doctor --json'
	assert_equal "$(check open-files status)" degraded
	assert_contains "$(check open-files found)" 100
	assert_contains "$(check open-files fix)" nofile
}

# bats test_tags=identity:user
@test "set-uid helpers that cannot work are found by trying" {
	[[ $(vrun doctor --json | jq -r '.checks[] | select(.id == "subordinate-ids").status') == ok ]] ||
		unsupported "no subordinate ids to begin with"
	run --separate-stderr setpriv --no-new-privs "$VRUN" doctor --json
	assert_status 0
	assert_equal "$(check subordinate-ids status)" degraded
	assert_contains "$(check subordinate-ids found)" no_new_privs
}

# bats test_tags=identity:user
@test "a state directory that cannot be is missing, one in /tmp is degraded" {
	run --separate-stderr env XDG_RUNTIME_DIR=/nonexistent "$VRUN" doctor --json
	assert_status 1
	assert_equal "$(check state-directory status)" missing
	assert_contains "$(check state-directory fix)" XDG_RUNTIME_DIR
	[[ ! -d /run/user/$EUID ]] || return 0
	run --separate-stderr env -u XDG_RUNTIME_DIR "$VRUN" doctor --json
	assert_equal "$(check state-directory status)" degraded
	assert_contains "$(check state-directory found)" "/tmp/vrun-$EUID"
}

# bats test_tags=identity:user
@test "an unprivileged user may ask for no other" {
	run --separate-stderr vrun doctor --user root
	assert_vrun_error "only root"
}

# bats test_tags=identity:root
@test "root asks for a user without subordinate ids and is told how to give some" {
	need_plain_user
	run --separate-stderr vrun doctor --json --user "$VRUN_TEST_PLAIN"
	assert_equal "$(jq -r '.users | length' <<<"$output")" 2 "users in the report"
	assert_equal "$(check subordinate-ids status)" degraded
	assert_equal "$(check subordinate-ids uid)" "$(id -u "$VRUN_TEST_PLAIN")"
	assert_contains "$(check subordinate-ids fix)" "usermod --add-subuids"
	assert_contains "$(check subordinate-ids fix)" "$VRUN_TEST_PLAIN"
	assert_lacks "$(check subordinate-ids fix)" "sudo"
}

# bats test_tags=identity:root
@test "under sudo the one who called it is examined too" {
	need_user
	run --separate-stderr env SUDO_UID="$(id -u "$VRUN_TEST_USER")" "$VRUN" doctor --json
	assert_equal "$(jq -r '.users[1].name' <<<"$output")" "$VRUN_TEST_USER"
	run --separate-stderr vrun doctor --json --user "$(id -u "$VRUN_TEST_USER")"
	assert_equal "$(jq -r '.users[1].name' <<<"$output")" "$VRUN_TEST_USER" "by number"
}

# bats test_tags=identity:root
@test "as a user and for that user by root the same is found" {
	local own other filter

	need_user
	filter='[.checks[] | select(.id | IN("user-namespaces", "namespaces", "mounts", "overlay", "veth",
		"subordinate-ids", "supervision", "seccomp", "user-notification")) |
		select(.uid == ($uid | tonumber)) | {id, status, found}]'
	own=$(as_user "$VRUN" doctor --json | jq --arg uid "$(id -u "$VRUN_TEST_USER")" "$filter")
	other=$(vrun doctor --json --user "$VRUN_TEST_USER" |
		jq --arg uid "$(id -u "$VRUN_TEST_USER")" "$filter")
	assert_equal "$other" "$own"
}

@test "what cannot be understood, and a report that cannot be written, are vrun's own failures" {
	run --separate-stderr vrun doctor --wrong
	assert_vrun_error doctor
	run --separate-stderr vrun doctor somebody
	assert_vrun_error "no arguments"
	run --separate-stderr vrun doctor --user "no such user"
	assert_vrun_error "no user of that name"
	run --separate-stderr bash -c '"$VRUN" doctor --json >/dev/full'
	assert_vrun_error "writing the report"
	run --separate-stderr bash -c '"$VRUN" doctor >/dev/full'
	assert_vrun_error "writing the report"
}
