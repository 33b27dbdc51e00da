#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# vrun as an OCI runtime: create, start, state, kill, delete, list, and what
# engines rely on around them.

# shellcheck disable=SC2030,SC2031,SC2154 # each test is a subshell; PID is the helper's
bats_require_minimum_version 1.5.0
load helper

ENGINE=${VRUN%/*}/tests/guest/engine

# A container that is made and not started: its id in $REPLY.
create() # BUNDLE [OPTION...]
{
	local bundle=$1

	shift
	new_id
	"$VRUN" create -b "$bundle" --pid-file "$T/$REPLY.pid" "$@" "$REPLY" </dev/null \
		>"$T/$REPLY.out" 2>"$T/$REPLY.err" 3>&- 4>&- ||
		fail "vrun create: status $?" "$(<"$T/$REPLY.err")"
}

status_of() # ID
{
	"$VRUN" state "$1" 2>/dev/null | jq -r .status
}

is_status() # ID STATUS
{
	[[ $(status_of "$1") == "$2" ]]
}

sleeper() # BUNDLE [JQ...]
{
	make_bundle "$1" '.process.args = ["sleep", "1000"]' "${@:2}"
}

# The records of root's containers lie in /run/vrun, which others use, too.
setup()
{
	helper_setup
	ROOT=$T/run/oci
	mkdir -m 0700 "$ROOT"
	VRUN_PLAIN=$VRUN
	cat >"$T/vrun" <<-END
		#!/bin/sh
		exec "$VRUN_PLAIN" --root "$ROOT" "\$@"
	END
	chmod +x "$T/vrun"
	VRUN=$T/vrun
}

@test "a container is created, started, killed and deleted, and says so" {
	local id pid

	sleeper "$T/b" '.annotations = {"a.b": "c"}'
	create "$T/b"
	id=$REPLY pid=$(<"$T/$REPLY.pid")
	run -0 "$VRUN" state "$id"
	assert_equal "$(jq -c '[.id, .status, .pid, .bundle, .annotations]' <<<"$output")" \
		"[\"$id\",\"created\",$pid,\"$T/b\",{\"a.b\":\"c\"}]"
	assert_matches "$(jq -r .ociVersion <<<"$output")" '^1\.'
	# Made, but not the program: that is vrun still.
	assert_lacks "$(tr '\0' ' ' <"/proc/$pid/cmdline")" "sleep 1000"

	run "$VRUN" delete "$id"
	assert_status 1
	assert_contains "$output" "is created"
	run -0 "$VRUN" start "$id"
	assert_equal "$(status_of "$id")" running
	wait_until grep -qa "sleep" "/proc/$pid/cmdline"
	run "$VRUN" start "$id"
	assert_status 1
	assert_contains "$output" "it is running, not created"
	run "$VRUN" delete "$id"
	assert_status 1
	run -0 "$VRUN" list -q
	assert_output "$id"
	run -0 "$VRUN" list --format json
	assert_equal "$(jq -r '.[0].status' <<<"$output")" running

	run -0 "$VRUN" kill "$id" KILL
	wait_until is_status "$id" stopped
	assert_equal "$("$VRUN" state "$id" | jq .pid)" 0
	run "$VRUN" kill "$id"
	assert_status 1
	run "$VRUN" start "$id"
	assert_status 1
	run -0 "$VRUN" delete "$id"
	run "$VRUN" state "$id"
	assert_status 1
	run "$VRUN" delete "$id"
	assert_status 1
	run -0 "$VRUN" delete --force "$id"
	rm -rf "$ROOT"
	assert_nothing_left
}

@test "the container is the caller's: a subreaper collects its exit status" {
	local bundle=$T/b id

	make_bundle "$bundle" '.process.args = ["sh", "-c", "exit 42"]'
	new_id
	id=$REPLY
	spawn engine "$ENGINE" reap "$T/pid" "$VRUN" create -b "$bundle" --pid-file "$T/pid" "$id" </dev/null
	wait_until grep -q created "$T/engine.out"
	"$VRUN" start "$id"
	wait_exit "${PID[engine]}"
	assert_status 0
	assert_equal "$(tail -n 1 "$T/engine.out")" "ended 42"
	"$VRUN" delete "$id"
	rm -rf "$ROOT"
	assert_nothing_left
}

@test "it is so with a supervisor, too, and policies hold" {
	local id

	need_command redis-server redis-cli
	"$VRUN_PLAIN" pack -q -o "$T/db" redis-server --bind '*' --protected-mode no --save '' --daemonize no
	"$VRUN_PLAIN" pack -q -o "$T/app" redis-cli -h 10.88.0.20 ping
	printf '{"version": 1, "domain": "db", "net": {"address": ["10.88.0.20"], "rules": [
		{"allow": "listen", "at": ":6379", "from": ["app"]}]}}' >"$T/db/policy.json"
	printf '{"version": 1, "domain": "app", "net": {"address": ["10.88.0.21"], "rules": [
		{"allow": "connect", "to": "db:6379"}]}}' >"$T/app/policy.json"
	new_id
	id=$REPLY
	spawn engine "$ENGINE" reap "$T/pid" "$VRUN" create -b "$T/db" --fabric "f${MARK//[^a-zA-Z0-9]/}" \
		--pid-file "$T/pid" "$id" </dev/null
	wait_until grep -q created "$T/engine.out"
	"$VRUN" start "$id"
	wait_until grep -q 'Ready to accept' "$T/engine.out"
	run -0 --separate-stderr "$VRUN" run --fabric "f${MARK//[^a-zA-Z0-9]/}" "$T/app"
	assert_output PONG
	run -0 "$VRUN" kill "$id" TERM
	wait_exit "${PID[engine]}"
	assert_equal "$(tail -n 1 "$T/engine.out")" "ended 0"
	wait_until is_status "$id" stopped
	"$VRUN" delete "$id"
	rm -rf "$ROOT"
	assert_nothing_left
}

@test "what cannot be created leaves nothing, and says why" {
	make_bundle "$T/b" '.process.args = ["/no/such/program"]'
	new_id
	run "$VRUN" --log "$T/log" --log-format json create -b "$T/b" "$REPLY"
	assert_status 1
	assert_contains "$output" "No such file or directory"
	assert_equal "$(jq -r .level "$T/log")" error
	assert_contains "$(jq -r .msg "$T/log")" "/no/such/program"
	run "$VRUN" state "$REPLY"
	assert_status 1
	run "$VRUN" create -b "$T/nothing" "$REPLY"
	assert_status 1
	run "$VRUN" create -b "$T/b" "a/b"
	assert_status 1
	edit_bundle "$T/b" '.process.terminal = true'
	run "$VRUN" create -b "$T/b" "$REPLY"
	assert_status 1
	assert_contains "$output" "--console-socket"
	assert_equal "$(find "$ROOT" -mindepth 1 ! -path '*/filters*')" ""
	rm -rf "$ROOT"
	assert_nothing_left
}

@test "a container whose keepers were killed is stopped or can be deleted, whatever it was doing" {
	local id pid monitor keeper

	sleeper "$T/b"
	for when in created running; do
		create "$T/b"
		id=$REPLY pid=$(<"$T/$REPLY.pid")
		[[ $when == created ]] || "$VRUN" start "$id"
		monitor=$(jq .vrun.monitor "$ROOT/$id.json")
		kill -KILL "$monitor"
		wait_until is_status "$id" stopped
		run "$VRUN" start "$id"
		assert_status 1
		run -0 "$VRUN" delete "$id"
		# Both at once: nobody is left to end it.
		create "$T/b"
		id=$REPLY pid=$(<"$T/$REPLY.pid")
		[[ $when == created ]] || "$VRUN" start "$id"
		monitor=$(jq .vrun.monitor "$ROOT/$id.json")
		keeper=$(pgrep -P "$monitor")
		kill -STOP "$monitor"
		# shellcheck disable=SC2086 # several
		kill -KILL $keeper "$monitor"
		run -0 "$VRUN" delete --force "$id"
		wait_gone "$pid"
		run "$VRUN" state "$id"
		assert_status 1
	done
	rm -rf "$ROOT"
	assert_nothing_left
}

@test "a create that is killed at any point leaves nothing that delete --force does not remove" {
	local id n maker

	sleeper "$T/b"
	for n in {0..24}; do
		new_id
		id=$REPLY
		setsid "$VRUN" create -b "$T/b" "$id" </dev/null >/dev/null 2>&1 3>&- 4>&- &
		maker=$!
		read -r -t "0.0$(printf '%02d' $((n * 3)))" <> <(:) || :
		kill -KILL -- "-$maker" 2>/dev/null || :
		wait "$maker" 2>/dev/null || :
		run -0 "$VRUN" delete --force "$id"
	done
	# What a monitor had not published yet goes by itself.
	wait_until no_container
	rm -rf "$ROOT"
	assert_nothing_left
}

no_container()
{
	"$VRUN" list -q | while read -r id; do
		"$VRUN" delete --force "$id"
	done
	[[ -z $("$VRUN" list -q) && -z $(marked_processes) ]]
}

@test "of several commands on one container each finds it whole" {
	local id n good

	sleeper "$T/b"
	new_id
	id=$REPLY
	for n in 1 2 3 4; do
		spawn "create$n" "$VRUN" create -b "$T/b" "$id" </dev/null
	done
	good=0
	for n in 1 2 3 4; do
		wait_exit "${PID[create$n]}"
		((status != 0)) || good=$((good + 1))
	done
	assert_equal "$good" 1 "creates that succeeded"
	assert_equal "$(status_of "$id")" created
	for n in 1 2 3 4; do
		spawn "start$n" "$VRUN" start "$id"
	done
	good=0
	for n in 1 2 3 4; do
		wait_exit "${PID[start$n]}"
		((status != 0)) || good=$((good + 1))
	done
	assert_equal "$good" 1 "starts that succeeded"
	assert_equal "$(status_of "$id")" running
	for n in 1 2 3 4; do
		spawn "delete$n" "$VRUN" delete --force "$id"
	done
	for n in 1 2 3 4; do
		wait_exit "${PID[delete$n]}"
		assert_equal "$status" 0 "delete --force: $(<"$T/delete$n.err")"
	done
	assert_equal "$("$VRUN" list -q)" ""
	rm -rf "$ROOT"
	assert_nothing_left
}

@test "a terminal goes to the console socket" {
	local id

	make_bundle "$T/b" '.process.args = ["sh", "-c", "test -t 0 && test -t 2 && tty && stty size"]' \
		'.process.terminal = true' '.process.consoleSize = {"height": 33, "width": 77}'
	spawn console "$ENGINE" console "$T/console"
	wait_listening "$T/console"
	create "$T/b" --console-socket "$T/console"
	id=$REPLY
	"$VRUN" start "$id"
	wait_exit "${PID[console]}"
	assert_contains "$(<"$T/console.out")" /dev/
	assert_contains "$(<"$T/console.out")" "33 77"
	wait_until is_status "$id" stopped
	"$VRUN" delete "$id"
	rm -rf "$ROOT"
	assert_nothing_left
}

@test "descriptors are handed on by --preserve-fds and LISTEN_FDS, sockets are not" {
	local id

	make_bundle "$T/b" '.process.args = ["sh", "-c", "cat <&3; cat <&4; echo $LISTEN_FDS $LISTEN_PID; ls /proc/self/fd | wc -l"]'
	echo three >"$T/three"
	echo four >"$T/four"
	new_id
	id=$REPLY
	LISTEN_FDS=1 "$VRUN" create -b "$T/b" --preserve-fds 1 "$id" 3<"$T/three" 4<"$T/four" </dev/null >"$T/out"
	"$VRUN" start "$id"
	wait_until is_status "$id" stopped
	assert_equal "$(head -n 3 "$T/out")" "three"$'\n'"four"$'\n'"1 1"
	"$VRUN" delete "$id"

	new_id
	run bash -c 'exec 3<>/dev/udp/127.0.0.1/9; exec "$@" </dev/null' - "$VRUN" create -b "$T/b" --preserve-fds 1 "$REPLY"
	assert_status 1
	assert_contains "$output" "descriptor 3 is a socket"
	run "$VRUN" state "$REPLY"
	assert_status 1
	rm -rf "$ROOT"
	assert_nothing_left
}

# bats test_tags=identity:root
@test "a container is paused and resumed, and signals reach all of its processes" {
	local id

	sleeper "$T/b" '.process.args = ["sh", "-c", "trap : USR1; for i in 1 2; do (trap \"echo got; exit\" USR1; echo up; while :; do sleep 1000 & wait; done) & done; wait; wait; wait; sleep 1000"]' \
		'.linux.resources.pids.limit = 50'
	create "$T/b"
	id=$REPLY
	"$VRUN" start "$id"
	wait_until count_lines up 2
	run -0 "$VRUN" pause "$id"
	assert_equal "$(status_of "$id")" paused
	run "$VRUN" pause "$id"
	assert_status 1
	run -0 "$VRUN" resume "$id"
	assert_equal "$(status_of "$id")" running
	run "$VRUN" resume "$id"
	assert_status 1
	run -0 "$VRUN" kill --all "$id" USR1
	wait_until count_lines got 2
	# A paused one can be deleted, too.
	"$VRUN" pause "$id"
	run -0 "$VRUN" delete --force "$id"
	rm -rf "$ROOT"
	assert_nothing_left
}

count_lines() # WORD COUNT
{
	[[ $(grep -cx "$1" "$T/$id.out") == "$2" ]]
}

@test "the processes of a container are listed" {
	local id

	make_bundle "$T/b" '.process.args = ["sh", "-c", "sleep 1000 & echo up; wait"]'
	create "$T/b"
	id=$REPLY
	"$VRUN" start "$id"
	wait_until count_lines up 1
	run -0 "$VRUN" ps -f json "$id"
	assert_equal "$(jq length <<<"$output")" 2
	assert_contains "$(jq -c . <<<"$output")" "$(<"$T/$id.pid")"
	run -0 "$VRUN" ps "$id"
	assert_equal "${#lines[@]}" 3
	assert_contains "$output" "sleep 1000"
	"$VRUN" delete --force "$id"
	run "$VRUN" ps "$id"
	assert_status 1
	rm -rf "$ROOT"
	assert_nothing_left
}

# bats test_tags=identity:root
@test "limits are changed and usage is told" {
	local id

	sleeper "$T/b" '.linux.resources.pids.limit = 50'
	create "$T/b"
	id=$REPLY
	"$VRUN" start "$id"
	run -0 "$VRUN" events --stats "$id"
	assert_equal "$(jq -r '[.type, .id, .data.pids.limit, .data.pids.current] | join(" ")' <<<"$output")" "stats $id 50 1"
	run -0 "$VRUN" update --pids-limit 20 --memory 67108864 "$id"
	run -0 "$VRUN" events --stats "$id"
	assert_equal "$(jq -r '[.data.pids.limit, .data.memory.usage.limit] | join(" ")' <<<"$output")" "20 67108864"
	echo '{"pids": {"limit": 30}}' >"$T/resources"
	run -0 "$VRUN" update --resources "$T/resources" "$id"
	run -0 "$VRUN" update -r - "$id" <<<'{"memory": {"limit": 134217728}}'
	run -0 "$VRUN" events --stats "$id"
	assert_equal "$(jq -r '[.data.pids.limit, .data.memory.usage.limit] | join(" ")' <<<"$output")" "30 134217728"
	run "$VRUN" update -r - "$id" <<<'{"memory": {"limit": "much"}}'
	assert_status 1
	assert_contains "$output" "resources.memory.limit: expected an integer"
	run "$VRUN" update "$id"
	assert_status 1
	spawn events "$VRUN" events --interval 1s "$id"
	wait_until grep -q stats "$T/events.out"
	"$VRUN" kill "$id" KILL
	wait_exit "${PID[events]}"
	assert_equal "$status" 0
	"$VRUN" delete "$id"
	rm -rf "$ROOT"
	assert_nothing_left
}

@test "features says what a launch takes" {
	local features word

	features=$("$VRUN" features)
	assert_equal "$(jq -r '.ociVersionMin, .linux.cgroup.v2, .hooks[5]' <<<"$features" | tr '\n' ' ')" "1.0.0 true poststop "
	make_bundle "$T/b"
	# Every word that it names is taken by the reader.
	for word in $(jq -r '.linux.capabilities[]' <<<"$features" | head -n 41); do
		edit_bundle "$T/b" ".process.capabilities.bounding += [\"$word\"]"
	done
	for word in $(jq -r '.mountOptions[]' <<<"$features" | grep -vE 'bind|idmap|copyup|defaults|iversion|mand|silent|loud|sync|lazy'); do
		edit_bundle "$T/b" ".mounts += [{destination: \"/tmp/$word\", type: \"tmpfs\", source: \"tmpfs\", options: [\"$word\"]}]"
	done
	assert_lacks "$features" '"remount"'
	run -0 "$VRUN" run "$T/b"
}

@test "vrun run takes a bundle and an id as other runtimes do" {
	local id

	make_bundle "$T/b" '.process.args = ["sh", "-c", "echo hello; exit 7"]' \
		".hooks = {poststop: [{path: \"/bin/sh\", args: [\"sh\", \"-c\", \"echo \$HOOK >$T/tmp/hook\"], env: [\"HOOK=ran\"]}]}"
	new_id
	run "$VRUN" run --bundle "$T/b" --pid-file "$T/pid" --no-new-keyring --no-subreaper "$REPLY"
	assert_status 7
	assert_output hello
	assert_equal "$(<"$T/tmp/hook")" ran
	rm "$T/tmp/hook"
	assert_matches "$(<"$T/pid")" '^[0-9]+$'
	# crun's way to have the configuration elsewhere.
	jq '.process.args = ["echo", "elsewhere"]' "$T/b/config.json" >"$T/elsewhere.json"
	new_id
	run -0 --separate-stderr "$VRUN" run -f "$T/elsewhere.json" --bundle "$T/b" "$REPLY"
	assert_output elsewhere
	rm "$T/tmp/hook"
	run "$VRUN" run --config "$T/elsewhere.json" "$T/b"
	assert_status 125
	assert_contains "$output" "--config goes with --bundle"
	run "$VRUN" run --config "$T/elsewhere.json" --verify -b "$T/b" x
	assert_status 125
	assert_contains "$output" "--verify holds for the bundle's own"
	run "$VRUN" run -b "$T/b"
	assert_status 125
	assert_contains "$output" "one id"
	run "$VRUN" run -b "$T/b" --id a b
	assert_status 125
	run "$VRUN" run --console-socket "$T/console" -b "$T/b" a
	assert_status 125
	assert_contains "$output" "process.terminal is not set"

	edit_bundle "$T/b" '.process.terminal = true | .process.args = ["sh", "-c", "test -t 0 && tty"] | del(.hooks)'
	spawn console "$ENGINE" console "$T/console"
	wait_listening "$T/console"
	new_id
	id=$REPLY
	run -0 "$VRUN" run --detach --console-socket "$T/console" --bundle "$T/b" "$id" </dev/null
	assert_output "$id"
	wait_exit "${PID[console]}"
	assert_contains "$(<"$T/console.out")" /dev/
	run "$VRUN" run --detach --bundle "$T/b" "$id" </dev/null
	assert_status 125
	assert_contains "$output" "--console-socket"
	wait_until no_container
	rm -rf "$ROOT"
	assert_nothing_left
}

# With a namespace to join the container is made by another process, which tells the monitor of it.
# bats test_tags=identity:root
@test "what a container failed of is said, though it was gone before it was heard of" {
	need_command strace
	mkfifo "$T/up"
	spawn holder unshare --net sh -c "echo up >'$T/up'; exec sleep 1000"
	wait_line "$T/up"
	make_bundle "$T/b" '.process.args = ["/no/such"]' '.linux.namespaces |= map(select(.type != "user"))' \
		".linux.namespaces |= map(if .type == \"network\" then .path = \"/proc/${PID[holder]}/ns/net\" else . end)"
	new_id
	run strace -f -qq -o /dev/null -e trace=recvmsg -e inject=recvmsg:delay_enter=300000:when=1 \
		"$VRUN" create -b "$T/b" "$REPLY"
	assert_status 1
	assert_contains "$output" "/no/such"
	assert_equal "$(find "$ROOT" -mindepth 1 ! -path '*/filters*')" ""
}

@test "a network that is joined is outside, for engines and who may enter it" {
	sleeper "$T/b" '.linux.namespaces |= map(if .type == "network" then .path = "/proc/self/ns/net" else . end)'
	echo '{"version": 1, "net": {"rules": [{"allow": "connect", "to": "192.0.2.1:80"}]}}' >"$T/policy.json"
	run "$VRUN_PLAIN" run -p "$T/policy.json" "$T/b"
	assert_vrun_error "a policy with rules, and a network namespace of others"
	if is_root; then
		create "$T/b" -p "$T/policy.json"
		run -0 "$VRUN" delete --force "$REPLY"
	else
		run create "$T/b" -p "$T/policy.json"
		assert_status 1
		assert_contains "$output" "the gateway cannot enter network namespace /proc/self/ns/net"
	fi
	# A policy that stays inside enters nothing.
	echo '{"version": 1, "net": "loopback"}' >"$T/policy.json"
	create "$T/b" -p "$T/policy.json"
	run -0 "$VRUN" start "$REPLY"
	run -0 "$VRUN" exec "$REPLY" sed -n 's/^ *\([^ ]*\):.*/\1/p' /proc/net/dev
	assert_output lo
	run -0 "$VRUN" delete --force "$REPLY"
	# What is joined must be what it is said to be.
	edit_bundle "$T/b" '.linux.namespaces |= map(if .type == "network" then .path = "/proc/self/ns/ipc" else . end)'
	echo '{"version": 1, "net": {"rules": [{"allow": "connect", "to": "192.0.2.1:80"}]}}' >"$T/policy.json"
	run create "$T/b" -p "$T/policy.json"
	assert_status 1
	assert_contains "$output" "/proc/self/ns/ipc is not a network namespace"
	assert_equal "$(find "$ROOT" -mindepth 1 ! -path '*/filters*')" ""
}

@test "what other runtimes have and vrun has not is refused with the reason" {
	local line command

	while read -r line; do
		# shellcheck disable=SC2086 # words
		run "$VRUN" $line x
		assert_not_equal "$status" 0 "vrun $line"
		assert_matches "$output" "^vrun: ${line%% *}: --[a-z3-]+ is not taken: [^(]+ \(see"
	done <<-END
		create --no-pivot
		run --no-pivot
		run --keep
		kill --regex
		delete --regex
		exec --cgroup=/a
		update --kernel-memory=5
		update --kernel-memory-tcp=5
		update --l3-cache-schema=a
		update --mem-bw-schema=a
	END
	for command in checkpoint restore; do
		run "$VRUN" --systemd-cgroup "$command" x
		assert_status 1
		assert_contains "$output" "makes no checkpoints"
	done
	# What crun calls otherwise.
	run -0 "$VRUN_PLAIN" -v
	assert_output "$("$VRUN_PLAIN" --version)"
	run -0 "$VRUN_PLAIN" --log-level error spec --file "$T/spec.json"
	assert_equal "$(jq -r .root.path "$T/spec.json")" rootfs
	run "$VRUN" --log-level loud list
	assert_status 1
	assert_contains "$output" "--log-level takes error, warning or debug"
	run -0 "$VRUN" --criu /usr/sbin/criu spec --rootless --bundle "$T"
	assert_equal "$(jq -r '.process.args[0]' "$T/config.json")" sh
	run "$VRUN" spec --bundle "$T"
	assert_not_equal "$status" 0
	assert_contains "$output" "File exists"
}
