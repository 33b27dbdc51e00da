#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# vrun graph: who may reach whom, who did, what was denied; and nothing that an app says gets into
# the page as anything but text. tests/browser has what a browser makes of it.

bats_require_minimum_version 1.5.0
load helper

setup()
{
	setup_in w
	printf '{"version":1,"domain":"web","net":{"address":["10.88.0.10"],"rules":[{"allow":"connect","to":["db:5432","db:9","*.example.com:443"]}]}}' >web.json
	printf '{"version":1,"domain":"db","net":{"address":["10.88.0.11"],"rules":[{"allow":"listen","at":":5432","from":["web"]},{"allow":"listen","at":":80","from":["host"]}]}}' >db.json
}

# A sandbox that does what a bash script says, prints "done", and stays: stay NAME SCRIPT [OPTION...]
stay()
{
	hold "$1"
	spawn "$1" reading "$T/$1.in" run --id "$MARK-$1" -p "$1.json" "${@:3}" -- bash -c "$2"$'\n''echo done; read -r _'
	wait_until grep -qx 'done' "$T/$1.out" || fail "$(<"$T/$1.out")" "$(<"$T/$1.err")"
}

# The edges as "FROM -> TO: LABEL", by the names of the nodes.
edges() # DOT
{
	awk '
		/^  n[0-9]+ \[/ { name = $0; sub(/.*label="/, "", name); sub(/"\];$/, "", name); names[$1] = name }
		/ -> / {
			label = $0; sub(/.*label="/, "", label); sub(/"\];$/, "", label)
			kind = /penwidth/ ? "did" : /dashed/ ? "denied" : /dotted/ ? "half" : "may"
			print names[$1] " -" kind "-> " names[$3] ": " label
		}' <<<"$1" | LC_ALL=C sort
}

@test "policies give who may reach whom, by both sides, and what is outside" {
	run "$VRUN" graph web.json db.json
	assert_status 0
	assert_equal "$(edges "$output")" "$(printf '%s\n' \
		'host -may-> db: 80/tcp' \
		'web -half-> db: 9/tcp\nnot let in' \
		'web -may-> *.example.com: 443/tcp' \
		'web -may-> db: 5432/tcp')"
}

@test "a running fabric gives who did and what was denied, on either side" {
	need_command python3
	mkfifo listens
	stay db 'python3 -c "
import os, socket
s = socket.socket()
s.bind((\"\", 5432))
s.listen()
open(\"listens\", \"w\").close()
s.accept()
os.read(0, 1)" <&0 & : <listens' --fabric "$MARK"
	# shellcheck disable=SC2016 # the sandbox's
	stay web 'try() { (exec 3<>"/dev/tcp/$1/$2") 2>/dev/null; }
		exec 4<>/dev/tcp/10.88.0.11/5432 || echo failed
		try 10.88.0.11 9; try 10.88.0.11 9; try 10.88.0.11 22; try 192.0.2.1 25' --fabric "$MARK"
	run "$VRUN" graph "$MARK-web"
	assert_status 0
	assert_equal "$(edges "$output")" "$(printf '%s\n' \
		'host -may-> db: 80/tcp' \
		'web -denied-> 192.0.2.1: ✕ 25/tcp' \
		'web -denied-> db: ✕ 9/tcp (2)\n22/tcp' \
		'web -did-> db: 5432/tcp' \
		'web -half-> db: 9/tcp\nnot let in' \
		'web -may-> *.example.com: 443/tcp' \
		'web -may-> db: 5432/tcp')"
	# The same by the fabric's name, and from the log beside the policies, but for what is open.
	run "$VRUN" graph --fabric "$MARK"
	assert_status 0
	"$VRUN" log --json "$MARK-web" >records
	run "$VRUN" graph web.json db.json --log records
	assert_status 0
	assert_contains "$(edges "$output")" 'web -denied-> db: ✕ 9/tcp (2)\n22/tcp'
}

# What a log can hold that was written by somebody else.
hostile_log()
{
	jq -cn '
		"</svg></figure><script>document.title=1</script><img src=x onerror=alert(1)>\u001b[31m\u202e\"&amp;'"'"'\\" as $x |
		({id: $x, domain: $x, peer: $x, program: $x, call: $x, attempt: $x, why: $x, line: $x, time: $x, rule: $x},
		 {domain: "web", peer: ("a" * 5000), program: "]]>-->", attempt: "\\N\\G\\l"},
		 {domain: "web", peer: "\"]; evil [label=\"x"}) +
		{decision: "deny", what: "connect", proto: "tcp", port: 1}'
}

@test "what an app says is text and nothing else in the page, the picture and the language" {
	need_command dot
	hostile_log >log
	run "$VRUN" graph web.json --log log -o page.html
	assert_status 0
	page=$(<page.html)
	assert_contains "$page" '&lt;script&gt;'
	assert_lacks "$page" '<script'
	assert_lacks "$page" '<img'
	assert_lacks "$page" $'\033'
	assert_equal "$(grep -o '<svg' page.html | wc -l)" 1
	assert_equal "$(grep -o '</figure>' page.html | wc -l)" 1
	# Nothing is loaded from anywhere: names of XML's own are the only addresses.
	assert_equal "$(grep -oE '<[^>]* (src|href)=' page.html)" ""
	assert_contains "$page" "default-src 'none'"
	run "$VRUN" graph web.json --log log -o page.svg
	assert_status 0
	assert_lacks "$(<page.svg)" '<script'
	run "$VRUN" graph web.json --log log
	assert_status 0
	assert_lacks "$output" $'\033'
	dot -Tplain <<<"$output" >plain
	assert_lacks "$(cut -d' ' -f1,2 plain)" 'node evil'
}

@test "the page has the sockets and the audit log" {
	need_command dot
	# shellcheck disable=SC2016 # the sandbox's
	stay web '(exec 3<>/dev/tcp/192.0.2.1/25) 2>/dev/null'
	run "$VRUN" graph "$MARK-web" -o page.html
	assert_status 0
	assert_output ""
	page=$(<page.html)
	assert_contains "$page" '<h2>Sockets ('
	assert_contains "$page" '<h2>Audit log (1)</h2>'
	assert_contains "$page" 'connect to 192.0.2.1:25/tcp'
	assert_contains "$page" '{ &quot;allow&quot;: &quot;connect&quot;, &quot;to&quot;: &quot;192.0.2.1:25&quot; }'
}

@test "without Graphviz the picture is refused with what to do, and its language is still written" {
	mkdir empty
	PATH=$T/w/empty run "$VRUN" graph web.json -o x.svg
	assert_vrun_error "dot is not installed"
	assert_contains "$output" "install graphviz"
	[[ ! -e x.svg ]]
	PATH=$T/w/empty run "$VRUN" graph web.json -o x.dot
	assert_status 0
	assert_contains "$(<x.dot)" digraph
}

@test "what cannot be drawn is said" {
	run "$VRUN" graph web.json -o x.png
	assert_vrun_error ".dot, .svg or .html"
	run "$VRUN" graph
	assert_vrun_error "expected an ID"
	run "$VRUN" graph "$MARK-nobody"
	assert_vrun_error "$MARK-nobody"
	run "$VRUN" graph ./missing.json
	assert_vrun_error "missing.json"
	echo '{}' >log
	run "$VRUN" graph web.json --log log
	assert_vrun_error "log:1: not an audit record"
}
