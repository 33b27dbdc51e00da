#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# The mount option tmpcopyup: what the root filesystem has at a tmpfs's place is in the tmpfs.

# shellcheck disable=SC2154 # stderr comes from run --separate-stderr
bats_require_minimum_version 1.5.0
load helper

# A bundle with the directory /data of the root filesystem under a tmpfs; the script is sh's.
copy_bundle() # SCRIPT [OPTION...]
{
	local script=$1 options=tmpcopyup option

	shift
	for option; do
		options+=,$option
	done
	make_bundle "$T/b" ".process.args = [\"sh\", \"-c\", $(jq -n --arg s "$script" '$s')]" \
		".mounts += [{destination: \"/data\", type: \"tmpfs\", source: \"tmpfs\",
			options: (\"$options\" | split(\",\"))}]"
	mkdir -m 0755 "$T/b/rootfs/data"
}

@test "a tmpfs with tmpcopyup starts with the files that lay there and changes do not reach them" {
	copy_bundle 'cat /data/a /data/sub/deep/b; readlink /data/link; grep " /data " /proc/mounts |
		cut -d " " -f 3; echo new >/data/a; rm -r /data/sub; ls /data'
	mkdir -p "$T/b/rootfs/data/sub/deep"
	echo one >"$T/b/rootfs/data/a"
	echo two >"$T/b/rootfs/data/sub/deep/b"
	ln -s sub/deep/b "$T/b/rootfs/data/link"
	run -0 --separate-stderr vrun run "$T/b"
	assert_output $'one\ntwo\nsub/deep/b\ntmpfs\na\nlink'
	assert_equal "$(cat "$T/b/rootfs/data/a" "$T/b/rootfs/data/sub/deep/b")" $'one\ntwo'
	assert_nothing_left
}

@test "modes, times and the directory's own mode are kept" {
	local want

	copy_bundle 'cd /data && stat -c "%n %a %Y" . dir file link'
	mkdir "$T/b/rootfs/data/dir"
	echo x >"$T/b/rootfs/data/file"
	ln -s file "$T/b/rootfs/data/link"
	chmod 2705 "$T/b/rootfs/data/dir"
	chmod 4641 "$T/b/rootfs/data/file"
	touch -h -d @1000 "$T/b/rootfs/data/link"
	touch -d @1001 "$T/b/rootfs/data/file"
	touch -d @1002 "$T/b/rootfs/data/dir"
	chmod 1751 "$T/b/rootfs/data"
	touch -d @1003 "$T/b/rootfs/data"
	want=$(cd "$T/b/rootfs/data" && stat -c "%n %a %Y" . dir file link)
	# As root the bundle's owner has no id inside unless it is said what it is.
	edit_bundle "$T/b" '.annotations["org.vrun.owner"] = "app"'
	run -0 --separate-stderr vrun run "$T/b"
	assert_output "$want"
}

@test "mode= of the tmpfs beats the directory's own mode" {
	copy_bundle 'stat -c %a /data; cat /data/a' mode=711
	echo one >"$T/b/rootfs/data/a"
	chmod 0700 "$T/b/rootfs/data"
	run -0 --separate-stderr vrun run "$T/b"
	assert_output $'711\none'
}

# bats test_tags=identity:root
@test "owners that the container has are kept, and set-id bits only with them" {
	copy_bundle 'cd /data && stat -c "%n %u %g %a" low high link'
	echo x >"$T/b/rootfs/data/low"
	echo x >"$T/b/rootfs/data/high"
	ln -s low "$T/b/rootfs/data/link"
	chown 7:8 "$T/b/rootfs/data/low"
	chown -h 7:8 "$T/b/rootfs/data/link"
	chown 300000:300000 "$T/b/rootfs/data/high"
	chmod 6755 "$T/b/rootfs/data/low" "$T/b/rootfs/data/high"
	edit_bundle "$T/b" '.linux.uidMappings = [{containerID: 0, hostID: 0, size: 1000}] |
		.linux.gidMappings = .linux.uidMappings'
	run -0 --separate-stderr vrun run "$T/b"
	assert_output $'low 7 8 6755\nhigh 0 0 755\nlink 7 8 777'
}

@test "links are copied as links, FIFOs are left out, and nothing outside is read" {
	copy_bundle 'cd /data && ls; readlink out; readlink up'
	ln -s /etc/passwd "$T/b/rootfs/data/out"
	ln -s ../../../../../../etc "$T/b/rootfs/data/up"
	mkfifo "$T/b/rootfs/data/fifo"
	run -0 --separate-stderr vrun run "$T/b"
	assert_output $'out\nup\n/etc/passwd\n../../../../../../etc'
}

@test "a place that is a link leads to a directory of the root filesystem, never of the host" {
	copy_bundle 'ls /real /data/'
	rmdir "$T/b/rootfs/data"
	mkdir -p "$T/b/rootfs/real"
	: >"$T/b/rootfs/real/inside"
	ln -s ../../../../../../real "$T/b/rootfs/data"
	run -0 --separate-stderr vrun run "$T/b"
	assert_output $'/data/:\ninside\n\n/real:\ninside'
}

@test "what is mounted below the place is not copied" {
	copy_bundle 'cd /data && ls . m'
	mkdir "$T/b/rootfs/data/m" "$T/shown"
	: >"$T/b/rootfs/data/plain"
	: >"$T/shown/secret"
	edit_bundle "$T/b" '.mounts = [{destination: "/data/m", type: "bind", source: "'"$T/shown"'",
		options: ["bind"]}] + .mounts'
	run -0 --separate-stderr vrun run "$T/b"
	assert_output $'.:\nm\nplain\n\nm:'
}

@test "more than fits into the tmpfs is an error that says so" {
	copy_bundle 'ls /data' size=64k
	head -c 1M /dev/zero >"$T/b/rootfs/data/big"
	run --separate-stderr vrun run "$T/b"
	assert_vrun_error 'mount on /data: tmpcopyup: copying big: No space left on device'
	assert_contains "$stderr" 'size='
	assert_nothing_left
}

@test "more files than the tmpfs may have are an error that says so" {
	copy_bundle 'ls /data' nr_inodes=8
	(cd "$T/b/rootfs/data" && touch 1 2 3 4 5 6 7 8 9)
	run --separate-stderr vrun run "$T/b"
	assert_vrun_error 'No space left on device'
	assert_contains "$stderr" 'nr_inodes='
}

@test "holes stay holes" {
	copy_bundle 'cd /data && stat -c %s big && tail -c 4 big && du -k big | cut -f 1' size=1m
	printf head >"$T/b/rootfs/data/big"
	truncate -s 1G "$T/b/rootfs/data/big"
	printf tail >>"$T/b/rootfs/data/big"
	run -0 --separate-stderr vrun run "$T/b"
	assert_equal "${lines[0]}" $((1024 * 1024 * 1024 + 4))
	assert_equal "${lines[1]%%[0-9]*}" tail
	assert_matches "${lines[1]#tail}" '^[0-9]{1,3}$'
}

@test "a tree of a hundred directories inside each other is copied, a deeper one refused" {
	local deep

	copy_bundle 'find /data -type d | wc -l'
	deep=$(printf 'd/%.0s' {1..100})
	mkdir -p "$T/b/rootfs/data/$deep"
	run -0 --separate-stderr vrun run "$T/b"
	assert_output 101
	mkdir "$T/b/rootfs/data/$deep/d"
	run --separate-stderr vrun run "$T/b"
	assert_vrun_error 'tmpcopyup: more than 100 directories inside each other'
}

@test "with ro the copy is there and cannot be changed" {
	copy_bundle 'cat /data/a; echo x >/data/a' ro
	echo one >"$T/b/rootfs/data/a"
	run --separate-stderr vrun run "$T/b"
	assert_status 1
	assert_output one
	assert_contains "$stderr" 'Read-only file system'
}

@test "a place that does not exist is made, empty" {
	copy_bundle 'ls -A /data'
	rmdir "$T/b/rootfs/data"
	edit_bundle "$T/b" '.root.readonly = false'
	run -0 --separate-stderr vrun run "$T/b"
	assert_output ''
}

@test "tmpcopyup is for tmpfs alone, and remount is still refused" {
	make_bundle "$T/b" '.mounts += [{destination: "/data", type: "proc", source: "proc",
		options: ["tmpcopyup"]}]'
	run --separate-stderr vrun run "$T/b"
	assert_vrun_error 'tmpcopyup is for tmpfs only'
	edit_bundle "$T/b" '.mounts[-1] = {destination: "/tmp", type: "tmpfs", options: ["remount"]}'
	run --separate-stderr vrun run "$T/b"
	assert_vrun_error 'the mount option remount'
}
