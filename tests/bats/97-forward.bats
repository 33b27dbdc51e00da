#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# "forward" of rules: other DNS records than addresses, on the tests' internet.

bats_require_minimum_version 1.5.0
load helper
load internet

setup()
{
	internet_setup
	cat >dns.py <<-'PYTHON'
		import socket, struct, sys, threading

		def name(n):
		    return b"".join(bytes([len(l)]) + l.encode() for l in n.split(".")) + b"\0"

		def skip(r, at):
		    while r[at] and r[at] < 0xC0:
		        at += 1 + r[at]
		    return at + (1 if r[at] == 0 else 2)

		def exchange(q, tcp):
		    s = socket.socket(socket.AF_INET, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM)
		    s.settimeout(20)
		    s.connect(("127.0.0.53", 53))
		    s.sendall(struct.pack("!H", len(q)) + q if tcp else q)
		    if not tcp:
		        return s.recv(4096)
		    r = b""
		    while len(r) < 2 or len(r) < 2 + struct.unpack("!H", r[:2])[0]:
		        r += s.recv(4096)
		    return r[2:]

		def ask(n, kind, tcp=False):
		    """The code, and for each record of the answer its type, time and data in hex; what else there is by number."""
		    q = struct.pack("!HHHHHH", 7, 0x100, 1, 0, 0, 0) + name(n) + struct.pack("!HH", kind, 1)
		    r = exchange(q, tcp)
		    counts, at, out = struct.unpack("!HHHH", r[4:12]), 12, []
		    at = skip(r, at) + 4
		    for _ in range(counts[1]):
		        at = skip(r, at)
		        t, _, ttl, size = struct.unpack("!HHIH", r[at:at + 10])
		        out.append(f"{t}/{ttl}/{r[at + 10:at + 10 + size].hex()}")
		        at += 10 + size
		    return " ".join([str(r[3] & 15), *out, f"+{counts[2] + counts[3]}"] + (["cut"] if r[2] & 2 else []))
	PYTHON
}

# A program with that.
program()
{
	{ cat dns.py && cat; } >"$1"
}

readonly TXT=16 MX=15 HTTPS=65 CAA=257
readonly RULE='{"id": "mail", "allow": "connect", "to": ["mail.example.com:443", "*.zone.example.com:443"], "forward": ["MX", "TXT", "HTTPS"]}'

@test "records that a rule forwards are a name server's, without addresses; others are not asked for" {
	zone '{"mail.example.com": {"A": ["192.0.2.10"], "TXT": ["hello"], "TYPE15": ["000a026d78c00c"], "ttl": 7, "extra": [[1, "0a140001"]],
			"TYPE257": ["0005697373756563"],
			"TYPE65": ["00010000010003026832" , "000100000100030268320003000201bb000400040a140001000500021234000600100a140001000000000000000000000000",
				"0002000000000200040004000400040a140001"]},
		"sub.mail.example.com": {"TXT": ["no"]}, "other.example.com": {"TXT": ["no"]}, "a.zone.example.com": {"TXT": ["a"]}}'
	program ask.py <<-END
		print("TXT", ask("mail.example.com", $TXT))
		print("TXT", ask("MAIL.example.com", $TXT, True))
		print("MX", ask("mail.example.com", $MX))
		print("HTTPS", ask("mail.example.com", $HTTPS))
		print("CAA", ask("mail.example.com", $CAA))
		print("zone", ask("a.zone.example.com", $TXT), ask("none.zone.example.com", $TXT))
		print("none", ask("sub.mail.example.com", $TXT), ask("other.example.com", $TXT), ask("zone.example.com", $TXT))
	END
	run -0 --separate-stderr sandbox "$RULE" python3 ask.py
	assert_output "TXT 0 16/7/0568656c6c6f +0
TXT 0 16/7/0568656c6c6f +0
MX 0 15/7/000a026d78c00c +0
HTTPS 0 65/7/00010000010003026832 65/7/000100000100030268320003000201bb +0
CAA 0 +0
zone 0 16/60/0161 +0 3 +0
none 3 +0 3 +0 3 +0"
	# shellcheck disable=SC2154 # set by run
	assert_contains "$stderr" "look up other.example.com"
	assert_equal "$(tr '[:upper:]' '[:lower:]' <"$T/questions" | sort -u)" "a mail.example.com
txt a.zone.example.com
txt mail.example.com
txt none.zone.example.com
type15 mail.example.com
type65 mail.example.com" "what the name server was asked"
}

@test "without forward there are no such records, and nobody asks for them" {
	zone '{"mail.example.com": {"A": ["192.0.2.10"], "TXT": ["hello"]}}'
	program ask.py <<-END
		print(ask("mail.example.com", $TXT), ask("mail.example.com", $HTTPS), ask("mail.example.com", 255))
	END
	run -0 sandbox '{"allow": "connect", "to": "mail.example.com:443"}' python3 ask.py
	assert_output "0 +0 0 +0 0 +0"
	assert_equal "$(tr '[:upper:]' '[:lower:]' <"$T/questions" | sort -u)" "a mail.example.com" "what the name server was asked"
}

@test "what a name server says wrongly, too much of it, and too many questions harm nobody" {
	zone "$(jq -n '{"mail.example.com": {A: ["192.0.2.10"], TXT: [range(60) | "x" * 60]},
		"bad.zone.example.com": {TYPE65: ["0001", "00010000010003", "0001003f00", "00000000040004"], TYPE15: ["00", "000a"]},
		"fail.zone.example.com": {fail: true}} + ([range(300) | {key: "n\(.).zone.example.com", value: {TXT: ["x"]}}] | from_entries)')"
	program ask.py <<-END
		print("bad", ask("bad.zone.example.com", $HTTPS), "MX", ask("bad.zone.example.com", $MX)[0], "fail", ask("fail.zone.example.com", $TXT))
		r = ask("mail.example.com", $TXT)
		print("much", r[:4] if "cut" not in r else "cut", ask("mail.example.com", $TXT, True).count("16/"))
		codes = []
		def many(i):
		    for j in range(i * 50, i * 50 + 50): codes.append(ask(f"n{j}.zone.example.com", $TXT)[0])
		threads = [threading.Thread(target=many, args=(i,)) for i in range(6)]
		[t.start() for t in threads]; [t.join() for t in threads]
		print("many", "2" in codes, set(codes) <= {"0", "2"}, len(codes))
		print("then", socket.gethostbyname("mail.example.com").startswith("198.18."))
	END
	run -0 --separate-stderr sandbox "$RULE" python3 ask.py
	assert_matches "${lines[0]}" '^bad [02] \+0 MX [02] fail 2 \+0$'
	assert_contains "${lines[1]}" much
	assert_equal "${lines[2]}
${lines[3]}" "many True True 300
then True"
	internet_stop
	assert_nothing_left
}
