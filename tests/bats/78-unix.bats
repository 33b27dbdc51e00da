#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# AF_UNIX inside a sandbox whose policy has rules: as ever, with Landlock's wall and
# without it, where a process with the app's rights makes the calls.

bats_require_minimum_version 1.5.0
load helper

GUESTS=${VRUN%/*}/tests/guest

setup()
{
	setup_in w
	echo '{"version":1,"net":{"rules":[]}}' >"$T/p.json"
}

# vrun as on a kernel without Landlock.
unwalled() # ARG...
{
	"$GUESTS/nolandlock" "$VRUN" "$@" </dev/null
}

@test "sockets of files and abstract names do what they do on the host" {
	need_command python3
	cat >many.py <<-'END'
		import os, socket, stat, struct
		U, S, D = socket.AF_UNIX, socket.SOCK_STREAM, socket.SOCK_DGRAM
		def said(f, *a):
		    try: f(*a)
		    except OSError as e: return e.strerror
		    return "done"
		os.umask(0o027)
		os.mkdir("/tmp/d"); os.chdir("/tmp/d")
		s = socket.socket(U, S); s.bind("/tmp/d/s"); s.listen(1)
		st = os.stat("s")
		print("file", stat.filemode(st.st_mode), st.st_uid == os.getuid(), st.st_gid == os.getgid())
		c = socket.socket(U, S); c.connect("s")
		a, _ = s.accept()
		a.send(b"hello"); print(c.recv(9).decode(), a.getpeername() == "", c.getpeername())
		print("ids", struct.unpack("3i", a.getsockopt(1, 17, 12))[1:] == (os.getuid(), os.getgid()))
		d = socket.socket(U, D); d.bind("\0one")
		e = socket.socket(U, D); e.connect("\0one"); e.send(b"x"); print(d.recv(9).decode())
		f = socket.socket(U, D); f.bind(b""); print("chosen", len(f.getsockname()))
		print("there", said(socket.socket(U, S).bind, "/tmp/d/s"))
		print("gone", said(socket.socket(U, S).connect, "/tmp/d/none"))
		print("other type", said(socket.socket(U, D).connect, "/tmp/d/s"))
		print("nobody", said(socket.socket(U, S).connect, "\0nobody"))
		print("read-only", said(socket.socket(U, S).bind, "/usr/s"))
		print("twice", said(s.bind, "/tmp/d/t"))
		n = socket.socket(U, S); n.setblocking(False)
		o = [socket.socket(U, S) for i in range(3)]
		for x in o: x.setblocking(False)
		print("full", said(n.connect, "s"), said(o[0].connect, "s"), said(o[1].connect, "s"))
		os.chmod("s", 0)
		print("mode 0", said(socket.socket(U, S).connect, "s") if os.getuid() else "Permission denied")
	END
	run -0 "$VRUN" run -p "$T/p.json" -- /usr/bin/python3 many.py </dev/null
	assert_contains "$output" "ids True" "with the kernel's own wall"
	local walled=$output
	run -0 unwalled run -p "$T/p.json" -- /usr/bin/python3 many.py
	assert_equal "$output" "$walled" "without Landlock"
}

@test "the app's own root directory counts, and where it is in it" {
	need_command python3
	cat >chroot.py <<-'END'
		import os, socket
		os.makedirs("/tmp/jail/run")
		s = socket.socket(socket.AF_UNIX); s.bind("/tmp/outside"); s.listen()
		os.chroot("/tmp/jail"); os.chdir("/run")
		t = socket.socket(socket.AF_UNIX); t.bind("/run/inside"); t.listen()
		socket.socket(socket.AF_UNIX).connect("inside")
		try: socket.socket(socket.AF_UNIX).connect("../../tmp/outside")
		except OSError as e: print(e.strerror, os.listdir("/run"))
	END
	run -0 "$VRUN" pack -q -o "$T/b" --add "$T/w/chroot.py:/chroot.py" /usr/bin/python3 /chroot.py
	edit_bundle "$T/b" '.process.capabilities = (["bounding", "effective", "permitted", "inheritable", "ambient"]
		| map({ (.): ["CAP_SYS_CHROOT"] }) | add)'
	run unwalled run -p "$T/p.json" "$T/b"
	assert_status 0
	assert_output "No such file or directory ['inside']"
}

# The porters of this test's sandboxes.
porters()
{
	local pid

	for pid in $(marked_processes | awk '{ print $1 }'); do
		[[ $(cat "/proc/$pid/comm" 2>/dev/null) != vrun-porter ]] || echo "$pid"
	done
}

no_porters()
{
	[[ -z $(porters) ]]
}

has_porters()
{
	! no_porters
}

@test "a call that waits is given up with its thread, and many that wait hold up nobody" {
	need_command python3
	cat >wait.py <<-'END'
		import os, signal, socket, threading, time
		class Enough(Exception): pass
		def ring(*a): raise Enough
		signal.signal(signal.SIGALRM, ring)
		s = socket.socket(socket.AF_UNIX); s.bind("/tmp/s"); s.listen(0)
		first = socket.socket(socket.AF_UNIX); first.connect("/tmp/s")
		try: signal.setitimer(signal.ITIMER_REAL, 0.3); socket.socket(socket.AF_UNIX).connect("/tmp/s"); print("connected")
		except Enough: print("interrupted")
		def one(): 
		    try: socket.socket(socket.AF_UNIX).connect("/tmp/s")
		    except OSError: pass
		for i in range(60): threading.Thread(target=one, daemon=True).start()
		d = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); d.bind("/tmp/d")
		print("bound", flush=True)
		x = input()
		os._exit(0)
	END
	mkfifo in
	exec {fd}<>in
	spawn app as_input in "$GUESTS/nolandlock" "$VRUN" run --id "$MARK-app" -p "$T/p.json" -- /usr/bin/python3 wait.py
	wait_until grep -q "bound\|Error" "$T/app.out" "$T/app.err"
	assert_equal "$(<"$T/app.out")" $'interrupted\nbound'
	wait_until has_porters || fail "no call waits"
	echo >&"$fd"
	wait_exit "${PID[app]}"
	exec {fd}>&-
	assert_equal "$status" 0
	wait_until no_porters || fail "$(porters)"
}

as_input() # FILE COMMAND...
{
	exec "${@:2}" <"$1"
}

@test "redis serves over its Unix socket without Landlock" {
	need_command redis-server redis-cli
	# shellcheck disable=SC2016 # the inner shell's
	run -0 unwalled run -p "$T/p.json" -- sh -c 'redis-server --port 0 --unixsocket /tmp/r --save "" >/tmp/log &
		until redis-cli -s /tmp/r ping 2>/dev/null; do kill -0 $! || { cat /tmp/log; exit 1; }; done; kill $!; wait'
	assert_output PONG
}
