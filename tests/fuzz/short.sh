#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# make fuzz-short: builds every tests/fuzz/fuzz-*.c with clang's libFuzzer and
# both sanitizers and runs each for FUZZ_SECONDS (20), starting from its
# committed corpus. What is found new stays in the build directory.
#
# usage: short.sh SRCDIR   (from the build directory; FUZZ_ONLY=NAME for one)

set -euo pipefail

src=$(cd "$1" && pwd)
seconds=${FUZZ_SECONDS:-20}
command -v clang >/dev/null || { echo "fuzz-short: needs clang" >&2; exit 1; }

# The libraries, instrumented, in a build directory of their own.
mkdir -p fuzz-build
cd fuzz-build
if [[ ! -f Makefile || "$src/configure" -nt Makefile ]]; then
	"$src/configure" -q CC=clang --disable-static \
		CFLAGS='-g -O1 -fno-omit-frame-pointer -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined' \
		>configure.out
fi
failed=()
count=0
for source in "$src"/tests/fuzz/fuzz-${FUZZ_ONLY:-*}.c; do
	[[ -f $source ]] || { echo "fuzz-short: no fuzzer named ${FUZZ_ONLY:-*}" >&2; exit 1; }
	name=$(basename "$source" .c)
	name=${name#fuzz-}
	make -s -j"$(nproc)" fuzz-one FUZZ="$name"
	mkdir -p "found-$name"
	printf '  FUZZ     %-12s %s s\n' "$name" "$seconds"
	if ! "./fuzz-$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 \
		-print_final_stats=1 -artifact_prefix="$PWD/crash-$name-" \
		"found-$name" "$src/tests/fuzz/corpus-$name" >"$name.log" 2>&1 </dev/null; then
		failed+=("$name")
		grep -vE '^#[0-9]+' "$name.log" | tail -n 60
	fi
	sed -n 's/^stat::number_of_executed_units: */           runs: /p' "$name.log"
	count=$((count + 1))
done
if ((${#failed[@]})); then
	echo "fuzz-short: failed: ${failed[*]} (inputs: $PWD/crash-NAME-*)"
	exit 1
fi
echo "fuzz-short: $count fuzzers, nothing found"
