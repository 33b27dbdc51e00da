#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# What bundle-spec/engines has, as far as it runs here.

bats_require_minimum_version 1.5.0
load helper

ENGINES=$TOP/bundle-spec/engines

# A command line of oci.conf with the placeholders filled in.
slurm_line() # KEY
{
	local line

	line=$(sed -n "s/^$1=\"vrun \(.*\)\"\$/\1/p" "$ENGINES/oci.conf")
	[[ -n $line ]] || fail "no $1 in oci.conf"
	line=${line//%b/$T/b} line=${line//%n/node} line=${line//%u/$MARK} line=${line//%j/7}
	line=${line//%s/0} line=${line//%t/1}
	[[ $line != *%* ]] || fail "Slurm 22.05 does not know what is left in $line"
	printf '%s\n' "$line"
}

slurm() # KEY
{
	local line

	line=$(slurm_line "$1")
	# shellcheck disable=SC2086 # words
	"$VRUN" $line
}

slurm_runs()
{
	[[ $(slurm RunTimeQuery 2>/dev/null | jq -r '.status + " " + .id') == "running node.$MARK.7.0.1" ]]
}

# Under Slurm itself: 86-slurm.
@test "Slurm's command lines run, ask for, kill and delete a container" {
	local line

	make_bundle "$T/b" '.process.args = ["sleep", "1000"]' '.linux.cgroupsPath = "'"$(is_root && echo "/$MARK")"'"'
	is_root || edit_bundle "$T/b" 'del(.linux.cgroupsPath)'
	line=$(slurm_line RunTimeRun)
	# shellcheck disable=SC2086 # words
	spawn run "$VRUN" $line </dev/null
	wait_until slurm_runs
	# pid 1 without a handler is spared SIGTERM, as with any runtime; Slurm goes on to delete.
	slurm RunTimeKill
	slurm RunTimeDelete
	wait_exit "${PID[run]}" || :
	run slurm RunTimeQuery
	assert_status 1
	rm -rf "/tmp/vrun-slurm-$MARK"
	assert_nothing_left
}

@test "podman finds vrun by the name in containers.conf" {
	need_command podman
	sed "s|\"/usr/local/bin/vrun\"|\"$VRUN\"|" "$ENGINES/containers.conf" >"$T/containers.conf"
	run -0 env CONTAINERS_CONF="$T/containers.conf" podman --root "$T/store" --runroot "$T/runroot" --tmpdir "$T/ptmp" \
		--storage-driver vfs --cgroup-manager cgroupfs --runtime vrun info --format '{{.Host.OCIRuntime.Path}}'
	assert_equal "${lines[-1]}" "$VRUN"
	is_root || podman unshare rm -rf "$T/store" "$T/runroot" "$T/ptmp"
}

@test "the policy of the RuntimeClass's pod is without fault" {
	sed -n "s/^ *org.vrun.policy: '\(.*\)'\$/\1/p" "$ENGINES/runtimeclass.yaml" >"$T/policy.json"
	run -0 "$VRUN" policy check --strict "$T/policy.json"
	run -0 "$VRUN" policy why "$T/policy.json" --connect api.default.svc.cluster.local:443
	assert_contains "$output" allowed
}

@test "containerd reads its part" {
	need_command containerd
	run -0 --separate-stderr containerd -c "$ENGINES/containerd.toml" config dump
	assert_matches "$output" 'BinaryName = "/usr/local/bin/vrun"'
}
