#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# Lifecycle hooks: which are run when, where, with what, and what their failures do.

bats_require_minimum_version 1.5.0
load helper

setup()
{
	helper_setup
	ROOT=$T/run/oci
	mkdir -m 0700 "$ROOT"
	mkdir -m 1777 "$T/told"
	# Each writes what it was given and where it is to a file of its own; the order is in their times.
	cat >"$T/hook" <<-END
		#!/bin/sh
		{ cat; echo; readlink /proc/self/ns/mnt; readlink /proc/self/ns/net; id -u; env; } >"$T/told/\$1.new"
		mv "$T/told/\$1.new" "$T/told/\$1"
		echo "\$1" >>"$T/told/\$2"
	END
	chmod +x "$T/hook"
}

oci()
{
	"$VRUN" --root "$ROOT" "$@"
}

# A bundle with all hooks, whose program waits for a line.
hooked() # DIR [JQ...]
{
	make_bundle "$1" '.process.args = ["sh", "-c", "echo app >>/told/inside; exec sleep 1000"]' \
		'.annotations = {"a.b": "c"}' \
		'.mounts += [{destination: "/told", type: "bind", source: "'"$T"'/told", options: ["bind", "rw"]}]' \
		'.hooks = ({ prestart: "a", createRuntime: "b", createContainer: "c", poststart: "e", poststop: "f" }
			| with_entries(.value = [{ path: "'"$T"'/hook", args: ["hook", .key, "outside"],
				env: ["PATH=/bin:/usr/bin", "HOOK=" + .key] }]))' \
		'.hooks.createContainer[0].args[2] = "container"' \
		'.hooks.startContainer = [{ path: "/bin/sh", args: ["sh", "-c", "cat >/told/startContainer; readlink /proc/self/ns/mnt >>/told/startContainer; echo startContainer >>/told/inside"] }]' \
		"${@:2}"
	chmod 0777 "$T/told"
}

told() # HOOK JQ
{
	head -n 1 "$T/told/$1" | jq -r "$2"
}

stopped() # ID
{
	[[ $(oci state "$1" 2>/dev/null | jq -r .status) == stopped ]]
}

@test "hooks run in their order, in their namespaces, with the container's state" {
	local id pid kind

	hooked "$T/b"
	new_id
	id=$REPLY
	oci create -b "$T/b" --pid-file "$T/pid" "$id" </dev/null >/dev/null
	pid=$(<"$T/pid")
	assert_equal "$(cat "$T/told/outside" "$T/told/container" | tr '\n' ' ')" "prestart createRuntime createContainer "
	[[ ! -e $T/told/inside ]]
	for kind in prestart createRuntime createContainer; do
		assert_equal "$(told "$kind" '[.id, .status, .bundle, (.annotations | tostring)] | join(" ")')" \
			"$id $([[ $kind == prestart ]] && echo created || echo creating) $T/b {\"a.b\":\"c\"}" "$kind"
		assert_equal "$(told "$kind" .pid)" "$pid" "$kind"
		assert_contains "$(<"$T/told/$kind")" "HOOK=$kind"
		assert_lacks "$(<"$T/told/$kind")" "VRUN_TEST_MARK" "environment of $kind"
	done
	assert_equal "$(sed -n 2p "$T/told/createRuntime")" "$(readlink /proc/self/ns/mnt)" "namespace of createRuntime"
	assert_not_equal "$(sed -n 2p "$T/told/createContainer")" "$(readlink /proc/self/ns/mnt)" "namespace of createContainer"
	assert_not_equal "$(sed -n 3p "$T/told/createContainer")" "$(readlink /proc/self/ns/net)" "network of createContainer"

	oci start "$id"
	assert_equal "$(head -n 1 "$T/told/inside")" startContainer
	assert_equal "$(told startContainer '[.id, .status, (.pid | tostring)] | join(" ")')" "$id created $pid"
	assert_equal "$(tail -n 1 "$T/told/outside")" poststart
	assert_equal "$(told poststart .status)" running
	wait_until grep -q app "$T/told/inside"
	oci kill "$id" KILL
	wait_until stopped "$id"
	[[ ! -e $T/told/poststop ]]
	oci delete "$id"
	assert_equal "$(told poststop .status)" stopped
	rm -rf "$ROOT"
	assert_nothing_left
}

@test "vrun run refuses hooks that run outside until it is told to run them" {
	local kind

	for kind in prestart createRuntime createContainer poststart poststop; do
		make_bundle "$T/$kind" '.process.args = ["echo", "ran"]' \
			".hooks.$kind = [{ path: \"$T/hook\", args: [\"hook\", \"$kind\", \"outside\"], env: [\"PATH=/bin:/usr/bin\"] }]"
		run --separate-stderr "$VRUN" run "$T/$kind"
		assert_vrun_error "--hooks"
		assert_equal "$output" ""
		[[ ! -e $T/told/$kind ]] || fail "$kind was run"
	done
	make_bundle "$T/inside" '.process.args = ["true"]' \
		'.hooks.startContainer = [{ path: "/bin/sh", args: ["sh", "-c", "exit 5"] }]'
	run --separate-stderr "$VRUN" run "$T/inside"
	assert_vrun_error "startContainer hook"
	assert_nothing_left
}

@test "vrun run --hooks runs all of them, too" {
	hooked "$T/b" '.process.args = ["sh", "-c", "echo app >>/told/inside"]'
	run -0 "$VRUN" run --hooks "$T/b"
	assert_equal "$(tr '\n' ' ' <"$T/told/outside")" "prestart createRuntime poststart poststop "
	assert_equal "$(tr '\n' ' ' <"$T/told/inside")" "startContainer app "
	assert_nothing_left
}

@test "a createContainer hook finds the new root where the bundle has it, and may change it" {
	make_bundle "$T/b" '.process.args = ["cat", "/from-hook"]' '.root.readonly = false' \
		'.hooks.createContainer = [{ path: "/bin/sh", args: ["sh", "-c", "echo hello >\"'"$T"'/b/rootfs/from-hook\"; test -e \"'"$T"'/b/rootfs/proc/self\""],
			env: ["PATH=/bin:/usr/bin"] }]' '.annotations["org.vrun.overlay"] = "tmpfs"' '.annotations["org.vrun.owner"] = "app"'
	run -0 --separate-stderr "$VRUN" run --hooks "$T/b"
	assert_output hello
	[[ ! -e $T/b/rootfs/from-hook ]]
	assert_nothing_left
}

@test "a hook that fails ends the launch, says what it wrote, and poststop is run" {
	local kind

	for kind in prestart createRuntime createContainer startContainer poststart; do
		make_bundle "$T/$kind" '.process.args = ["sleep", "1000"]' \
			".hooks.$kind = [{ path: \"/bin/sh\", args: [\"sh\", \"-c\", \"echo no: $kind; exit 3\"] }]" \
			'.hooks.poststop = [{ path: "'"$T"'/hook", args: ["hook", "stop-'"$kind"'", "outside"], env: ["PATH=/bin:/usr/bin"] }]'
		run "$VRUN" run --hooks "$T/$kind"
		assert_vrun_error "$kind hook"
		assert_contains "$output" "exit status 3: no: $kind"
		[[ -e $T/told/stop-$kind ]]
		rm "$T/told/stop-$kind"

		new_id
		if [[ $kind == startContainer || $kind == poststart ]]; then
			oci create -b "$T/$kind" "$REPLY" </dev/null >/dev/null 2>&1
			run oci start "$REPLY"
			assert_status 1
			assert_contains "$output" "exit status 3: no: $kind"
			wait_until stopped "$REPLY"
			oci delete "$REPLY"
		else
			run oci create -b "$T/$kind" "$REPLY"
			assert_status 1
			assert_contains "$output" "exit status 3: no: $kind"
			run oci state "$REPLY"
			assert_status 1
		fi
		[[ -e $T/told/stop-$kind ]]
		rm "$T/told/stop-$kind"
	done
	rm -rf "$ROOT"
	assert_nothing_left
}

@test "a hook that takes longer than its timeout is ended with all that it has started" {
	make_bundle "$T/b" '.hooks.createRuntime = [{ path: "/bin/sh", timeout: 1, env: ["VRUN_TEST_MARK='"$MARK"'"],
		args: ["sh", "-c", "sleep 1000 & sleep 1000"] }]'
	run "$VRUN" run --hooks "$T/b"
	assert_vrun_error "not done within 1 s"
	assert_nothing_left
}

@test "a hook may read nothing, write much, and leave a daemon behind" {
	mkfifo "$T/told/end"
	# The daemon has the hook's output, and stays until it is told to go.
	make_bundle "$T/b" '.process.args = ["echo", "app"]' '.annotations.long = ("x" * 100000)' \
		'.hooks.createRuntime = [{ path: "/bin/sh", args: ["sh", "-c",
			"head -c 300000 /dev/zero; (read line <\"'"$T"'/told/end\"; echo >\"'"$T"'/told/gone\") & exit 0"],
			env: ["PATH=/bin:/usr/bin"] }]'
	run -0 --separate-stderr timeout "$WAIT_SECONDS" "$VRUN" run --hooks "$T/b"
	assert_output app
	[[ ! -e $T/told/gone ]] || fail "the daemon has ended by itself"
	echo >"$T/told/end"
	wait_path "$T/told/gone"
}

@test "a poststop hook that fails is a warning, and the others are run" {
	make_bundle "$T/b" '.process.args = ["sh", "-c", "exit 7"]' '.annotations.long = ("x" * 100000)' \
		'.hooks.poststop = [{ path: "/bin/false" }, { path: "/no/such/hook" },
			{ path: "'"$T"'/hook", args: ["hook", "last", "outside"], env: ["PATH=/bin:/usr/bin"] }]'
	run "$VRUN" run --hooks "$T/b"
	assert_status 7
	assert_contains "$output" "warning: poststop hook /bin/false: exit status 1"
	assert_contains "$output" "warning: poststop hook /no/such/hook"
	[[ -e $T/told/last ]]
	assert_nothing_left
}

@test "what ends vrun run ends a hook that it waits for" {
	make_bundle "$T/b" '.hooks.createRuntime = [{ path: "/bin/sh", env: ["VRUN_TEST_MARK='"$MARK"'"],
		args: ["sh", "-c", "echo >\"'"$T"'/told/there\"; exec sleep 1000"] }]'
	spawn run "$VRUN" run --hooks "$T/b" </dev/null
	wait_path "$T/told/there"
	kill -TERM "${PID[run]}"
	wait_exit "${PID[run]}"
	assert_not_equal "$status" 0
	assert_nothing_left
}
