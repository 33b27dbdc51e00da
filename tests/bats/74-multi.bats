#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# vrun_send_multi(3), in sandboxes of vrun run. What it promises in detail is in the guest "multi",
# which says the same inside and outside.

bats_require_minimum_version 1.5.0
load helper

setup()
{
	setup_in w multi multi-asks
}

policy() # NAME RULES [NET-MEMBERS]
{
	printf '{"version":1,"domain":"%s","net":{%s"rules":[%s]}}\n' "$1" "${3-}" "$2" >"$T/$1.json"
}

@test "sending to many is served inside and keeps its promises inside and outside" {
	policy app ''
	run -1 ./multi served
	run -0 "$VRUN" run -p "$T/app.json" -- ./multi served
	run -0 ./multi
	assert_contains "$output" ' 0 failed'
	for guest in multi multi-asks; do
		run -0 "$VRUN" run -p "$T/app.json" -- ./$guest
		assert_contains "$output" ' 0 failed'
	done
	assert_nothing_left
}

@test "a sandbox without a supervisor answers that there is no such call" {
	run -1 "$VRUN" run -- ./multi served
	echo '{"version":1,"net":"loopback"}' >"$T/loopback.json"
	run -1 "$VRUN" run -p "$T/loopback.json" -- ./multi served
	for guest in multi multi-asks; do
		run -0 "$VRUN" run -p "$T/loopback.json" -- ./$guest
		assert_contains "$output" ' 0 failed'
	done
	assert_nothing_left
}

@test "wires are sent to as TCP is" {
	policy app '' '"transport":"wire",'
	run "$VRUN" run -p "$T/app.json" -- ./multi served
	[[ $status != 125 ]] || unsupported "no wires here: $output"
	assert_status 0
	for guest in multi multi-asks; do
		run -0 "$VRUN" run -p "$T/app.json" -- ./$guest
		assert_contains "$output" ' 0 failed'
	done
	assert_nothing_left
}

@test "the example of the manual compiles as C and C++ and tells everybody" {
	need_command gcc
	awk '/^\.Sh EXAMPLES/ { on = 1 } on && /^\.Ed/ { exit } on == 2 { print } on && /^\.Bd/ { on = 2 }' \
		"$TOP/man/vrun_send_multi.3" | sed 's/\\e/\\/g; s/\\&//g' >example.h
	grep -q vrun_send_multi example.h
	cat >main.c <<'END'
#include "example.h"
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

int main(void)
{
	struct sockaddr_in sa;
	socklen_t len = sizeof sa;
	int fds[3], in[2], l = socket(AF_INET, SOCK_STREAM, 0), i;
	char got[6];

	memset(&sa, 0, sizeof sa);
	sa.sin_family = AF_INET;
	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(l, (struct sockaddr *)&sa, sizeof sa) || listen(l, 2) || getsockname(l, (struct sockaddr *)&sa, &len))
		return 1;
	for (i = 0; i < 2; i++) {
		fds[i] = socket(AF_INET, SOCK_STREAM, 0);
		if (connect(fds[i], (struct sockaddr *)&sa, sizeof sa))
			return 1;
		in[i] = accept(l, NULL, NULL);
	}
	fds[2] = socket(AF_INET, SOCK_STREAM, 0);
	printf("%d told\n", tell_all(fds, 3, "hello", 6));
	for (i = 0; i < 2; i++)
		printf("%d %s\n", i, recv(in[i], got, sizeof got, MSG_WAITALL) == 6 ? got : "nothing");
	printf("%d\n", fds[2]);
	return 0;
}
END
	policy app ''
	gcc -std=c99 -Wall -Wextra -Wpedantic -Werror -I "$TOP/src/base" -o example main.c
	run -0 ./example
	assert_output $'2 told\n0 hello\n1 hello\n-1'
	run -0 "$VRUN" run -p "$T/app.json" -- ./example
	assert_output $'2 told\n0 hello\n1 hello\n-1'
	if command -v g++ >/dev/null; then
		printf '#include <vrun.h>\nint f(const vrun_send *s, const vrun_data *d, int64_t *r) { return vrun_send_multi(s, 1, d, r); }\n' >x.cc
		g++ -std=c++11 -Wall -Wextra -Wpedantic -Werror -I "$TOP/src/base" -c x.cc
	fi
	assert_nothing_left
}
