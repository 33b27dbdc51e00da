#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# vrun exec: one more process in a container, as confined as the first.

bats_require_minimum_version 1.5.0
load helper

ENGINE=${VRUN%/*}/tests/guest/engine

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

# A running container that sleeps, its id in $ID.
container() # [JQ...]
{
	make_bundle "$T/b" '.process.args = ["sleep", "1000"]' "$@"
	new_id
	ID=$REPLY
	oci create -b "$T/b" --pid-file "$T/pid" "$ID" </dev/null >/dev/null
	oci start "$ID"
}

finish()
{
	oci delete --force "$ID"
	rm -rf "$ROOT"
	assert_nothing_left
}

namespaces_of() # PID
{
	local kind

	for kind in cgroup ipc mnt net pid user uts; do
		readlink "/proc/$1/ns/$kind"
	done
}

@test "the process is in the container's namespaces and ends with its own status" {
	container
	run -0 oci exec "$ID" sh -c 'echo $$ $PPID; hostname; ls /proc | grep -c "^[0-9]"'
	assert_equal "$(sed -n 2p <<<"$output")" sandbox
	assert_not_equal "${lines[0]%% *}" 1
	run oci exec "$ID" sh -c 'exit 42'
	assert_status 42
	run oci exec "$ID" sh -c 'kill -TERM $$'
	assert_status 143
	run -127 oci exec "$ID" /no/such
	assert_status 127
	assert_contains "$output" "/no/such"
	assert_contains "$output" "No such file or directory"
	run oci exec "$ID" /etc/passwd
	assert_status 126
	assert_equal "$(echo in | oci exec "$ID" cat)" in
	oci exec -d --pid-file "$T/xpid" "$ID" sleep 1000 </dev/null >/dev/null
	assert_equal "$(namespaces_of "$(<"$T/xpid")")" "$(namespaces_of "$(<"$T/pid")")" namespaces
	finish
}

@test "what the command line says of the process is so" {
	container '.process.env += ["OLD=1"]'
	run -0 oci exec -e NEW=2 --cwd /tmp "$ID" sh -c 'echo $OLD $NEW; pwd; id -u; cat /proc/self/status'
	assert_equal "$(head -n 2 <<<"$output")" "1 2"$'\n'"/tmp"
	assert_matches "$output" $'\nCapEff:\t0000000000000000\n'
	assert_matches "$output" $'\nNoNewPrivs:\t1\n'
	assert_matches "$output" $'\nSeccomp:\t2\n'
	run -0 oci exec -c CAP_CHOWN "$ID" cat /proc/self/status
	assert_matches "$output" $'\nCapEff:\t0000000000000001\n'
	jq '.process | .args = ["sh", "-c", "echo from file; umask"] | .user.umask = 63' "$T/b/config.json" >"$T/process.json"
	run -0 oci exec --process "$T/process.json" "$ID"
	assert_output "from file"$'\n'"0077"
	run oci exec --user nobody "$ID" id
	assert_status 255
	assert_contains "$output" "UID[:GID]"
	finish
}

@test "another user of the container's range" {
	need_subordinate_ids
	container
	run -0 oci exec -u 1000:1000 -g 2000 "$ID" id
	assert_contains "$output" "uid=1000(app) gid=1000(app)"
	assert_contains "$output" "2000(extra)"
	finish
}

@test "no descriptor of vrun's is open in it, and sockets are not handed on" {
	container
	run -0 oci exec "$ID" sh -c 'ls /proc/self/fd | sort -n | tr "\n" " "'
	assert_output "0 1 2 3 " # 3 is what ls reads
	echo three >"$T/three"
	assert_equal "$(oci exec --preserve-fds 1 "$ID" sh -c 'cat <&3' 3<"$T/three")" three
	run bash -c 'exec 3<>/dev/udp/127.0.0.1/9; "$@"' - "$VRUN" --root "$ROOT" exec --preserve-fds 1 "$ID" id
	assert_status 255
	assert_contains "$output" "descriptor 3 is a socket"
	finish
}

@test "a terminal comes from the container, to a console socket too" {
	container
	run -0 script -qec "$VRUN --root $ROOT exec -t $ID sh -c 'tty; test -t 0 && test -t 1 && echo yes'" /dev/null </dev/null
	assert_contains "$output" /dev/pts/
	assert_contains "$output" yes
	spawn console "$ENGINE" console "$T/console"
	wait_listening "$T/console"
	oci exec -t -d --console-socket "$T/console" "$ID" sh -c 'tty; echo there' </dev/null
	wait_exit "${PID[console]}"
	assert_contains "$(<"$T/console.out")" there
	run oci exec -t -d "$ID" id
	assert_status 255
	finish
}

@test "its exit status is the subreaper's with --detach" {
	container
	spawn engine "$ENGINE" reap "$T/xpid" "$VRUN" --root "$ROOT" exec -d --pid-file "$T/xpid" "$ID" sh -c 'exit 9' </dev/null
	wait_exit "${PID[engine]}"
	assert_equal "$(tail -n 1 "$T/engine.out")" "ended 9"
	finish
}

@test "signals reach it, and it ends with the container" {
	container
	spawn exec "$VRUN" --root "$ROOT" exec "$ID" sh -c 'trap "echo got; exit 5" USR1; echo up; while :; do sleep 1000 & wait; done' </dev/null
	wait_until grep -q up "$T/exec.out"
	kill -USR1 "${PID[exec]}"
	wait_exit "${PID[exec]}"
	assert_equal "$status" 5
	spawn exec "$VRUN" --root "$ROOT" exec "$ID" sh -c 'echo up; exec sleep 1000' </dev/null
	wait_until grep -q up "$T/exec.out"
	oci kill "$ID" KILL
	wait_exit "${PID[exec]}"
	assert_equal "$status" 137
	run oci exec "$ID" id
	assert_status 255
	finish
}

# A program of the sockets' tests that needs nothing.
socket_bundle() # NAME POLICY
{
	make_bundle "$T/$1" '.process.args = ["sleep", "1000"]'
	printf '%s\n' "$2" >"$T/$1/policy.json"
}

@test "the supervisor serves it under the container's policy" {
	local fabric="f${MARK//[^a-zA-Z0-9]/}" n

	socket_bundle db '{"version": 1, "domain": "db", "net": {"address": ["10.88.0.20"], "rules": [
		{"allow": "listen", "at": ":7000", "from": ["app"]}]}}'
	socket_bundle app '{"version": 1, "domain": "app", "net": {"address": ["10.88.0.21"], "rules": [
		{"allow": "connect", "to": "db:7000"}]}}'
	for n in db app; do
		oci create -b "$T/$n" --fabric "$fabric" "$MARK-$n" </dev/null >/dev/null 2>&1
		oci start "$MARK-$n"
	done
	# A server that was put in later is reached by a client that was, too.
	spawn server "$VRUN" --root "$ROOT" exec "$MARK-db" sh -c 'echo hello | nc -l -p 7000' </dev/null
	wait_until listens
	run -0 oci exec "$MARK-app" sh -c 'mkfifo /tmp/f && nc 10.88.0.20 7000 <>/tmp/f'
	assert_output hello
	wait_exit "${PID[server]}"
	run oci exec "$MARK-app" nc -w 30 10.88.0.20 7001
	assert_not_equal "$status" 0
	assert_contains "$output" "ermission denied"
	run oci exec "$MARK-db" nc -w 30 10.88.0.21 80
	assert_not_equal "$status" 0
	assert_contains "$output" "ermission denied"
	# Many, one after the other: each one's end takes its listener away.
	for n in {1..20}; do
		oci exec "$MARK-app" nc -w 1 10.88.0.20 7001 2>/dev/null || :
	done
	oci delete --force "$MARK-db"
	oci delete --force "$MARK-app"
	rm -rf "$ROOT"
	assert_nothing_left
}

listens()
{
	oci sockets --json "$MARK-db" 2>/dev/null | grep -q '"listening"'
}

@test "a policy without a network holds for it" {
	container
	run oci exec "$ID" nc -w 1 127.0.0.1 80
	assert_not_equal "$status" 0
	assert_contains "$output" "ermission denied"
	finish
}

# bats test_tags=identity:root
@test "it is in the container's cgroup, and waits with a paused one" {
	container '.linux.resources.pids.limit = 20'
	oci exec -d --pid-file "$T/xpid" "$ID" sleep 1000 </dev/null >/dev/null
	assert_equal "$(grep -E ':(pids)?:' "/proc/$(<"$T/xpid")/cgroup")" "$(grep -E ':(pids)?:' "/proc/$(<"$T/pid")/cgroup")"
	assert_contains "$(<"/proc/$(<"$T/xpid")/cgroup")" "$ID"
	oci pause "$ID"
	run oci exec "$ID" true
	assert_status 255
	assert_contains "$output" "is paused"
	oci resume "$ID"
	run -0 oci exec "$ID" true
	finish
}

# --- sandboxes of vrun run ---------------------------------------------------------------

@test "a sandbox of vrun run takes one more process, too" {
	local id pid

	make_bundle "$T/b" '.process.args = ["sleep", "1000"]' '.process.env += ["OLD=1"]'
	run_detached "$T/b"
	id=$REPLY pid=$(record "$REPLY" .pid)
	run -0 "$VRUN" exec -e NEW=2 "$id" sh -c 'echo $OLD $NEW; hostname; cat /proc/self/status'
	assert_equal "$(head -n 2 <<<"$output")" "1 2"$'\n'"sandbox"
	assert_matches "$output" $'\nCapEff:\t0000000000000000\n'
	assert_matches "$output" $'\nNoNewPrivs:\t1\n'
	assert_matches "$output" $'\nSeccomp:\t2\n'
	run "$VRUN" exec "$id" sh -c 'exit 42'
	assert_status 42
	run -127 "$VRUN" exec "$id" /no/such
	assert_equal "$(echo in | "$VRUN" exec "$id" cat)" in
	"$VRUN" exec -d --pid-file "$T/xpid" "$id" sh -c 'echo $$ >/tmp/pid; exec sleep 1000' </dev/null >/dev/null
	assert_equal "$(namespaces_of "$(<"$T/xpid")")" "$(namespaces_of "$pid")" namespaces
	run -0 script -qec "$VRUN exec -t $id sh -c 'tty; test -t 0 && echo yes'" /dev/null </dev/null
	assert_contains "$output" /dev/pts/
	assert_contains "$output" yes
	# What is put in may signal the others; and it ends with the sandbox.
	wait_until "$VRUN" exec "$id" sh -c 'kill -KILL "$(cat /tmp/pid)"' 2>/dev/null
	wait_gone "$(<"$T/xpid")"
	spawn exec "$VRUN" exec "$id" sh -c 'echo up; exec sleep 1000' </dev/null
	wait_until grep -q up "$T/exec.out"
	end_sandbox "$id"
	wait_exit "${PID[exec]}"
	assert_status 137
	run "$VRUN" exec "$id" true
	assert_status 255
	assert_contains "$output" "no container with the id"
	rm -rf "$ROOT"
	assert_nothing_left
}

@test "a command of the host is joined by commands of the host" {
	local id

	mkdir "$T/w"
	cd "$T/w"
	echo here >file
	run_detached -- sleep 1000
	id=$REPLY
	cd /
	run -0 --separate-stderr "$VRUN" exec "$id" sh -c 'pwd; cat file; id -u; grep -cx "Seccomp:.2" /proc/self/status; ls -d /root/* /run/user/* 2>/dev/null; :'
	assert_output "$T/w"$'\n'"here"$'\n'"$(id -u)"$'\n1'
	run -0 --separate-stderr "$VRUN" exec --cwd /tmp -e A=b "$id" sh -c 'pwd; echo $A'
	assert_output "/tmp"$'\n'"b"
	run "$VRUN" exec --user 0 "$id" id
	assert_status 255
	assert_contains "$output" "a command of this host"
	end_sandbox "$id"
	rm -rf "$ROOT"
	assert_nothing_left
}

@test "what is put in has every wall that the app has" {
	local id name guests=${VRUN%/*}/tests/guest

	mkdir -m 0755 "$T/w"
	echo secret >"$T/secret"
	make_bundle "$T/b" '.process.args = ["sleep", "1000"]'
	for name in doors reach; do
		cp "$guests/$name" "$T/b/rootfs/"
		cp "$guests/$name" "$T/w/"
	done
	run_detached "$T/b"
	id=$REPLY
	run --separate-stderr "$VRUN" exec "$id" /doors none
	assert_equal "$(grep OPEN <<<"$output")" '' 'open doors'
	assert_status 0
	run -0 --separate-stderr "$VRUN" exec "$id" /reach fds 5</ 7</etc/passwd </dev/null
	assert_equal "$(cut -d: -f1 <<<"$output" | tr '\n' ' ')" '0 1 2 '
	run --separate-stderr "$VRUN" exec "$id" cat "/proc/1/root$T/secret"
	assert_not_equal "$status" 0
	# The filter is the container's, whatever the capabilities are.
	run --separate-stderr "$VRUN" exec -c CAP_SYS_ADMIN -c CAP_SYS_CHROOT -c CAP_BPF -c CAP_PERFMON "$id" /doors none
	assert_equal "$(grep OPEN <<<"$output")" '' 'open doors'
	end_sandbox "$id"
	cd "$T/w"
	run_detached -- sleep 1000
	id=$REPLY
	run --separate-stderr "$VRUN" exec "$id" ./doors none
	assert_equal "$(grep OPEN <<<"$output")" '' 'open doors'
	assert_status 0
	run -0 --separate-stderr "$VRUN" exec "$id" ./reach fds 5</ 7</etc/passwd </dev/null
	assert_equal "$(cut -d: -f1 <<<"$output" | tr '\n' ' ')" '0 1 2 '
	run --separate-stderr "$VRUN" exec "$id" cat "$T/secret"
	assert_not_equal "$status" 0
	end_sandbox "$id"
}

@test "policy, published ports and ceiling of a run hold for what is put in" {
	local id

	make_bundle "$T/b" '.process.args = ["sleep", "1000"]'
	printf '{"version": 1, "domain": "db", "net": {"address": ["10.88.0.20"], "rules": [{"allow": "listen", "at": ":7000"}]}, "limits": {"sockets": 100}}' >"$T/p.json"
	printf '{"version": 1, "net": {"rules": [{"allow": "listen", "at": ":7000"}]}}' >"$T/ceiling.json"
	run_detached -p "$T/p.json" --ceiling "$T/ceiling.json" "$T/b"
	id=$REPLY
	# What the bundle says later is not what it was started with.
	echo '{"version": 1, "net": "none"}' >"$T/b/policy.json"
	echo '{}' >"$T/b/config.json"
	rm "$T/p.json" "$T/ceiling.json"
	spawn server "$VRUN" exec "$id" sh -c 'echo hello | nc -l -p 7000' </dev/null
	wait_until has_listener "$id"
	run -0 "$VRUN" exec "$id" sh -c 'mkfifo /tmp/f && nc 10.88.0.20 7000 <>/tmp/f'
	assert_output hello
	wait_exit "${PID[server]}"
	run "$VRUN" exec "$id" nc -w 30 10.1.2.3 80
	assert_contains "$output" "ermission denied"
	end_sandbox "$id"
	rm -rf "$ROOT"
	assert_nothing_left
}

has_listener() # ID
{
	"$VRUN" sockets --json "$1" 2>/dev/null | grep -q '"listening"'
}

# Until its root is there, a process that was put in would see the caller's.
@test "nothing is put into a sandbox before its program has been executed" {
	local id

	mkdir "$T/hook"
	mkfifo "$T/hook/go"
	make_bundle "$T/b" '.process.args = ["sleep", "1000"]' \
		".hooks = {createRuntime: [{path: \"/bin/sh\", args: [\"sh\", \"-c\", \"echo up >$T/hook/up; read x <$T/hook/go\"]}]}"
	new_id
	id=$REPLY
	spawn run "$VRUN" run --hooks --id "$id" "$T/b" </dev/null
	wait_path "$T/hook/up"
	run "$VRUN" exec "$id" cat /etc/hostname
	assert_status 255
	assert_contains "$output" "nothing can be put into it"
	assert_contains "$output" "creating"
	echo >"$T/hook/go"
	wait_until is_running "$id"
	run -0 "$VRUN" exec "$id" true
	end_sandbox "$id"
	wait_exit "${PID[run]}"
}

is_running() # ID
{
	[[ $("$VRUN" state "$1" 2>/dev/null | jq -r .status) == running ]]
}
