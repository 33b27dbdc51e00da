#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# Input that is damaged, hostile, missing or in the wrong place, and disks without room: each is
# vrun's own failure (125), is named in vrun's error, takes no longer than a moment and leaves
# nothing. The first cases of each kind are in 10-run.bats and 40-pack.bats.

# shellcheck disable=SC2030,SC2031 # status, output and stderr are set by run, test by test
bats_require_minimum_version 1.5.0
load helper
: "${stderr=}" # set by run --separate-stderr

# Runs vrun with a limit of time and memory, since some of the input has no end.
refused() # PART ARG...
{
	local part=$1

	shift
	run --separate-stderr bash -c 'ulimit -v 200000; exec timeout 10 "$@"' sh "$VRUN" "$@" </dev/null
	assert_vrun_error "$part" || fail "from: vrun $*"
	assert_equal "$output" "" "standard output of: vrun $*"
}

# Puts in the place of $1, one after the other, what is no JSON document, and expects that the rest
# of the arguments, a command of vrun's, names the file.
each_damage() # FILE ARG...
{
	local file=$1 name=${1##*/} text

	shift
	rm -rf "$file"
	refused "$name" "$@"
	mkfifo "$file"
	refused "$name: " "$@"
	rm "$file"
	mkdir "$file"
	refused "$name: Is a directory" "$@"
	rmdir "$file"
	ln -s /dev/zero "$file"
	refused "$name: not a regular file" "$@"
	ln -sfn "$name" "$file"
	refused "$name: Too many levels of symbolic links" "$@"
	rm "$file"
	truncate -s 5G "$file"
	refused "$name: larger than" "$@"
	for text in '' ' ' '{' '{"a":}' '[]' '"text"' 'null' '7' '{} {}' '{"version": 1, "version": 1}' $'{"\xff": 1}' \
		$'\xef\xbb\xbf{}' "{'a': 1}" '{"a": NaN}' '{"a": 1,}' '{"a": "\ud800"}' \
		'{"a": 1e999}' '{"a": 99999999999999999999}' '// text'; do
		printf '%s' "$text" >"$file"
		refused "$name:" "$@"
	done
	printf '{"a": "\0"}' >"$file"
	refused "$name:" "$@"
	printf '[%.0s' {1..100000} >"$file"
	refused "$name:" "$@"
	if ! is_root; then
		printf '{}' >"$file"
		chmod 0 "$file"
		refused "$name: Permission denied" "$@"
	fi
	rm -f "$file"
}

@test "a config.json that is no JSON object, or no file, is refused by its place" {
	make_bundle "$T/b"
	each_damage "$T/b/config.json" run "$T/b"
	assert_nothing_left
}

@test "a policy that is no JSON object, or no file, is refused by its place" {
	make_bundle "$T/b"
	each_damage "$T/p.json" run -p "$T/p.json" "$T/b"
	each_damage "$T/c.json" run --ceiling "$T/c.json" "$T/b"
	assert_nothing_left
}

@test "a bundle's own policy that is broken is refused, not taken for none" {
	make_bundle "$T/b"
	each_damage_but_none "$T/b/policy.json" run "$T/b"
	assert_nothing_left
}

# A policy.json that is not there is no error.
each_damage_but_none() # FILE ARG...
{
	printf '{' >"$1"
	refused "${1##*/}:1" "${@:2}"
	printf '{"version": 1, "domain": "web", "nett": "none"}' >"$1"
	refused "nett" "${@:2}"
	printf '{"version": 2}' >"$1"
	refused "version" "${@:2}"
	rm "$1"
	mkdir "$1"
	refused "${1##*/}: Is a directory" "${@:2}"
	rmdir "$1"
	ln -s "${1##*/}" "$1"
	refused "${1##*/}: Too many levels of symbolic links" "${@:2}"
	ln -sfn /nowhere "$1"
	refused "${1##*/}" "${@:2}"
	rm "$1"
	if ! is_root; then
		printf '{"version": 1, "net": "none"}' >"$1"
		chmod 0 "$1"
		refused "${1##*/}: Permission denied" "${@:2}"
		rm -f "$1"
	fi
}

@test "a value of the wrong type is refused by its path, whichever it is" {
	local path bad type

	make_bundle "$T/b" '.root.readonly = true' '.linux.resources = {memory: {limit: 1000000000}}' \
		'.process.rlimits = [{type: "RLIMIT_CORE", soft: 0, hard: 0}]'
	cp "$T/b/config.json" "$T/good.json"
	for path in ociVersion process process.args process.env process.cwd process.user process.user.uid \
		process.capabilities process.capabilities.bounding process.rlimits process.noNewPrivileges \
		root root.path root.readonly hostname mounts linux linux.namespaces linux.resources \
		linux.resources.memory linux.resources.memory.limit; do
		type=$(jq -r ".$path | type" "$T/good.json")
		assert_not_equal "$type" null "a value for $path"
		for bad in array:'[[]]' string:'"x"' fraction:1.5; do
			[[ ${bad%%:*} != "$type" ]] || continue
			jq ".$path = ${bad#*:}" "$T/good.json" >"$T/b/config.json"
			refused "$path: " run "$T/b" || fail "$path = $bad"
			assert_matches "$stderr" 'config.json:[0-9]+: ' "$path = $bad"
		done
	done
	assert_nothing_left
}

@test "a root filesystem that is missing, no directory or a link that leads nowhere is named" {
	make_bundle "$T/b"
	mv "$T/b/rootfs" "$T/away"
	refused "$T/b/rootfs: No such file or directory" run "$T/b"
	: >"$T/b/rootfs"
	refused "$T/b/rootfs: Not a directory" run "$T/b"
	ln -sfn nowhere "$T/b/rootfs"
	refused "$T/b/rootfs: No such file or directory" run "$T/b"
	ln -sfn rootfs "$T/b/rootfs"
	refused "$T/b/rootfs: Too many levels of symbolic links" run "$T/b"
	rm "$T/b/rootfs"
	mkdir "$T/b/rootfs"
	# Empty: what is mounted has no place, or the program is not there.
	run ! --separate-stderr vrun run "$T/b"
	assert_matches "$stderr" '^vrun: '
	assert_nothing_left
}

@test "names that are empty, too long or of another kind are refused" {
	make_bundle "$T/b"
	refused "bundle" run ""
	refused "File name too long" run "$(printf 'a%.0s' {1..300})"
	refused "$T/b/config.json/config.json: Not a directory" run "$T/b/config.json/"
	refused "$T/none.pid" run --pid-file "$T/none.pid/x" "$T/b"
	refused "$T/b: Is a directory" run --pid-file "$T/b" "$T/b"
	refused "--id" run --id "" "$T/b"
	run --separate-stderr vrun run -d --output "$T/none/out" "$T/b"
	assert_vrun_error "$T/none/out: No such file or directory"
	assert_nothing_left
}

# Directories on a file system of ours with no room: in a namespace, so that it goes with it.
in_small_tmpfs() # OPTIONS SCRIPT ARG...: the script's $1 is the directory
{
	local options=$1 script=$2

	shift 2
	mkdir -p "$T/small"
	# shellcheck disable=SC2016 # for the inner shell
	run unshare -m --propagation private bash -c 'mount -t tmpfs -o "$1" none "$2" || exit 99
		options=$1; script=$3; set -- "$2" "${@:4}"; eval "$script"' sh "$options" "$T/small" "$script" "$@"
	[[ $status != 99 ]] || unsupported "no tmpfs can be mounted"
}

# bats test_tags=identity:root
@test "a full state directory is named, and the app does not run" {
	make_bundle "$T/b" '.process.args = ["echo", "ran"]'
	mkdir "$T/out"
	# shellcheck disable=SC2016 # for the inner shell
	in_small_tmpfs nr_inodes=2,mode=0700 '
		mkdir -m 0700 "$1/state"
		"$VRUN" run --root "$1/state" "$T/b"; echo "status $?"; ls -A "$1/state"'
	assert_contains "$output" "$T/small/state: No space left on device"
	assert_matches "$output" 'status 125$' "and no record is listed"
	assert_lacks "$output" ran
	assert_nothing_left
}

@test "a /proc of another pid namespace is named" {
	run --separate-stderr unshare --user --map-root-user --pid --fork "$VRUN" run --cwd none -- true
	assert_vrun_error "/proc shows the processes of another pid namespace"
	assert_contains "$stderr" "mount -t proc proc /proc"
	assert_nothing_left
}

# bats test_tags=identity:root
@test "a full disk leaves no empty pid file" {
	make_bundle "$T/b" '.process.args = ["echo", "ran"]'
	# shellcheck disable=SC2016 # for the inner shell
	in_small_tmpfs size=4k '
		echo x >"$1/full"
		"$VRUN" run --pid-file "$1/pid" "$T/b"; echo "status $?"; ls -A "$1"'
	assert_contains "$output" "pid file $T/small/pid: No space left on device"
	assert_contains "$output" "status 125"
	assert_matches "$output" 'full$' "and no pid file is listed"
	assert_lacks "$output" ran
	assert_nothing_left
}

@test "a caller that may write no file at all is told so" {
	make_bundle "$T/b" '.process.args = ["echo", "ran"]'
	status=0
	# shellcheck disable=SC2016 # for the inner shell
	output=$(bash -c 'ulimit -c 0 -f 0; exec "$VRUN" run "$T/b"' 2>&1) || status=$?
	assert_equal "$status" 125
	assert_contains "$output" ": File too large"
	assert_lacks "$output" ran
	assert_nothing_left
}

@test "a caller that may open no file at all is told so" {
	local n

	make_bundle "$T/b"
	for n in 3 4 5 6 7 8 9; do
		status=0
		# shellcheck disable=SC2016 # for the inner shell
		output=$(bash -c 'ulimit -n "$0"; exec "$VRUN" run "$T/b"' "$n" 2>&1) || status=$?
		assert_equal "$status" 125 "$n descriptors"
		assert_contains "$output" "Too many open files" "$n descriptors"
	done
	assert_nothing_left
}

# bats test_tags=identity:root
@test "a disk that fills up in any phase of packing is said so, and nothing is left on it" {
	local size

	mkdir "$T/d"
	head -c 300000 /dev/urandom >"$T/d/file"
	for size in size=4k size=64k size=512k size=1m size=2m nr_inodes=2 nr_inodes=5 nr_inodes=20 nr_inodes=60; do
		# shellcheck disable=SC2016 # for the inner shell
		in_small_tmpfs "$size" '"$VRUN" pack -q -o "$1/b" --data "$T/d:/data" "$2"; echo "status $?"; ls -A "$1"' /bin/bash
		assert_contains "$output" "No space left on device" "$size"
		assert_matches "$output" 'status 125$' "$size: nothing but the status is listed"
	done
}

@test "a place that may not be written to is named by pack" {
	mkdir "$T/out"
	if is_root; then
		refused "/proc/b" pack -q -o /proc/b true
	else
		chmod 0555 "$T/out"
		refused "$T/out" pack -q -o "$T/out/b" true
	fi
	assert_equal "$(ls -A "$T/out")" ""
}
