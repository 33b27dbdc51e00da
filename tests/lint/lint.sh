#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# make lint: everything that reads the source and has an opinion. Each tool's
# complaints are printed; the exit status is 1 when any tool complained.
# A tool that is not installed is named, and is a failure with VRUN_MUST_WORK=1.
#
# usage: lint.sh SRCDIR CPPFLAGS...

set -uo pipefail

cd "$1" || exit 99
shift
flags=("$@" -std=gnu11 -Isrc -Isrc/base -Itests/unit -D_GNU_SOURCE)
jobs=$(nproc)
failed=()
missing=()

have() # TOOL
{
	command -v "$1" >/dev/null && return 0
	missing+=("$1")
	return 1
}

step() # NAME COMMAND...
{
	local name=$1

	shift
	printf '  LINT     %s\n' "$name"
	"$@" || failed+=("$name")
}

mapfile -t sources < <(find src tests -name '*.c' | LC_ALL=C sort)
mapfile -t pages < <(find man -name '*.[1-9]' 2>/dev/null | LC_ALL=C sort)
mapfile -t scripts < <(
	grep -rlE --exclude-dir=.git --exclude-dir='build*' --exclude-dir=autom4te.cache \
		-m1 '^#!/(bin/(ba)?sh|usr/bin/env bash)' check try .ci tests 2>/dev/null
	find tests -name '*.bash' -o -name '*.bats'
)
# -m1 matches any line: keep those that begin with it, and what bash includes.
mapfile -t scripts < <(
	for f in "${scripts[@]}"; do
		case $f in
		*.bash | *.bats) printf '%s\n' "$f" ;;
		*) [[ $(head -c 2 "$f") == '#!' ]] && printf '%s\n' "$f" ;;
		esac
	done | LC_ALL=C sort -u
)

# variableScope would have every declaration in the innermost block; here they stand at the
# top of a block, as in the kernel. The structure in attributes.c is the kernel's: it reads the
# members (2.10 has no suppression in the source for more than a line); those of names.c and channel.c are of
# lists, which have no names there. System headers are not
# read, but for the macros of sys/queue.h, which are loops and structures.
run_cppcheck()
{
	local queue

	queue=$(cc -M -xc - <<<'#include <sys/queue.h>' | grep -o '/[^ ]*/sys/queue\.h') || return 1
	cppcheck --quiet --enable=warning,style,performance,portability --std=c11 \
		--inline-suppr --suppress=missingIncludeSystem --suppress=variableScope \
		--suppress=unusedStructMember:src/kern/attributes.c \
		--suppress=unusedStructMember:src/gate/channel.c \
		--suppress=unusedStructMember:src/gate/names.c \
		--suppress=unusedStructMember:src/sup/flow_out.c \
		--error-exitcode=1 -j "$jobs" -Isrc -Itests/unit -D_GNU_SOURCE \
		--include="$queue" --include=tests/lint/cppcheck.h "${sources[@]}"
}

run_clang_tidy()
{
	local out

	# Its "N warnings generated" about system headers goes to standard error.
	out=$(printf '%s\0' "${sources[@]}" |
		xargs -0 -P "$jobs" -I '{}' clang-tidy --quiet '{}' -- "${flags[@]}" 2>/dev/null) &&
		[[ -z $out ]] && return 0
	printf '%s\n' "${out:-clang-tidy could not run}"
	return 1
}

run_layers()
{
	local out

	out=$(sh tests/lint/layers.sh) || { printf '%s\n' "$out"; return 1; }
}

step layers run_layers
have cppcheck && step cppcheck run_cppcheck
have clang-tidy && step clang-tidy run_clang_tidy
if ((${#pages[@]})); then
	have mandoc && step mandoc mandoc -Tlint -Wwarning "${pages[@]}"
fi
have shellcheck && step shellcheck shellcheck "${scripts[@]}"

((${#missing[@]})) && printf 'lint: not installed: %s\n' "${missing[*]}"
if ((${#failed[@]})); then
	printf 'lint: complaints from: %s\n' "${failed[*]}"
	exit 1
fi
[[ ${VRUN_MUST_WORK:-0} == 1 ]] && ((${#missing[@]})) && exit 1
printf 'lint: clean (%d C files, %d scripts, %d pages)\n' \
	"${#sources[@]}" "${#scripts[@]}" "${#pages[@]}"
