#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# `vrun run -- CMD` and what listens on the host: sockets of every kind at every place where they
# lie, abstract ones, FIFOs. Each test asks from outside first: a server that nobody reaches proves
# nothing. And both sides are asked: what the app says, and what the server heard.

bats_require_minimum_version 1.5.0
load helper
: "${stderr=}" # set by run --separate-stderr

GUESTS=$(dirname "$VRUN")/tests/guest
# Directories outside of $T, for teardown.
MADE=()
# What servers and clients are started with: another mount namespace.
WITHIN=(env)

setup()
{
	helper_setup
	mkdir -m 0755 work
	cp "$GUESTS/reach" work/
	cd work || return 1
}

teardown()
{
	local dir

	for dir in "${MADE[@]}"; do
		rm -rf --one-file-system "$dir"
	done
	helper_teardown
}

# A directory of this test's in a directory of the host's; its path in $REPLY. False when there is no
# such directory, or it may not be written to.
host_dir() # DIR
{
	REPLY=${1%/}/$MARK
	[[ -d $1 && -w $1 ]] || return 1
	mkdir -m 0755 "$REPLY" 2>/dev/null || return 1
	MADE+=("$REPLY")
}

serve() # PLACE...
{
	spawn host "${WITHIN[@]}" "$GUESTS/listen" "$@"
	wait_until grep -qs ready "$T/host.out" || fail "$(<"$T/host.err")"
}

# The places' arguments for reach, one line for each kind.
kinds() # PLACE...
{
	local kind place

	for kind in stream dgram seqpacket fifo; do
		printf '%s' "$kind"
		for place; do
			[[ $place != "$kind":* ]] || printf ' %s' "${place#*:}"
		done
		printf '\n'
	done
}

# Asks from outside, where every one is reached and heard, then from a sandbox, where none is: as it
# is, and without Landlock, which vrun must not need. OPTIONS are in the array options.
assert_out_of_reach() # PLACE...
{
	local kind with list

	while read -r kind list; do
		[[ -n $list ]] || continue
		# shellcheck disable=SC2086 # a list
		run -0 "${WITHIN[@]}" "$GUESTS/reach" "$kind" $list
		assert_equal "$(grep -c ': REACHED$' <<<"$output")" "$(wc -w <<<"$list")" "reached from outside: $output"
	done < <(kinds "$@")
	wait_until heard $#
	while read -r kind list; do
		[[ -n $list ]] || continue
		for with in env "$GUESTS/nolandlock"; do
			# shellcheck disable=SC2086 # a list
			run -0 "${WITHIN[@]}" "$with" "$VRUN" run -T "${options[@]}" -- ./reach "$kind" $list </dev/null
			assert_lacks "$output" REACHED "from inside, $with"
			assert_equal "${#lines[@]}" "$(wc -w <<<"$list")" "places that the app tried: $output"
		done
	done < <(kinds "$@")
	# Once it has heard of one more it has heard of all that came before.
	run -0 "${WITHIN[@]}" "$GUESTS/reach" "${1%%:*}" "${1#*:}"
	wait_until heard $(($# + 1))
	assert_equal "$(grep -c '^heard' "$T/host.out")" $(($# + 1)) "what the server heard"
}

heard() # COUNT
{
	(($(grep -c '^heard' "$T/host.out") >= $1))
}

@test "sockets and FIFOs in the places of systems and of people are out of reach" {
	local dir places=() options=()

	if is_root; then
		for dir in / /boot /dev /etc /home /lib /media /mnt /opt /root /run /run/lock /srv /usr/lib \
			/usr/local /usr/share /var /var/cache /var/lib /var/log /var/spool; do
			! host_dir "$dir" || places+=("stream:$REPLY/s")
		done
	fi
	for dir in /dev/shm /run/user/"$EUID" /tmp /var/tmp "$HOME" "$XDG_RUNTIME_DIR" "$TMPDIR"; do
		! host_dir "$dir" || places+=("stream:$REPLY/s" "dgram:$REPLY/d" "seqpacket:$REPLY/q" "fifo:$REPLY/f")
	done
	((${#places[@]} >= 20)) || fail "only ${places[*]}"
	serve "${places[@]}"
	assert_out_of_reach "${places[@]}"
}

@test "the session bus, an agent and what else the environment names are out of reach" {
	local options=()

	export DBUS_SESSION_BUS_ADDRESS=unix:path=$XDG_RUNTIME_DIR/bus SSH_AUTH_SOCK=$HOME/agent.1 \
		DOCKER_HOST=unix://$XDG_RUNTIME_DIR/docker.sock NOTIFY_SOCKET=$XDG_RUNTIME_DIR/notify \
		WAYLAND_DISPLAY=$XDG_RUNTIME_DIR/wayland-0 DISPLAY=:7 LISTEN_FDS=1 LISTEN_PID=$$
	serve stream:"$XDG_RUNTIME_DIR/bus" stream:"$HOME/agent.1" stream:"$XDG_RUNTIME_DIR/docker.sock" \
		dgram:"$XDG_RUNTIME_DIR/notify" stream:"$XDG_RUNTIME_DIR/wayland-0"
	assert_out_of_reach stream:"$XDG_RUNTIME_DIR/bus" stream:"$HOME/agent.1" \
		stream:"$XDG_RUNTIME_DIR/docker.sock" dgram:"$XDG_RUNTIME_DIR/notify" \
		stream:"$XDG_RUNTIME_DIR/wayland-0"
	run -0 vrun run -T -- env </dev/null
	assert_lacks "$output" "$XDG_RUNTIME_DIR"
	assert_lacks "$output" agent
	assert_lacks "$output" LISTEN
	assert_lacks "$output" DISPLAY
}

# bats test_tags=identity:root
@test "the sockets of a system's services are out of reach under their own names" {
	local name places=() options=()

	# In a /run of our own: those that are there are somebody's.
	spawn holder unshare -m --propagation private sh -c 'mount -t tmpfs -o mode=0755 none /run && echo up && exec sleep 1000'
	wait_until grep -qs up "$T/holder.out"
	WITHIN=(nsenter -t "${PID[holder]}" -m --wd="$PWD" --)
	for name in /run/docker.sock /run/containerd/containerd.sock /run/podman/podman.sock \
		/run/dbus/system_bus_socket /run/systemd/private /run/systemd/notify /run/systemd/journal/stdout \
		/run/snapd.socket /run/acpid.socket /run/udev/control /run/mysqld/mysqld.sock /run/user/0/bus \
		/run/postgresql/.s.PGSQL.5432 /run/initctl; do
		"${WITHIN[@]}" mkdir -p "$(dirname "$name")"
		places+=("stream:$name")
	done
	places[-1]=fifo:/run/initctl
	serve "${places[@]}"
	# By the old name too, which is a link.
	[[ $(readlink -f /var/run) != /run ]] || places[0]=stream:/var/run/docker.sock
	assert_out_of_reach "${places[@]}"
}

@test "abstract sockets are out of reach" {
	local options=() places

	places=("stream:@$MARK-s" "dgram:@$MARK-d" "seqpacket:@$MARK-q")
	serve "${places[@]}"
	assert_out_of_reach "${places[@]}"
}

@test "sockets and FIFOs below a path that is shown read-only are out of reach" {
	local options=(--ro "$T/shown" --ro "$T/work/in") places

	mkdir -p "$T/shown/deep/er" "$T/work/in"
	# Explicit, and deeper than the current directory, which is writable.
	places=("stream:$T/shown/s" "dgram:$T/shown/deep/d" "seqpacket:$T/shown/deep/er/q"
		"fifo:$T/shown/deep/f" "stream:$T/work/in/s" "fifo:$T/work/in/f")
	serve "${places[@]}"
	assert_out_of_reach "${places[@]}"
}

@test "sockets and FIFOs in the current directory are out of reach with --cwd ro" {
	local options=(--cwd ro) places

	mkdir deep
	places=("stream:$PWD/s" "dgram:$PWD/deep/d" "seqpacket:$PWD/deep/q" "fifo:$PWD/deep/f")
	serve "${places[@]}"
	assert_out_of_reach "${places[@]}"
}

@test "a link in a directory that is shown writable leads to no socket outside" {
	local options=(--rw "$T/more") places

	mkdir "$T/more" "$T/outside"
	serve "stream:$T/outside/s" "fifo:$T/outside/f" "stream:$XDG_RUNTIME_DIR/bus"
	ln -s "$T/outside/s" s
	ln -s ../outside/f "$T/more/f"
	ln -s "$XDG_RUNTIME_DIR" "$T/more/run"
	places=("stream:$T/work/s" "fifo:$T/more/f" "stream:$T/more/run/bus")
	assert_out_of_reach "${places[@]}"
}

@test "a socket or a FIFO is handed out by naming it with --rw, and no other beside it" {
	local name

	mkdir "$T/outside"
	serve "stream:$T/outside/s" "stream:$T/outside/other" "fifo:$T/outside/f"
	for name in s f; do
		run --separate-stderr vrun run -T --ro "$T/outside/$name" -- true </dev/null
		assert_vrun_error "$T/outside/$name is neither a file nor a directory"
		assert_contains "$stderr" --rw
	done
	run -0 vrun run -T --rw "$T/outside/s" -- ./reach stream "$T/outside/s" "$T/outside/other" </dev/null
	assert_output "stream $T/outside/s: REACHED"$'\n'"stream $T/outside/other: ENOENT"
}

@test "a socket that appears while the app runs is out of reach too" {
	mkdir "$T/shown"
	mkfifo "$T/go"
	exec 7<>"$T/go"
	spawn app "$VRUN" run -T --ro "$T/shown" -- sh -c 'echo up; read go; ./reach stream "$0"; ./reach fifo "$1"' \
		"$T/shown/late" "$T/shown/fifo" <&7
	wait_until grep -qs up "$T/app.out"
	serve "stream:$T/shown/late" "fifo:$T/shown/fifo"
	run -0 "$GUESTS/reach" stream "$T/shown/late"
	assert_contains "$output" REACHED
	echo go >&7
	wait_exit "${PID[app]}"
	assert_equal "$status" 0
	assert_lacks "$(<"$T/app.out")" REACHED
	assert_contains "$(<"$T/app.out")" "$T/shown/late: "
	assert_contains "$(<"$T/app.out")" "$T/shown/fifo: "
	exec 7>&-
}

@test "the app's own sockets and FIFOs work where it may write" {
	run -0 vrun run -T -- sh -c 'for dir in /tmp /run /dev/shm .; do
			socat -u "UNIX-LISTEN:$dir/own" "OPEN:$dir/got,creat" & server=$!
			echo here | socat -u - "UNIX-CONNECT:$dir/own,retry=500,interval=0.02" && wait "$server" && cat "$dir/got"
			mkfifo "$dir/fifo"
			echo there >"$dir/fifo" & cat "$dir/fifo"
			rm -f "$dir/own" "$dir/got" "$dir/fifo"
		done' </dev/null
	assert_output "$(printf 'here\nthere\n%.0s' 1 2 3 4)"
	assert_nothing_left
}
