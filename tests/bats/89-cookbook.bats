#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# vrun-policy-cookbook(7): what it prints is what it says.
# bats file_tags=identity:user

bats_require_minimum_version 1.5.0
load helper

setup()
{
	setup_in w
	# Each block behind '.\" file NAME', as a reader would copy it from the page.
	awk '
		/^\.\\" file / { name = $3; next }
		name != "" && /^\.Bd / { on = 1; next }
		/^\.Ed/ { on = 0; name = "" }
		on { print >name }' "$TOP/man/vrun-policy-cookbook.7"
}

@test "every policy of the cookbook is without fault, and with its neighbours, too" {
	for file in *.json; do
		[[ $file == *.test.json ]] || policies+=("$file")
	done
	((${#policies[@]} >= 11)) || fail "policies: ${policies[*]}"
	run "$VRUN" policy check --strict "${policies[@]}"
	assert_status 0
	assert_output ""
	run "$VRUN" policy check --strict redis.json web.json --with redis.json --with web.json
	assert_status 0
	assert_output ""
}

@test "every recipe keeps its expectations, which allow something and deny something" {
	run "$VRUN" policy test .
	assert_status 0
	for section in npm pip cargo git apt curl redis db nginx dns agent; do
		assert_equal "$(jq -r '.tests[].expect' "$section.test.json" | sort -u | tr '\n' ' ')" "allow deny " "$section"
	done
	assert_equal "$(find . -maxdepth 1 -name '*.test.json' | wc -l)" "$(grep -c '^\.Ss' "$TOP/man/vrun-policy-cookbook.7")" "recipes with expectations"
}

@test "no recipe names a package registry's host" {
	run grep -nE 'npmjs|yarnpkg|pypi|pythonhosted|crates\.io|deb\.debian|ubuntu\.com|golang\.org' "$TOP/man/vrun-policy-cookbook.7" "$TOP"/policies/*.json
	assert_status 1
}

@test "what the page shows is what the files hold" {
	need_command mandoc
	mandoc -T utf8 "$TOP/man/vrun-policy-cookbook.7" | col -bx | grep -v '^$' | sed 's/^ *//' >page
	for file in *.json; do
		while IFS= read -r line; do
			grep -qxF -- "${line#"${line%%[! ]*}"}" page || fail "$file: the page does not show: $line"
		done <"$file"
	done
}
