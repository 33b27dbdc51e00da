#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# bats file_tags=identity:root
#
# bundle-spec/engines/oci.conf under Slurm: Debian's slurmctld and slurmd, one node.

bats_require_minimum_version 1.5.0
load helper

setup()
{
	helper_setup
	need_command slurmctld slurmd srun scancel unshare nsenter ip busybox
	mkdir -m 0755 "$T/slurm"
	spawn node setpriv --pdeathsig KILL unshare --net --pid --uts --mount --fork --mount-proc --kill-child \
		"$BATS_TEST_DIRNAME/86-slurm-node" "$T/slurm" "$VRUN" </dev/null
	wait_until grep -q ready "$T/node.out" || fail "$(cat "$T/node.err" "$T"/slurm/*.log)"
	NODE=$(pgrep -P "${PID[node]}")
	make_bundle "$T/b"
}

# As that user, a job of the node's: the image is the bundle.
job() # USER COMMAND...
{
	local user=$1

	shift
	nsenter -t "$NODE" --net --pid --uts --mount -- setpriv --reuid "$user" --regid "$user" --init-groups -- \
		env SLURM_CONF="$T/slurm/slurm.conf" "$@"
}

none_left()
{
	[[ -z $(find "$T/slurm" -path '*/run-*' -name '*.json') ]]
}

@test "srun --container runs bundles under vrun, for root and for users, and cancels them" {
	local user=${VRUN_TEST_USER:-nobody}

	run -0 --separate-stderr job root srun --container="$T/b" /bin/sh -c 'hostname; id -u; echo $SLURM_JOB_ID' </dev/null
	# shellcheck disable=SC2154 # set by run
	assert_output "sandbox"$'\n'"0"$'\n'"1" || fail "$stderr" "$(<"$T/slurm/slurmd.log")"
	run job root srun --container="$T/b" /bin/sh -c 'exit 7' </dev/null
	assert_status 7
	assert_equal "$(echo in | job root srun --container="$T/b" /bin/cat)" in
	run job root srun --container="$T/b" /bin/nc 192.0.2.1 6818 </dev/null
	assert_contains "$output" "ermission denied"
	give_bundle "$T/b"
	run -0 --separate-stderr job "$user" srun --container="$T/b" /bin/sh -c 'hostname; id -u' </dev/null
	assert_equal "${lines[0]}" sandbox
	wait_until none_left

	spawn job job root srun --container="$T/b" /bin/sh -c 'echo up; exec sleep 1000' </dev/null
	wait_until grep -q up "$T/job.out"
	job root scancel --user root
	wait_exit "${PID[job]}" || :
	wait_until none_left
	kill -KILL "${PID[node]}" # unshare(1) waits for its child whatever else comes
	wait_exit "${PID[node]}" || :
	assert_nothing_left
}
