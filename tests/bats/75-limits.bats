#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# What a domain may take of its supervisor: sockets, calls at a time, calls a second.

bats_require_minimum_version 1.5.0
load helper

# A python program in a domain with these limits: run_limited LIMITS PROGRAM
run_limited()
{
	mkdir -p project && cd project || return 1
	printf '{"version": 1, "domain": "d", "net": {"rules": []}, "limits": %s}\n' "$1" >policy.json
	printf '%s\n' "$2" >program.py
	run "$VRUN" run -q -p policy.json -- python3 program.py
	cd ..
}

@test "a domain has no more sockets than its limit, and gets others for those it closes" {
	need_command python3
	run_limited '{"sockets": 20}' '
import errno, socket
def fill():
    held = []
    try:
        while len(held) < 100:
            held.append(socket.socket())
    except OSError as e:
        return len(held), errno.errorcode[e.errno], held
print(*fill()[:2])
print(*fill()[:2])
'
	assert_status 0
	assert_output $'20 ENFILE\n20 ENFILE'
	assert_nothing_left
}

@test "calls beyond the rate wait, and are served later" {
	need_command python3
	run_limited '{"trapRate": 20}' '
import socket, time
start = time.monotonic()
for _ in range(42):
    socket.socket().close()
print("bounded" if time.monotonic() - start > 1.9 else "not bounded")
'
	assert_status 0
	assert_output bounded
	assert_nothing_left
}

@test "a domain at its rate does not slow another one of its fabric" {
	need_command python3
	mkdir project && cd project
	printf '{"version": 1, "domain": "slow", "net": {"rules": []}, "limits": {"trapRate": 1}}\n' >slow.json
	printf '{"version": 1, "domain": "fast", "net": {"rules": []}}\n' >fast.json
	spawn slow "$VRUN" run -q --fabric "$MARK" -p slow.json -- python3 -c '
import socket
print("up", flush=True)
while True:
    socket.socket().close()' </dev/null
	wait_until test -s "$T/slow.out"
	# Far more calls than the other one's rate would let through within the test's time.
	run -0 "$VRUN" run -q --fabric "$MARK" -p fast.json -- python3 -c '
import socket
for _ in range(5000):
    socket.socket().close()
print("done")'
	assert_output "done"
	kill "${PID[slow]}"
	wait_exit "${PID[slow]}" || :
	cd "$T"
	assert_nothing_left
}

@test "calls that wait are bounded, and the next one is told to try again" {
	need_command python3
	run_limited '{"pending": 3}' '
import errno, socket, threading, time
s = socket.socket(); s.bind(("127.0.0.1", 7000)); s.listen()
results, lock = [], threading.Lock()
def wait():
    try:
        s.accept()[0].close()
        result = "accepted"
    except OSError as e:
        result = errno.errorcode[e.errno]
    with lock:
        results.append(result)
threads = [threading.Thread(target=wait) for _ in range(5)]
for t in threads:
    t.start()
while True:
    with lock:
        if len(results) == 2:
            break
    time.sleep(0.01)
for _ in range(3):
    socket.create_connection(("127.0.0.1", 7000)).close()
for t in threads:
    t.join()
print(*sorted(results))
'
	assert_status 0
	assert_output "EAGAIN EAGAIN accepted accepted accepted"
	assert_nothing_left
}
