#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# What a browser makes of the page of "vrun graph": it shows the picture and the tables, loads
# nothing, and runs nothing that an app wrote. "make check-browser"; needs chromium and dot.
# With VRUN_MUST_WORK=1 their absence is a failure. PICTURE=FILE.png keeps what was seen.

set -euo pipefail
vrun=${VRUN:?the program under test}
count=0 failed=0

report() # ok|not\ ok NAME
{
	count=$((count + 1))
	printf '%s %d - %s\n' "$1" "$count" "$2"
	[[ $1 == ok ]] || failed=$((failed + 1))
}

check() # NAME COMMAND...
{
	if "${@:2}"; then
		report ok "$1"
	else
		report 'not ok' "$1"
		printf '#   %s\n' "${*:2}" | head -c 2000
		echo
	fi
}

has() { [[ $1 == *"$2"* ]]; }
lacks() { [[ $1 != *"$2"* ]]; }

browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome || :)
if [[ -z $browser ]] || ! command -v dot >/dev/null || ! command -v jq >/dev/null; then
	[[ ${VRUN_MUST_WORK:-0} != 1 ]] || { echo 'Bail out! chromium, graphviz or jq is not installed'; exit 1; }
	echo '1..0 # SKIP chromium, graphviz or jq is not installed'
	exit 0
fi
dir=$(mktemp -d /tmp/vrun-browser-XXXXXX)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
export HOME=$dir XDG_CONFIG_HOME=$dir/config XDG_CACHE_HOME=$dir/cache XDG_RUNTIME_DIR=$dir

printf '{"version":1,"domain":"web","net":{"address":["10.88.0.10"],"rules":[{"allow":"connect","to":["db:5432","db:9","*.example.com:443"]}]}}' >web.json
printf '{"version":1,"domain":"db","net":{"address":["10.88.0.11"],"rules":[{"allow":"listen","at":":5432","from":["web"]},{"allow":"listen","at":":80","from":["host"]}]}}' >db.json
# Each text would change the page's title, in one way or another, were it more than text.
jq -cn '
	("</bdi></td></svg></figure></title></style><script>document.title=\"owned\"</script>" +
	 "<img src=x onerror=\"document.title=1\"><svg onload=\"document.title=2\">" +
	 "<iframe srcdoc=\"<script>parent.document.title=3</script>\"></iframe><a href=javascript:document.title=4>x</a>") as $x |
	({domain: "web", peer: $x, program: $x, call: $x, attempt: $x, why: $x, line: $x, time: $x},
	 {domain: "web", peer: "db", port: 22, program: "\u202enimda", attempt: "connect to db:22/tcp", time: "2026-01-01"}) +
	{decision: "deny", what: "connect", proto: "tcp"} | if .port then . else .port = 1 end' >log
jq -cn '{domain: "web", peer: "db", port: 5432, decision: "allow", what: "connect", proto: "tcp", reason: "rule",
	attempt: "connect to db:5432/tcp (10.88.0.11)", program: "psql", time: "2026-01-01"}' >>log
"$vrun" graph web.json db.json --log log -o page.html

# As root it has no sandbox of its own; here it reads a file of ours and nothing else.
flags=(--headless --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run --disable-background-networking
	--disable-component-update --user-data-dir="$dir/profile" --virtual-time-budget=3000
	--host-resolver-rules='MAP * ~NOTFOUND')
dom=$(timeout 100 "$browser" "${flags[@]}" --dump-dom "file://$dir/page.html" 2>errors)
check 'the page comes to its end' has "$dom" '</html>'
check 'nothing that an app wrote has run' has "$dom" '<title>web.json</title>'
check 'no script is in it' lacks "$dom" '<script'
check 'no picture, frame or link of an app is in it' lacks "$(grep -oE '<(img|iframe|a)[ >]' <<<"$dom" | head -n 1)" '<'
check 'one drawing is in it' [ "$(grep -o '<svg' <<<"$dom" | wc -l)" = 1 ]
check 'it has the domains' has "$dom" '>web</text>'
check 'what may be' has "$dom" '>5432/tcp</text>'
check 'what was denied' has "$dom" '✕ 22/tcp'
check 'no text is turned around' lacks "$dom" $'\u202e'
check 'the audit log shows the attack as text' has "$dom" '&lt;script&gt;document.title'
check 'nothing was refused to be loaded' lacks "$(<errors)" 'Refused to load'
timeout 100 "$browser" "${flags[@]}" --window-size=1400,1100 --screenshot="$dir/page.png" "file://$dir/page.html" 2>/dev/null
check 'it can be seen' [ "$(head -c 4 page.png | tail -c 3)" = PNG ]
check 'and is no empty sheet' [ "$(wc -c <page.png)" -gt 20000 ]
[[ -z ${PICTURE-} ]] || cp page.png "$OLDPWD/$PICTURE" 2>/dev/null || cp page.png "$PICTURE"
printf '1..%d\n' "$count"
((failed == 0))
