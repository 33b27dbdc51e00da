#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The folders under src/ are layers and includes go down only:
#
#	base <- model <- kern <- sup, run <- cli
#	base <- model <- kern <- pack, resolve, gate    (programs of their own beside cli)
#
# The check first proves on made-up trees that it can fail.

srcdir=${srcdir:-$(dirname "$0")/../..}
count=0
failed=0

report() # ok|not ok, name
{
	count=$((count + 1))
	printf '%s %d - %s\n' "$1" "$count" "$2"
	[ "$1" = ok ] || failed=$((failed + 1))
}

# Prints one line for each include under $1 that breaks the rule.
violations()
{
	# shellcheck disable=SC2016 # the dollar signs are awk's
	find "$1" -name '*.[ch]' | LC_ALL=C sort | xargs awk -v top="$1/" '
	BEGIN {
		may["base"] = " base "
		may["model"] = " base model "
		may["kern"] = " base model kern "
		may["sup"] = " base model kern sup "
		may["run"] = " base model kern run "
		may["pack"] = " base model kern pack "
		may["resolve"] = " base model kern resolve "
		may["gate"] = " base model kern gate "
		may["cli"] = " base model kern sup run cli "
	}
	FNR == 1 {
		file = substr(FILENAME, length(top) + 1)
		layer = file
		sub("/.*", "", layer)
		if (layer == file || !(layer in may)) {
			print file ": is in none of the layers"
			layer = ""
		}
	}
	layer != "" && /^[ \t]*#[ \t]*include[ \t]*"/ {
		inc = $0
		sub(/^[^"]*"/, "", inc)
		sub(/".*/, "", inc)
		target = inc
		sub("/.*", "", target)
		if (target == inc || inc ~ /\.\./)
			print file ":" FNR ": \"" inc "\" is not written as \"layer/file.h\""
		else if (index(may[layer], " " target " ") == 0)
			print file ":" FNR ": " layer " may not include " target " (\"" inc "\")"
	}' /dev/null
}

# expect NAME WANT FILE INCLUDE: a tree with that one line gives that complaint ("" for none).
expect()
{
	dir=$(mktemp -d) || exit 99
	mkdir -p "$dir/$(dirname "$3")"
	printf '#include %s\n' "$4" >"$dir/$3"
	got=$(violations "$dir")
	rm -rf "$dir"
	if [ "$got" = "$2" ]; then
		report ok "$1"
	else
		report 'not ok' "$1"
		printf '#   got:  %s\n#   want: %s\n' "$got" "$2"
	fi
}

expect 'an include downward passes' '' kern/x.c '"base/err.h"'
expect 'a system header passes' '' base/x.c '<sys/run.h>'
expect 'an include upward is seen' 'base/x.h:1: base may not include kern ("kern/caps.h")' \
	base/x.h '"kern/caps.h"'
expect 'an indented one too' 'model/x.c:1: model may not include cli ("cli/run.h")' \
	model/x.c '  "cli/run.h"'
expect 'sup and run do not know each other' 'run/x.c:1: run may not include sup ("sup/loop.h")' \
	run/x.c '"sup/loop.h"'
expect 'nobody includes pack' 'cli/x.c:1: cli may not include pack ("pack/elf.h")' \
	cli/x.c '"pack/elf.h"'
expect 'an include without its layer is seen' \
	'kern/x.c:1: "caps.h" is not written as "layer/file.h"' kern/x.c '"caps.h"'
expect 'a detour is seen' 'base/x.c:1: "base/../run/x.h" is not written as "layer/file.h"' \
	base/x.c '"base/../run/x.h"'
expect 'a folder that is no layer is seen' 'utils/x.c: is in none of the layers' \
	utils/x.c '<stdio.h>'

bad=$(violations "$srcdir/src")
files=$(find "$srcdir/src" -name '*.[ch]' | wc -l)
if [ "$files" -gt 0 ] && [ -z "$bad" ]; then
	report ok "the includes of $files files go down only"
else
	report 'not ok' "the includes of $files files go down only"
	printf '%s\n' "$bad" | sed 's/^/#   /'
fi
printf '1..%d\n' "$count"
[ "$failed" -eq 0 ]
