#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# Attempts to get out: root filesystems that aim links and races at the host, descriptors, the
# program's own file, the init, keys, the kernel's switches. Each test fails when its defence is
# taken away.

bats_require_minimum_version 1.5.0
load helper
: "${stderr=}" # set by run --separate-stderr

GUESTS=$(dirname "$VRUN")/tests/guest
# vrun must hold without Landlock: in tests of what it also stops, both ways are tried.
BOTH=(env "$GUESTS/nolandlock")

# A bundle with a guest in it, which it runs: guest_bundle NAME [ARG...] [-- JQ_FILTER...]
guest_bundle()
{
	local name=$1 args=()

	shift
	while (($#)) && [[ $1 != -- ]]; do
		args+=("$1")
		shift
	done
	shift || :
	make_bundle "$T/b" ".process.args = $(jq -nc '$ARGS.positional' --args "/$name" "${args[@]}")" "$@"
	cp "$GUESTS/$name" "$T/b/rootfs/$name"
}

# A bundle that runs a shell script.
script_bundle() # SCRIPT [JQ_FILTER...]
{
	local script

	script=$(jq -nc --arg s "$1" '$s')
	shift
	make_bundle "$T/b" ".process.args = [\"sh\", \"-c\", $script]" "$@"
}

# A directory of the host's that the app must not get at, with a file that it must not read.
host_dir()
{
	mkdir -m 0777 "$T/host"
	echo secret >"$T/host/secret"
	chmod 0666 "$T/host/secret"
}

host_is_untouched()
{
	assert_equal "$(ls -A "$T/host")" secret 'files in the host'"'"'s directory'
	assert_equal "$(<"$T/host/secret")" secret 'the file in the host'"'"'s directory'
	assert_equal "$(stat -c %a "$T/host/secret")" 666 'its mode'
}

ALL_CAPS=$(jq -nc '["CAP_CHOWN", "CAP_DAC_OVERRIDE",
	"CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID", "CAP_SETUID",
	"CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_IPC_LOCK",
	"CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE",
	"CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE",
	"CAP_SYS_TIME", "CAP_MKNOD", "CAP_SETFCAP", "CAP_SYSLOG", "CAP_BPF", "CAP_PERFMON"]')
with_caps() # CAPS_JSON: a jq filter that gives them all to the app
{
	printf '.process.capabilities = {bounding: %s, effective: %s, permitted: %s, inheritable: [], ambient: []}' \
		"$1" "$1" "$1"
}

# --- links in the root filesystem -----------------------------------------------------

@test "a link in the place of /proc or /sys is refused" {
	script_bundle true '.mounts += [{destination: "/sys", type: "sysfs", source: "sysfs"}]'
	rmdir "$T/b/rootfs/proc"
	ln -s tmp "$T/b/rootfs/proc"
	run --separate-stderr vrun run "$T/b"
	assert_vrun_error 'mount on /proc: a symbolic link in the root filesystem leads elsewhere'
	rm "$T/b/rootfs/proc"
	mkdir "$T/b/rootfs/proc"
	rmdir "$T/b/rootfs/sys"
	ln -s /etc "$T/b/rootfs/sys"
	run --separate-stderr vrun run "$T/b"
	assert_vrun_error 'mount on /sys: a symbolic link in the root filesystem leads elsewhere'
	assert_nothing_left
}

@test "a mount whose destination is a link into /proc is refused" {
	script_bundle true '.mounts += [{destination: "/data", type: "tmpfs", source: "tmpfs"}]'
	ln -s /proc/sys "$T/b/rootfs/data"
	run --separate-stderr vrun run "$T/b"
	assert_vrun_error 'mount on /data: a symbolic link in the root filesystem leads elsewhere'
	assert_nothing_left
}

@test "a mount whose destination is a link out of the root stays inside" {
	host_dir
	script_bundle 'echo in >/data/made; cat "$HOST/made"' \
		".process.env += [\"HOST=$T/host\"]" \
		'.mounts |= map(select(.destination != "/tmp")) +
			[{destination: "/data", type: "tmpfs", source: "tmpfs"}]'
	# There is such a directory inside, where the link leads to as the app sees it.
	mkdir -p "$T/b/rootfs$T/host"
	for link in "$T/host" "../../../../../../../..$T/host"; do
		ln -s "$link" "$T/b/rootfs/data"
		run -0 --separate-stderr vrun run "$T/b"
		assert_output in
		host_is_untouched
		rm "$T/b/rootfs/data"
	done
	assert_nothing_left
}

@test "nothing is made through a dangling link" {
	host_dir
	script_bundle true '.mounts += [{destination: "/data/sub", type: "tmpfs", source: "tmpfs"}]'
	for link in "$T/host" "../../../../../../../..$T/host" /nowhere; do
		ln -s "$link" "$T/b/rootfs/data"
		run --separate-stderr vrun run "$T/b"
		assert_vrun_error 'mount on /data/sub'
		host_is_untouched
		rm "$T/b/rootfs/data"
	done
	[[ ! -e $T/b/rootfs/nowhere && ! -e $T/b/rootfs$T ]] || fail "a directory was made"
	assert_nothing_left
}

@test "a magic link is followed for no mount" {
	for link in /proc/self/cwd /proc/self/root /proc/1/root/tmp /proc/self/fd/0; do
		rm -rf "$T/b"
		script_bundle true '.mounts += [{destination: "/data", type: "tmpfs", source: "tmpfs"}]'
		ln -s "$link" "$T/b/rootfs/data"
		run --separate-stderr vrun run "$T/b" 0</dev/null
		assert_vrun_error 'mount on /data'
	done
	assert_nothing_left
}

@test "a FIFO or a socket in the place of a device is covered and holds nobody" {
	script_bundle 'echo x >/dev/null; head -c 3 /dev/zero | od -An -c; stat -c %F /dev/null' \
		'.mounts |= map(select(.destination != "/dev" and .destination != "/dev/pts" and .destination != "/dev/shm"))' \
		'.root.readonly = false'
	mkfifo "$T/b/rootfs/dev/null"
	spawn listener socat -u "UNIX-LISTEN:$T/b/rootfs/dev/zero" -
	wait_path "$T/b/rootfs/dev/zero"
	run -0 --separate-stderr vrun run "$T/b"
	assert_output $'  \\0  \\0  \\0\ncharacter special file'
}

@test "links in the place of devices make and change nothing on the host" {
	host_dir
	script_bundle true \
		'.mounts |= map(select(.destination | startswith("/dev") | not))' '.root.readonly = false'
	rmdir "$T/b/rootfs/dev"
	ln -s "$T/host" "$T/b/rootfs/dev"
	run --separate-stderr vrun run "$T/b"
	assert_vrun_error '/dev'
	host_is_untouched
	rm "$T/b/rootfs/dev"
	mkdir "$T/b/rootfs/dev"
	ln -s "$T/host/secret" "$T/b/rootfs/dev/null"
	ln -s "$T/host/made" "$T/b/rootfs/dev/zero"
	run --separate-stderr vrun run "$T/b"
	assert_status 125
	host_is_untouched
	assert_nothing_left
}

@test "a terminal's names as links make and change nothing on the host" {
	host_dir
	for name in console ptmx; do
		rm -rf "$T/b"
		script_bundle 'tty; echo x >/dev/console' '.process.terminal = true' \
			'.mounts |= map(select(.destination != "/dev" and .destination != "/dev/shm"))' \
			'.root.readonly = false'
		ln -s "$T/host/secret" "$T/b/rootfs/dev/$name"
		run vrun run "$T/b" </dev/null
		host_is_untouched
	done
	# And no devpts at all: a ptmx of the root filesystem's.
	rm -rf "$T/b"
	script_bundle true '.process.terminal = true' \
		'.mounts |= map(select(.destination | startswith("/dev") | not))' '.root.readonly = false'
	mkdir "$T/b/rootfs/dev/pts"
	ln -s "$T/host/secret" "$T/b/rootfs/dev/pts/ptmx"
	run vrun run "$T/b" </dev/null
	assert_status 125
	host_is_untouched
	assert_nothing_left
}

# bats test_tags=identity:root
@test "a device that the bundle asks for is never something else that lies there" {
	host_dir
	script_bundle 'stat -c "%F %a %u:%g" /dev/mine' \
		'.linux.devices = [{path: "/dev/mine", type: "c", major: 1, minor: 5, fileMode: 438, uid: 3, gid: 4}]'
	run -0 --separate-stderr vrun run --host-users "$T/b"
	assert_output 'character special file 666 3:4'
	edit_bundle "$T/b" '.linux.devices[0].path = "/bin/mine"'
	ln -s "$T/host/secret" "$T/b/rootfs/bin/mine"
	run --separate-stderr vrun run --host-users "$T/b"
	assert_vrun_error 'device /bin/mine: the root filesystem has something else there'
	host_is_untouched
}

# --- masked and read-only paths -------------------------------------------------------

@test "a masked path is masked where its link leads" {
	script_bundle 'ls -A /real/dir; cat /real/file; cat /by/link/file 2>&1' \
		'.linux.maskedPaths += ["/by/link/dir", "/by/link/file"]'
	mkdir -p "$T/b/rootfs/real/dir" "$T/b/rootfs/by"
	echo secret >"$T/b/rootfs/real/dir/inner"
	echo secret >"$T/b/rootfs/real/file"
	ln -s /real "$T/b/rootfs/by/link"
	run -0 --separate-stderr vrun run "$T/b"
	assert_output ''
}

@test "a masked file shows the host's /dev/null, not the root filesystem's (CVE-2025-31133)" {
	script_bundle 'cat /masked; echo x >>/masked; stat -c %t:%T /masked' \
		'.linux.maskedPaths += ["/masked"]' \
		'.mounts |= map(select(.destination | startswith("/dev") | not))' '.root.readonly = false'
	echo hidden >"$T/b/rootfs/masked"
	echo target >"$T/b/rootfs/target"
	chmod 0666 "$T/b/rootfs/target"
	ln -s /target "$T/b/rootfs/dev/null"
	run -0 --separate-stderr vrun run "$T/b"
	assert_output 1:3
	assert_equal "$(<"$T/b/rootfs/target")" target 'the file that the link names'
}

@test "a read-only path is read-only where its link leads" {
	script_bundle 'echo x >/real/file; echo x >/by/file; cat /real/file' \
		'.root.readonly = false' '.linux.readonlyPaths += ["/by"]'
	mkdir "$T/b/rootfs/real"
	echo old >"$T/b/rootfs/real/file"
	chmod -R 0777 "$T/b/rootfs/real"
	ln -s real "$T/b/rootfs/by"
	run -0 --separate-stderr vrun run "$T/b"
	assert_output old
}

# A neighbour that shares the root filesystem renames the mount point away, so that another
# directory of that name is masked, and takes it back.
@test "masks reach the real /proc while somebody exchanges the directories (CVE-2021-30465)" {
	local seen=0 try

	script_bundle 'stat -fc %T /proc; [ -d /proc/self ] && cat /proc/sys/kernel/ostype' \
		'.linux.maskedPaths += ["/proc/sys"]'
	mkdir -p "$T/b/rootfs/other/sys/kernel"
	spawn exchange "$GUESTS/exchange" "$T/b/rootfs/proc" "$T/b/rootfs/other"
	wait_until grep -qs ready "$T/exchange.out"
	for ((try = 0; try < 40; try++)); do
		run --separate-stderr vrun run "$T/b"
		# Refused, or /proc is not where the app looks for it, or it is masked.
		assert_lacks "$output" Linux "try $try: /proc/sys shows"
		[[ $output == proc* ]] && seen=$((seen + 1))
	done
	kill -KILL "${PID[exchange]}"
	echo "$seen launches had a /proc" >&2
}

# --- the working directory, descriptors -----------------------------------------------

@test "a program below a descriptor of the caller's is not found (CVE-2024-21626)" {
	host_dir
	cp "$(command -v busybox)" "$T/host/busybox"
	chmod 0755 "$T/host/busybox"
	script_bundle true
	for way in /proc/self/fd/9/busybox /proc/self/fd/9/../host/busybox /dev/fd/9/busybox; do
		edit_bundle "$T/b" ".process.args = [\"$way\", \"true\"]"
		for with in "${BOTH[@]}"; do
			run ! --separate-stderr "$with" "$VRUN" run "$T/b" 9<"$T/host"
			[[ $status == 126 || $status == 127 ]] || fail "status $status: $output $stderr"
		done
	done
	assert_nothing_left
}

@test "a working directory is no descriptor (CVE-2024-21626)" {
	host_dir
	script_bundle 'cat secret'
	for cwd in /proc/self/fd/9 /proc/self/cwd /proc/1/root /link; do
		ln -sfn /proc/self/fd/9 "$T/b/rootfs/link"
		edit_bundle "$T/b" ".process.cwd = \"$cwd\""
		run --separate-stderr vrun run "$T/b" 9<"$T/host"
		assert_vrun_error "$cwd"
		assert_lacks "$output" secret
	done
	assert_nothing_left
}

@test "a working directory that becomes a link to a descriptor leads nowhere" {
	host_dir
	script_bundle 'cat secret 2>/dev/null || echo none' '.process.cwd = "/place"'
	mkdir "$T/b/rootfs/place"
	ln -s /proc/self/fd/9 "$T/b/rootfs/other"
	spawn exchange "$GUESTS/exchange" "$T/b/rootfs/place" "$T/b/rootfs/other"
	wait_until grep -qs ready "$T/exchange.out"
	for ((try = 0; try < 40; try++)); do
		run --separate-stderr "$GUESTS/nolandlock" "$VRUN" run "$T/b" 9<"$T/host"
		assert_lacks "$output" secret "try $try"
	done
	kill -KILL "${PID[exchange]}"
}

@test "the app has three descriptors, whatever the caller has open" {
	guest_bundle reach fds
	run -0 --separate-stderr vrun run "$T/b" 5</ 7</etc/passwd 9>"$T/out" </dev/null
	assert_equal "$(cut -d: -f1 <<<"$output" | tr '\n' ' ')" '0 1 2 '
	mkdir "$T/w"
	cp "$GUESTS/reach" "$T/w/"
	cd "$T/w"
	run -0 --separate-stderr vrun run -- ./reach fds 5</ 7</etc/passwd 9>"$T/out" </dev/null
	assert_equal "$(cut -d: -f1 <<<"$output" | tr '\n' ' ')" '0 1 2 '
}

@test "sockets, directories and O_PATH descriptors cannot be preserved" {
	guest_bundle reach fds
	run --separate-stderr vrun run --preserve-fds 1 "$T/b" 3</
	assert_vrun_error 'descriptor 3 is a directory'
	run --separate-stderr vrun run --preserve-fds 4 "$T/b" 6<>/dev/null 5</proc
	assert_vrun_error 'descriptor 5 is a directory'
	spawn socket socat "EXEC:$VRUN run --preserve-fds 5 $T/b,fdin=6,fdout=7" "EXEC:cat"
	wait_exit "${PID[socket]}"
	assert_matches "$(<"$T/socket.err")" 'descriptor [3-7] is a socket'
	# What can be preserved arrives, and only it.
	run -0 --separate-stderr vrun run --preserve-fds 2 "$T/b" 4</etc/passwd 5</etc/passwd 3>&- </dev/null
	assert_contains "$output" '4: file'
	assert_lacks "$output" '3:'
	assert_lacks "$output" '5:'
}

@test "a standard stream that is a socket is a pipe inside, and a directory is refused" {
	guest_bundle reach fds
	socat "EXEC:$VRUN run $T/b" "SYSTEM:cat >$T/out 2>/dev/null" 3>&- 4>&-
	assert_equal "$(head -n 2 "$T/out")" $'0: pipe\n1: pipe'
	run --separate-stderr vrun run "$T/b" </
	assert_vrun_error 'standard input is a directory'
}

@test "a file given to be read cannot be written by its name in /proc, one given to be written can" {
	mkdir "$T/w"
	cd "$T/w"
	echo old >"$T/in"
	chmod 0666 "$T/in"
	: >"$T/out"
	chmod 0666 "$T/out"
	run --separate-stderr vrun run -- sh -c 'cat /proc/self/fd/0; echo new >/proc/self/fd/0' <"$T/in"
	assert_output old
	assert_contains "$stderr" 'Permission denied'
	assert_equal "$(<"$T/in")" old
	vrun run -- sh -c 'echo written >/dev/stdout; cat /proc/self/fd/1 >&2' <"$T/in" >"$T/out" 2>"$T/err" || :
	assert_equal "$(<"$T/out")" written
	assert_lacks "$(<"$T/err")" written
}

# --- vrun's own processes and program ---------------------------------------------------

@test "the init cannot be opened, traced, stopped or killed, whatever capabilities the app has" {
	guest_bundle peek 1 -- "$(with_caps "$ALL_CAPS")"
	mkdir "$T/w"
	cp "$GUESTS/peek" "$T/w/"
	cd "$T/w"
	for with in "${BOTH[@]}"; do
		run -0 --separate-stderr "$with" "$VRUN" run --init "$T/b"
		assert_lacks "$output" OPEN
		assert_contains "$output" 'mem: '
		assert_contains "$output" alive
		run -0 --separate-stderr "$with" "$VRUN" run -- ./peek 1
		assert_lacks "$output" OPEN
		assert_contains "$output" alive
	done
}

# With no pid namespace the app sees the monitor and the keeper, which has joined its user namespace.
@test "without a pid namespace the keeper and the monitor cannot be opened or traced" {
	local pid

	guest_bundle peek PID -- "$(with_caps "$ALL_CAPS")" \
		'.linux.namespaces |= map(select(.type != "pid"))' \
		'.mounts |= map(select(.destination != "/proc")) + [{destination: "/proc", type: "bind",
			source: "/proc", options: ["rbind"]}]' \
		'.linux.maskedPaths = []' '.linux.readonlyPaths = []' \
		'.process.args = ["sh", "-c", "read pid; exec /peek $pid"]'
	mkfifo in
	# Landlock alone would keep the app from tracing what is outside.
	spawn app sh -c 'exec "$0" "$VRUN" run "$1" <in' "$GUESTS/nolandlock" "$T/b"
	exec 9>in
	wait_until sh -c 'pgrep -P "$0" vrun-keeper' "${PID[app]}"
	pid=$(pgrep -P "${PID[app]}" vrun-keeper)
	echo "$pid" >&9
	exec 9>&-
	wait_exit "${PID[app]}"
	assert_lacks "$(<"$T/app.out")" OPEN
	assert_contains "$(<"$T/app.out")" 'mem: '
}

@test "vrun's own program cannot be written from inside (CVE-2019-5736)" {
	local before own=$T/own/vrun

	# Where the app's id owns the file: the caller's own copy.
	mkdir "$T/own" "$T/w"
	cp "$VRUN" "$own"
	chmod 0777 "$own"
	before=$(stat -c '%i %y %z' "$own")
	cp "$GUESTS/peek" "$T/w/"
	cd "$T/w"
	guest_bundle peek exe -- "$(with_caps "$ALL_CAPS")"
	for with in "${BOTH[@]}"; do
		run "$with" "$own" run -- ./peek exe
		assert_output 'nothing to write to'
		run "$with" "$own" run --init "$T/b"
		assert_output 'nothing to write to'
	done
	assert_equal "$(stat -c '%i %y %z' "$own")" "$before" 'the file of vrun'
}

@test "a program that is vrun's own file does no harm (CVE-2019-5736)" {
	local before own=$T/own/vrun how

	mkdir "$T/own"
	cp "$VRUN" "$own"
	chmod 0777 "$own"
	before=$(sha256sum <"$own")
	script_bundle true "$(with_caps "$ALL_CAPS")"
	# A program of ours that overwrites whatever is executed by the name /proc/self/exe.
	printf '#!/proc/self/exe\n' >"$T/b/rootfs/script"
	printf '#!/bin/sh\nexec 9</proc/$PPID/exe; sleep 0.2; printf x 1<>/proc/self/fd/9\n' >"$T/b/rootfs/evil"
	chmod 0755 "$T/b/rootfs/script" "$T/b/rootfs/evil"
	for how in '["/proc/self/exe", "--version"]' '["/script"]' '["/proc/self/exe", "run", "--", "/evil"]' \
		'["/proc/1/exe", "--version"]' '["sh", "-c", "/proc/1/exe --version; /proc/$PPID/exe --version"]'; do
		edit_bundle "$T/b" ".process.args = $how"
		"$own" run "$T/b" || :
		"$own" run --init "$T/b" || :
		assert_equal "$(sha256sum <"$own")" "$before" "the file of vrun after $how"
	done
	assert_nothing_left
}

# --- the kernel's doors -----------------------------------------------------------------

@test "every system call that leads out is shut for a bundle and for a command" {
	guest_bundle doors none
	run --separate-stderr vrun run "$T/b"
	assert_equal "$(grep OPEN <<<"$output")" '' 'open doors'
	assert_status 0
	mkdir "$T/w"
	cp "$GUESTS/doors" "$T/w/"
	cd "$T/w"
	run --separate-stderr vrun run -- ./doors none
	assert_equal "$(grep OPEN <<<"$output")" '' 'open doors'
	assert_status 0
}

@test "an app has no capabilities, no new privileges, a filter, and only its own group" {
	local want=$'CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000
CapBnd:\t0000000000000000\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2'

	mkdir "$T/w"
	cd "$T/w"
	run -0 --separate-stderr vrun run -- sh -c 'grep -E "^(Cap|NoNew|Seccomp:)" /proc/self/status'
	assert_output "$want"
	script_bundle 'grep -E "^(Cap|NoNew|Seccomp:)" /proc/self/status'
	run -0 --separate-stderr vrun run "$T/b"
	assert_output "$want"
	is_root || return 0
	run -0 --separate-stderr setpriv --groups 4,27,100 "$VRUN" run -- id -G
	assert_output 0
}

@test "the caller's session keyring is out of reach, also with a filter that allows keys" {
	guest_bundle keyring find "$MARK" -- '.linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW"}'
	run -0 "$GUESTS/keyring" with "$MARK" "$GUESTS/keyring" find "$MARK"
	assert_output found
	run -0 --separate-stderr "$GUESTS/keyring" with "$MARK" "$VRUN" run "$T/b"
	assert_output ENOKEY
	edit_bundle "$T/b" 'del(.linux.seccomp)'
	run -0 --separate-stderr "$GUESTS/keyring" with "$MARK" "$VRUN" run "$T/b"
	assert_output EPERM
}

@test "the kernel's switches cannot be written" {
	local script='for f in kernel/core_pattern kernel/modprobe vm/drop_caches kernel/sysrq; do
		cat /proc/sys/$f >/tmp/old 2>/dev/null && cat /tmp/old >/proc/sys/$f && echo "wrote $f"
	done 2>/dev/null
	echo h >/proc/sysrq-trigger 2>/dev/null && echo wrote sysrq-trigger
	cat /sys/kernel/mm/ksm/run >/tmp/old && cat /tmp/old >/sys/kernel/mm/ksm/run && echo wrote ksm
	echo done' 2>/dev/null

	mkdir "$T/w"
	cd "$T/w"
	run -0 --separate-stderr vrun run -- sh -c "$script"
	assert_output 'done'
	# A bundle that protects nothing itself.
	script_bundle "$script" '.linux.readonlyPaths = []' '.linux.maskedPaths = []' \
		'.mounts += [{destination: "/sys", type: "sysfs", source: "sysfs"}]'
	run -0 --separate-stderr vrun run "$T/b"
	assert_output 'done'
	is_root || return 0
	run -0 --separate-stderr vrun run --host-users "$T/b"
	assert_output 'done'
	edit_bundle "$T/b" '.linux.uidMappings = [{containerID: 0, hostID: 0, size: 10}] |
		.linux.gidMappings = .linux.uidMappings'
	run -0 --separate-stderr vrun run "$T/b"
	assert_output 'done'
}

@test "sysctls that are not a namespace's are refused" {
	script_bundle true
	for key in kernel.core_pattern kernel.hostname vm.drop_caches net/../kernel/core_pattern \
		net.ipv4/../../kernel.modprobe fs.mqueue/../suid_dumpable fs.protected_links \
		kernel.shmmax/../core_pattern ../sysrq-trigger; do
		edit_bundle "$T/b" ".linux.sysctl = {\"$key\": \"1\"}"
		run --separate-stderr vrun run "$T/b"
		assert_vrun_error sysctl
	done
	assert_nothing_left
}

@test "values that no program has are refused before anything is made" {
	script_bundle true
	cp "$T/b/config.json" "$T/good.json"
	for filter in '.hostname = "x" * 65' '.process.cwd = "relative"' '.process.args = []' \
		'.process.args = ["a\u0000b"]' '.process.env = ["A=b\u0000c"]' '.process.user.uid = -1' \
		'.process.user.uid = 4294967295' '.process.rlimits = [{type: "RLIMIT_X", soft: 1, hard: 1}]' \
		'.linux.timeOffsets = {monotonic: {secs: -99999999999999}} | .linux.namespaces += [{type: "time"}]' \
		'.mounts[0].destination = "/a\u0000b"' '.linux.maskedPaths = ["relative/../x"]' \
		'.process.user.additionalGids = [range(100000)]'; do
		jq "$filter" "$T/good.json" >"$T/b/config.json"
		run --separate-stderr vrun run "$T/b"
		assert_status 125
		assert_contains "$stderr" 'vrun: '
	done
	assert_nothing_left
}

# --- the host's files -------------------------------------------------------------------

@test "files of others are not readable, and the host cannot be written" {
	mkdir "$T/w"
	cd "$T/w"
	run --separate-stderr vrun run -- sh -c 'cat /etc/shadow /etc/gshadow
		find /root /home /run /mnt /media /var/tmp ! -type d
		cat /etc/ssh/ssh_host_*_key; : >/etc/vrun-test; : >/usr/vrun-test; : >/vrun-test; rm /etc/hostname'
	assert_output ''
	[[ ! -e /etc/vrun-test && ! -e /usr/vrun-test && ! -e /vrun-test && -e /etc/hostname ]] ||
		fail "the host was changed"
}

# bats test_tags=identity:root
@test "root's command makes no set-id files" {
	mkdir "$T/w"
	cd "$T/w"
	run --separate-stderr vrun run -- sh -c 'cp /bin/true a; chmod 4755 a; chmod g+s a; chmod 755 a; ls -l a | cut -c1-10'
	assert_output '-rwxr-xr-x'
	assert_contains "$stderr" 'Operation not permitted'
	run --separate-stderr vrun run -- busybox sh -c 'cp /bin/busybox b; busybox install -m 4755 b c; busybox mknod -m 4755 d p'
	assert_equal "$(find . -perm /6000)" ''
}

@test "standing in a directory of the system's or of home does not show it" {
	mkdir "$T/w" "$T/home/sub"
	for dir in "$HOME" "$T" /tmp /run /home /dev/shm; do
		cd "$dir"
		run --separate-stderr vrun run -- true
		assert_vrun_error "the current directory $dir"
	done
	if is_root; then
		for dir in /etc /usr/bin /var/lib; do
			cd "$dir"
			run --separate-stderr vrun run -- true
			assert_vrun_error "the current directory $dir belongs to the system"
		done
	fi
	# By another name, or without a name, home is home.
	ln -s home "$T/by-link"
	cd "$T/home"
	HOME=$T/by-link run --separate-stderr vrun run -- true
	assert_vrun_error 'holds your home directory'
	cd "$T/home/sub"
	run -0 vrun run -- sh -c 'ls -A ..'
	assert_output sub
}

@test "a link in the place of an overlay's upper directory is refused" {
	host_dir
	script_bundle 'echo x >/made' '.annotations["org.vrun.overlay"] = "layer"' '.root.readonly = false'
	mkdir "$T/b/layer"
	ln -s "$T/host" "$T/b/layer/upper"
	run --separate-stderr vrun run "$T/b"
	assert_status 125
	# Not below the place where the root is built either.
	ln -sfn /var/lib "$T/b/layer/upper"
	run --separate-stderr vrun run "$T/b"
	assert_vrun_error '"upper" of the writable layer: Too many levels of symbolic links'
	host_is_untouched
	assert_nothing_left
}

# --- what was mounted -----------------------------------------------------------------------

@test "no mount of the host's is left in the app's namespace, and none of the app's on the host" {
	local before

	before=$(grep -c . /proc/self/mountinfo)
	script_bundle 'cut -d " " -f 5 /proc/self/mountinfo | sort -u'
	run -0 --separate-stderr vrun run "$T/b"
	assert_equal "$(grep -v '^/\(proc\|dev\|tmp\)\(/\|$\)' <<<"$output")" / 'mount points'
	assert_nothing_left
	[[ -z $(marked_mounts) ]]
}
