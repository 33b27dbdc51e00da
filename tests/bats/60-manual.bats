#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# What the programs say about themselves and what the manual says is the same, in both directions.

bats_require_minimum_version 1.5.0
load helper

# The options in a text of help, one on a line, sorted. Of a line that begins with an option, all
# before the gap in front of the description counts.
help_options()
{
	awk '/^ +-/ {
		sub(/^ +/, "")
		sub(/  .*/, "")
		n = split($0, word, /[ ,=\[]+/)
		for (i = 1; i <= n; i++)
			if (word[i] ~ /^--?[a-zA-Z]/)
				print word[i]
	}' | sort -u
}

# The options in the list items of mdoc text: what follows Fl up to the next macro.
page_options()
{
	awk '/^\.It .*Fl / {
		flag = 0
		for (i = 2; i <= NF; i++)
			if ($i == "Fl")
				flag = 1
			else if ($i ~ /^[A-Z][a-z]$/)
				flag = 0
			else if (flag && $i ~ /^-?[a-zA-Z]/)
				print "-" $i
	}' | sort -u
}

# The commands, one on a line.
commands()
{
	"$VRUN" --help | awk '/^Commands:/ { on = 1; next } /^$/ { on = 0 } on { print $1 }' | sort
}

# The part of vrun(1) about a command; "" for what stands before the first command.
section() # COMMAND
{
	awk -v want="$1" '
		/^\.Sh / { on = 0; name = "" }
		/^\.Sh DESCRIPTION/ { on = want == "" }
		/^\.Ss / { name = $3; on = want != "" && name == want }
		on' "$TOP/man/vrun.1"
}

# The page that has a command's options: its section says so when that is another one.
page_of() # COMMAND
{
	local other

	other=$(section "$1" | awk '/^\.Xr vrun-/ { print $2 "." $3 }' | head -n 1)
	if section "$1" | grep -q '^for its options'; then
		printf '%s\n' "$other"
	fi
}

assert_same_options() # WHAT HELP PAGE
{
	[[ $2 == "$3" ]] && return 0
	fail "options of $1 (< only in --help, > only in the manual):" \
		"$(diff <(printf '%s\n' "$2") <(printf '%s\n' "$3") | grep '^[<>]')"
}

@test "every command is in the manual and every command of the manual is there" {
	local there described

	there=$(commands)
	described=$(sed -n 's/^\.Ss vrun \([a-z]*\)$/\1/p' "$TOP/man/vrun.1" | sort)
	[[ -n $there ]]
	assert_equal "$described" "$there" "commands of vrun(1) against those of --help"
}

@test "vrun's own options are those of the manual" {
	# Named in a line of their own: "  --help, --version".
	assert_same_options vrun \
		"$({ "$VRUN" --help | help_options; echo -h; } | sort -u)" "$(section "" | page_options)"
	"$VRUN" -h >/dev/null
}

@test "every command's options are those of the manual" {
	local command page

	for command in $(commands); do
		page=$(page_of "$command")
		[[ -z $page ]] || continue
		run "$VRUN" "$command" --help
		assert_status 0
		assert_same_options "vrun $command" "$(help_options <<<"$output")" \
			"$(section "$command" | page_options)"
	done
}

@test "a command whose options are in a page of its own has them there" {
	local command page
	declare -A options=()

	for command in $(commands); do
		page=$(page_of "$command")
		[[ -n $page ]] || continue
		run "$VRUN" "$command" --help
		assert_status 0
		options[$page]+=$'\n'$(help_options <<<"$output")
	done
	for page in "${!options[@]}"; do
		assert_same_options "$page" "$(sort -u <<<"${options[$page]:1}")" \
			"$(page_options <"$TOP/man/$page")"
	done
}

@test "every option that --help lists is taken, and no other" {
	local command

	for command in $(commands); do
		run "$VRUN" "$command" --no-such-option
		assert_not_equal "$status" 0 "vrun $command --no-such-option"
		assert_contains "$output" vrun
	done
}

@test "the pages are clean mdoc and refer to pages that exist" {
	local page name section

	need_command mandoc
	for page in "$TOP"/man/*.[1-9]; do
		run mandoc -Tlint -Wwarning "$page"
		assert_status 0
		while read -r name section; do
			[[ -f $TOP/man/$name.$section ]] ||
				fail "${page##*/} refers to $name($section), which does not exist"
		done < <(sed -n 's/^\.Xr \(vrun[a-z-]*\) \([0-9]\).*/\1 \2/p' "$page")
	done
}

@test "every page is installed by the build" {
	local page

	for page in "$TOP"/man/*.[1-9]; do
		grep -q "man/${page##*/}" "$TOP/Makefile.am" || fail "${page##*/} is not in Makefile.am"
	done
}
