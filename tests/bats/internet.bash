# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# An internet for tests: two network namespaces with a cable between them.
#
#	host      198.51.100.2, 2001:db8:1::2: the machine that vrun runs on
#	servers   198.51.100.1, 2001:db8:1::1, and behind it 192.0.2.0/24, 203.0.113.0/24,
#	          10.20.0.1, 169.254.169.254 and 2001:db8:2::/64, where anybody may have any
#	          port; a name server at 198.51.100.53 (internet.py). What is sent to 192.0.2.66 is lost, 192.0.2.67 cannot be
#	          reached, and says so.
#
# An unprivileged user's is made in a user namespace in which the user's id stands for itself: there
# vrun has no rights either. INTERNET_IDS has options of unshare(1) for other ids.
# /etc/resolv.conf is covered in the host's mount namespace.

# Loaded behind the helper, it is started before each test; a file that wants something before or behind
# that has a setup of its own.
setup()
{
	internet_setup
}

teardown()
{
	internet_teardown
}

# shellcheck disable=SC2119 # no ports here
internet_setup()
{
	setup_in work
	internet_start
}

internet_teardown()
{
	[[ -z ${PID[internet]-} ]] || internet_stop
	helper_teardown
}

# shellcheck disable=SC2120 # some files give ports
internet_start() # [PORT...], of internet.py
{
	local own=()

	need_command ip unshare nsenter python3
	# So that the user's rights over the new namespaces outlive the exec.
	is_root || own=("${INTERNET_IDS[@]:---map-current-user}" --user --keep-caps)
	printf '{}' >"$T/zone.json"
	: >"$T/questions"
	printf 'nameserver 198.51.100.53\n' >"$T/resolv.conf"
	spawn internet setpriv --pdeathsig KILL unshare "${own[@]}" --net --mount \
		bash "$BATS_TEST_DIRNAME/internet-make" "$T" "$@" </dev/null
	if ! wait_until internet_ready; then
		fail "no internet:" "$(<"$T/internet.err")"
		return 1
	fi
	read -r INTERNET_HOST INTERNET_SERVERS <"$T/internet.pids"
}

internet_ready()
{
	grep -q ready "$T/internet.out"
}

internet_stop()
{
	kill -KILL "${PID[internet]}" 2>/dev/null || :
	wait "${PID[internet]}" 2>/dev/null || :
	unset "PID[internet]"
	wait_gone "$INTERNET_HOST"
	wait_gone "$INTERNET_SERVERS"
}

# What the name server knows, as JSON (internet.py).
zone() # JSON
{
	printf '%s' "$1" >"$T/zone.new" && mv "$T/zone.new" "$T/zone.json"
}

# Before internet_start: the machine's /etc is $T/etc, which can be changed.
internet_own_etc()
{
	mkdir "$T/etc"
	cp /etc/{passwd,group,nsswitch.conf,hosts,ld.so.cache,subuid,subgid} "$T/etc" 2>/dev/null || :
	printf 'nameserver 198.51.100.53\n' >"$T/etc/resolv.conf"
}

# Before internet_start: $T/heard tells what arrives at the servers (internet-ear.py).
internet_listen()
{
	: >"$T/heard"
}

# Everything that was sent so far has arrived; $T/heard has it.
internet_heard()
{
	echo mark | on_host socat -u - UDP4-SENDTO:192.0.2.1:9
	wait_until grep -qxF 'udp 192.0.2.1 9' "$T/heard"
}

# A command on the machine, without rights as a user.
on_host() # COMMAND...
{
	local own=()

	is_root || own=(--user --preserve-credentials)
	nsenter -t "$INTERNET_HOST" "${own[@]}" --net --mount --wd="$PWD" -- "$@"
}

# A command at the servers.
on_servers() # COMMAND...
{
	local own=()

	is_root || own=(--user --preserve-credentials)
	nsenter -t "$INTERNET_SERVERS" "${own[@]}" --net --wd="$PWD" -- "$@"
}

# vrun with a policy of these rules (JSON), on the machine.
sandbox() # RULES COMMAND...
{
	local rules=$1

	shift
	jq -n --argjson rules "[$rules]" '{version: 1, domain: "app", net: {rules: $rules}}' >"$T/app.json"
	on_host "$VRUN" run -T -p "$T/app.json" -- "$@" </dev/null
}
