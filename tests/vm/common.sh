# shellcheck shell=dash
# SPDX-License-Identifier: Apache-2.0
#
# What the scripts of the test machine have in common: vrun as $who, and TAP.
# shellcheck disable=SC2034 # they use the variables

export PATH=/usr/bin:/bin
count=0 failed=0

result() # STATUS NAME
{
	count=$((count + 1))
	if [ "$1" = 0 ]; then
		echo "ok $count - $2"
	else
		echo "not ok $count - $2"
		failed=1
	fi
}

# The command's exit status, and a part that its output must have.
check() # NAME STATUS PART COMMAND...
{
	local name=$1 want=$2 part=$3 out status

	shift 3
	# Not a pipe: what is detached would hold it open.
	"$@" >/tmp/out 2>&1 </dev/null
	status=$?
	out=$(cat /tmp/out)
	case $status:$out in
	"$want:"*"$part"*) result 0 "$who: $name" ;;
	*)
		result 1 "$who: $name"
		echo "#   got status $status, want $want; the output must have: $part"
		echo "$out" | sed 's/^/#   | /'
		;;
	esac
}

at_least() # MAJOR MINOR
{
	local release rest

	release=$(uname -r)
	rest=${release#*.}
	[ "${release%%.*}" -gt "$1" ] || { [ "${release%%.*}" -eq "$1" ] && [ "${rest%%.*}" -ge "$2" ]; }
}

# The command as $who, with nothing of our environment.
as_who()
{
	if [ "$who" = root ]; then
		env -i PATH="$PATH" HOME=/disk/root XDG_RUNTIME_DIR=/run/root "$@"
	else
		/usr/bin/setpriv --reuid 1000 --regid 1000 --clear-groups --inh-caps=-all \
			env -i PATH="$PATH" HOME=/disk/user XDG_RUNTIME_DIR=/run/user/1000 "$@"
	fi
}

v()
{
	as_who vrun "$@"
}

# A bundle that runs a script; $B is where.
bundle() # SCRIPT [JQ_FILTER]
{
	B=$place/b
	rm -rf "$B"
	mkdir -p "$B/rootfs"
	cp -a /tests-data/rootfs/. "$B/rootfs"
	jq --arg script "$1" ".process.args = [\"sh\", \"-c\", \$script] | ${2:-.}" \
		/tests-data/config.json >"$B/config.json"
	[ "$who" = root ] || chown -hR 1000:1000 "$B"
}

run() # NAME STATUS PART SCRIPT [JQ_FILTER]
{
	bundle "$4" "${5:-.}"
	check "$1" "$2" "$3" v run "$B"
}
