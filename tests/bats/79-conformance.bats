#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# What the runtime specification asks for and other tests do not: found with
# the OCI validation suite (opencontainers/runtime-tools), beside crun.

# shellcheck disable=SC2030,SC2031,SC2154 # each test is a subshell
bats_require_minimum_version 1.5.0
load helper

setup()
{
	helper_setup
	ROOT=$T/run/oci
	mkdir -m 0700 "$ROOT"
}

oci()
{
	"$VRUN" --root "$ROOT" "$@"
}

# What taking on an identity and entering a directory needs, which a profile may keep from the app.
PROFILE='{defaultAction: "SCMP_ACT_ALLOW", syscalls: [{action: "SCMP_ACT_ERRNO", names: ["openat2", "fchdir", "chdir",
	"setresuid", "setresgid", "setgroups", "capset", "prctl", "landlock_create_ruleset", "landlock_add_rule",
	"landlock_restrict_self", "setsid", "close_range", "dup2", "umask"]}]}'

@test "a profile that refuses what vrun itself calls is no hindrance, with or without noNewPrivileges" {
	local new

	for new in true false; do
		make_bundle "$T/b-$new" '.process.args = ["cat", "/proc/self/status"]' ".process.noNewPrivileges = $new" \
			'.process.cwd = "/tmp"' ".linux.seccomp = $PROFILE"
		run -0 --separate-stderr "$VRUN" run "$T/b-$new"
		assert_matches "$output" $'\nSeccomp:\t2\n'
		assert_matches "$output" $'\nNoNewPrivs:\t'"$([[ $new == true ]] && echo 1 || echo 0)"$'\n'
		# The right to load a filter is gone with the exec.
		assert_matches "$output" $'\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nCapBnd:\t0000000000000000\nCapAmb:\t0000000000000000\n'
	done
	run -0 --separate-stderr "$VRUN" run --init "$T/b-false"
	assert_matches "$output" $'\nCapPrm:\t0000000000000000\n'
}

@test "so it is for another user, with capabilities, and for what is put in later" {
	local id

	make_bundle "$T/b" '.process.args = ["cat", "/proc/self/status"]' '.process.noNewPrivileges = false' \
		".linux.seccomp = $PROFILE" '.process.user = {uid: 1000, gid: 1000}' \
		'.process.capabilities = {bounding: ["CAP_CHOWN"], permitted: ["CAP_CHOWN"], effective: ["CAP_CHOWN"], inheritable: ["CAP_CHOWN"], ambient: ["CAP_CHOWN"]}'
	run -0 --separate-stderr "$VRUN" run "$T/b"
	assert_matches "$output" $'\nUid:\t1000\t1000\t1000\t1000\n'
	assert_matches "$output" $'\nCapInh:\t0000000000000001\nCapPrm:\t0000000000000001\nCapEff:\t0000000000000001\nCapBnd:\t0000000000000001\nCapAmb:\t0000000000000001\n'
	edit_bundle "$T/b" '.process.args = ["sleep", "1000"]'
	new_id
	id=$REPLY
	oci create -b "$T/b" "$id" </dev/null >/dev/null
	oci start "$id"
	run -0 --separate-stderr oci exec "$id" cat /proc/self/status
	assert_matches "$output" $'\nCapPrm:\t0000000000000001\nCapEff:\t0000000000000001\nCapBnd:\t0000000000000001\n'
	assert_matches "$output" $'\nSeccomp:\t2\n'
	oci delete --force "$id"
	rm -rf "$ROOT" "$T/run/vrun/filters"
	assert_nothing_left
}

# Optional fields of the root's line in mountinfo(5).
root_is() # FIELDS
{
	assert_matches "$(awk '$5 == "/" { f = ""; for (i = 7; $i != "-"; i++) f = f $i " "; print f }' <<<"$output")" "$1"
}

@test "rootfsPropagation is what the root of the app has" {
	local kind

	for kind in shared rshared; do
		make_bundle "$T/$kind" '.process.args = ["cat", "/proc/self/mountinfo"]' ".linux.rootfsPropagation = \"$kind\""
		run -0 --separate-stderr "$VRUN" run "$T/$kind"
		root_is '^shared:[0-9]+ $'
	done
	for kind in private rprivate slave rslave; do
		make_bundle "$T/$kind" '.process.args = ["cat", "/proc/self/mountinfo"]' ".linux.rootfsPropagation = \"$kind\""
		run -0 --separate-stderr "$VRUN" run "$T/$kind"
		root_is '^$'
	done
	make_bundle "$T/none" '.process.args = ["cat", "/proc/self/mountinfo"]' '.linux.rootfsPropagation = "unbindable"'
	run -0 --separate-stderr "$VRUN" run "$T/none"
	root_is '^unbindable $'
}

@test "options of tmpfs do nothing on a bind" {
	mkdir -m 0755 "$T/shown"
	echo yes >"$T/shown/file"
	make_bundle "$T/b" '.process.args = ["sh", "-c", "cat /mnt/file; stat -c %a /mnt"]' \
		'.mounts += [{destination: "/mnt", source: "'"$T/shown"'", options: ["nosuid", "mode=700", "size=1k", "rbind", "rslave"]}]'
	run -0 --separate-stderr "$VRUN" run "$T/b"
	assert_output yes$'\n'755
}

# By when they were made, which Linux 6.8 began with; what is mounted nowhere it copies from 6.15 on.
kernel_tells_order()
{
	local major minor

	IFS=. read -r major minor _ <<<"$(uname -r)"
	minor=${minor%%[^0-9]*}
	((major < 6 || major > 6 || minor < 8 || minor >= 15))
}

@test "an engine's container has its mounts in the order of the bundle" {
	local id

	mkdir -m 0755 "$T/shown"
	make_bundle "$T/b" '.process.args = ["cut", "-d", " ", "-f", "5", "/proc/self/mountinfo"]' \
		".linux.namespaces |= map(select($(is_root && echo '.type != "user"' || echo true)))" \
		'.mounts = .mounts[:1] + [{destination: "/mnt", type: "tmpfs", source: "tmpfs"},
			{destination: "/mnt/one", type: "bind", source: "'"$T/shown"'", options: ["bind", "ro"]},
			{destination: "/mnt/two", type: "tmpfs", source: "tmpfs"},
			{destination: "/mnt/three", type: "bind", source: "'"$T/shown"'", options: ["rbind"]}] + .mounts[1:]'
	new_id
	id=$REPLY
	oci create -b "$T/b" "$id" </dev/null >"$T/said"
	oci start "$id"
	wait_until grep -q /dev "$T/said"
	if kernel_tells_order; then
		assert_equal "$(head -n 7 "$T/said")" "/
/proc
/mnt
/mnt/one
/mnt/two
/mnt/three
/dev"
	fi
	oci delete --force "$id"
	rm -rf "$ROOT"
	assert_nothing_left
}

# bats test_tags=identity:root
@test "cgroup v1 lists the bundle's devices in their order, before those that every container has" {
	local id dir

	make_bundle "$T/b" '.process.args = ["sleep", "1000"]' '.linux.resources.devices = [{allow: false, access: "rwm"},
		{allow: true, type: "c", major: 10, minor: 229, access: "rwm"}, {allow: true, type: "b", major: 8, minor: 20, access: "rw"}]'
	new_id
	id=$REPLY
	oci create -b "$T/b" --pid-file "$T/pid" "$id" </dev/null >/dev/null
	dir=$(sed -n 's/^[0-9]*:devices://p' "/proc/$(<"$T/pid")/cgroup")
	# On a system of v2 alone there is no list to read.
	if [[ -n $dir ]]; then
		assert_equal "$(head -n 2 "/sys/fs/cgroup/devices$dir/devices.list")" "c 10:229 rwm"$'\n'"b 8:20 rw"
		assert_contains "$(<"/sys/fs/cgroup/devices$dir/devices.list")" "c 1:3 rwm"
	fi
	oci delete --force "$id"
	rm -rf "$ROOT"
	assert_nothing_left
}

# Where the kernel has them, tests/vm/oci.sh looks at what they do.
@test "a profile or label of a module that is switched off is an error, or left out and said so" {
	local field filter

	for field in process.apparmorProfile process.selinuxLabel linux.mountLabel; do
		[[ $field != *apparmor* || $(cat /sys/module/apparmor/parameters/enabled 2>/dev/null) != Y ]] || continue
		[[ $field == *apparmor* || ! -e /sys/fs/selinux/enforce ]] || continue
		filter=".$field = \"some-label\""
		make_bundle "$T/${field#*.}" '.process.args = ["echo", "runs"]' "$filter"
		run --separate-stderr "$VRUN" run "$T/${field#*.}"
		assert_vrun_error "$field some-label:"
		assert_contains "$stderr" "is not enabled on this host"
		run -0 --separate-stderr "$VRUN" run --best-effort "$T/${field#*.}"
		assert_output runs
		assert_contains "$stderr" "left out: $field"
	done
	make_bundle "$T/plain" '.process.args = ["echo", "runs"]' '.process.apparmorProfile = "unconfined"'
	run -0 --separate-stderr "$VRUN" run "$T/plain"
	assert_output runs
	assert_equal "$("$VRUN" features | jq -c '[.linux.apparmor.enabled, .linux.selinux.enabled]')" '[true,true]'
}
