#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# "record" of rules for what is not a "vrun run": containers of vrun create, of vrun up, and of other
# runtimes. Each command's caller says where.

bats_require_minimum_version 1.5.0
load helper
load internet

setup()
{
	helper_setup
	need_command python3 busybox jq
	mkdir -m 0700 "$T/work" "$T/rec" "$T/run/oci"
	cd "$T/work" || return 1
	# Containers have more than one id.
	# shellcheck disable=SC2034 # of internet.bash
	INTERNET_IDS=(--map-root-user --map-auto)
}

teardown()
{
	[[ -z ${PID[internet]-} ]] || internet_stop
	helper_teardown
}

readonly RULE='{"id": "web", "allow": "connect", "to": "192.0.2.10:80", "record": "web.pcapng"}'

# A busybox that says who has answered.
recorded_bundle() # NAME [JQ]
{
	make_bundle "$1" '.process.args = ["sh", "-c", "nc 192.0.2.10 80 </dev/null | cut -d\" \" -f1-3"]' "${@:2}"
	jq -n --arg name "${1##*/}" --argjson rule "$RULE" '{version: 1, domain: $name, net: {rules: [$rule]}}' >"$1/policy.json"
}

# One connection of the container, which has ended.
assert_recorded() # FILE ID
{
	assert_equal "$(stat -c %a "$1")" 600 "its mode"
	run -0 python3 "$BATS_TEST_DIRNAME/pcapng.py" "$1"
	assert_matches "$output" " 192.0.2.10:80 .* ended $2: connect to 192.0.2.10:80/tcp"
	assert_equal "$(wc -l <<<"$output")" 1 "connections"
}

@test "vrun create records where --record says, and refuses a policy that records without it" {
	local oci=("$VRUN" --root "$T/run/oci")

	internet_start
	recorded_bundle "$T/work/one" '.root.readonly = false'
	run on_host "${oci[@]}" create -b one "$MARK-one" </dev/null
	assert_status 1
	assert_contains "$output" "rule web records to the file web.pcapng, and there is no directory for it (give one: --record DIR)"
	run on_host "${oci[@]}" create -b one --record "$T/work/one/rootfs" "$MARK-one" </dev/null
	assert_status 1
	assert_contains "$output" "where the app may write"
	run on_host "${oci[@]}" create -b one --record "$T/rec" --record-max x "$MARK-one" </dev/null
	assert_status 1
	assert_contains "$output" "takes a size"
	on_host "${oci[@]}" create -b one --record "$T/rec" --record-max 1M "$MARK-one" </dev/null >"$T/said"
	on_host "${oci[@]}" start "$MARK-one"
	wait_until grep -q from "$T/said"
	wait_until stopped "$MARK-one"
	on_host "${oci[@]}" delete "$MARK-one"
	assert_recorded "$T/rec/web.pcapng" "$MARK-one"
	# It is never written over.
	run on_host "${oci[@]}" create -b one --record "$T/rec" "$MARK-one" </dev/null
	assert_status 1
	assert_contains "$output" "is there already"
	internet_stop
	rm -rf "$T/run/oci"
	assert_nothing_left
}

stopped() # ID
{
	[[ $(on_host "$VRUN" --root "$T/run/oci" state "$1" | jq -r .status) == stopped ]]
}

@test "vrun up gives each bundle's records a directory" {
	local fabric="f${MARK//[^a-zA-Z0-9]/}"

	internet_start
	recorded_bundle "$T/work/one"
	recorded_bundle "$T/work/two"
	jq -n --arg f "$fabric" '{version: 1, fabric: $f, bundles: {one: {bundle: "one"}, two: {bundle: "two"}}}' >up.json
	run on_host "$VRUN" --root "$T/run/oci" up up.json
	assert_status 125
	assert_contains "$output" "and there is no directory for it (give one: --record DIR)"
	run -0 on_host "$VRUN" --root "$T/run/oci" up --record "$T/rec" --record-max 1M up.json
	assert_contains "$output" "one | 192.0.2.10 80 from"
	assert_contains "$output" "two | 192.0.2.10 80 from"
	assert_recorded "$T/rec/one/web.pcapng" "$fabric-one"
	assert_recorded "$T/rec/two/web.pcapng" "$fabric-two"
	internet_stop
	rm -rf "$T/run/oci"
	assert_nothing_left
}

@test "vrun supervise records for containers of other runtimes, bounded by --record-max and --ceiling" {
	need_command runc
	internet_start
	for name in one two three; do
		recorded_bundle "$T/work/$name" '.ociVersion = "1.0.2" | .linux.namespaces |= map(select(.type != "user"))'
		"$VRUN" policy seccomp --listen "$T/agent" "$name/policy.json" >profile
		python3 -c 'import json, sys
config, profile = map(json.load, map(open, sys.argv[1:]))
config["linux"]["seccomp"] = profile
json.dump(config, open(sys.argv[1], "w"))' "$name/config.json" profile
	done
	jq '.root.readonly = false' two/config.json >config && mv config two/config.json
	echo '{"version": 1, "net": {"rules": [{"allow": "connect", "to": "192.0.2.99:80"}]}}' >ceiling.json
	run "$VRUN" supervise --listen "$T/agent" -p one/policy.json
	assert_vrun_error "rule web records to the file web.pcapng, and there is no directory for it (give one: --record DIR)"
	run "$VRUN" supervise --listen "$T/agent" --record "$T/none"
	assert_vrun_error "No such file or directory"
	cat >work.sh <<-'END'
		# What runc is told, then options of the supervisor.
		serve()
		{
			name=$1
			shift
			"$VRUN" supervise --listen "$T/agent" "$@" >>"$T/audit" 2>>"$T/said" </dev/null &
			supervisor=$!
			until grep -q " 00010000 .* $T/agent\$" /proc/net/unix; do kill -0 "$supervisor" || { cat "$T/said"; exit 1; }; done
			echo "$name: $(runc --root "$T/runc" run -b "$T/work/$name" "$VRUN_TEST_MARK-$name" 2>&1 </dev/null)"
			kill "$supervisor" 2>/dev/null
			wait
		}
		serve one
		serve two --record "$T/work/two/rootfs"
		serve one --record "$T/rec" --record-max 1M
		serve three --record "$T/rec" --ceiling ceiling.json
	END
	run on_host timeout 60 bash work.sh </dev/null
	assert_equal "$output" "one: nc: socket: Function not implemented
two: nc: socket: Function not implemented
one: 192.0.2.10 80 from
three: nc: can't connect to remote host (192.0.2.10): Permission denied" || fail "$(<"$T/said")"
	assert_contains "$(<"$T/said")" "rule web records to the file web.pcapng, and there is no directory for it (give one: --record DIR)"
	assert_contains "$(<"$T/said")" "where the app may write"
	assert_contains "$(<"$T/audit")" "ceiling.json"
	[[ ! -e two/rootfs/$MARK-two ]]
	assert_recorded "$T/rec/$MARK-one/web.pcapng" "$MARK-one"
	internet_stop
	rm -rf "$T/runc"
	assert_nothing_left
}
