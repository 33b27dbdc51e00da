#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# Rules that look at the server name of TLS, on the tests' internet.

bats_require_minimum_version 1.5.0
load helper
load internet

setup()
{
	helper_setup
	need_command openssl curl python3
	mkdir "$T/work"
	cd "$T/work" || return 1
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$T/key.pem" -out "$T/cert.pem" \
		-days 2 -subj /CN=web.example.com \
		-addext subjectAltName=DNS:web.example.com,DNS:*.cdn.example.com,DNS:evil.example 2>/dev/null
	cp "$T/cert.pem" .
	internet_start
	zone '{"web.example.com": {"A": ["192.0.2.10"]}, "a.cdn.example.com": {"A": ["192.0.2.10"]},
		"v6.cdn.example.com": {"AAAA": ["2001:db8:2::10"]}, "retry.example.com": {"A": ["192.0.2.11"]}}'
	tls_server
}

teardown()
{
	tls_stop
	internet_teardown
}

# A server of TLS at port 8443, which answers whatever it is sent. At 192.0.2.11 it asks for another
# ClientHello. $T/tls.out has a line for each name that it hears, $T/bytes the first of each connection.
tls_server()
{
	cat >"$T/server.py" <<-'END'
		import os, socket, ssl, sys, threading

		def context(**options):
		    c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
		    c.load_cert_chain("cert.pem", "key.pem")
		    c.sni_callback = lambda s, name, _: print("name", name, flush=True)
		    return c

		usual, retry = context(), context()
		retry.set_ecdh_curve("secp384r1")
		retry.minimum_version = ssl.TLSVersion.TLSv1_3
		log = os.open("bytes", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

		def serve(s):
		    try:
		        first = s.recv(65536, socket.MSG_PEEK)
		        os.write(log, first[:1].hex().encode() + b"\n")
		        t = (retry if s.getsockname()[0].endswith("192.0.2.11") else usual).wrap_socket(s, server_side=True)
		        while data := t.recv(65536):
		            t.sendall(b"HTTP/1.0 200 OK\r\n\r\nfrom outside\n" if data.startswith(b"GET") else data)
		            if data.startswith(b"GET"):
		                break
		        t.unwrap()
		    except OSError:
		        pass
		    s.close()

		l = socket.create_server(("::", 8443), family=socket.AF_INET6, dualstack_ipv6=True, backlog=512)
		print("ready", os.getpid(), flush=True)
		while True:
		    threading.Thread(target=serve, args=(l.accept()[0],), daemon=True).start()
	END
	: >"$T/bytes"
	cd "$T" || return 1
	spawn tls on_servers python3 server.py
	cd work || return 1
	wait_until grep -q ready "$T/tls.out"
	TLS=$(sed -n 's/^ready //p' "$T/tls.out")
}

tls_stop()
{
	[[ -n ${TLS-} ]] || return 0
	kill -KILL "$TLS"
	wait "${PID[tls]}" || :
	unset "PID[tls]" TLS
}

# A policy with one rule for the server's port.
readonly WEB='{"id": "web", "allow": "connect", "to": ["web.example.com:8443", "*.cdn.example.com:8443", "retry.example.com:8443",
	"192.0.2.0/24:8443", "198.51.100.1:8080"], "tls": {"names": ["web.example.com", "*.cdn.example.com"]}}'

# What python programs inside have: connections that say how they end.
lib()
{
	cat >lib.py <<-'END'
		import errno, socket, ssl, struct, sys, threading, time

		def raw(host="web.example.com", port=8443):
		    return socket.create_connection((host, port), timeout=25)

		def hello(name, **options):
		    c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
		    c.check_hostname, c.verify_mode = False, ssl.CERT_NONE
		    for k, v in options.items():
		        setattr(c, k, v)
		    i, o = ssl.MemoryBIO(), ssl.MemoryBIO()
		    s = c.wrap_bio(i, o, server_hostname=name)
		    try:
		        s.do_handshake()
		    except ssl.SSLWantReadError:
		        pass
		    return s, i, o, o.read()

		def end(s):
		    """How it goes on: the first bytes, "end", or the error."""
		    try:
		        data = s.recv(5)
		        return data[:1].hex() or "end"
		    except OSError as e:
		        return errno.errorcode.get(e.errno, repr(e))

		def talk(name, host="web.example.com", **options):
		    """Through the handshake and back, or the error."""
		    try:
		        c = ssl.create_default_context(cafile="cert.pem")
		        c.check_hostname = False
		        for k, v in options.items():
		            setattr(c, k, v)
		        with c.wrap_socket(raw(host), server_hostname=name) as s:
		            s.sendall(b"hello")
		            return s.recv(10).decode(), s.version()
		    except OSError as e:
		        return errno.errorcode.get(e.errno, repr(e))
	END
	{ cat lib.py && cat; } >"$1"
}

@test "TLS to the names of a rule passes, and nothing else does, not even a byte" {
	lib names.py <<-'END'
		V = ssl.TLSVersion
		print(talk("web.example.com"))
		print(talk("WEB.example.com", maximum_version=V.TLSv1_2))
		print(talk("a.cdn.example.com", "a.cdn.example.com"), talk("a.cdn.example.com", "v6.cdn.example.com"))
		print(talk("web.example.com", "192.0.2.99"))
		print("evil", talk("evil.example"), talk("evil.example", "192.0.2.99"), talk("cdn.example.com"))
		print("none", talk(None))
		s = raw(); s.sendall(b"GET / HTTP/1.0\r\n\r\n"); print("http", end(s))
		two = hello("web.example.com")[3]
		name = b"\0\0\x0fweb.example.com"
		i = two.index(name)
		s = raw(); s.sendall(two[:i] + b"\0\0\x0fevil.example.co" + two[i + len(name):]); print("other", end(s))
		s = raw(); s.sendall(two[:40]); s.shutdown(socket.SHUT_WR); print("cut", end(s))
		s = raw(); s.shutdown(socket.SHUT_WR); print("silent", end(s))
		try:
		    s = raw(); s.sendall(b"no TLS" * 1000)
		    for _ in range(100): time.sleep(0.05); s.send(b"x")
		except OSError as e:
		    print("write", errno.errorcode[e.errno])
	END
	run -0 --separate-stderr sandbox "$WEB" python3 names.py
	assert_output "('hello', 'TLSv1.3')
('hello', 'TLSv1.2')
('hello', 'TLSv1.3') ('hello', 'TLSv1.3')
('hello', 'TLSv1.3')
evil ECONNRESET ECONNRESET ECONNRESET
none ECONNRESET
http ECONNRESET
other ECONNRESET
cut ECONNRESET
silent end
write ECONNRESET"
	# shellcheck disable=SC2154 # set by run
	assert_contains "$stderr" "TLS to evil.example"
	assert_contains "$stderr" 'add "evil.example" to the names in "tls" of rule web'
	assert_contains "$stderr" "TLS to no name"
	assert_equal "$(grep name "$T/tls.out" | tr '[:upper:]' '[:lower:]' | sort | uniq -c | tr -s ' ')" " 2 name a.cdn.example.com
 3 name web.example.com" "the names that the server heard"
	assert_equal "$(sort "$T/bytes" | uniq -c | tr -s ' ' | grep -v '^ [0-9]* $')" " 5 16" "what connections began with at the server"
}

@test "a ClientHello may come in any number of pieces, but not for ever, and a server that speaks first is not heard" {
	lib slow.py <<-'END'
		def by_bytes(out, pause):
		    s = raw()
		    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
		    data = hello("web.example.com")[3]
		    try:
		        for i in range(len(data)):
		            s.send(data[i:i + 1]); time.sleep(pause if pause > 0.01 or i < 200 else 0)
		    except OSError as e:
		        out.append(errno.errorcode[e.errno])
		        return
		    out.append(end(s))
		def late(out):
		    out.append(end(raw()))
		def banner(out):
		    out.append(end(raw("198.51.100.1", 8080))) # it sends at once
		def records(out):
		    data, s = hello("web.example.com")[3][5:], raw()
		    s.sendall(b"".join(b"\x16\3\1\0\1" + bytes([b]) for b in data))
		    out.append(end(s))
		outs = [[] for _ in range(5)]
		threads = [threading.Thread(target=f, args=(o, *a)) for f, o, a in
		           zip((by_bytes, by_bytes, late, banner, records), outs, ((0.001,), (0.1,), (), (), ()))]
		[t.start() for t in threads]
		[t.join() for t in threads]
		print(*[o[0] for o in outs])
	END
	run -0 --separate-stderr sandbox "$WEB" python3 slow.py
	[[ $output == "16 ECONNRESET ECONNRESET ECONNRESET 16" || $output == "16 EPIPE ECONNRESET ECONNRESET 16" ]] ||
		fail "got: $output" "$stderr"
	assert_contains "$stderr" "no ClientHello came in time"
	assert_equal "$(sort "$T/bytes" | uniq -c | tr -s ' ')" " 2 16" "what connections began with at the server"
}

@test "a second ClientHello cannot name another server" {
	lib retry.py <<-'END'
		print(talk("web.example.com", "retry.example.com"))
		# Both at once, and the second after the server has asked for it.
		s = raw("retry.example.com")
		s.sendall(hello("web.example.com")[3] + b"\x14\3\3\0\1\1" + hello("evil.example")[3])
		while (r := end(s)) not in ("end", "ECONNRESET"): pass
		print(r)
		s = raw("retry.example.com")
		s.sendall(hello("web.example.com")[3])
		s.recv(5)
		s.sendall(b"\x14\3\3\0\1\1" + hello("evil.example")[3])
		while (r := end(s)) not in ("end", "ECONNRESET"): pass
		print(r)
	END
	run -0 --separate-stderr sandbox "$WEB" python3 retry.py
	assert_output "('hello', 'TLSv1.3')
ECONNRESET
ECONNRESET"
	assert_contains "$stderr" "TLS to evil.example"
	assert_lacks "$(<"$T/tls.out")" evil "what the server heard"
}

@test "curl passes, and says when it may not" {
	run -0 --separate-stderr sandbox "$WEB" curl -sS -m 20 --cacert cert.pem https://web.example.com:8443/
	assert_output "from outside"
	run -35 --separate-stderr sandbox "$WEB" curl -sS -m 20 --cacert cert.pem \
		--connect-to evil.example:8443:web.example.com:8443 https://evil.example:8443/
	assert_contains "$stderr" "reset by peer"
}

@test "a refused name is on record with its rule, and a new policy cuts connections whose server name it does not allow, or that nobody has looked at" {
	lib stay.py <<-'END'
		c = ssl.create_default_context(cafile="cert.pem"); c.check_hostname = False
		a = c.wrap_socket(raw(), server_hostname="web.example.com")
		b = c.wrap_socket(raw("a.cdn.example.com"), server_hostname="a.cdn.example.com")
		native = raw("192.0.2.99", 8080); native.recv(100)
		print(talk("evil.example"), flush=True)
		for s in b, native:
		    print(end(s), flush=True)
		a.sendall(b"hello"); print(a.recv(10).decode())
	END
	jq -n --argjson r "$WEB" '{version: 1, domain: "app", net: {rules: [$r, {allow: "connect", to: "192.0.2.99:8080"}]}}' >"$T/app.json"
	jq '.net.rules[0].tls.names = ["web.example.com"] | .net.rules[1].tls.names = ["web.example.com"]' "$T/app.json" >"$T/new.json"
	spawn run on_host "$VRUN" run --id "$MARK-stay" -p "$T/app.json" -- python3 stay.py
	wait_until grep -q . "$T/run.out"
	run -0 on_host "$VRUN" log --json "$MARK-stay"
	assert_equal "$(jq -c '[.call, .decision, .reason, .rule, .peer, .address, .port, .tls, .program, .line]' <<<"$output")" \
		'["connect","deny","tls","web","web.example.com","192.0.2.10",8443,"evil.example","python3",null]'
	run -0 on_host "$VRUN" policy apply "$MARK-stay" "$T/new.json"
	wait_exit "${PID[run]}"
	assert_equal "$(<"$T/run.out")" "ECONNRESET
end
end
hello" "what the app saw"
}

@test "floods of half a ClientHello, resets and forks leave the others and vrun alone" {
	lib flood.py <<-'END'
		import os
		h = hello("web.example.com")[3]
		def reset(s):
		    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)); s.close()
		for child in range(4):
		    if os.fork() == 0:
		        kept = []
		        for i in range(60):
		            s = raw()
		            s.sendall(h[:i * 7 % len(h)] if i % 3 else os.urandom(3000))
		            if i % 2: reset(s)
		            else: kept.append(s)
		        if child % 2: os.kill(os.getpid(), 9)
		        os._exit(0)
		print(talk("web.example.com"), flush=True)
		for _ in range(4): os.wait()
		s = raw(); s.sendall(h); reset(s)
		s = raw(); s.sendall(h)
		if os.fork() == 0:
		    print(end(s), flush=True); os._exit(0)
		s.close(); os.wait()
		print(talk("web.example.com"))
	END
	run -0 --separate-stderr sandbox "$WEB" python3 flood.py
	assert_output "('hello', 'TLSv1.3')
16
('hello', 'TLSv1.3')"
	tls_stop
	internet_stop
	assert_nothing_left
}
