#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# The state in which an app starts: capabilities, privileges, filter, signals, terminal; and that
# nothing is left of a launch that is cut short at any moment. What a hostile app or bundle tries
# from there is in 20-escape.bats.

# shellcheck disable=SC2030,SC2031,SC2154 # status, output and stderr are set by run, test by test
bats_require_minimum_version 1.5.0
load helper

script() # DIR SCRIPT
{
	jq --arg script "$2" '.process.args = ["/bin/sh", "-c", $script]' "$1/config.json" \
		>"$1/config.json.new" && mv "$1/config.json.new" "$1/config.json"
}

# --- capabilities ---------------------------------------------------------------------------

# CAP_NET_BIND_SERVICE is 10, CAP_CHOWN 0, CAP_KILL 5: masks 0x400, 0x1, 0x20.
@test "each of the five capability sets is the bundle's" {
	make_bundle "$T/b" '.process.capabilities = {
		bounding: ["CAP_NET_BIND_SERVICE", "CAP_CHOWN", "CAP_KILL"],
		permitted: ["CAP_NET_BIND_SERVICE", "CAP_CHOWN"],
		effective: ["CAP_CHOWN"],
		inheritable: ["CAP_NET_BIND_SERVICE"],
		ambient: ["CAP_NET_BIND_SERVICE"] }' '.process.user = { uid: 1000, gid: 1000 }' \
		'.process.args = ["grep", "^Cap", "/proc/self/status"]'
	run -0 vrun run "$T/b"
	# An exec as another id than 0 keeps what is ambient, in permitted and effective.
	assert_equal "$output" "CapInh:	0000000000000400
CapPrm:	0000000000000400
CapEff:	0000000000000400
CapBnd:	0000000000000421
CapAmb:	0000000000000400"
	# As uid 0 the exec gives what bounding and inheritable allow, but with no_new_privs only as far
	# as it was permitted before.
	edit_bundle "$T/b" '.process.user = { uid: 0, gid: 0 } | .process.capabilities.ambient = []'
	run -0 vrun run "$T/b"
	assert_contains "$output" 'CapEff:	0000000000000401'
}

@test "without capabilities in the bundle there are none" {
	make_bundle "$T/b" 'del(.process.capabilities)' \
		'.process.args = ["grep", "^Cap", "/proc/self/status"]'
	run -0 vrun run "$T/b"
	assert_equal "$(grep -c 0000000000000000 <<<"$output")" 5
}

@test "a capability that does not exist is refused by name" {
	make_bundle "$T/b" '.process.capabilities.effective = ["CAP_ROOT"]'
	run --separate-stderr vrun run "$T/b"
	assert_vrun_error CAP_ROOT
}

@test "a set-user-id program gives nothing" {
	need_subordinate_ids
	make_bundle "$T/b" '.process.user = { uid: 1000, gid: 1000 }'
	mkdir "$T/b/rootfs/suid"
	cp "$T/b/rootfs/bin/busybox" "$T/b/rootfs/suid/id"
	chmod 4755 "$T/b/rootfs/suid/id"
	script "$T/b" '/suid/id -u; grep NoNewPrivs /proc/self/status'
	run vrun run "$T/b"
	assert_output $'1000\nNoNewPrivs:\t1'
}

@test "noNewPrivileges false is honoured" {
	make_bundle "$T/b" '.process.noNewPrivileges = false' \
		'.process.args = ["grep", "NoNewPrivs", "/proc/self/status"]'
	run -0 vrun run "$T/b"
	assert_output $'NoNewPrivs:\t0'
}

# --- filter -------------------------------------------------------------------------------------

@test "a bundle without a profile gets vrun's, one filter and no more" {
	make_bundle "$T/b" '.process.args = ["grep", "^Seccomp", "/proc/self/status"]'
	run -0 vrun run "$T/b"
	assert_output $'Seccomp:\t2\nSeccomp_filters:\t1'
}

@test "a bundle's own profile is used in place of vrun's" {
	make_bundle "$T/b" '.linux.seccomp = { defaultAction: "SCMP_ACT_ALLOW",
		syscalls: [{ names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO", errnoRet: 28 },
			{ names: ["sync"], action: "SCMP_ACT_KILL_PROCESS" }] }'
	script "$T/b" 'mkdir /tmp/x; touch /tmp/y && echo made; sync; echo "$?"'
	run vrun run "$T/b"
	assert_contains "$output" 'No space left on device'
	assert_contains "$output" made
	assert_contains "$output" 159
}

@test "a profile's argument rules compare what they say" {
	make_bundle "$T/b" '.linux.seccomp = { defaultAction: "SCMP_ACT_ALLOW",
		syscalls: [{ names: ["kill"], action: "SCMP_ACT_ERRNO", errnoRet: 1,
			args: [{ index: 1, value: 10, op: "SCMP_CMP_EQ" }] }] }'
	# 10 is USR1, 12 is USR2.
	script "$T/b" 'trap "echo usr2" USR2; trap "echo usr1" USR1; kill -USR1 $$; kill -USR2 $$; true'
	run -0 vrun run "$T/b"
	assert_contains "$output" usr2
	assert_lacks "$output" usr1
	assert_matches "$output" 'permitted'
}

@test "a broken profile is refused, and the error names the place" {
	make_bundle "$T/b" '.linux.seccomp = { defaultAction: "SCMP_ACT_NOTHING" }'
	run --separate-stderr vrun run "$T/b"
	assert_vrun_error SCMP_ACT_NOTHING
	edit_bundle "$T/b" '.linux.seccomp = { defaultAction: "SCMP_ACT_ALLOW",
		syscalls: [{ names: ["mkdir"], action: "SCMP_ACT_ERRNO",
			args: [{ index: 9, value: 1, op: "SCMP_CMP_EQ" }] }] }'
	run --separate-stderr vrun run "$T/b"
	assert_vrun_error index
	assert_nothing_left
}

# --- inherited state ---------------------------------------------------------------------------------

@test "no signal is blocked, caught or ignored for the app that the caller did not ignore" {
	make_bundle "$T/b" '.process.args = ["grep", "^Sig[BIC]", "/proc/self/status"]'
	# As with any program that a shell starts: nohup has to work. USR1 is 0x200.
	run -0 bash -c 'trap "" USR1; trap "true" USR2 TERM; exec "$VRUN" run "$0"' "$T/b"
	assert_equal "$output" "SigBlk:	0000000000000000
SigIgn:	0000000000000200
SigCgt:	0000000000000000"
}

@test "the caller's umask, niceness and limits do not weaken the bundle's" {
	make_bundle "$T/b" '.process.rlimits = [{ type: "RLIMIT_NOFILE", soft: 64, hard: 64 }]'
	script "$T/b" 'ulimit -Hn; umask'
	run -0 bash -c 'umask 0; exec "$VRUN" run "$0"' "$T/b"
	assert_equal "${lines[0]}" 64
	assert_equal "${lines[1]}" 0022
}

@test "the app is a session of its own and cannot signal its caller's" {
	make_bundle "$T/b"
	script "$T/b" 'cut -d" " -f5-7 /proc/self/stat; kill -0 -- -'"$$"' 2>&1'
	run vrun run "$T/b"
	# Process group and session are those of process 1; there is no terminal.
	assert_equal "${lines[0]}" "1 1 0"
	assert_contains "$output" 'No such process'
}

# --- terminal ----------------------------------------------------------------------------------------------

# Runs a shell command with a terminal of 40 lines and 100 columns; what it shows is in $output.
on_terminal() # COMMAND
{
	run command script -qec "stty rows 40 cols 100; $1" /dev/null </dev/null
	output=${output//$'\r'/}
}

@test "a bundle's terminal is its own, has the caller's size, and is the app's controlling one" {
	make_bundle "$T/b" '.process.terminal = true'
	script "$T/b" 'tty; stty size; echo >/dev/tty hello; readlink /proc/self/fd/0 /proc/self/fd/2
		cut -d" " -f7 /proc/self/stat; ls /dev/pts'
	on_terminal "$VRUN run $T/b"
	assert_contains "$output" /dev/pts/0
	assert_contains "$output" "40 100"
	assert_contains "$output" hello
	# The only one in the sandbox's own /dev/pts; and not "none".
	assert_matches "$output" $'\n'"34816"
	assert_nothing_left
}

@test "consoleSize is the size when the caller has none" {
	make_bundle "$T/b" '.process.terminal = true' '.process.consoleSize = { height: 33, width: 77 }'
	script "$T/b" 'stty size'
	run vrun run "$T/b" </dev/null
	assert_contains "$output" "33 77"
}

@test "the caller's terminal is as before, whatever the app did to its own" {
	make_bundle "$T/b" '.process.terminal = true'
	script "$T/b" 'stty raw -echo; exit 3'
	on_terminal "stty -a >$T/before; $VRUN run $T/b; echo status \$?; stty -a >$T/after"
	assert_contains "$output" "status 3"
	assert_equal "$(<after)" "$(<before)"
}

@test "the caller's terminal is as before also when vrun is killed" {
	make_bundle "$T/b" '.process.terminal = true'
	script "$T/b" 'kill -STOP 1; echo ready; sleep 1000'
	on_terminal "stty -a >$T/before; $VRUN run --id $MARK-tty $T/b & p=\$!
		while ! $VRUN ps -q | grep -qx $MARK-tty; do :; done
		kill -KILL \$p; wait \$p; stty -a >$T/now; for i in \$(seq 5000); do
		stty -a >$T/after; cmp -s $T/before $T/after && break; done"
	assert_equal "$(<after)" "$(<before)"
	assert_nothing_left
}

@test "without a terminal in the bundle the caller's is not the app's controlling one" {
	make_bundle "$T/b"
	script "$T/b" 'cut -d" " -f7 /proc/self/stat; true </dev/tty'
	on_terminal "$VRUN run $T/b"
	assert_matches "$output" '^0'
	assert_contains "$output" "/dev/tty"
	assert_contains "$output" "No such device or address"
}

@test "a command on a terminal gets one of its own, and -T prevents it" {
	mkdir work
	cd work
	on_terminal "$VRUN run -- sh -c 'tty; stty size'"
	assert_contains "$output" /dev/pts/0
	assert_contains "$output" "40 100"
	on_terminal "$VRUN run -T -- sh -c 'ls /dev/pts'"
	assert_lacks "$output" 0
}

# --- cut short at any moment ---------------------------------------------------------------------------------

# Ends vrun with a signal after ever longer parts of a launch, and looks for what is left each time.
cut_short() # SIGNAL COMMAND...
{
	local sig=$1 i

	shift
	for i in {0..24}; do
		# From at once to later than a launch takes.
		run timeout -s "$sig" "$(printf '0.%04d' $((i * i * 3 + 1)))" "$@" </dev/null
		assert_not_equal "$status" 0 "the app ran for ever, and yet vrun ended well"
	done
	assert_nothing_left
}

@test "Ctrl-C at any moment of a launch leaves nothing" {
	make_bundle "$T/b" '.process.args = ["sleep", "1000"]'
	cut_short INT "$VRUN" run --init "$T/b"
}

@test "SIGTERM at any moment of a launch leaves nothing" {
	make_bundle "$T/b" '.process.args = ["sleep", "1000"]'
	cut_short TERM "$VRUN" run --init "$T/b"
}

@test "SIGKILL at any moment of a launch leaves nothing" {
	make_bundle "$T/b" '.process.args = ["sleep", "1000"]' \
		'.annotations["org.vrun.overlay"] = "tmpfs"'
	cut_short KILL "$VRUN" run "$T/b"
	# A record whose vrun was killed is removed by whoever sees it.
	run -0 vrun ps -q
	assert_lacks "$output" "$MARK"
}

@test "SIGKILL at any moment of a command's launch leaves nothing" {
	mkdir work
	cd work
	new_id
	# With an id by which its record is known to be this test's.
	cut_short KILL "$VRUN" run -T --id "$REPLY" -- sleep 1000
}

@test "when the keeper is killed the sandbox still ends with vrun" {
	local keeper

	make_bundle "$T/b" '.process.args = ["sleep", "1000"]'
	spawn app "$VRUN" run "$T/b"
	wait_until has_keeper "${PID[app]}"
	keeper=$(pgrep -P "${PID[app]}" -x vrun-keeper)
	kill -KILL "$keeper"
	kill -KILL "${PID[app]}"
	wait_exit "${PID[app]}"
	run vrun ps -q
	assert_nothing_left
}

has_keeper() # PID
{
	pgrep -P "$1" -x vrun-keeper >/dev/null
}

@test "an app that uses up its processes or descriptors harms nobody outside" {
	make_bundle "$T/b" '.process.rlimits = [{ type: "RLIMIT_NOFILE", soft: 20, hard: 20 }]'
	# shellcheck disable=SC2034
	script "$T/b" 'i=0; for fd in $(seq 3 40); do eval "exec $fd</dev/null" || break; done; echo end'
	run vrun run "$T/b"
	run -0 vrun ps
	assert_nothing_left
}
