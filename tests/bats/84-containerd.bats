#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# bats file_tags=identity:root
#
# containerd with vrun as the binary behind its runc shim: Debian's containerd
# and ctr, an image that is made here.

bats_require_minimum_version 1.5.0
load helper

setup()
{
	helper_setup
	need_command containerd ctr busybox tar sha256sum
	mkdir -p "$T/cd"
	cat >"$T/cd/config.toml" <<-END
		version = 2
		root = "$T/cd/root"
		state = "$T/cd/state"
		disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
		[grpc]
		  address = "$T/cd/sock"
	END
	spawn containerd containerd -c "$T/cd/config.toml" </dev/null
	wait_listening "$T/cd/sock"
	import
}

teardown()
{
	local task

	for task in $(ctr_ task ls -q 2>/dev/null); do
		ctr_ task rm --force "$task" >/dev/null 2>&1 || :
	done
	if [[ -n ${PID[containerd]-} ]]; then
		kill "${PID[containerd]}"
		wait "${PID[containerd]}" 2>/dev/null || :
	fi
	unset 'PID[containerd]'
	helper_teardown
}

ctr_() # ARG...
{
	timeout 60 ctr -a "$T/cd/sock" "$@"
}

run_() # OPTION... ID COMMAND...
{
	ctr_ run --snapshotter native --runc-binary "$VRUN" --runc-root "$T/run/oci" "$@"
}

blob() # FILE
{
	local sum

	sum=$(sha256sum "$1" | cut -d ' ' -f 1)
	mv "$1" "$T/image/blobs/sha256/$sum"
	printf '{"digest": "sha256:%s", "size": %s, "mediaType": "%s"}' "$sum" "$(stat -c %s "$T/image/blobs/sha256/$sum")" "$2"
}

# An OCI image with one layer, by hand.
import()
{
	local layer config manifest arch=amd64

	[[ $(uname -m) == x86_64 ]] || arch=arm64
	make_rootfs "$T/rootfs"
	mkdir -p "$T/image/blobs/sha256"
	tar -C "$T/rootfs" --owner 0 --group 0 -cf "$T/layer" .
	rm -rf "$T/rootfs"
	jq -n --arg id "sha256:$(sha256sum "$T/layer" | cut -d ' ' -f 1)" --arg arch "$arch" \
		'{architecture: $arch, os: "linux", config: {Env: ["PATH=/bin"]}, rootfs: {type: "layers", diff_ids: [$id]}}' >"$T/config"
	layer=$(blob "$T/layer" application/vnd.oci.image.layer.v1.tar)
	config=$(blob "$T/config" application/vnd.oci.image.config.v1+json)
	printf '{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": %s, "layers": [%s]}' "$config" "$layer" >"$T/manifest"
	manifest=$(blob "$T/manifest" application/vnd.oci.image.manifest.v1+json)
	jq -n --argjson m "$manifest" '{schemaVersion: 2, manifests: [$m + {annotations: {"io.containerd.image.name": "box.example/box:1"}}]}' >"$T/image/index.json"
	echo '{"imageLayoutVersion": "1.0.0"}' >"$T/image/oci-layout"
	tar -C "$T/image" -cf "$T/image.tar" .
	ctr_ image import --snapshotter native "$T/image.tar" >/dev/null
	rm -rf "$T/image" "$T/image.tar"
	IMAGE=box.example/box:1
}

@test "ctr run, exec, pause, kill and rm work" {
	run -0 --separate-stderr run_ --rm "$IMAGE" "$MARK-1" echo hello
	assert_output hello
	run run_ --rm "$IMAGE" "$MARK-1" sh -c 'exit 5'
	assert_status 5
	run run_ --rm "$IMAGE" "$MARK-1" /no/such
	assert_not_equal "$status" 0
	assert_contains "$output" "/no/such"

	run_ -d "$IMAGE" "$MARK-2" sleep 1000
	assert_contains "$(ctr_ task ls)" RUNNING
	run -0 --separate-stderr ctr_ task exec --exec-id x "$MARK-2" sh -c 'echo $((6 * 7))'
	assert_output 42
	run ctr_ task exec --exec-id y "$MARK-2" sh -c 'exit 3'
	assert_status 3
	assert_contains "$(ctr_ task ps "$MARK-2")" "$(ctr_ task ls | awk -v id="$MARK-2" '$1 == id { print $2 }')"
	ctr_ task pause "$MARK-2"
	assert_contains "$(ctr_ task ls)" PAUSED
	ctr_ task resume "$MARK-2"
	ctr_ task kill -s KILL "$MARK-2"
	wait_until is_stopped "$MARK-2"
	ctr_ task rm "$MARK-2" 2>/dev/null || :
	ctr_ container rm "$MARK-2"
	assert_equal "$(find "$T/run/oci" -mindepth 1 -name '*.json' ! -path '*/filters*')" ""
}

is_stopped() # ID
{
	ctr_ task ls | grep "$1" | grep -q STOPPED
}

@test "a policy in an annotation holds, and limits do" {
	run -0 --separate-stderr run_ --rm --memory-limit 67108864 "$IMAGE" "$MARK-3" sh -c 'nc -w 30 127.0.0.1 80 2>&1; :'
	assert_contains "$output" "ermission denied"
	run -0 --separate-stderr run_ --rm --annotation 'org.vrun.policy={"version": 1, "net": {"rules": []}}' \
		"$IMAGE" "$MARK-3" sh -c 'echo hello | nc -l -p 7000 & while ! nc 127.0.0.1 7000; do :; done 2>/dev/null; nc -w 30 10.1.2.3 80 2>&1; :'
	assert_contains "$output" hello
	assert_contains "$output" "ermission denied"
}
