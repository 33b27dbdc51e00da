#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The schema against the loader: what "vrun policy check" accepts, the schema
# must accept. (The other way round it need not: a schema does not see what
# rules mean together.) The documents are the ready policies, the fuzzers'
# corpus, and many small changes of them. Needs python3 with jsonschema.

src=${srcdir:-.}
vrun=${VRUN:-./vrun}
python=
for p in python3 /usr/bin/python3; do
	"$p" -c 'import jsonschema' 2>/dev/null && python=$p && break
done
if [ -z "$python" ]; then
	if [ "${VRUN_MUST_WORK:-}" = 1 ]; then
		echo "1..1"
		echo "not ok 1 - python3 has jsonschema"
		exit 1
	fi
	echo "1..0 # SKIP python3 has no jsonschema"
	exit 0
fi
exec "$python" "$src/tests/policy/schema.py" "$src" "$vrun"
