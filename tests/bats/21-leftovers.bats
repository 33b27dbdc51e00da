#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# Whatever ends vrun, and whenever: no process, mount, control group, namespace or record is left.
# The moments are exact: strace sends the signal at the entry of each system call that a launch
# makes, one after the other. 13-hardening.bats does the same by the clock.

bats_require_minimum_version 1.5.0
load helper
: "${stderr=}" # set by run --separate-stderr

# Calls that wait, make or remove something. What merely looks is no moment of its own.
MOMENTS=clone,clone3,vfork,openat,close,socketpair,mkdir,mkdirat,rmdir,linkat,unlinkat,flock,signalfd4
MOMENTS+=,setpgid,open_tree,mount_setattr,write,sendto,sendmsg,recvmsg,poll,kill,pidfd_send_signal,waitid
MOMENTS+=,wait4,rt_sigprocmask,exit_group
# Those of its other processes that the monitor does not make.
OTHERS=setns,unshare,move_mount,fsopen,fsmount,pivot_root,umount2,sethostname,mkdirat,symlinkat,openat2
OTHERS+=,capset,seccomp,landlock_restrict_self,setresuid,setresgid,fork,socket,sendto,recvfrom,sendmsg
OTHERS+=,recvmsg,poll,close_range,wait4,waitid,mount_setattr,setsid,exit_group

setup()
{
	helper_setup
	need_command strace
	ulimit -c 0
	mkdir -m 0755 work
	cd work || return 1
}

# "CALL N" for each of the calls that a command makes by itself (its children not); with -f those of
# its other processes that strike none of its own.
moments() # [-f] CALLS COMMAND...
{
	local children=()

	[[ $1 != -f ]] || { children=(-f); shift; }
	# The first line is the command's own execve.
	strace "${children[@]}" -qq -e signal=none -o "$T/calls" -e trace="execve,$1" "${@:2}" </dev/null >/dev/null 2>&1
	awk -v others="${#children[@]}" '
		others { if (first == "") first = $1; pid = $1; sub(/^[0-9]+ +/, "") }
		/^[a-z0-9_]+\(/ { sub(/\(.*/, ""); made[pid, $0]++; calls[pid, $0 " " made[pid, $0]] = $0 }
		END {
			for (i in calls) {
				split(i, part, SUBSEP)
				split(part[2], call, " ")
				if (call[1] != "execve" && (!others || call[2] > made[first, call[1]] + 0))
					print part[2]
			}
		}' "$T/calls" | sort -u
}

# The command, cut short at one moment; its status in $status. The options of strace before --.
cut_at() # CALL N SIGNAL [OPTION...] -- COMMAND...
{
	local call=$1 n=$2 sig=$3 options=()

	shift 3
	while [[ $1 != -- ]]; do
		options+=("$1")
		shift
	done
	shift
	# In a shell of its own, whose word on how strace ended nobody wants.
	status=$(timeout -k 1 "$WAIT_SECONDS" strace "${options[@]}" -qq -o "$T/cut.calls" -e trace="execve,$call" \
		-e inject="$call:signal=$sig:when=$n" "$@" </dev/null >"$T/cut.out" 2>"$T/cut.err"; echo $?) 2>/dev/null
}

# Whether the moment of the last cut_at came at all: how often a process polls or reads is its
# own affair, and may be once less than in the run whose moments were listed.
moment_came() # CALL N
{
	(($(grep -c "^$1(" "$T/cut.calls") >= $2))
}

# With -f each process has the moment, and the command's own too if it calls once more often than in the
# run whose moments were listed: whether it did. The first line is its execve.
first_was_cut() # CALL N
{
	awk -v call="$1" -v n="$2" 'NR == 1 { first = $1 } $1 == first && index($2, call "(") == 1 { n-- } END { exit n > 0 }' "$T/cut.calls"
}

# Cuts `vrun run` short at each of its moments in turn. The id tells which of them left something.
cut_everywhere() # SIGNAL STATUSES OPTIONS-AND-BUNDLE-OR-COMMAND...
{
	local sig=$1 statuses=$2 call n cuts=0

	shift 2
	moments "$MOMENTS" "$VRUN" run --id "$MARK-whole" "$@" >"$T/list"
	(($(wc -l <"$T/list") > 40)) || fail "too few moments:" "$(<"$T/list")"
	while read -r call n <&9; do
		cut_at "$call" "$n" "$sig" -- "$VRUN" run --id "$MARK-$call-$n" "$@"
		if ! moment_came "$call" "$n"; then
			[[ $status == 0 ]] || fail "status $status without SIG$sig at $call $n" "$(<"$T/cut.err")"
			continue
		fi
		cuts=$((cuts + 1))
		[[ " $statuses " == *" $status "* ]] ||
			fail "status $status after SIG$sig at $call $n" "$(<"$T/cut.err")" "$(<"$T/cut.calls")"
	done 9<"$T/list"
	((cuts > 40)) || fail "only $cuts moments came" "$(<"$T/list")"
	assert_nothing_left
}

# With all that a launch can make: a control group where the caller may, a writable layer, an init.
full_bundle()
{
	local limits=.

	! is_root || limits='.linux.resources.pids = {limit: 100}'
	make_bundle "$T/b" '.process.args = ["true"]' '.annotations["org.vrun.overlay"] = "tmpfs"' "$limits"
}

@test "SIGKILL at each moment of a bundle's run leaves nothing" {
	full_bundle
	cut_everywhere KILL 137 --init "$T/b"
}

@test "SIGKILL at each moment of a command's run leaves nothing" {
	cut_everywhere KILL 137 -T -- true
}

@test "SIGKILL at each moment of a run with rules leaves nothing, no socket of its supervisor's either" {
	echo '{"version": 1, "net": {"rules": [{"allow": "connect", "to": "db:5432"}]}}' >"$T/rules.json"
	cut_everywhere KILL 137 -T -p "$T/rules.json" -- true
}

# After the app has ended it is the app's status.
@test "Ctrl-C at each moment of a bundle's run leaves nothing" {
	full_bundle
	cut_everywhere INT "130 0" --init "$T/b"
}

@test "Ctrl-C at each moment of a command's run leaves nothing" {
	cut_everywhere INT "130 0" -T -- true
}

@test "each signal, before there is a sandbox, while it is made and while the app runs, leaves nothing" {
	local sig num moment call n

	# What stops is no end: 10-run.bats.
	for sig in HUP INT QUIT ILL TRAP ABRT BUS FPE USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT URG \
		XCPU XFSZ VTALRM PROF WINCH IO PWR SYS 34 64; do
		num=$sig
		[[ $num =~ ^[0-9]+$ ]] || num=$(kill -l "$sig")
		for moment in "socketpair 1" "clone3 1" "linkat 1" "poll 1" "unlinkat 1"; do
			read -r call n <<<"$moment"
			cut_at "$call" "$n" "$sig" -- "$VRUN" run -T --id "$MARK-$sig-$call" -- true
			[[ $status == 0 || $status == $((128 + num)) ]] ||
				fail "status $status after SIG$sig at $call $n" "$(<"$T/cut.err")"
		done
	done
	assert_nothing_left
}

# The container's set-up, the keeper, the init. Not with a bundle of an unprivileged user: newuidmap
# has no privileges while it is traced.
@test "SIGKILL of any other of vrun's processes at each moment leaves nothing, and is no success of the app's" {
	local call n cuts=0

	moments -f "$OTHERS" "$VRUN" run -T --id "$MARK-whole" -- echo "ran to its end" >"$T/list"
	(($(wc -l <"$T/list") > 60)) || fail "too few moments:" "$(<"$T/list")"
	while read -r call n <&9; do
		cut_at "$call" "$n" KILL -f -- "$VRUN" run -T --id "$MARK-$call-$n" -- echo "ran to its end"
		if first_was_cut "$call" "$n"; then
			# Nobody may be left who would remove the record: the next command that looks does.
			assert_equal "$status" 137 "status after SIGKILL at $call $n, of vrun itself, too"
			run -0 "$VRUN" ps
			continue
		fi
		cuts=$((cuts + 1))
		case $status in
		0) assert_equal "$(<"$T/cut.out")" "ran to its end" "success after SIGKILL at $call $n" ;;
		137) ;;
		*)
			assert_equal "$status" 125 "status after SIGKILL at $call $n: $(<"$T/cut.err")"
			assert_matches "$(<"$T/cut.err")" 'vrun: ' "error after SIGKILL at $call $n"
			;;
		esac
	done 9<"$T/list"
	((cuts > 60)) || fail "only $cuts moments of others came" "$(<"$T/list")"
	assert_nothing_left
}

@test "a launch that breaks off while the keeper is slow ends, with its error" {
	make_bundle "$T/b" '.process.args = ["sleep", "1000"]'
	run_detached "$T/b"
	# The keeper's second prctl is its last before it listens; the others' are long past by then.
	run -125 --separate-stderr timeout "$WAIT_SECONDS" strace -f -qq -o /dev/null -e trace=prctl \
		-e inject=prctl:delay_enter=100000:when=2 "$VRUN" run -T --id "$REPLY" -- true
	assert_contains "$stderr" "a container with the id $REPLY exists"
	end_sandbox "$REPLY"
	assert_nothing_left
}

# timeout(1) and terminals mean the whole process group.
@test "SIGKILL of the whole process group while the network is made leaves no record" {
	new_id
	# The keeper is held where it makes the network.
	spawn group setsid strace -f -qq -o /dev/null -e trace=unshare -e inject=unshare:delay_enter=300000:when=1 \
		"$VRUN" run -T --id "$REPLY" --root "$T/run/own" -- sleep 1000
	wait_path "$T/run/own/$REPLY.json"
	kill -KILL -- "-${PID[group]}"
	wait_exit "${PID[group]}"
	assert_nothing_left
}

@test "an app that does what it can to stay goes with vrun, however vrun ends" {
	local sig options

	make_bundle "$T/b" '.process.args = ["/stay"]'
	cp "$(dirname "$VRUN")/tests/guest/stay" "$T/b/rootfs/"
	for options in "" --init; do
		for sig in KILL SEGV ABRT; do
			# shellcheck disable=SC2086 # a list of options
			spawn app "$VRUN" run $options "$T/b"
			wait_until grep -qs ready "$T/app.out"
			kill "-$sig" "${PID[app]}"
			wait_exit "${PID[app]}"
			assert_nothing_left || fail "after SIG$sig, ${options:-without an init}"
		done
	done
}

@test "a run in the background whose monitor is killed leaves nothing" {
	local monitor

	full_bundle
	edit_bundle "$T/b" '.process.args = ["sleep", "1000"]'
	run_detached --init "$T/b"
	monitor=$(ps -o ppid= -p "$(record "$REPLY" .pid)")
	assert_equal "$(ps -o comm= -p $((monitor)))" vrun
	kill -KILL $((monitor))
	assert_nothing_left
}

# Nobody is left who would do it: the next command that looks does.
@test "the record of a sandbox whose processes were all killed goes with its supervisor's socket" {
	local how id socket dir=$T/run/oci

	mkdir -m 0700 "$dir"
	make_bundle "$T/b" '.process.args = ["sleep", "1000"]'
	echo '{"version": 1, "net": {"rules": []}}' >"$T/b/policy.json"
	for how in ps "delete --force"; do
		run_detached --root "$dir" "$T/b"
		id=$REPLY
		socket=$dir/$(jq -r .vrun.supervisor "$dir/$id.json")
		[[ -S $socket ]] || fail "no socket of a supervisor" "$(ls -A "$dir")"
		# All stand still first: none is to clean up after another.
		# shellcheck disable=SC2046 # several
		kill -STOP $(marked_processes)
		# shellcheck disable=SC2046
		kill -KILL $(marked_processes)
		wait_until nobody_is_left
		[[ -S $socket && -e $dir/$id.json ]] || fail "nothing is left to remove" "$(ls -A "$dir")"
		if [[ $how == ps ]]; then
			run -0 "$VRUN" --root "$dir" ps
		else
			run -0 "$VRUN" --root "$dir" delete --force "$id"
		fi
		[[ ! -e $dir/$id.json ]] || fail "$how: the record is left" "$(ls -A "$dir")"
		[[ ! -e $socket ]] || fail "$how: the socket is left" "$(ls -A "$dir")"
	done
}

# Killed at once with all who had it on record, or were about to.
@test "a socket of a supervisor that nobody knows is removed by who lists, unless somebody listens" {
	local command dir=$T/run/oci

	mkdir -m 0700 "$dir"
	for command in ps list; do
		# One at which somebody listens, and sockets of those who are gone: old, and as old as a launch.
		spawn listener python3 -c '
import os, socket, sys, time
os.chdir(sys.argv[1])
made = [socket.socket(socket.AF_UNIX) for i in range(4)]
for sock, name in zip(made, ("supervisor-11.sock", "fabric-dead.sock", "supervisor-22.sock", "fabric-live.sock")):
    sock.bind(name)
made[3].listen()
for sock in made[:3]:
    sock.close()
for name in ("supervisor-11.sock", "fabric-dead.sock", "fabric-live.sock"):
    os.utime(name, (time.time() - 100,) * 2)
open("fabric-file.sock", "w").close()
os.utime("fabric-file.sock", (0, 0))
open("ready", "w").close()
made[3].accept()
made[3].accept()' "$dir"
		wait_path "$dir/ready"
		run -0 "$VRUN" --root "$dir" "$command"
		assert_equal "$(cd "$dir" && echo *)" "fabric-file.sock fabric-live.sock ready supervisor-22.sock" "$command"
		kill "${PID[listener]}"
		wait_exit "${PID[listener]}"
		rm "$dir"/*
	done
}

nobody_is_left()
{
	[[ -z $(marked_processes) ]]
}
