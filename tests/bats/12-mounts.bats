#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# The root file system and what is mounted in it; and that a hostile root cannot aim a mount
# elsewhere. At the end, what `vrun run -- CMD` shows of the host.

# shellcheck disable=SC2154 # stderr comes from run --separate-stderr
bats_require_minimum_version 1.5.0
load helper

script() # DIR SCRIPT
{
	jq --arg script "$2" '.process.args = ["/bin/sh", "-c", $script]' "$1/config.json" \
		>"$1/config.json.new" && mv "$1/config.json.new" "$1/config.json"
}

# Adds a mount to a bundle: mount_in DIR DESTINATION TYPE SOURCE [OPTION...]
mount_in()
{
	local dir=$1 destination=$2 type=$3 source=$4

	shift 4
	jq --arg d "$destination" --arg t "$type" --arg s "$source" \
		'.mounts += [{ destination: $d, type: $t, source: $s, options: $ARGS.positional }]' \
		"$dir/config.json" --args "$@" >"$dir/config.json.new" && mv "$dir/config.json.new" "$dir/config.json"
}

# A directory of ours that everybody may write to, so that a mapped id can.
shared_dir() # NAME
{
	mkdir -m 0777 "$T/$1"
	chmod 0777 "$T/$1"
	echo "of $1" >"$T/$1/file"
}

# --- the root ---------------------------------------------------------------------------------

@test "a read-only root cannot be written to, and a writable one can" {
	make_bundle "$T/b"
	script "$T/b" 'true >/new'
	run vrun run "$T/b"
	assert_not_equal "$status" 0
	assert_contains "$output" 'Read-only file system'
	[[ ! -e $T/b/rootfs/new ]]
	edit_bundle "$T/b" '.root.readonly = false'
	run -0 vrun run "$T/b"
	[[ -e $T/b/rootfs/new ]]
}

@test "what lies outside the root is not there" {
	make_bundle "$T/b"
	script "$T/b" 'echo $(ls /); cat /proc/self/mountinfo; echo $(ls /../../../)'
	run -0 vrun run "$T/b"
	assert_equal "${lines[0]}" "bin dev etc home proc root run sbin sys tmp usr var"
	assert_equal "${lines[-1]}" "${lines[0]}"
	# Every line of mountinfo is the root or one of the bundle's mounts: no old root is left.
	assert_lacks "$output" ' /work '
	assert_equal "$(awk '$5 == "/" && $1 + 0 > 0' <<<"$output" | wc -l)" 1 "mounts at /"
}

@test "an overlay in memory gives a writable root and leaves the bundle as it is" {
	local before

	make_bundle "$T/b" '.annotations["org.vrun.overlay"] = "tmpfs"' '.root.readonly = false'
	before=$(cd "$T/b/rootfs" && find . -printf '%p %i %s %T@\n' | sort | sha256sum)
	script "$T/b" 'echo x >/new && rm /etc/group && echo y >>/etc/passwd && mkdir /dir && cat /new'
	run -0 vrun run "$T/b"
	assert_output x
	assert_equal "$(cd "$T/b/rootfs" && find . -printf '%p %i %s %T@\n' | sort | sha256sum)" "$before"
	# And it is gone the next time.
	script "$T/b" 'ls /new /etc/group'
	run vrun run "$T/b"
	assert_contains "$output" '/new: No such file'
	assert_contains "$output" '/etc/group'
}

@test "an overlay in a directory keeps what the app changed" {
	make_bundle "$T/b" '.annotations["org.vrun.overlay"] = "layer"' '.root.readonly = false'
	script "$T/b" 'echo kept >/new'
	run -0 vrun run "$T/b"
	script "$T/b" 'cat /new'
	run -0 vrun run "$T/b"
	assert_output kept
	[[ ! -e $T/b/rootfs/new ]]
	assert_nothing_left
}

# --- kinds of mounts -----------------------------------------------------------------------------

@test "proc, sysfs, tmpfs, devpts and mqueue are mounted with their options" {
	make_bundle "$T/b"
	mount_in "$T/b" /sys sysfs sysfs ro nosuid noexec nodev
	mount_in "$T/b" /dev/mqueue mqueue mqueue nosuid noexec nodev
	mount_in "$T/b" /run tmpfs tmpfs nosuid nodev noexec mode=0710 size=1m nr_inodes=100
	script "$T/b" 'grep -E " (/proc|/sys|/dev/mqueue|/run|/dev/pts) " /proc/mounts | cut -d" " -f2-4 | sort
		stat -c "%a %F" /run; df -k /run | tail -n 1 | tr -s " " | cut -d" " -f2; ls /dev/pts'
	run -0 vrun run "$T/b"
	assert_matches "${lines[0]}" '^/dev/mqueue mqueue rw,nosuid,nodev,noexec'
	assert_matches "${lines[1]}" '^/dev/pts devpts rw,nosuid,noexec.*ptmxmode=666'
	assert_matches "${lines[2]}" '^/proc proc rw'
	assert_matches "${lines[3]}" '^/run tmpfs rw,nosuid,nodev,noexec.*size=1024k,nr_inodes=100,mode=710'
	assert_matches "${lines[4]}" '^/sys sysfs ro,nosuid,nodev,noexec'
	assert_equal "${lines[5]}" "710 directory"
	assert_equal "${lines[6]}" 1024
	assert_equal "${lines[7]}" ptmx
}

@test "a directory is bound writable, read-only, and without programs" {
	shared_dir rw
	shared_dir ro
	shared_dir noexec
	cp "$(command -v busybox)" noexec/true
	make_bundle "$T/b"
	mount_in "$T/b" /rw bind "$T/rw" bind rw
	mount_in "$T/b" /ro bind "$T/ro" bind ro
	mount_in "$T/b" /deep/noexec none "$T/noexec" rbind noexec nosuid nodev
	script "$T/b" 'cat /rw/file /ro/file; echo new >/rw/made; echo new >/ro/made; /deep/noexec/true'
	run vrun run "$T/b"
	assert_equal "${lines[0]}" "of rw"
	assert_equal "${lines[1]}" "of ro"
	assert_contains "$output" 'Read-only file system'
	assert_contains "$output" 'Permission denied'
	assert_equal "$(<rw/made)" new
	[[ ! -e ro/made ]]
}

@test "a file is bound onto a file, and its place is made when it is missing" {
	echo content >one
	chmod 0644 one
	make_bundle "$T/b" '.root.readonly = false'
	mount_in "$T/b" /etc/hostname bind "$T/one" bind ro
	mount_in "$T/b" /srv/new/two bind "$T/one" bind ro
	script "$T/b" 'cat /etc/hostname /srv/new/two; echo x >/etc/hostname'
	run vrun run "$T/b"
	assert_contains "$output" $'content\ncontent'
	assert_contains "$output" 'Read-only file system'
	assert_equal "$(<one)" content
}

# bats test_tags=identity:root
@test "mounts below a bound directory follow with rbind and stay away with bind" {
	shared_dir tree
	mkdir tree/sub
	mount -t tmpfs none tree/sub
	true >tree/sub/below
	make_bundle "$T/b"
	mount_in "$T/b" /r bind "$T/tree" rbind
	mount_in "$T/b" /n bind "$T/tree" bind
	script "$T/b" 'ls /r/sub; echo -; ls /n/sub'
	run vrun run "$T/b"
	umount tree/sub
	assert_output $'below\n-'
}

# bats test_tags=identity:root
@test "rro makes everything below read-only, ro only the top" {
	shared_dir tree
	mkdir tree/sub
	mount -t tmpfs -o mode=0777 none tree/sub
	make_bundle "$T/b"
	mount_in "$T/b" /ro bind "$T/tree" rbind ro
	mount_in "$T/b" /rro bind "$T/tree" rbind rro
	script "$T/b" 'true >/ro/x; true >/ro/sub/x && echo ro-sub; true >/rro/x; true >/rro/sub/y && echo rro-sub'
	run vrun run "$T/b"
	umount tree/sub
	assert_contains "$output" ro-sub
	assert_lacks "$output" rro-sub
}

@test "options of a bind show up as the mount's attributes" {
	shared_dir d
	make_bundle "$T/b"
	mount_in "$T/b" /d bind "$T/d" rbind ro nosuid nodev noexec
	script "$T/b" 'grep " /d " /proc/self/mountinfo | cut -d" " -f6'
	run -0 vrun run "$T/b"
	assert_output "ro,nosuid,nodev,noexec,$(findmnt -no VFS-OPTIONS -T "$T/d" | grep -o '[a-z]*atime')"
}

@test "access times of a bind are kept as asked for, which only the mount's owner may ask" {
	shared_dir d
	make_bundle "$T/b"
	mount_in "$T/b" /d bind "$T/d" rbind noatime
	script "$T/b" 'grep " /d " /proc/self/mountinfo | cut -d" " -f6'
	run --separate-stderr vrun run "$T/b"
	# The kernel keeps the access times of mounts that come from another user namespace (MNT_LOCK_ATIME).
	if is_root; then
		assert_status 0
		assert_output rw,nodev,noatime
	else
		assert_vrun_error "mount options of /d: Operation not permitted"
		assert_contains "$stderr" "access times"
	fi
	assert_nothing_left
}

@test "a symbolic link in a bound tree leads nowhere outside" {
	shared_dir d
	echo secret >secret
	ln -s "$T/secret" d/link
	ln -s ../secret d/up
	make_bundle "$T/b"
	mount_in "$T/b" /d bind "$T/d" rbind
	script "$T/b" 'cat /d/link /d/up'
	run vrun run "$T/b"
	assert_lacks "$output" secret$'\n'
	assert_contains "$output" 'No such file'
}

# bats test_tags=identity:root
@test "an idmapped bind shows its files as the container's own, and files made there as the host's" {
	mkdir -m 0755 d
	true >d/file
	chown 0:0 d d/file
	make_bundle "$T/b"
	mount_in "$T/b" /d bind "$T/d" bind idmap
	script "$T/b" 'stat -c %u /d/file; true >/d/made && stat -c %u /d/made'
	run -0 vrun run "$T/b"
	assert_output $'0\n0'
	assert_equal "$(stat -c %u d/made)" 0
}

@test "a mount over a mount: the later one is seen" {
	shared_dir one
	shared_dir two
	make_bundle "$T/b"
	mount_in "$T/b" /m bind "$T/one" bind
	mount_in "$T/b" /m bind "$T/two" bind
	script "$T/b" 'cat /m/file'
	run -0 vrun run "$T/b"
	assert_output "of two"
}

@test "mounts of the sandbox do not reach the host" {
	local before after

	before=$(wc -l </proc/self/mountinfo)
	make_bundle "$T/b"
	run -0 vrun run "$T/b"
	after=$(grep -c "$MARK" /proc/self/mountinfo || :)
	assert_equal "$after" 0 "mounts of this test, of $before before"
	assert_nothing_left
}

# --- /dev -------------------------------------------------------------------------------------------

@test "/dev has the default nodes and links, and nothing else" {
	make_bundle "$T/b"
	script "$T/b" 'echo $(ls /dev); for l in fd ptmx stdin stdout stderr; do readlink /dev/$l; done
		for d in null zero full random urandom tty; do stat -c "%n %F %t:%T %a" /dev/$d; done'
	run -0 vrun run "$T/b"
	assert_equal "${lines[0]}" \
		"fd full null ptmx pts random shm stderr stdin stdout tty urandom zero"
	assert_equal "${lines[*]:1:5}" \
		"/proc/self/fd pts/ptmx /proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2"
	assert_equal "${lines[6]}" "/dev/null character special file 1:3 666"
	assert_equal "${lines[7]}" "/dev/zero character special file 1:5 666"
	assert_equal "${lines[8]}" "/dev/full character special file 1:7 666"
	assert_equal "${lines[9]}" "/dev/random character special file 1:8 666"
	assert_equal "${lines[10]}" "/dev/urandom character special file 1:9 666"
	assert_equal "${lines[11]}" "/dev/tty character special file 5:0 666"
}

@test "the devices work" {
	make_bundle "$T/b"
	script "$T/b" 'echo x >/dev/null; head -c 3 /dev/zero | wc -c; head -c 3 /dev/urandom | wc -c
		echo x >/dev/full; true >/dev/shm/x && rm /dev/shm/x && echo shm'
	run --separate-stderr vrun run "$T/b"
	assert_equal "${lines[*]}" "3 3 shm"
	assert_equal "$stderr" "sh: write error: No space left on device"
}

@test "a /dev in memory is not everybody's unless the bundle says so" {
	make_bundle "$T/b" '.mounts |= map(if .destination == "/dev" then .options = ["nosuid"] else . end)'
	script "$T/b" 'echo x >/dev/null && echo x >>/dev/null && stat -c %a /dev'
	run -0 vrun run "$T/b"
	assert_output 755
	edit_bundle "$T/b" '.process.user = {uid: 1000, gid: 1000}'
	run -0 vrun run "$T/b"
	assert_output 755
	edit_bundle "$T/b" '.mounts |= map(if .destination == "/dev" then .options = ["mode=1777"] else . end)'
	script "$T/b" 'stat -c %a /dev'
	run -0 vrun run "$T/b"
	assert_output 1777
}

@test "streams that are pipes can be opened by their names" {
	make_bundle "$T/b" '.process.user = { uid: 1000, gid: 1000 }'
	script "$T/b" 'cat /dev/stdin; echo out >/dev/stdout; echo err >/dev/stderr'
	echo in | vrun run "$T/b" 2> >(cat >err) | cat >out
	assert_equal "$(<out)" $'in\nout'
	wait_until test -s err
	assert_equal "$(<err)" err
}

@test "a FIFO with a name stays its owner's when it is the app's stream" {
	mkfifo fifo
	make_bundle "$T/b" '.process.args = ["echo", "through"]'
	exec 7<>fifo
	run -0 bash -c '"$VRUN" run "$0" >"$1"' "$T/b" "$T/fifo"
	wait_line 7
	assert_equal "$REPLY" through
	assert_equal "$(stat -c %u:%g fifo)" "$(id -u):$(id -g)"
	exec 7>&-
}

@test "a device that the bundle lists beside the default ones is refused or there, never something else" {
	make_bundle "$T/b" '.linux.devices = [{ path: "/dev/fuse", type: "c", major: 10, minor: 229,
		fileMode: 438 }]'
	script "$T/b" 'stat -c "%F %t:%T" /dev/fuse'
	run vrun run "$T/b"
	if ((status == 0)); then
		assert_output "character special file a:e5"
	else
		assert_status 125
		assert_contains "$output" /dev/fuse
	fi
}

# --- masked and read-only paths ---------------------------------------------------------------------------

@test "masked files are empty, masked directories too, and both stay so" {
	make_bundle "$T/b" '.linux.maskedPaths += ["/etc/passwd", "/etc/dir", "/not/there"]'
	mkdir "$T/b/rootfs/etc/dir"
	true >"$T/b/rootfs/etc/dir/file"
	script "$T/b" 'wc -c </etc/passwd; ls /etc/dir | wc -l; true >/etc/dir/new; wc -c </proc/timer_list
		umount /etc/passwd /proc/keys'
	run vrun run "$T/b"
	assert_equal "${lines[0]}" 0
	assert_equal "${lines[1]}" 0
	assert_contains "$output" 'Read-only file system'
	assert_matches "$output" 'umount.*(ermitted|denied|superuser)'
}

@test "read-only paths cannot be written to, whatever lies in them" {
	make_bundle "$T/b" '.root.readonly = false' '.linux.readonlyPaths += ["/home", "/not/there"]'
	script "$T/b" 'true >/home/x; true >/home/app/x; echo 1 >/proc/sys/kernel/printk'
	run vrun run "$T/b"
	assert_equal "$(grep -c 'Read-only file system' <<<"$output")" 3
}

# --- a hostile root -------------------------------------------------------------------------------------------

# A victim outside the root that nothing may touch.
make_victim()
{
	mkdir -m 0777 "$T/victim"
	chmod 0777 "$T/victim"
	echo untouched >"$T/victim/file"
	chmod 0666 "$T/victim/file"
}

assert_victim_untouched()
{
	assert_equal "$(ls -A "$T/victim")" file "names in the victim directory"
	assert_equal "$(<"$T/victim/file")" untouched
}

@test "a root in which a mount's place is a symbolic link keeps the mount inside" {
	make_victim
	make_bundle "$T/b" '.root.readonly = false'
	mount_in "$T/b" /place tmpfs tmpfs mode=0777
	script "$T/b" 'true >/place/x; grep -c " /place \| /real " /proc/mounts'
	# An absolute link, one that climbs, and one that a later component goes through.
	ln -sfn "$T/victim" "$T/b/rootfs/place"
	run vrun run "$T/b"
	assert_victim_untouched
	ln -sfn "../../../../../../../../../..$T/victim" "$T/b/rootfs/place"
	run vrun run "$T/b"
	assert_victim_untouched
	mkdir "$T/b/rootfs/real"
	ln -sfn /real "$T/b/rootfs/place"
	run -0 vrun run "$T/b"
	assert_victim_untouched
	assert_nothing_left
}

@test "a root in which /proc, /dev or /sys is a symbolic link does not put them elsewhere" {
	local name

	make_victim
	for name in proc dev sys tmp; do
		make_bundle "$T/b"
		mount_in "$T/b" /sys sysfs sysfs ro
		script "$T/b" 'echo ran'
		rmdir "$T/b/rootfs/$name"
		ln -s "$T/victim" "$T/b/rootfs/$name"
		run vrun run "$T/b"
		assert_victim_untouched
		# Either refused, or the place was found inside the root.
		((status == 125)) || assert_output ran
		rm -rf "$T/b"
	done
	assert_nothing_left
}

@test "masked and read-only paths that are symbolic links do not mask the host's or nothing" {
	make_victim
	make_bundle "$T/b" '.linux.maskedPaths = ["/mask", "/etc/passwd"]' '.linux.readonlyPaths = ["/ro"]'
	ln -s "$T/victim/file" "$T/b/rootfs/mask"
	ln -s "$T/victim" "$T/b/rootfs/ro"
	script "$T/b" 'wc -c </etc/passwd'
	run vrun run "$T/b"
	assert_victim_untouched
	((status == 125)) || assert_output 0
	# The device that masks files is the kernel's, not what the root says it is.
	make_bundle "$T/c" '.linux.maskedPaths = ["/etc/passwd"]' \
		'.mounts |= map(select(.destination | startswith("/dev") | not))'
	mkdir -p "$T/c/rootfs/dev"
	ln -s /etc/group "$T/c/rootfs/dev/null"
	script "$T/c" 'wc -c </etc/passwd'
	run vrun run "$T/c"
	((status == 125)) || assert_output 0
	assert_nothing_left
}

@test "a root whose /dev/null or console is a link to a file outside does not open it" {
	make_victim
	make_bundle "$T/b" '.mounts |= map(select(.destination | startswith("/dev") | not))' \
		'.root.readonly = false'
	ln -s "$T/victim/file" "$T/b/rootfs/dev/null"
	ln -s "$T/victim/new" "$T/b/rootfs/dev/console"
	ln -s "$T/victim/new" "$T/b/rootfs/dev/ptmx"
	script "$T/b" 'echo ran'
	run vrun run "$T/b"
	assert_victim_untouched
	assert_nothing_left
}

@test "a root directory that is a symbolic link out of the bundle, and one through .., are resolved as written" {
	make_bundle "$T/b"
	script "$T/b" 'echo ran'
	mv "$T/b/rootfs" "$T/elsewhere"
	ln -s ../elsewhere "$T/b/rootfs"
	run -0 vrun run "$T/b"
	assert_output ran
	edit_bundle "$T/b" '.root.path = "../elsewhere"'
	run -0 vrun run "$T/b"
	assert_output ran
}

@test "a destination that climbs or is no path is refused" {
	make_victim
	make_bundle "$T/b" '.root.readonly = false'
	mount_in "$T/b" "/../../../../../..$T/victim" tmpfs tmpfs
	script "$T/b" 'echo ran'
	run vrun run "$T/b"
	assert_victim_untouched
	edit_bundle "$T/b" '.mounts[-1].destination = "relative"'
	run vrun run "$T/b"
	assert_victim_untouched
	edit_bundle "$T/b" '.mounts[-1].destination = "/proc/self/fd/3/x"'
	run vrun run "$T/b"
	assert_victim_untouched
	assert_nothing_left
}

# bats test_tags=identity:root
@test "a tree that another process changes while it is launched never lets a mount out" {
	local i

	make_victim
	make_bundle "$T/b" '.root.readonly = false'
	mount_in "$T/b" /race/place tmpfs tmpfs mode=0777
	script "$T/b" 'true >/race/place/x'
	mkdir -p "$T/b/rootfs/real/place" "$T/b/rootfs/race/place"
	# Swaps the directory for a link to the outside and back, as fast as it can.
	spawn swapper bash -c 'cd "$1" && while :; do
		mv race away; ln -s "$2" race; rm race; mv away race; done' sh "$T/b/rootfs" "$T/victim"
	mkdir "$T/victim/place"
	for ((i = 0; i < 25; i++)); do
		run vrun run "$T/b"
	done
	kill -KILL "${PID[swapper]}"
	wait_exit "${PID[swapper]}"
	assert_equal "$(find "$T/victim" -mindepth 1 -printf '%P\n' | sort)" $'file\nplace'
	assert_nothing_left
}

# --- bad mounts ---------------------------------------------------------------------------------------------------

@test "a source that does not exist is named" {
	make_bundle "$T/b"
	mount_in "$T/b" /d bind "$T/nowhere" rbind
	run --separate-stderr vrun run "$T/b"
	assert_vrun_error "$T/nowhere"
	assert_nothing_left
}

@test "a file system that does not exist, or that this caller may not mount, is named" {
	make_bundle "$T/b"
	mount_in "$T/b" /d nosuchfs none
	run --separate-stderr vrun run "$T/b"
	assert_vrun_error nosuchfs
	edit_bundle "$T/b" '.mounts[-1] = { destination: "/d", type: "ext4", source: "/dev/vda" }'
	run --separate-stderr vrun run "$T/b"
	assert_vrun_error /d
	assert_nothing_left
}

@test "an option that the file system does not know is named" {
	make_bundle "$T/b"
	mount_in "$T/b" /d tmpfs tmpfs nosuchoption=1
	run --separate-stderr vrun run "$T/b"
	assert_vrun_error nosuchoption
}

# --- run -- CMD: what is shown of the host -----------------------------------------------------------------------

# The directory in which such a command may stand: outside the test's state.
stand()
{
	mkdir -m 0755 "$T/work"
	cd "$T/work" || return 1
}

@test "a command sees the host's files read-only and its own directory writable" {
	stand
	echo in >here
	run -0 vrun run -T -- sh -c 'cat here; echo out >made; pwd; test -x /usr/bin/env && echo env
		true >/usr/x; true >/etc/x; true' </dev/null
	assert_equal "${lines[0]} ${lines[1]} ${lines[2]}" "in $T/work env"
	assert_equal "$(grep -c 'Read-only' <<<"$output")" 2
	assert_equal "$(<made)" out
	assert_equal "$(stat -c %u made)" "$(id -u)"
	assert_nothing_left
}

@test "a command's exit status and arguments are its own" {
	stand
	run vrun run -T -- sh -c 'printf "[%s]" "$@"; exit 9' sh 'a b' '' -- '*' </dev/null
	assert_status 9
	assert_output '[a b][][--][*]'
	run -127 vrun run -T -- no-such-command </dev/null
	assert_contains "$output" no-such-command
}

@test "a command has the caller's ids and no capability" {
	stand
	run -0 vrun run -T -- sh -c 'id -u; id -g; grep -E "^Cap(Eff|Prm|Bnd|Amb)|NoNewPrivs" /proc/self/status' </dev/null
	assert_equal "${lines[0]} ${lines[1]}" "$(id -u) $(id -g)"
	assert_equal "$(grep -c 0000000000000000 <<<"$output")" 4
	assert_contains "$output" $'NoNewPrivs:\t1'
}

@test "--cwd ro and none are what they say" {
	stand
	echo in >here
	run vrun run -T --cwd ro -- sh -c 'cat here; true >made' </dev/null
	assert_contains "$output" in
	assert_contains "$output" 'Read-only'
	[[ ! -e made ]]
	run vrun run -T --cwd none -- cat "$T/work/here" </dev/null
	assert_not_equal "$status" 0
	assert_lacks "$output" $'in\n'
	run --separate-stderr vrun run -T --cwd sometimes -- true </dev/null
	assert_vrun_error --cwd
}

# The name in /tmp of the account's home, when it lies there as that of the user of ./check does.
home_in_tmp()
{
	local home

	home=$(getent passwd "$EUID" | cut -d: -f6)
	[[ $home != /tmp/?* ]] || printf '%s\n' "${home#/tmp/}"
}

@test "home, /tmp, /run and other people's places are hidden" {
	stand
	echo secret >"$HOME/token"
	echo secret >"$T/tmp/note"
	run -0 vrun run -T -- sh -c 'ls -A "$HOME" /tmp /run /root /home /mnt /media 2>/dev/null | grep -v : |
		grep -v "^$"; cat "'"$HOME"'/token" "'"$T"'/tmp/note" 2>&1 | grep -c "No such file"' </dev/null
	assert_lacks "$output" secret
	assert_equal "${lines[-1]}" 2
	rm "$T/tmp/note"
	# /tmp has the way to the current directory, and nothing beside it. $HOME, which lies there too in
	# this test, is an empty directory; so is the account's own home, which may lie there.
	run -0 vrun run -T -- ls -A /tmp "$T" "$HOME" </dev/null
	assert_output "$(printf '%s\n' /tmp: "$MARK" "$(home_in_tmp)" | grep . | LC_ALL=C sort)"$'\n\n'"$T:"$'\n'home$'\n'work$'\n\n'"$HOME:"
	[[ -z $(home_in_tmp) ]] || assert_equal "$(vrun run -T -- ls -A "/tmp/$(home_in_tmp)" </dev/null)" ""
}

# bats test_tags=identity:root
@test "where somebody has the running system mounted once more, a command sees an empty directory" {
	stand
	# shellcheck disable=SC2016 # the other shell's
	run -0 unshare -m --propagation private sh -c 'mount -t tmpfs none /srv && mkdir -p /srv/jail/proc /srv/jail/sys /srv/jail/etc &&
		mount -t proc none /srv/jail/proc && mount -t sysfs none /srv/jail/sys && echo seen >/srv/jail/etc/file &&
		exec "$VRUN" run -T -- sh -c "ls -A /srv/jail /srv/jail/proc /srv/jail/sys; cat /srv/jail/etc/file"'
	assert_output "$(printf '%s\n' /srv/jail: etc proc sys '' /srv/jail/proc: '' /srv/jail/sys: seen)"
}

# A mount that came in later would not be read-only.
# bats test_tags=identity:root
@test "what the host mounts and unmounts during a run changes nothing inside" {
	stand
	mkfifo "$T/work/up" "$T/work/go"
	# shellcheck disable=SC2016 # the other shell's
	run -0 unshare -m --propagation private sh -ec 'mount -t tmpfs none /srv && mount --make-shared /srv && mkdir /srv/a /srv/b
		mount -t tmpfs none /srv/a && echo seen >/srv/a/file
		"$VRUN" run -T -- sh -c "echo >up; read x <go; cat /srv/a/file; ls -A /srv/b" </dev/null &
		read x <up
		umount /srv/a && mount -t tmpfs none /srv/b && echo new >/srv/b/file && echo >go
		wait $!'
	assert_output seen
	assert_nothing_left
}

@test "--ro and --rw show more, an explicit path beats the directory, a deeper one a shallower" {
	stand
	mkdir -p "$T/more/inner" deep
	echo more >"$T/more/file"
	run -0 vrun run -T --ro "$T/more" --rw "$T/more/inner" --ro "$T/work/deep" -- sh -c '
		cat "$0/file"; true >"$0/inner/x" && echo inner; true >"$0/x"; true >deep/x; true >x && echo cwd' "$T/more" </dev/null
	assert_contains "$output" more
	assert_contains "$output" inner
	assert_contains "$output" cwd
	assert_equal "$(grep -c Read-only <<<"$output")" 2
	run --separate-stderr vrun run -T --ro "$T/nowhere" -- true </dev/null
	assert_vrun_error "$T/nowhere"
}

@test "the environment is scrubbed, and --env passes on or sets" {
	stand
	export AWS_SECRET=token SSH_AUTH_SOCK=/x KEPT=yes
	run -0 vrun run -T --env KEPT --env 'SET=a=b' --env UNSET -- env </dev/null
	assert_lacks "$output" token
	assert_lacks "$output" SSH_AUTH_SOCK
	assert_lacks "$output" UNSET
	assert_contains "$output" KEPT=yes
	assert_contains "$output" SET=a=b
	assert_contains "$output" "HOME=$HOME"
}

@test "a directory that holds the home is not shown by standing there" {
	cd "$HOME" || return 1
	run --separate-stderr vrun run -T -- true </dev/null
	assert_vrun_error home
	assert_contains "$stderr" --cwd
	run -0 vrun run -T --cwd none -- true </dev/null
}

@test "sockets of the host refuse connections wherever they lie in what is shown read-only" {
	local place sock

	stand
	# Beside the sandbox's own places: a directory given with --ro is the host's.
	mkdir "$T/shown"
	sock=$T/shown/sock
	spawn server socat "UNIX-LISTEN:$sock,fork,mode=777" EXEC:"echo reached"
	wait_listening "$sock"
	assert_equal "$(socat -u "UNIX-CONNECT:$sock" -)" reached "from outside"
	run vrun run -T --ro "$T/shown" -- socat -u "UNIX-CONNECT:$sock" - </dev/null
	assert_lacks "$output" reached
	assert_matches "$output" 'refused|No such file|denied'
	kill "${PID[server]}"
	wait_exit "${PID[server]}"
	rm -f "$sock"
	# The places where sockets of a system lie.
	for place in /run /var/run /dev/log /run/systemd /run/dbus /var/run/docker.sock; do
		run vrun run -T -- find "$place" -type s </dev/null
		assert_lacks "$output" "$place/"
	done
	assert_nothing_left
}

@test "abstract sockets of the host are out of reach" {
	stand
	spawn server socat "ABSTRACT-LISTEN:$MARK-abstract,fork" EXEC:"echo reached"
	wait_listening "@$MARK-abstract"
	assert_equal "$(socat -u "ABSTRACT-CONNECT:$MARK-abstract" -)" reached "from outside"
	run vrun run -T -- socat -u "ABSTRACT-CONNECT:$MARK-abstract" - </dev/null
	assert_lacks "$output" reached
	assert_matches "$output" 'refused|denied|ermitted'
	kill "${PID[server]}"
	wait_exit "${PID[server]}"
	assert_nothing_left
}

@test "the records are not visible in a sandbox, also below a path that is shown" {
	stand
	mkdir -m 0700 state
	run -0 vrun run -T --root "$T/work/state" -- ls -A "$T/work/state" </dev/null
	assert_output ""
	run vrun run -T --root "$T/work/state" -- touch "$T/work/state/x" </dev/null
	assert_equal "$(ls -A "$T/work/state")" ""
	assert_nothing_left
}

@test "processes of the host are out of sight" {
	stand
	run -0 vrun run -T -- sh -c 'ls -d /proc/[0-9]* | wc -l; kill -0 '"$$"' 2>&1 || :' </dev/null
	((lines[0] <= 4)) || fail "$output"
	assert_contains "$output" 'No such process'
}

@test "a command under an init leaves no process behind" {
	stand
	run -0 vrun run -T -- sh -c 'setsid sleep 1000 & echo started' </dev/null
	assert_output started
	assert_nothing_left
}
