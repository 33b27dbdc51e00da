#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# `vrun run BUNDLE`: what goes in and what comes out.

# shellcheck disable=SC2154 # stderr comes from run --separate-stderr
bats_require_minimum_version 1.5.0
load helper

# A bundle whose program is a shell script.
script_bundle() # DIR SCRIPT [JQ_FILTER...]
{
	local dir=$1 script=$2

	shift 2
	make_bundle "$dir" "$@"
	jq --arg script "$script" '.process.args = ["/bin/sh", "-c", $script]' "$dir/config.json" \
		>"$dir/config.json.new"
	mv "$dir/config.json.new" "$dir/config.json"
}

# In the process that spawn makes, so that its pid is vrun's.
vrun_to() # FIFO BUNDLE [OPTIONS...]
{
	local fifo=$1 bundle=$2

	shift 2
	exec "$VRUN" run "$@" "$bundle" <>"$fifo.in" >"$fifo"
}

setup()
{
	helper_setup
	mkfifo out.in
}

teardown()
{
	rm -f "$T/out.in"
	helper_teardown
}

# --- exit status -----------------------------------------------------------------------

@test "the exit status of the app is vrun's" {
	local code

	make_bundle "$T/b"
	run vrun run "$T/b"
	assert_status 0
	assert_output ""
	for code in 1 42 125 255; do
		edit_bundle "$T/b" '.process.args = ["/bin/sh", "-c", "exit '"$code"'"]'
		run vrun run "$T/b"
		assert_status "$code"
		assert_output ""
	done
	assert_nothing_left
}

@test "signals that the caller ignores or blocks change nothing about the status" {
	local option

	script_bundle "$T/b" 'sh -c "exit 3"; exit $(($? + 4))'
	for option in --ignore-signal=CHLD --block-signal --ignore-signal; do
		run -7 timeout 20 env "$option" "$VRUN" run "$T/b"
		run -7 timeout 20 env "$option" "$VRUN" run --init "$T/b"
		run -7 timeout 20 env "$option" "$VRUN" run -T --cwd none -- sh -c 'sh -c "exit 3"; exit $(($? + 4))'
	done
	assert_nothing_left
}

@test "vrun BUNDLE is vrun run BUNDLE" {
	script_bundle "$T/b" 'echo here; exit 3'
	run vrun "$T/b"
	assert_status 3
	assert_output here
	cd "$T/b"
	run vrun .
	assert_status 3
	assert_output here
}

@test "a signal that ends the app is 128 and its number" {
	script_bundle "$T/b" 'kill -SEGV $$'
	run vrun run --init "$T/b"
	assert_status 139
	edit_bundle "$T/b" '.process.args[2] = "kill -KILL $$"'
	run vrun run --init "$T/b"
	assert_status 137
	assert_nothing_left
}

@test "the app's status counts with an init, not that of what it left running" {
	script_bundle "$T/b" 'sleep 1000 & exit 5'
	run vrun run --init "$T/b"
	assert_status 5
	run vrun run "$T/b"
	assert_status 5
	assert_nothing_left
}

# --- standard streams ---------------------------------------------------------------------

@test "standard input, output and error are the app's" {
	script_bundle "$T/b" 'read line; echo "out $line"; echo "err $line" >&2'
	run --separate-stderr vrun run "$T/b" <<<word
	assert_status 0
	assert_output "out word"
	assert_equal "$stderr" "err word"
}

@test "a megabyte passes through unchanged in both directions and the end of input arrives" {
	local sum

	make_bundle "$T/b" '.process.args = ["cat"]'
	head -c 1048577 /dev/urandom >data
	sum=$(sha256sum <data)
	assert_equal "$(vrun run "$T/b" <data | sha256sum)" "$sum" "from a file into a pipe"
	assert_equal "$(head -c 2000000 data | vrun run "$T/b" | sha256sum)" "$sum" "from a pipe"
	vrun run "$T/b" <data >copy
	assert_equal "$(sha256sum <copy)" "$sum" "into a file"
}

@test "streams that are sockets reach the app as pipes, and so does their end" {
	script_bundle "$T/b" 'for i in 0 1 2; do readlink /proc/self/fd/$i; done >/tmp/l; cat /tmp/l; cat'
	# socat hands the program a socket as both its input and its output, and shuts down its own
	# end's writing half when it has sent all.
	printf 'through\n' >in
	run timeout 60 socat -t 100 "EXEC:$VRUN run $T/b" - <in
	assert_lacks "$output" socket: "descriptors of the app"
	assert_contains "$output" through
	assert_status 0
	assert_nothing_left
}

@test "closed standard streams do not confuse anything" {
	script_bundle "$T/b" 'exit 6'
	run bash -c '"$VRUN" run "$0" <&- >&- 2>&-' "$T/b"
	assert_status 6
	assert_nothing_left
}

@test "a reader that goes away ends the app by a broken pipe, not vrun by an error" {
	make_bundle "$T/b" '.process.args = ["yes"]'
	run bash -c '{ "$VRUN" run --init "$0"; echo "$?" >&2; } | head -n 1' "$T/b"
	assert_contains "$output" y
	assert_contains "$output" 141
	assert_nothing_left
}

# --- what the app finds ------------------------------------------------------------------------

@test "the environment is the bundle's and nothing else" {
	make_bundle "$T/b" '.process.args = ["env"]' '.process.env = ["A=1", "PATH=/bin", "EMPTY="]'
	SECRET=token run vrun run "$T/b"
	assert_status 0
	assert_equal "$(sort <<<"$output")" $'A=1\nEMPTY=\nPATH=/bin\nVRUN_TEST_MARK='"$MARK"
}

@test "arguments arrive as they are" {
	make_bundle "$T/b" '.process.args = ["printf", "[%s]", "a b", "", "$HOME", "é\n"]'
	run vrun run "$T/b"
	assert_status 0
	assert_output $'[a b][][$HOME][é\n]'
}

@test "the working directory is the bundle's, and is made when it is missing" {
	make_bundle "$T/b" '.process.args = ["pwd"]' '.process.cwd = "/home/app"'
	run vrun run "$T/b"
	assert_status 0
	assert_output /home/app
	edit_bundle "$T/b" '.process.cwd = "/tmp/new/deep"'
	run vrun run "$T/b"
	assert_status 0
	assert_output /tmp/new/deep
}

@test "a working directory that cannot be made is an error that names it" {
	make_bundle "$T/b" '.process.cwd = "/etc/passwd"'
	run --separate-stderr vrun run "$T/b"
	assert_vrun_error /etc/passwd
	assert_nothing_left
}

@test "user, group and umask are the bundle's" {
	script_bundle "$T/b" 'id -u; id -g; umask; : >/tmp/f; stat -c %a /tmp/f' \
		'.process.user = { uid: 1000, gid: 1000, umask: 63 }'
	run vrun run "$T/b"
	assert_status 0
	assert_output $'1000\n1000\n0077\n600'
}

@test "additional groups are the bundle's" {
	need_subordinate_ids
	make_bundle "$T/b" '.process.args = ["id", "-G"]' \
		'.process.user = { uid: 1000, gid: 1000, additionalGids: [2000, 3000] }'
	run vrun run "$T/b"
	assert_status 0
	assert_output "1000 2000 3000"
}

# bats test_tags=identity:root
@test "without subordinate ids additional groups are refused, and the error says what to do" {
	need_plain_user
	make_bundle "$T/b" '.process.user.additionalGids = [2000]'
	run --separate-stderr as_plain_user "$VRUN" run "$T/b"
	assert_vrun_error 'group 2000'
	assert_contains "$stderr" /etc/subgid
}

@test "limits are set" {
	script_bundle "$T/b" 'ulimit -n; ulimit -Hn; ulimit -c' \
		'.process.rlimits = [{ type: "RLIMIT_NOFILE", soft: 100, hard: 200 },
			{ type: "RLIMIT_CORE", soft: 0, hard: 0 }]'
	run vrun run "$T/b"
	assert_status 0
	assert_output $'100\n200\n0'
}

@test "the score for the out-of-memory killer is set" {
	make_bundle "$T/b" '.process.args = ["cat", "/proc/self/oom_score_adj"]' \
		'.process.oomScoreAdj = 500'
	run vrun run "$T/b"
	assert_status 0
	assert_output 500
}

@test "niceness and I/O priority are set" {
	script_bundle "$T/b" 'cut -d" " -f19 /proc/self/stat; ionice -p $$' \
		'.process.scheduler = { policy: "SCHED_BATCH", nice: 19 }' \
		'.process.ioPriority = { class: "IOPRIO_CLASS_IDLE", priority: 0 }'
	run vrun run "$T/b"
	assert_status 0
	assert_equal "${lines[0]}" 19
	assert_contains "${lines[1]}" idle
}

# --- the program -------------------------------------------------------------------------------

@test "the program is looked up along the bundle's PATH, inside the root" {
	make_bundle "$T/b" '.process.args = ["mine"]' '.process.env = ["PATH=/nowhere:/opt/bin:/bin"]'
	mkdir -p "$T/b/rootfs/opt/bin"
	printf '#!/bin/sh\necho found\n' >"$T/b/rootfs/opt/bin/mine"
	chmod 0755 "$T/b/rootfs/opt/bin/mine"
	run -0 vrun run "$T/b"
	assert_output found
	# A name with a slash is not looked up; it is relative to the working directory.
	edit_bundle "$T/b" '.process.args = ["bin/mine"] | .process.cwd = "/opt"'
	run -0 vrun run "$T/b"
	assert_output found
}

@test "a program that does not exist is 127 and named" {
	make_bundle "$T/b" '.process.args = ["no-such-program"]'
	run -127 --separate-stderr vrun run "$T/b"
	assert_contains "$stderr" no-such-program
	edit_bundle "$T/b" '.process.args = ["/opt/none"]'
	run -127 --separate-stderr vrun run "$T/b"
	assert_contains "$stderr" /opt/none
	assert_nothing_left
}

@test "a program that cannot be executed is 126, and the error says why" {
	make_bundle "$T/b" '.process.args = ["/etc/passwd"]'
	run --separate-stderr vrun run "$T/b"
	assert_status 126
	assert_contains "$stderr" /etc/passwd
	edit_bundle "$T/b" '.process.args = ["/etc"]'
	run --separate-stderr vrun run "$T/b"
	assert_status 126
	assert_contains "$stderr" directory
	# Another machine's: an ELF file whose machine field is that of s390.
	head -c 4096 "$T/b/rootfs/bin/busybox" >"$T/b/rootfs/bin/foreign"
	printf '\x16\x00' | dd of="$T/b/rootfs/bin/foreign" bs=1 seek=18 conv=notrunc status=none
	chmod 0755 "$T/b/rootfs/bin/foreign"
	edit_bundle "$T/b" '.process.args = ["foreign"]'
	run --separate-stderr vrun run "$T/b"
	assert_status 126
	assert_contains "$stderr" architecture
	assert_nothing_left
}

@test "a script whose interpreter is missing names the interpreter" {
	make_bundle "$T/b" '.process.args = ["/bin/script"]'
	printf '#!/usr/bin/gone -x\n' >"$T/b/rootfs/bin/script"
	chmod 0755 "$T/b/rootfs/bin/script"
	run -127 --separate-stderr vrun run "$T/b"
	assert_contains "$stderr" /usr/bin/gone
}

# --- signals -------------------------------------------------------------------------------------

@test "signals are handed on, and the app decides what they mean" {
	local sig

	mkfifo out
	script_bundle "$T/b" 'trap "echo got TERM; exit 11" TERM; trap "echo got HUP; exit 12" HUP
		trap "echo got USR1; exit 13" USR1; echo ready; while :; do read x; done' 
	for sig in TERM:11 HUP:12 USR1:13; do
		exec 7<>out
		spawn app vrun_to out "$T/b"
		wait_line 7
		assert_equal "$REPLY" ready
		kill "-${sig%:*}" "${PID[app]}"
		wait_line 7
		assert_equal "$REPLY" "got ${sig%:*}"
		wait_exit "${PID[app]}"
		assert_equal "$status" "${sig#*:}"
	done
	exec 7>&-
	rm out
	assert_nothing_left
}

@test "a signal without a handler ends an app under an init" {
	mkfifo out
	script_bundle "$T/b" 'echo ready; read x'
	exec 7<>out
	spawn app vrun_to out "$T/b" --init
	wait_line 7
	kill -INT "${PID[app]}"
	wait_exit "${PID[app]}"
	assert_equal "$status" 130
	exec 7>&-
	rm out
	assert_nothing_left
}

@test "killing vrun ends everything in the sandbox" {
	local options

	mkfifo out
	script_bundle "$T/b" 'setsid sleep 1000 & trap "" HUP TERM; echo ready; read x'
	for options in "" --init; do
		exec 7<>out
		# shellcheck disable=SC2086 # a list of options
		spawn app vrun_to out "$T/b" $options
		wait_line 7
		kill -KILL "${PID[app]}"
		wait_exit "${PID[app]}"
		assert_equal "$status" 137
		rm -f out
		assert_nothing_left
		mkfifo out
	done
	exec 7>&-
}

# bats test_tags=identity:root
@test "vrun's own processes need less than two megabytes together" {
	local pid kib sum=0 seen=""

	mkfifo out
	script_bundle "$T/b" 'echo ready; read x'
	exec 7<>out
	spawn app vrun_to out "$T/b"
	wait_line 7
	for pid in "${PID[app]}" $(cat "/proc/${PID[app]}/task/${PID[app]}/children"); do
		[[ $(readlink "/proc/$pid/exe") == "$(realpath "$VRUN")" ]] || continue
		kib=$(awk '$1 == "Pss:" { print $2 }' "/proc/$pid/smaps_rollup")
		seen+=" $pid:$kib"
		sum=$((sum + kib))
	done
	kill -TERM "${PID[app]}"
	wait_exit "${PID[app]}"
	exec 7>&-
	assert_equal "$(wc -w <<<"$seen")" 2
	((sum > 0 && sum < 2048)) || fail "want less than 2048 KiB, have $sum:$seen"
}

@test "an app that stops is not the end, and goes on" {
	mkfifo out
	script_bundle "$T/b" 'echo ready; read x; echo "$x"; exit 4'
	exec 7<>out 8<>out.in
	spawn app vrun_to out "$T/b"
	wait_line 7
	kill -STOP "${PID[app]}"
	kill -CONT "${PID[app]}"
	echo on >&8
	wait_line 7
	assert_equal "$REPLY" on
	wait_exit "${PID[app]}"
	assert_equal "$status" 4
	exec 7>&- 8>&-
}

# --- in the background: -d, ps, kill -----------------------------------------------------------------

@test "-d prints the id and returns while the app runs" {
	new_id
	make_bundle "$T/b" '.process.args = ["sleep", "1000"]'
	# A caller that reads the id to the end is not kept waiting by an app that has the pipe too.
	spawn caller bash -c 'id=$("$VRUN" run -d --id "$0" "$1"); echo "got $id"' "$REPLY" "$T/b"
	wait_exit "${PID[caller]}"
	assert_equal "$(<caller.out)" "got $REPLY"
	assert_equal "$(record "$REPLY" .status)" running
	end_sandbox "$REPLY"
	assert_nothing_left
}

@test "ps lists a sandbox and kill ends it as the app wants to end" {
	script_bundle "$T/b" 'trap "echo bye >/out/said; exit 0" TERM; : >/out/ready
		while :; do sleep 1000 & wait; done' \
		'.mounts += [{ destination: "/out", type: "bind", source: (env.T + "/out"), options: ["rbind"] }]'
	mkdir -m 0777 out
	run_detached "$T/b"
	wait_path out/ready
	run vrun ps
	assert_contains "$output" "$REPLY"
	assert_contains "$output" "$T/b"
	end_sandbox "$REPLY" TERM
	assert_equal "$(<out/said)" bye
	assert_nothing_left
}

@test "ps --json has id, pid and bundle of a sandbox that runs" {
	local pid

	make_bundle "$T/b" '.process.args = ["sleep", "1000"]'
	run_detached "$T/b"
	assert_equal "$(record "$REPLY" .bundle)" "$T/b"
	pid=$(record "$REPLY" .pid)
	assert_equal "$(tr '\0' ' ' <"/proc/$pid/cmdline")" "sleep 1000 "
	end_sandbox "$REPLY"
	assert_equal "$(record "$REPLY" .id)" ''
	assert_nothing_left
}

@test "an id that is in use is refused, one that is free again is not" {
	local id

	make_bundle "$T/b" '.process.args = ["sleep", "1000"]'
	run_detached "$T/b"
	id=$REPLY
	run --separate-stderr vrun run --id "$id" "$T/b"
	assert_vrun_error "$id"
	end_sandbox "$id" SIGKILL
	edit_bundle "$T/b" '.process.args = ["true"]'
	run vrun run --id "$id" "$T/b"
	assert_status 0
	assert_nothing_left
}

@test "-d reports a program that cannot be started by its status" {
	make_bundle "$T/b" '.process.args = ["gone"]'
	run -127 --separate-stderr vrun run -d "$T/b"
	assert_output ""
	assert_contains "$stderr" gone
	assert_nothing_left
}

@test "a sandbox in the background outlives its caller's session" {
	make_bundle "$T/b" '.process.args = ["sleep", "1000"]'
	new_id
	# A leader that ends hangs up on its session.
	setsid -w bash -c '"$VRUN" run -d --id "$0" "$1" </dev/null >/dev/null 2>&1' "$REPLY" "$T/b"
	assert_equal "$(record "$REPLY" .status)" running
	end_sandbox "$REPLY"
	assert_nothing_left
}

@test "kill says what it does not know" {
	run -1 --separate-stderr vrun kill no-such-sandbox
	assert_contains "$stderr" "vrun: no container with the id no-such-sandbox"
	run -1 --separate-stderr vrun kill ../../etc/passwd
	assert_contains "$stderr" 'vrun: container id "../../etc/passwd" is not valid'
	make_bundle "$T/b" '.process.args = ["sleep", "1000"]'
	run_detached "$T/b"
	run -1 --separate-stderr vrun kill "$REPLY" NOSUCH
	assert_contains "$stderr" 'vrun: kill: "NOSUCH" is no signal'
	end_sandbox "$REPLY" 9
}

@test "the record of a vrun that was killed does not block its id" {
	mkfifo out
	new_id
	script_bundle "$T/b" 'echo ready; read x'
	exec 7<>out
	spawn app vrun_to out "$T/b" --id "$REPLY"
	wait_line 7
	kill -KILL "${PID[app]}"
	wait_exit "${PID[app]}"
	exec 7>&-
	edit_bundle "$T/b" '.process.args = ["true"]'
	run vrun run --id "$REPLY" "$T/b"
	assert_status 0
	rm out
	assert_nothing_left
}

@test "--pid-file has the pid of the sandbox's first process" {
	make_bundle "$T/b" '.process.args = ["sleep", "1000"]'
	run_detached --pid-file "$T/pid" "$T/b"
	assert_equal "$(<"$T/pid")" "$(record "$REPLY" .pid)"
	end_sandbox "$REPLY"
}

# --- descriptors ---------------------------------------------------------------------------------

@test "no descriptor but the standard streams reaches the app" {
	script_bundle "$T/b" 'for fd in $(seq 0 63); do [ ! -e /proc/$$/fd/$fd ] || echo $fd; done'
	exec 9<"$T" 10</etc/passwd
	run vrun run "$T/b" </dev/null
	exec 9<&- 10<&-
	assert_status 0
	assert_output $'0\n1\n2'
}

@test "--preserve-fds hands on as many as it says" {
	script_bundle "$T/b" 'cat <&4; for fd in $(seq 0 63); do [ ! -e /proc/$$/fd/$fd ] || echo $fd; done'
	printf 'kept\n' >kept
	run bash -c 'exec 3</dev/null 4<kept 5</etc/passwd; exec "$VRUN" run --preserve-fds 2 "$0" </dev/null' "$T/b"
	assert_status 0
	assert_output $'kept\n0\n1\n2\n3\n4'
}

@test "--preserve-fds refuses a socket of the host" {
	make_bundle "$T/b"
	# socat hands a program a socket as its standard input.
	cat >go <<-EOF
		#!/bin/bash
		exec 3<&0 </dev/null >"$T/out" 2>"$T/err"
		"$VRUN" run --preserve-fds 1 "$T/b"
		echo "\$?" >"$T/status"
	EOF
	chmod 0755 go
	socat "EXEC:$T/go" - </dev/null
	assert_equal "$(<status)" 125
	assert_contains "$(<err)" socket
	assert_nothing_left
}

# --- bad input ------------------------------------------------------------------------------------

@test "without arguments vrun says how it is used" {
	run --separate-stderr vrun
	assert_status 125
	assert_contains "$stderr" "Usage:"
}

@test "an unknown command, option or bundle is named" {
	run --separate-stderr vrun rnu "$T"
	assert_vrun_error rnu
	run --separate-stderr vrun run --no-such
	assert_status 125
	run --separate-stderr vrun run "$T/none"
	assert_vrun_error "$T/none"
	run --separate-stderr vrun run
	assert_status 125
	make_bundle "$T/b"
	run --separate-stderr vrun run "$T/b" extra
	assert_vrun_error extra
}

@test "an empty directory is no bundle" {
	mkdir empty
	run --separate-stderr vrun run "$T/empty"
	assert_vrun_error config.json
	run --separate-stderr vrun run /etc/passwd
	assert_vrun_error /etc/passwd
}

@test "broken JSON is reported with its line" {
	make_bundle "$T/b"
	printf '{\n  "ociVersion": "1.2.0",\n  oops\n}\n' >"$T/b/config.json"
	run --separate-stderr vrun run "$T/b"
	assert_vrun_error 'config.json:3'
	: >"$T/b/config.json"
	run --separate-stderr vrun run "$T/b"
	assert_vrun_error 'config.json'
}

@test "wrong types are reported with line and path" {
	make_bundle "$T/b" '.process.args = "true"'
	run --separate-stderr vrun run "$T/b"
	assert_vrun_error 'process.args'
	edit_bundle "$T/b" '.process.args = ["true", 5]'
	run --separate-stderr vrun run "$T/b"
	assert_vrun_error 'process.args[1]'
	assert_matches "$stderr" 'config.json:[0-9]+'
	edit_bundle "$T/b" '.process.args = []'
	run --separate-stderr vrun run "$T/b"
	assert_vrun_error 'process.args'
	edit_bundle "$T/b" '.process.args = ["true"] | .process.cwd = "relative"'
	run --separate-stderr vrun run "$T/b"
	assert_vrun_error 'process.cwd'
}

@test "control characters of a bundle do not reach the terminal" {
	local where text

	for where in '.process.args = ["\u001b]0;owned\u0007none"]' '.mounts += [{ destination: "/x", type: "\u001b]0;owned\u0007none" }]' \
		'.mounts += [{ destination: "/x", type: "tmpfs", options: ["\u001b]0;owned\u0007none"] }]' \
		'.root.path = "\u001b]0;owned\u0007none"' '.linux.cgroupsPath = "\u001b]0;owned\u0007none" | .linux.resources = { pids: { limit: -7 } }' \
		'.mounts += [{ destination: "/x", type: "bind", source: "\u001b]0;owned\u0007none", options: ["bind"] }]'; do
		make_bundle "$T/b" "$where"
		status=0
		text=$("$VRUN" run "$T/b" 2>&1) || status=$?
		((status == 125 || status == 127)) || fail "$where: status $status, $text"
		assert_contains "$text" "vrun: "
		assert_lacks "$text" $'\e'
		assert_lacks "$text" $'\a'
		rm -rf "$T/b"
	done
}

@test "a missing root file system is named" {
	make_bundle "$T/b" '.root.path = "nowhere"'
	run --separate-stderr vrun run "$T/b"
	assert_vrun_error nowhere
	edit_bundle "$T/b" '.root.path = "config.json"'
	run --separate-stderr vrun run "$T/b"
	assert_vrun_error config.json
	edit_bundle "$T/b" 'del(.root)'
	run --separate-stderr vrun run "$T/b"
	assert_vrun_error root
	assert_nothing_left
}

# bats test_tags=identity:user
@test "a bundle that may not be read is named" {
	make_bundle "$T/b"
	chmod 000 "$T/b/config.json"
	run --separate-stderr vrun run "$T/b"
	assert_vrun_error 'config.json'
	assert_contains "$stderr" 'Permission denied'
	chmod 644 "$T/b/config.json"
	chmod 000 "$T/b/rootfs"
	run --separate-stderr vrun run "$T/b"
	assert_vrun_error "root filesystem $T/b/rootfs: Permission denied"
	chmod 755 "$T/b/rootfs"
	assert_nothing_left
}

@test "a state directory that cannot be made is named" {
	make_bundle "$T/b"
	run --separate-stderr vrun run --root "$T/none/here" "$T/b"
	assert_vrun_error "$T/none/here"
	: >file
	run --separate-stderr vrun run --root "$T/file" "$T/b"
	assert_vrun_error "$T/file"
	assert_nothing_left
}

# bats test_tags=identity:user
@test "a state directory that cannot be written to is named" {
	make_bundle "$T/b"
	mkdir -m 0500 state
	run --separate-stderr vrun run --root "$T/state" "$T/b"
	assert_vrun_error "$T/state"
	chmod 0500 "$T/run"
	run --separate-stderr vrun run "$T/b"
	assert_vrun_error "$T/run"
	chmod 0700 "$T/run"
	assert_nothing_left
}

@test "a state directory that others can read, or that is a link, is refused" {
	make_bundle "$T/b"
	mkdir -m 0755 state
	run --separate-stderr vrun run --root "$T/state" "$T/b"
	assert_vrun_error "$T/state"
	chmod 0700 state
	ln -s state link
	run --separate-stderr vrun run --root "$T/link" "$T/b"
	assert_vrun_error "$T/link"
	assert_nothing_left
}

@test "an id that is no name is refused" {
	local id

	make_bundle "$T/b"
	for id in "" . .. ../x a/b -x 'a b' $'a\nb' "$(printf 'a%.0s' {1..200})"; do
		run --separate-stderr vrun run --id "$id" "$T/b"
		assert_status 125
	done
	[[ ! -e $T/x ]]
	assert_nothing_left
}

@test "what vrun does not know how to honour is an error" {
	make_bundle "$T/b" '.linux.intelRdt = { closID: "x" }'
	run --separate-stderr vrun run "$T/b"
	assert_vrun_error intelRdt
	edit_bundle "$T/b" 'del(.linux.intelRdt) | .process.apparmorProfile = "x"'
	run --separate-stderr vrun run "$T/b"
	assert_status 125
	edit_bundle "$T/b" 'del(.process.apparmorProfile) | .process.capabilities.bounding = ["CAP_NONE"]'
	run --separate-stderr vrun run "$T/b"
	assert_status 125
	assert_nothing_left
}
