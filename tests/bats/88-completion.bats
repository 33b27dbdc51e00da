#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# Completion in bash, zsh and fish: commands, verbs, options, ids of what runs, policies.

bats_require_minimum_version 1.5.0
load helper

setup()
{
	helper_setup
	mkdir "$T/w" "$T/bin"
	ln -s "$VRUN" "$T/bin/vrun"
	PATH=$T/bin:$PATH
	cd "$T/w" || return 1
	mkdir bundle
	echo '{"version":1}' >web.json
	echo x >notes.txt
}

# What bash offers for the last of these words, one on a line.
in_bash() # WORD...
{
	bash --norc -c '
		compopt() { :; }
		source "$0"
		COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
		_vrun
		((${#COMPREPLY[@]} == 0)) || printf "%s\n" "${COMPREPLY[@]}"' "$TOP/completions/bash/vrun" "$@" | sort
}

# The same of zsh: its functions for files say what they were asked for.
in_zsh() # WORD...
{
	zsh -f -c '
		compadd() {
			local w
			if [[ $1 == -a ]]; then set -- "${(@P)2}"; fi
			for w; do [[ $w == -- || $w != $words[CURRENT]* ]] || print -r -- $w; done
		}
		_files() { print -r -- "_files $*" }
		_normal() { print -r -- "_normal $words" }
		file=$1; shift
		words=("$@") CURRENT=$#
		source $file' zsh "$TOP/completions/zsh/_vrun" "$@" | sort
}

# The same of fish, without descriptions; its argument is the line.
in_fish() # LINE
{
	fish --no-config -c 'source $argv[1]; complete -C $argv[2]' "$TOP/completions/fish/vrun.fish" "$1" | cut -f 1 | sort
}

# Every command of --help, and everything that a command's --help lists as an option.
all_commands() { "$VRUN" --help | awk '/^Commands:/ { on = 1; next } /^$/ { on = 0 } on { print $1 }' | sort; }
run_options() { "$VRUN" run --help | grep -oE '^ +-[^ ].*' | sed -E 's/^ +//; s/  .*//' | grep -oE -- '(^|[ ,])--?[a-zA-Z][a-z-]*' | tr -d ' ,' | sort; }

@test "bash offers every command, every option, verbs, and ids of what runs" {
	assert_equal "$(in_bash vrun '')" "$( (all_commands; echo bundle) | sort)"
	assert_equal "$(in_bash vrun polic)" policy
	assert_equal "$(in_bash vrun run -)" "$(run_options)"
	assert_equal "$(in_bash vrun run --ceil)" --ceiling
	assert_contains "$(in_bash vrun policy '')" suggest
	assert_equal "$(in_bash vrun policy check w)" web.json
	assert_equal "$(in_bash vrun run -p '')" "$(printf 'bundle\nweb.json')"
	assert_equal "$(in_bash vrun run --cwd r)" "$(printf 'ro\nrw')"
	assert_equal "$(in_bash vrun run '')" bundle
	assert_equal "$(in_bash vrun policy schema '')" ""
	new_id
	"$VRUN" run -d --id "$REPLY" -- sleep 1000
	assert_equal "$(in_bash vrun kill "$MARK")" "$REPLY"
	assert_equal "$(in_bash vrun policy why "$MARK")" "$REPLY"
	assert_equal "$(in_bash vrun log --root "$T/tmp" "$MARK")" ""
	end_sandbox "$REPLY"
	assert_equal "$(in_bash vrun kill "$MARK")" ""
}

@test "bash completes the command that is to be run as it always does" {
	assert_equal "$(in_bash vrun run -p web.json -- cat no)" notes.txt
	assert_equal "$(in_bash vrun run -p web.json -- ./x --ceil)" ""
}

@test "bash offers the names of fabrics that there are" {
	echo '{"version":1,"domain":"db","net":{"rules":[]}}' >db.json
	new_id
	"$VRUN" run -d --id "$REPLY" --fabric "f${MARK//[^a-z0-9]/}" -p db.json -- sleep 1000
	assert_equal "$(in_bash vrun run --fabric f)" "f${MARK//[^a-z0-9]/}"
	end_sandbox "$REPLY"
}

@test "zsh offers commands, options, verbs, ids and files" {
	need_command zsh
	assert_equal "$(in_zsh vrun '' | grep -v '^_files' | grep -v '^--')" "$(all_commands)"
	assert_equal "$(in_zsh vrun run -)" "$(run_options)"
	assert_contains "$(in_zsh vrun policy '')" suggest
	assert_equal "$(in_zsh vrun run -p '')" "_files -g *.json"
	assert_equal "$(in_zsh vrun run -p web.json -- cat no)" "_normal cat no"
	new_id
	"$VRUN" run -d --id "$REPLY" -- sleep 1000
	assert_equal "$(in_zsh vrun kill "$MARK")" "$REPLY"
	end_sandbox "$REPLY"
}

@test "fish offers commands, options, verbs, ids and files" {
	need_command fish
	assert_equal "$(in_fish 'vrun ' | grep -v / | grep -v '^--')" "$(all_commands)"
	assert_equal "$(in_fish 'vrun polic')" policy
	assert_equal "$(in_fish 'vrun run --ceil')" --ceiling
	assert_equal "$(in_fish 'vrun run -' | sort -u)" "$(run_options)"
	assert_contains "$(in_fish 'vrun policy ')" suggest
	assert_contains "$(in_fish 'vrun run -p ')" web.json
	assert_lacks "$(in_fish 'vrun policy check ')" notes.txt
	new_id
	"$VRUN" run -d --id "$REPLY" -- sleep 1000
	assert_equal "$(in_fish "vrun kill $MARK")" "$REPLY"
	end_sandbox "$REPLY"
}

@test "the build installs all three where the shells look" {
	for name in bash-completion/completions zsh/site-functions fish/vendor_completions.d; do
		assert_contains "$(<"$TOP/Makefile.am")" "/$name"
	done
}
