#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# bats file_tags=identity:root
#
# The seam: Debian's crun and runc hand their containers to vrun's supervisor,
# by linux.seccomp.listenerPath, and their apps get virtual sockets.

bats_require_minimum_version 1.5.0
load helper

# crun 1.8 refuses a host that has controllers of the first version and a second hierarchy beside
# them, though it is to make no cgroup: it is shown a plain second version.
run_crun() # ARG...
{
	unshare -m sh -c 'umount -l /sys/fs/cgroup 2>/dev/null; mount -t cgroup2 none /sys/fs/cgroup &&
		exec crun --root "$0" --cgroup-manager=disabled "$@"' "$T/crun" "$@"
}

run_runc() # ARG...
{
	runc --root "$T/runc" "$@"
}

# A packed program as other runtimes take it: their version of the specification, no namespace for
# users, and the calls of vrun-supervise trapped.
agent_bundle() # NAME ARG...
{
	local name=$1

	shift
	run "$VRUN" pack -q -o "$T/$name" "$@"
	assert_status 0
	edit_bundle "$T/$name" '.ociVersion = "1.0.2" | .annotations = {} | .process.noNewPrivileges = true
		| .root.readonly = false | .linux.namespaces |= map(select(.type != "user"))
		| .linux.seccomp = {
			defaultAction: "SCMP_ACT_ALLOW", listenerPath: "'"$T"'/agent", syscalls: (
				[{ names: ["bind", "listen", "accept", "accept4", "connect", "getsockname", "getpeername"],
				   action: "SCMP_ACT_NOTIFY" },
				 { names: ["getsockopt"], action: "SCMP_ACT_NOTIFY",
				   args: [{ index: 1, value: 1, op: "SCMP_CMP_EQ" }, { index: 2, value: 39, op: "SCMP_CMP_EQ" }] }]
				+ [2, 10 | { names: ["socket"], action: "SCMP_ACT_NOTIFY",
				   args: [{ index: 0, value: ., op: "SCMP_CMP_EQ" },
					  { index: 1, value: 15, valueTwo: 1, op: "SCMP_CMP_MASKED_EQ" }] }]) }'
}

policy() # NAME ADDRESS RULE
{
	printf '{"version": 1, "domain": "%s", "net": {"address": ["%s"], "rules": [%s]}}\n' "$1" "$2" "$3" \
		>"$T/$1/policy.json"
}

@test "containers of crun and runc talk through one supervisor, as their policies say" {
	need_command crun runc redis-server redis-cli unshare
	agent_bundle db redis-server --unixsocket /tmp/redis --bind '*' --protected-mode no --save '' --daemonize no
	agent_bundle app redis-cli -h 10.88.0.20 ping
	cp -r "$T/app" "$T/other"
	policy db 10.88.0.20 '{"allow": "listen", "at": ":6379", "from": ["app"]}'
	policy app 10.88.0.21 '{"allow": "connect", "to": "db:6379"}'
	policy other 10.88.0.22 '{"allow": "connect", "to": "db:6379"}'
	spawn supervisor "$VRUN" supervise --listen "$T/agent" </dev/null
	wait_listening "$T/agent"
	spawn db run_crun run -b "$T/db" "$MARK-db" </dev/null
	wait_until grep -q 'Ready to accept' "$T/db.out"
	# Bound by a porter, since nobody says that the container is walled.
	assert_contains "$(<"$T/db.out")" "now ready to accept connections at /tmp/redis" "redis' own socket"

	run -0 run_runc run -b "$T/app" "$MARK-app"
	assert_output PONG
	run -0 run_crun run -b "$T/app" "$MARK-app"
	assert_output PONG
	run run_runc run -b "$T/other" "$MARK-other"
	assert_not_equal "$status" 0
	assert_contains "$output" "Permission denied"
	assert_contains "$(<"$T/supervisor.out")" '"decision":"deny"'

	run_crun kill "$MARK-db" KILL
	wait_exit "${PID[db]}" || :
	run_crun delete --force "$MARK-db" 2>/dev/null || :
	# It ends with its last container.
	wait_exit "${PID[supervisor]}" || :
	rm -rf "$T/crun" "$T/runc"
	assert_nothing_left
}

# A packed program with the profile that the policy makes, and nothing else of vrun's.
profiled() # NAME POLICY ARG...
{
	local name=$1 policy=$2

	shift 2
	run "$VRUN" pack -q -o "$T/$name" "$@"
	assert_status 0
	printf '%s\n' "$policy" >"$T/$name.json"
	"$VRUN" policy seccomp --listen "$T/agent" "$T/$name.json" >"$T/$name.profile"
	jq --slurpfile p "$T/$name.profile" '.ociVersion = "1.0.2" | .annotations = {} | .root.readonly = false
		| .linux.namespaces |= map(select(.type != "user")) | .linux.seccomp = $p[0]' \
		"$T/$name/config.json" >"$T/config" && mv "$T/config" "$T/$name/config.json"
}

DB='{"version": 1, "domain": "db", "net": {"address": ["10.88.0.20"], "rules": [
	{"allow": "listen", "at": ":6379", "from": ["app", "late"]}]}}'
APP='{"version": 1, "domain": "app", "net": {"address": ["10.88.0.21"], "rules": [
	{"allow": "connect", "to": "db:6379"}]}}'

end_db()
{
	run_crun kill "$MARK-db" KILL
	wait_exit "${PID[db]}" || :
	run_crun delete --force "$MARK-db" 2>/dev/null || :
}

# crun connects to the listenerPath before it runs any hook; runc does it behind createRuntime's.
@test "vrun policy seccomp makes the profile, and hooks of runc start the supervisor" {
	local hooks

	need_command runc redis-server redis-cli
	profiled db "$DB" redis-server --bind '*' --protected-mode no --save '' --daemonize no
	profiled app "$APP" redis-cli -h 10.88.0.20 ping
	hooks='.hooks = { createRuntime: [{ path: "'"$VRUN"'", args: ["vrun", "hook", "--log-to", "'"$T"'/hook.log", "createRuntime"] }],
		poststop: [{ path: "'"$VRUN"'", args: ["vrun", "hook", "poststop"] }] }'
	edit_bundle "$T/db" "$hooks"
	edit_bundle "$T/app" "$hooks"
	spawn db run_runc run -b "$T/db" "$MARK-db" </dev/null
	wait_until grep -q 'Ready to accept' "$T/db.out"
	run -0 run_runc run -b "$T/app" "$MARK-app"
	assert_output PONG
	# runc's own exec has a listener of its own for the same container.
	jq '.process | .args = ["/usr/bin/redis-server", "--port", "7000", "--protected-mode", "no", "--save", ""]' "$T/db/config.json" >"$T/process.json"
	spawn exec run_runc exec -p "$T/process.json" "$MARK-db" </dev/null
	wait_until grep -q 'Ready to accept' "$T/exec.out"
	run_runc kill "$MARK-db" KILL
	wait_exit "${PID[db]}" || :
	wait_exit "${PID[exec]}" || :
	run_runc delete --force "$MARK-db" 2>/dev/null || :
	wait_until agent_gone
	rm -rf "$T/runc"
	assert_nothing_left
}

agent_gone()
{
	[[ ! -S $T/agent ]] || ! socat -u OPEN:/dev/null "UNIX-CONNECT:$T/agent" 2>/dev/null
}

@test "runs of vrun join the fabric of a supervisor that serves other runtimes" {
	need_command crun runc redis-server redis-cli unshare
	profiled db "$DB" redis-server --bind '*' --protected-mode no --save '' --daemonize no
	mkdir -m 0700 "$T/run/vrun"
	spawn supervisor "$VRUN" --root "$T/run/vrun" supervise --listen "$T/agent" --fabric shop </dev/null
	wait_path "$T/run/vrun/fabric-shop.sock"
	run "$VRUN" --root "$T/run/vrun" supervise --listen "$T/agent2" --fabric shop
	assert_vrun_error "fabric shop has a supervisor already"
	spawn db run_crun run -b "$T/db" "$MARK-db" </dev/null
	wait_until grep -q 'Ready to accept' "$T/db.out"
	run "$VRUN" pack -q -o "$T/late" redis-cli -h 10.88.0.20 ping
	printf '%s\n' "${APP//\"app\"/\"late\"}" | sed 's/10.88.0.21/10.88.0.23/' >"$T/late/policy.json"
	run -0 --separate-stderr "$VRUN" --root "$T/run/vrun" run --fabric shop "$T/late"
	assert_output PONG
	end_db
	wait_exit "${PID[supervisor]}" || :
	[[ ! -e $T/run/vrun/fabric-shop.sock && ! -L $T/run/vrun/fabric-shop.sock ]]
	rm -rf "$T/crun" "$T/runc"
	assert_nothing_left
}

# The supervisor is a child of the process that was called.
has_guard() # NAME
{
	pgrep -x vrun-guard -P "$(pgrep -d, -P "${PID[$1]}")" >/dev/null
}

@test "a run with a way out that joins a supervisor finds a guard there" {
	mkdir -m 0700 "$T/run/vrun"
	echo '{"version":1,"domain":"o","net":{"rules":[{"allow":"connect","to":"192.0.2.1:80"}]}}' >"$T/out.json"
	spawn supervisor "$VRUN" --root "$T/run/vrun" supervise --listen "$T/agent" --fabric out </dev/null
	wait_path "$T/run/vrun/fabric-out.sock"
	wait_until has_guard supervisor
	run -0 "$VRUN" --root "$T/run/vrun" run --fabric out -p "$T/out.json" --cwd none -- true
	wait_exit "${PID[supervisor]}"
	# One without a name, too: what runtimes bring may have a gateway.
	spawn plain "$VRUN" supervise --listen "$T/agent" </dev/null
	wait_until has_guard plain
	kill "${PID[plain]}"
	wait_exit "${PID[plain]}" || :
	assert_nothing_left
}

@test "records that nobody reads hold no domain up, and are counted" {
	need_command python3
	mkdir -m 0700 "$T/run/vrun"
	mkfifo records go
	echo '{"version":1,"domain":"d","net":{"rules":[]}}' >"$T/d.json"
	spawn reader sh -c 'exec <records; read -r line <go; exec cat'
	spawn supervisor sh -c 'exec "$0" "$@" >records' "$VRUN" --root "$T/run/vrun" supervise --listen "$T/agent" --fabric loud
	wait_path "$T/run/vrun/fabric-loud.sock"
	cat >"$T/denied.py" <<-'END'
		import socket
		for i in range(1000):
		    try: socket.socket().connect(("192.0.2.1", 80))
		    except PermissionError: pass
		print("denied")
	END
	run -0 --separate-stderr "$VRUN" --root "$T/run/vrun" run -q --fabric loud -p "$T/d.json" --cwd none -- \
		python3 -c "$(<"$T/denied.py")"
	assert_output denied
	kill "${PID[supervisor]}" 2>/dev/null || :
	echo >go
	wait_exit "${PID[supervisor]}" || :
	wait_exit "${PID[reader]}"
	assert_contains "$(<"$T/reader.out")" '"decision":"deny"'
	(($(wc -l <"$T/reader.out") < 1000)) || fail "a pipe has taken everything: this shows nothing"
	assert_nothing_left
}

@test "a profile that would lock the runtime up, or that nobody answers, is refused" {
	make_bundle "$T/b" '.linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", listenerPath: "'"$T"'/agent",
		syscalls: [{names: ["connect", "write"], action: "SCMP_ACT_NOTIFY"}]}'
	printf '{"ociVersion": "1.0.2", "id": "x", "status": "creating", "pid": 1, "bundle": "%s"}' "$T/b" >"$T/state"
	run "$VRUN" hook createRuntime <"$T/state"
	assert_status 1
	assert_contains "$output" "traps write, which the runtime itself needs"
	edit_bundle "$T/b" '.linux.seccomp.syscalls[0].names = ["connect", "mkdir"]'
	run "$VRUN" hook createRuntime <"$T/state"
	assert_status 1
	assert_contains "$output" "traps mkdir, which vrun's supervisor does not answer"
	edit_bundle "$T/b" 'del(.linux.seccomp)'
	run "$VRUN" hook createRuntime <"$T/state"
	assert_status 1
	assert_contains "$output" "no linux.seccomp.listenerPath"
	run "$VRUN" hook createRuntime <<<'{'
	assert_status 1
	run "$VRUN" policy seccomp <(echo '{"version": 1, "net": {"rules": []}}')
	assert_vrun_error "--listen PATH"
	[[ ! -e $T/agent ]]
	assert_nothing_left
}
