# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# Domains of one fabric, the test's: loaded behind the helper.

# Policies in $T/NAME.json, over $TRANSPORT (tcp). The rules are JSON.
policy() # NAME ADDRESSES RULE...
{
	local name=$1 addresses=$2 rules

	shift 2
	rules=$(printf ',%s' "$@")
	jq -n --arg name "$name" --argjson a "[$addresses]" --argjson rules "[${rules#,}]" \
		--arg transport "${TRANSPORT:-tcp}" \
		'{version: 1, domain: $name, net: {transport: $transport, rules: $rules}}
			| if $a == [] then . else .net.address = $a end' \
		>"$T/$name.json"
}

# A command in the domain.
in_domain() # NAME COMMAND...
{
	local name=$1

	shift
	"$VRUN" run -T --fabric "$MARK" -p "$T/$name.json" -- "$@" </dev/null
}
