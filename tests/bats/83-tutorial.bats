#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# The ten lines of the README, as a reader would type them.

bats_require_minimum_version 1.5.0
load helper

# The lines between the first two fences behind the heading.
tutorial()
{
	awk '/^## Ten lines / { on = 1 } on && /^```/ { if (++fence == 2) exit; next } fence == 1' "$TOP/README.md"
}

@test "the README's ten lines lead from nothing to a tested policy" {
	need_command curl unshare
	mkdir "$T/w" "$T/bin"
	ln -s "$VRUN" "$T/bin/vrun"
	cd "$T/w" || return 1
	tutorial >lines
	assert_equal "$(wc -l <lines)" 10 "lines"
	# Each with its number and how it went. The last one asks for a host outside: it is asked for
	# where there is no network.
	n=0
	while IFS= read -r line; do
		n=$((n + 1))
		printf '%s\nprintf "line %d: %%d\\n" $?\n' "$line" "$n"
	done <lines >script
	users=()
	is_root || users=(--map-root-user)
	PATH=$T/bin:$PATH run timeout 100 unshare "${users[@]}" --net bash script
	assert_status 0
	# curl's own codes: it could not connect, and at last not even look up. Every other line has done what it says.
	assert_equal "$(grep -oE '^line [0-9]+: [0-9]+' <<<"$output" | tr '\n' ' ')" \
		"line 1: 7 line 2: 0 line 3: 0 line 4: 0 line 5: 1 line 6: 0 line 7: 0 line 8: 0 line 9: 0 line 10: 6 "
	assert_contains "$output" "learned 1 rule from"
	assert_equal "$(jq -c '.net.rules[] | del(.comment)' fetch.json)" '{"allow":"connect","to":"api.example.com:443"}'
	assert_contains "$output" "allowed: connect to api.example.com:443/tcp"
	assert_contains "$output" "a private address, which needs an address rule too"
	assert_contains "$output" "1..4"
	assert_lacks "$output" "not ok"
	assert_contains "$(<fetch.dot)" 'label="443/tcp"'
	# The last line was denied nothing.
	assert_lacks "${output#*line 9}" "the policy denied"
}
