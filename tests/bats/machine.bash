# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# A machine for tests of what leaves a sandbox: one network namespace.

OUTSIDE=${VRUN%/vrun}/tests/guest/outside

# What serves port 7000 of the machine, and says a line when it does.
SERVER=("$OUTSIDE" serve 7000)

# A command on a machine of its own with 192.0.2.1, 192.0.2.3 and 2001:db8::1. What is sent to 198.51.100.66
# is lost. The command's pid is in $T/machine.pid.
on_machine() # COMMAND...
{
	local own=()

	is_root || own=(--user --map-root-user)
	# shellcheck disable=SC2016 # for the shell inside
	unshare "${own[@]}" --net bash -c '
		set -eu
		file=$1 servers=$2
		shift 2
		ip link set lo up
		ip addr add 192.0.2.1/24 dev lo
		ip addr add 192.0.2.3/24 dev lo
		ip -6 addr add 2001:db8::1/64 dev lo nodad
		ip link add name out type veth peer name sink
		ip link set out up
		ip link set sink up
		ip addr add 198.51.100.1/24 dev out
		ip neigh add 198.51.100.66 lladdr 02:00:00:00:00:01 dev out
		# A new address of IPv6 answers a moment later.
		until [[ $(ip -6 route show table local) == *"2001:db8::1 "* ]]; do :; done
		coproc server { exec "${@:1:servers}"; }
		pid=$server_PID
		shift "$servers"
		read -r _ <&"${server[0]}"
		status=0
		(echo "$BASHPID" >"$file"; exec "$@") || status=$?
		exec 2>/dev/null # the shell tells of the end of its jobs
		kill -KILL "$pid"
		wait "$pid" || :
		exit "$status"
	' sh "$T/machine.pid" "${#SERVER[@]}" "${SERVER[@]}" "$@" </dev/null
}

# On it, vrun with a policy of these rules (JSON) and $TRANSPORT, in the directory $T/work, where a copy of the guest
# is: a build directory in /tmp is not seen inside.
sandbox() # RULES COMMAND...
{
	local rules=$1

	shift
	jq -n --argjson rules "[$rules]" --arg transport "${TRANSPORT:-tcp}" \
		'{version: 1, domain: "app", net: {transport: $transport, rules: $rules}}' >"$T/app.json"
	mkdir -p "$T/work"
	cd "$T/work" || return 1
	cp "$OUTSIDE" outside
	on_machine "$VRUN" run -p "$T/app.json" -- "$@"
}
