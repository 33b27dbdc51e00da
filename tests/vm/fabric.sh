#!/bin/busybox sh
# shellcheck shell=dash
# SPDX-License-Identifier: Apache-2.0
#
# Runs in the test machine: virtual sockets under policies on this kernel, which
# may be without Landlock's TCP rules (6.7), pidfds of threads (6.9), synchronous
# wake-ups (6.6) and what wires take (6.16). Prints TAP.

. /tests-data/common.sh

policy() # NAME ADDRESS RULES [TRANSPORT]
{
	echo '{"version":1,"domain":"'"${1%%.*}"'","net":{"transport":"'"${4:-tcp}"'","address":["'"$2"'"],"rules":['"$3"']}}' \
		>"/tmp/$1.json"
}

# A bundle of the guest's, in the background, once it has said "ready": start NAME POLICY COMMAND. Its
# input is the FIFO $place/NAME.in.
start()
{
	local i=0

	bundle "exec $3"
	rm -rf "$place/$1" "$place/$1.in"
	mv "$B" "$place/$1"
	mkfifo "$place/$1.in"
	chmod 666 "$place/$1.in"
	# shellcheck disable=SC2094 # both ends are held open on purpose
	v run --fabric vm --id "$1" -p "/tmp/$2.json" "$place/$1" <>"$place/$1.in" >"/tmp/$1.out" 2>&1 &
	until grep -q ready "/tmp/$1.out"; do
		i=$((i + 1))
		kill -0 $! 2>/dev/null && [ $i -lt 300 ] || break
		sleep 0.1
	done
	eval "pid_$1=$!"
	check "$1 starts" 0 ready cat "/tmp/$1.out"
	grep -q ready "/tmp/$1.out" || stop=1
}

# What it says after another round: ask NAME NUMBER
ask()
{
	local i=0

	echo >"$place/$1.in"
	until [ "$(grep -c alive "/tmp/$1.out")" -ge "$2" ]; do
		i=$((i + 1))
		[ $i -lt 100 ] || break
		sleep 0.1
	done
	grep alive "/tmp/$1.out" | tail -n 1
}

fabric()
{
	stop=''
	policy db 10.88.0.20 '{"allow":"listen","at":":7001-7002","from":["app"]},
		{"allow":"listen","at":":7001-7002","from":["app"],"proto":"udp"}'
	policy app 10.88.0.21 '{"allow":"connect","to":"db:7001-7002","proto":["tcp","udp"]}'
	policy app.less 10.88.0.21 '{"allow":"connect","to":"db:7002","proto":["tcp","udp"]}'
	policy other 10.88.0.22 '{"allow":"connect","to":"db:7001"}'
	start db db 'flows serve 7001 7002'
	[ -z "$stop" ] && start app app 'flows hold 10.88.0.20 7001 20 10.88.0.20 7002 20 10.88.0.20 7001 udp 10.88.0.20 7002 udp'
	[ -z "$stop" ] || return
	check 'two domains talk over TCP and UDP' 0 'alive 20 20 1 1' ask app 1
	check 'their sockets are listed' 0 connected v sockets app
	bundle 'flows hold 10.88.0.20 7001 1'
	check 'a third one is kept out' 1 'Permission denied' v run --fabric vm -p /tmp/other.json "$B"
	check 'a changed policy is put in force' 0 'generation 2, 20 connections cut, 1 flow' \
		v policy apply app /tmp/app.less.json
	check 'and cuts what it forbids' 0 'alive 0 20 0 1' ask app 2
	# shellcheck disable=SC2154 # start() sets them
	for name in app db; do
		v kill $name KILL >/dev/null 2>&1
	done
	# shellcheck disable=SC2154
	wait "$pid_app" "$pid_db"
}

names_and_unix()
{
	policy one 10.88.0.23 ''
	bundle 'nslookup one 127.0.0.53; mkdir /tmp/d; cd /tmp/d; unixes'
	check 'its own name is known' 0 10.88.0.23 v run -p /tmp/one.json "$B"
	check 'AF_UNIX works by path, with the mode and owner that the app would give' 0 'unix 750 0' \
		v run -p /tmp/one.json "$B"
	policy two 10.88.0.24 '' wire
	if at_least 6 16; then
		check 'wires work' 0 'unix 750 0' v run -p /tmp/two.json "$B"
	else
		check 'wires are refused in words' 125 'it takes Linux 6.16' v run -p /tmp/two.json "$B"
	fi
}

# shellcheck disable=SC2034 # common.sh's
for who in root user; do
	place=/disk/$who
	fabric
	names_and_unix
	check 'nothing is left behind' 0 'processes 0' sh -c 'sleep 0.5; echo processes $(ps | grep -c "[v]run[- ]")'
done
echo "1..$count"
exit "$failed"
