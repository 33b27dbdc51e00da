# shellcheck shell=bash disable=SC2154 # variables of tests/bench/gateway
# SPDX-License-Identifier: Apache-2.0
#
# What others have between an app and the outside, for tests/bench/gateway, whose variables and
# network namespace are used here: $dir, ${pin[@]}, $dir/sockets.
#
#	slirp4netns, pasta   a TCP stack in a process, over the socket API
#	runsc                gVisor: the kernel's calls and the TCP stack in a process (root only)
#	proxychains4         the C library's connect() leads to a SOCKS proxy, microsocks, for programs that let it

# Those that are installed and can run, one a line.
outsiders()
{
	local kind

	for kind in slirp4netns pasta runsc proxychains4; do
		command -v "$kind" >/dev/null || continue
		[[ $kind != runsc ]] || outsiders_may_runsc || continue
		[[ $kind != proxychains4 ]] || command -v microsocks >/dev/null || continue
		echo "$kind"
	done
}

# Its sandbox makes namespaces of its own, with ids that an unprivileged user has not.
outsiders_may_runsc()
{
	[[ $(</proc/self/uid_map) =~ ^\ *0\ +0\ +4294967295$ ]]
}

# They want an interface of this machine that leads somewhere.
outsiders_network()
{
	ip link add out type veth peer name sink
	ip link set out up
	ip link set sink up
	ip addr add 198.51.100.2/24 dev out
	ip route add default via 198.51.100.1 dev out
}

is_outsider() # KIND
{
	[[ $1 == slirp4netns || $1 == pasta || $1 == runsc || $1 == proxychains4 ]]
}

outsider() # KIND ARGS...
{
	case $1 in
	pasta) "${pin[@]}" pasta --runas 0 -4 --config-net --quiet -- "$dir/sockets" "${@:2}" 2>/dev/null ;;
	slirp4netns) slirp "${@:2}" ;;
	runsc) gvisor "${@:2}" ;;
	proxychains4) proxied "${@:2}" ;;
	esac
}

# In a network namespace of its own, once slirp4netns has set it up.
slirp() # ARGS...
{
	local pid slirp fd

	mkfifo "$dir/go"
	# shellcheck disable=SC2016 # for the shell inside
	"${pin[@]}" unshare --user --map-root-user --net sh -c 'read -r _ <"$0/go"; exec "$0/sockets" "$@"' "$dir" "$@" &
	pid=$!
	until [[ $(readlink "/proc/$pid/ns/net") != "$(readlink /proc/self/ns/net)" ]]; do sleep 0.01; done
	mkfifo "$dir/up"
	"${pin[@]}" slirp4netns --configure --mtu=65520 --ready-fd=3 "$pid" tap0 3<>"$dir/up" >/dev/null 2>&1 &
	slirp=$!
	exec {fd}<>"$dir/up"
	read -r -n 1 _ <&"$fd"
	exec {fd}>&-
	echo >"$dir/go"
	wait "$pid"
	kill "$slirp" 2>/dev/null || : # it ends with the namespace, too
	wait "$slirp" || :
	rm "$dir/go" "$dir/up"
}

# It takes over the interfaces of a namespace that it is given. In what it takes for the machine's own
# it does not, and tells that one by a file that other namespaces have, too, since Linux 6.15 or so.
gvisor() # ARGS...
{
	local pid rc=0 at=(ip)

	mkdir -p "$dir/gvisor"
	unshare --net sleep infinity &
	pid=$!
	until [[ $(readlink "/proc/$pid/ns/net") != "$(readlink /proc/self/ns/net)" ]]; do sleep 0.01; done
	at=(nsenter -t "$pid" -n ip)
	ip link add gvisor0 type veth peer name gvisor1 netns "$pid"
	ip addr add 203.0.113.1/24 dev gvisor0
	ip link set gvisor0 up
	"${at[@]}" addr add 203.0.113.2/24 dev gvisor1
	"${at[@]}" link set gvisor1 up
	"${at[@]}" link set lo up
	"${at[@]}" route add default via 203.0.113.1
	jq -n --arg net "/proc/$pid/ns/net" '{ociVersion: "1.0.2", root: {path: "/", readonly: true},
		process: {user: {uid: 0, gid: 0}, cwd: "/", env: ["PATH=/usr/bin:/bin"], args: $ARGS.positional},
		mounts: [{destination: "/proc", type: "proc", source: "proc"}],
		linux: {namespaces: [("pid", "mount", "ipc", "uts" | {type: .}), {type: "network", path: $net}]}}' \
		--args -- "$dir/sockets" "$@" >"$dir/gvisor/config.json"
	# shellcheck disable=SC2016 # for the shell inside
	timeout 60 "${pin[@]}" unshare --mount sh -c 'mount -t tmpfs none /proc/sys/net && exec "$@"' sh \
		runsc --root "$dir/gvisor/state" --platform=ptrace run --bundle "$dir/gvisor" "bench$pid" || rc=$?
	kill "$pid"
	wait "$pid" 2>/dev/null || :
	ip link del gvisor0 2>/dev/null || : # it went with its peer
	return "$rc"
}

# The program has to be linked dynamically for that.
proxied() # ARGS...
{
	local pid rc=0

	[[ -x $dir/sockets-dynamic ]] ||
		gcc -std=gnu11 -O2 -D_GNU_SOURCE -o "$dir/sockets-dynamic" "$here/sockets.c"
	printf 'strict_chain\n[ProxyList]\nsocks5 127.0.0.1 1080\n' >"$dir/proxy.conf"
	"${pin[@]}" microsocks -i 127.0.0.1 -p 1080 >/dev/null 2>&1 &
	pid=$!
	until [[ -n $(ss -Hltn 'sport = :1080') ]]; do sleep 0.01; done
	"${pin[@]}" proxychains4 -q -f "$dir/proxy.conf" "$dir/sockets-dynamic" "$@" || rc=$?
	kill "$pid"
	wait "$pid" 2>/dev/null || :
	return "$rc"
}
