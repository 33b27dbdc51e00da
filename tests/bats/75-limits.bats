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

# The same for one that waits at each empty line of its input: changing LIMITS PROGRAM
changing()
{
	mkdir -p project && cd project || return 1
	limits "$1" >policy.json
	printf '%s\n' "$2" >program.py
	mkfifo lines
	exec {LINES_FD}<>lines
	spawn app reading lines run -q --id "$MARK-app" -p policy.json -- python3 program.py
}

limits() # LIMITS
{
	printf '{"version": 1, "domain": "d", "net": {"rules": []}, "limits": %s}\n' "$1"
}

has_lines() # NUMBER
{
	(($(wc -l <"$T/app.out") >= $1))
}

# Other limits, and the next thing that the program says.
next_under() # LIMITS
{
	local n

	n=$(wc -l <"$T/app.out")
	limits "$1" >next.json
	run -0 "$VRUN" policy apply "$MARK-app" next.json
	echo >&"$LINES_FD"
	wait_until has_lines $((n + 1)) || fail "$(<"$T/app.err")"
	tail -n 1 "$T/app.out"
}

@test "who waits for room in a queue counts for maxConnections" {
	need_command python3
	mkdir work && cd work
	cat >waits.py <<-'END'
		import socket, threading, time
		l = socket.socket()
		l.bind(("127.0.0.1", 7000))
		l.listen(0) # room for one
		done, refused = [], []

		def connect():
		    s = socket.socket()
		    try:
		        s.connect(("127.0.0.1", 7000))
		        done.append(s)
		    except PermissionError:
		        refused.append(s)

		def accept():
		    while True:
		        done.append(l.accept())

		threads = [threading.Thread(target=connect) for _ in range(8)]
		[t.start() for t in threads]
		until = time.monotonic() + 20
		while len(refused) < 6 and time.monotonic() < until:
		    time.sleep(0.01)
		threading.Thread(target=accept, daemon=True).start()
		[t.join() for t in threads]
		print(8 - len(refused), "connected", flush=True)
	END
	jq -n '{version: 1, domain: "app", net: {rules: [{id: "few", allow: "connect", to: "127.0.0.1:7000", maxConnections: 2}]}}' >p.json
	run -0 --separate-stderr "$VRUN" run -T -p p.json -- python3 waits.py </dev/null
	assert_output "2 connected"
	# shellcheck disable=SC2154 # set by run
	assert_contains "$stderr" 'rule few has its "maxConnections"'
	cd "$T"
	assert_nothing_left
}

@test "limits of sockets, waiting calls and calls a second change while the domain runs" {
	need_command python3
	changing '{"sockets": 20}' '
import errno, socket, threading, time
def sockets():
    held = []
    try:
        while len(held) < 100:
            held.append(socket.socket())
    except OSError as e:
        return len(held), errno.errorcode[e.errno]
    return len(held), "all"
def waiting(refused):
    said = []
    def accept(s):
        try:
            s.accept()
        except OSError as e:
            said.append(errno.errorcode[e.errno])
    many = [socket.socket() for _ in range(3)]
    for s in many:
        s.listen()
        s.settimeout(None)
    threads = [threading.Thread(target=accept, args=(s,)) for s in many]
    for t in threads:
        t.start()
    # Those for which there is no room are told; then the others are let go.
    end = time.monotonic() + (20 if refused else 0.3)
    while time.monotonic() < end and len(said) < (refused or 3):
        time.sleep(0.01)
    for s in many:
        try:
            socket.create_connection(s.getsockname(), 10).close()
        except OSError as e:
            said.append("connect: " + e.strerror)
    return sorted(set(said)) or "nothing"
def bounded():
    start = time.monotonic()
    for _ in range(42):
        socket.socket().close()
    return "bounded" if time.monotonic() - start > 1.9 else "not bounded"
for what in sockets, sockets, sockets, bounded, lambda: waiting(2), lambda: waiting(0):
    print(what(), flush=True)
    input()
'
	wait_until has_lines 1
	assert_equal "$(<"$T/app.out")" "(20, 'ENFILE')" "at first"
	assert_equal "$(next_under '{"sockets": 30}')" "(30, 'ENFILE')" "with more"
	assert_equal "$(next_under '{"sockets": 10}')" "(10, 'ENFILE')" "with fewer"
	assert_equal "$(next_under '{"trapRate": 20}')" "bounded" "at a rate"
	assert_equal "$(next_under '{"pending": 1}')" "['EAGAIN']" "with one call that may wait"
	assert_equal "$(next_under '{"pending": 100}')" "nothing" "with enough"
	echo >&"$LINES_FD"
	wait_exit "${PID[app]}"
	assert_nothing_left
}

@test "a ceiling's limits hold where they are lower" {
	need_command python3
	mkdir project && cd project
	limits '{"sockets": 20}' >policy.json
	limits '{"sockets": 7}' >ceiling.json
	cat >program.py <<-'END'
		import socket
		held = []
		try:
		    while len(held) < 100:
		        held.append(socket.socket())
		except OSError:
		    print(len(held))
	END
	run -0 "$VRUN" run -q -p policy.json --ceiling ceiling.json -- python3 program.py
	assert_output 7
	run -0 "$VRUN" run -q -p ceiling.json --ceiling policy.json -- python3 program.py
	assert_output 7
	assert_nothing_left
}

@test "domains that ask for names all the time leave the resolver to another one" {
	need_command python3
	mkdir project && cd project
	cat >ask.py <<-'END'
		import socket, sys
		question = b"\x12\x34\1\0\0\1\0\0\0\0\0\0\3any\0\0\1\0\1"
		def asker():
		    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
		    s.connect(("127.0.0.53", 53))
		    return s
		if sys.argv[1] == "flood":
		    flood = [asker() for i in range(50)]
		    for s in flood: s.setblocking(False)
		    print("up", flush=True)
		    while True:
		        for s in flood:
		            try: s.send(question)
		            except OSError: pass
		s = asker()
		s.settimeout(10) # nothing is asked twice
		for i in range(20):
		    s.send(question)
		    assert s.recv(512)[:2] == question[:2]
		print("answered")
	END
	for name in f1 f2 f3; do
		printf '{"version": 1, "domain": "%s", "net": {"rules": []}}\n' "$name" >"$name.json"
		spawn "$name" "$VRUN" run -q --fabric "$MARK" -p "$name.json" -- python3 ask.py flood </dev/null
		wait_until test -s "$T/$name.out"
	done
	printf '{"version": 1, "domain": "asks", "net": {"rules": []}}\n' >asks.json
	run -0 "$VRUN" run -q --fabric "$MARK" -p asks.json -- python3 ask.py once </dev/null
	assert_output answered
	for name in f1 f2 f3; do
		kill "${PID[$name]}"
		wait_exit "${PID[$name]}" || :
	done
	cd "$T"
	assert_nothing_left
}

@test "a connection that was reset is one that is over, also when its row was collected" {
	need_command python3
	run_limited '{"sockets": 6}' '
import errno, socket, struct
l = socket.socket(); l.bind(("127.0.0.1", 7000)); l.listen()
c = socket.socket(); c.connect(l.getsockname())
s = l.accept()[0]
s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)); s.close()
try: c.recv(1)
except ConnectionResetError: pass
# Refused, and told so: the kernel still says once that it was begun.
r = socket.socket(); r.setblocking(False); r.connect_ex(("127.0.0.1", 7001))
try: r.recv(1)
except ConnectionRefusedError: pass
# At its limit the supervisor looks which sockets the kernel still has in a list.
for i in range(3):
    held = []
    try:
        while len(held) < 100: held.append(socket.socket())
    except OSError as e: assert e.errno == errno.ENFILE
    del held
try: print(c.getpeername())
except OSError as e: print(errno.errorcode[e.errno])
print(c.getsockopt(socket.SOL_SOCKET, socket.SO_DOMAIN) == socket.AF_INET)
try: print(c.connect(("127.0.0.1", 7000)))
except OSError as e: print(errno.errorcode[e.errno])
print(*(errno.errorcode.get(e, e) for e in [r.connect_ex(("127.0.0.1", 7000)) for _ in range(4)]))
c.close()
'
	assert_status 0
	assert_output $'ENOTCONN\nTrue\nEISCONN\nECONNABORTED EINPROGRESS 0 EISCONN'
	assert_nothing_left
}

@test "a domain whose calls wait in great number leaves descriptors to another one" {
	need_command python3
	mkdir project && cd project
	# The supervisor may open 1400 files, and this one would have it hold as many: an accept that waits is one.
	printf '{"version": 1, "domain": "greedy", "net": {"rules": []}}\n' >greedy.json
	printf '{"version": 1, "domain": "modest", "net": {"rules": []}}\n' >modest.json
	cat >greedy.py <<-'END'
		import errno, os, socket, threading, time
		threading.stack_size(65536)
		s = socket.create_server(("127.0.0.1", 7000))
		refused = []
		def wait():
		    try: s.accept()
		    except OSError as e: refused.append(errno.errorcode[e.errno])
		for i in range(1400):
		    threading.Thread(target=wait, daemon=True).start()
		while len(refused) < 700: time.sleep(0.01)
		print(*sorted(set(refused)), flush=True)
		os.read(0, 1)
		os._exit(0)
	END
	mkfifo end
	exec {END_FD}<>end
	spawn greedy with_few_files run -q --fabric "$MARK" -p greedy.json -- python3 greedy.py
	wait_until test -s "$T/greedy.out" || fail "$(<"$T/greedy.err")"
	assert_equal "$(<"$T/greedy.out")" EAGAIN "what is beyond its share"
	run -0 "$VRUN" run -q --fabric "$MARK" -p modest.json -- python3 -c '
import socket
s = socket.create_server(("127.0.0.1", 7000))
for i in range(50):
    c = socket.create_connection(s.getsockname())
    c.sendall(b"x")
    assert s.accept()[0].recv(1) == b"x"
print("served")'
	assert_output served
	echo >&"$END_FD"
	wait_exit "${PID[greedy]}"
	cd "$T"
	assert_nothing_left
}

with_few_files() # ARGUMENTS...
{
	ulimit -n 1400
	exec "$VRUN" "$@" <end
}

# --- descriptors in messages on Unix sockets, which the kernel counts by user ------------------------------------

# A user that nobody else is: what other tests send does not count.
lone_user()
{
	LONE=$((900000000 + BASHPID))
	need_command python3 setpriv prlimit
	mkdir project && cd project || return 1
	chown "$LONE" . "$T"/{run,home,tmp}
	printf '{"version": 1, "domain": "filler", "net": "none"}\n' >filler.json
	cat >filler.py <<-'END'
		import os, resource, socket, sys
		most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
		resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
		null, left, held = os.open("/dev/null", os.O_RDONLY), 1600, []
		while left > 0:
		    held.append(socket.socketpair())
		    try:
		        while left > 0:
		            socket.send_fds(held[-1][0], [b"x"], [null] * 200, socket.MSG_DONTWAIT)
		            left -= 200
		    except BlockingIOError: pass
		print("full", flush=True)
		sys.stdin.readline()
	END
	mkfifo end
	exec {END_FD}<>end
}

reads() # FILE COMMAND...
{
	"${@:2}" <"$1"
}

as_lone() # COMMAND...
{
	setpriv --reuid "$LONE" --regid "$LONE" --clear-groups "$@"
}

# Until release_messages its app has 1600 descriptors in messages.
fill_messages()
{
	spawn filler reads end as_lone "$VRUN" run -q -p filler.json -- python3 filler.py
	wait_until test -s "$T/filler.out" || fail "$(<"$T/filler.err")"
}

release_messages()
{
	echo >&"$END_FD"
	wait_exit "${PID[filler]}"
}

# With 1000 open files at most those 1600 are too many; without a limit they are not.
few() # ARGUMENTS...
{
	as_lone prlimit --nofile=1000 "$VRUN" "$@"
}

# Asks the client for another try, and says what it answers.
next_try() # NUMBER
{
	echo again >&"$LINES_FD"
	wait_until has_lines "$1" || fail "$(<"$T/app.err")"
	sed -n "$1p" "$T/app.out"
}

# bats test_tags=identity:root
@test "descriptors that a user's app keeps in messages stop what is new, in words, and only until it ends" {
	lone_user
	cat >server.py <<-'END'
		import socket, threading
		s = socket.create_server(("127.0.0.1", 0))
		print(s.getsockname()[1], flush=True)
		def echo(c):
		    while d := c.recv(100): c.sendall(d)
		while True: threading.Thread(target=echo, args=(s.accept()[0],), daemon=True).start()
	END
	cat >client.py <<-'END'
		import errno, socket, sys
		at = (socket.gethostbyname("host"), int(sys.argv[1]))
		first = socket.create_connection(at)
		def outcome(f):
		    try: return f()
		    except OSError as e: return errno.errorcode[e.errno]
		def talk(s):
		    s.sendall(b"x")
		    return s.recv(1).decode()
		print("up", flush=True)
		while sys.stdin.readline() == "again\n":
		    print(talk(first), outcome(lambda: talk(socket.create_connection(at))),
		          outcome(lambda: socket.socket().listen() or "listens"), flush=True)
	END
	spawn server python3 server.py
	wait_until test -s "$T/server.out"
	printf '{"version": 1, "domain": "app", "net": {"rules": [{"allow": "connect", "to": "host:%s"}]}}\n' \
		"$(<"$T/server.out")" >app.json
	mkfifo lines
	exec {LINES_FD}<>lines
	spawn app reads lines few run -q -p app.json -- python3 client.py "$(<"$T/server.out")"
	wait_until has_lines 1 || fail "$(<"$T/app.err")"
	assert_equal "$(next_try 2)" "x x listens" "before"
	fill_messages
	assert_equal "$(next_try 3)" "x ENOBUFS ENOBUFS" "meanwhile"
	for policy in filler app; do
		run --separate-stderr few run -p "$policy.json" -- true
		assert_vrun_error "keeps more descriptors in messages on Unix sockets"
	done
	run -0 as_lone "$VRUN" run -q -p app.json -- true # whose limit is higher
	release_messages
	assert_equal "$(next_try 4)" "x x listens" "afterwards"
	run -0 few run -q -p app.json -- true
	echo >&"$LINES_FD"
	wait_exit "${PID[app]}"
	assert_status 0
	kill "${PID[server]}"
	wait_exit "${PID[server]}" || :
	cd "$T"
	assert_nothing_left
}

# bats test_tags=identity:root
@test "nor is a fabric closed to newcomers for good" {
	local process

	lone_user
	printf '{"version": 1, "domain": "first", "net": {"rules": []}}\n' >first.json
	printf '{"version": 1, "domain": "next", "net": {"rules": []}}\n' >next.json
	mkfifo lines
	exec {LINES_FD}<>lines
	spawn app reads lines as_lone "$VRUN" run -q --fabric "$MARK" -p first.json -- sh -c 'echo up; read -r line'
	wait_until has_lines 1 || fail "$(<"$T/app.err")"
	fill_messages
	# One alone can pass nothing: a moment that is hard to come by.
	for process in vrun-supervisor vrun-factory; do
		process=$(pgrep -u "$LONE" -x "${process:0:15}")
		as_lone prlimit --nofile=1000: --pid "$process"
		SECONDS=0
		run --separate-stderr as_lone "$VRUN" run -q --fabric "$MARK" -p next.json -- true
		assert_vrun_error "keeps more descriptors in messages on Unix sockets"
		((SECONDS < WAIT_SECONDS)) || fail "it was told after $SECONDS seconds"
		as_lone prlimit --nofile=2000: --pid "$process"
	done
	release_messages
	run -0 as_lone "$VRUN" run -q --fabric "$MARK" -p next.json -- true
	echo >&"$LINES_FD"
	wait_exit "${PID[app]}"
	assert_status 0
	cd "$T"
	assert_nothing_left
}
