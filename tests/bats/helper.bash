# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# What every bats file starts with:
#
#	bats_require_minimum_version 1.5.0
#	load helper
#
# Each test gets a directory $T of its own with a short path, in which its
# bundles, its state directory (XDG_RUNTIME_DIR) and its temporary files lie.
# The directory's name is the test's marker: it is in the environment of what
# the test starts, in the path of its bundles and in the ids it gives out, so
# that whatever is left over afterwards can be told from the leftovers of a
# test that runs at the same time.
#
# By default a file runs as root and as an unprivileged user. To say otherwise:
#
#	# bats file_tags=identity:root          (or test_tags, before one @test)
#	# bats file_tags=identity:user
# and by hand: bats --filter-tags '!identity:user' as root, '!identity:root' as somebody else.
#
# From the environment, set by ./check:
#	VRUN                the program under test (default: build/vrun)
#	VRUN_TEST_USER      as root: the unprivileged user for as_user
#	VRUN_TEST_PLAIN     as root: another, without subordinate ids
#	VRUN_TEST_RUN       begins the markers, so that an interrupted run can be cleaned up
#	VRUN_MUST_WORK=1    a test that cannot run here fails

TOP=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
VRUN=${VRUN:-$TOP/build/vrun}
export VRUN TOP
WAIT_SECONDS=20 # longest wait for an event

setup()
{
	helper_setup
}

teardown()
{
	helper_teardown
}

helper_setup()
{
	umask 022
	T=$(mktemp -d "/tmp/vt-${VRUN_TEST_RUN-}XXXXXX")
	MARK=${T##*/}
	chmod 0711 "$T"
	mkdir -m 0700 "$T/run" "$T/home"
	mkdir -m 1777 "$T/tmp"
	export T XDG_RUNTIME_DIR=$T/run HOME=$T/home TMPDIR=$T/tmp VRUN_TEST_MARK=$MARK
	unset XDG_CONFIG_HOME XDG_CACHE_HOME XDG_DATA_HOME DBUS_SESSION_BUS_ADDRESS
	cd "$T" || return 1
	OWN_MOUNTS=$(readlink /proc/self/ns/mnt)
	ID_COUNT=0
	declare -gA PID=()
}

# A setup with a directory below $T which commands are shown, and may write to. Guests are copied there: a
# build directory in /tmp is not seen inside.
setup_in() # NAME [GUEST...]
{
	helper_setup
	mkdir "$T/$1"
	cd "$T/$1" || return 1
	shift
	(($# == 0)) || cp "${@/#/${VRUN%/*}/tests/guest/}" .
}

# Also after a failure nothing may stay: what was started is killed, what was mounted goes.
helper_teardown()
{
	local pid target record left=()

	cd / || return 1
	[[ ${T-} == /tmp/vt-* ]] || return 0
	# Who is killed together with its keeper cleans up nothing; as root its records are not in $T.
	for record in /run/vrun/"$MARK"*.json; do
		[[ ! -w $record ]] || left+=("$record" "/run/vrun/$(jq -r '.vrun.supervisor // "none"' "$record" 2>/dev/null || echo none)")
	done
	# Who has ended is not asked for: its number may be somebody else's by now.
	for pid in "${PID[@]}"; do
		! is_child "$pid" || kill -KILL "$pid" 2>/dev/null || :
	done
	while read -r pid; do
		kill -KILL "$pid" 2>/dev/null || :
	done < <(marked_processes)
	# Not all children: with a time limit bats has one of its own among them.
	for pid in "${PID[@]}"; do
		wait "$pid" 2>/dev/null || :
	done
	while read -r target; do
		umount -l "$target" 2>/dev/null || :
	done < <(marked_mounts)
	rm -rf --one-file-system "$T"
	rm -f "${left[@]}"
}

# Of this shell, and not collected yet.
is_child() # PID
{
	local stat

	read -r stat <"/proc/$1/stat" || return 1
	stat=${stat##*) }
	[[ $stat == ?" $BASHPID "* ]]
} 2>/dev/null

# --- failing ------------------------------------------------------------------

fail() # TEXT...
{
	printf '%s\n' "$@" >&2
	return 1
}

# For what this host cannot give. In CI that is a failure: a test that never runs proves nothing.
unsupported() # REASON
{
	if [[ ${VRUN_MUST_WORK:-0} == 1 ]]; then
		fail "cannot run here: $1 (VRUN_MUST_WORK=1 makes that a failure)"
		return 1
	fi
	skip "$1"
}

need_command() # NAME...
{
	local name

	for name; do
		command -v "$name" >/dev/null || unsupported "$name is not installed"
	done
}

# Linux 6.16 has what wires need.
need_wires()
{
	local release

	IFS=.- read -r -a release < <(uname -r)
	((release[0] > 6 || (release[0] == 6 && release[1] >= 16))) || unsupported "wires need Linux 6.16"
}

postgres_bin()
{
	local dir

	for dir in /usr/lib/postgresql/*/bin; do
		[[ -x $dir/postgres ]] && { printf '%s\n' "$dir"; return; }
	done
	unsupported "no PostgreSQL server is installed"
}

is_root()
{
	((EUID == 0))
}

# --- asserting: both sides are printed ------------------------------------------

assert_equal() # GOT WANT [WHAT]
{
	[[ $1 == "$2" ]] && return 0
	fail "${3:-values differ}" "  got:  $1" "  want: $2"
}

assert_not_equal() # GOT OTHER [WHAT]
{
	[[ $1 != "$2" ]] && return 0
	fail "${3:-values are the same}" "  both: $1"
}

assert_contains() # TEXT PART [WHAT]
{
	[[ $1 == *"$2"* ]] && return 0
	fail "${3:-text lacks a part}" "  text:  $1" "  lacks: $2"
}

assert_lacks() # TEXT PART [WHAT]
{
	[[ $1 != *"$2"* ]] && return 0
	fail "${3:-text has a part that must not be there}" "  text: $1" "  has:  $2"
}

assert_matches() # TEXT REGEX [WHAT]
{
	[[ $1 =~ $2 ]] && return 0
	fail "${3:-text does not match}" "  text:  $1" "  regex: $2"
}

# After `run` or `run --separate-stderr`.
assert_status() # NUMBER
{
	# shellcheck disable=SC2154 # set by run
	[[ $status == "$1" ]] && return 0
	fail "exit status of: ${BATS_RUN_COMMAND-}" "  got:  $status" "  want: $1" \
		"  output: ${output-}" ${stderr:+"  stderr: $stderr"}
}

assert_output() # TEXT
{
	assert_equal "${output-}" "$1" "output of: ${BATS_RUN_COMMAND-}"
}

# vrun's own failure: 125, one line "vrun: ...", with the part that says why.
assert_vrun_error() # PART
{
	local text=${stderr-$output}

	assert_status 125 && assert_contains "$text" "$1" &&
		assert_matches "$text" '(^|'$'\n'')vrun: ' 'the error is in vrun'"'"'s name'
}

# --- identities -----------------------------------------------------------------

# The command as the unprivileged user of this run, with an environment that has nothing of ours,
# a home and a state directory of its own. As that user already: just the environment.
as_user() # COMMAND...
{
	if is_root; then
		as_identity "${VRUN_TEST_USER:?call need_user first}" "$@"
	else
		as_identity "" "$@"
	fi
}

# Before as_user: there is such a user.
need_user()
{
	! is_root || [[ -n ${VRUN_TEST_USER-} ]] ||
		unsupported "no unprivileged user was made for this run (use ./check)"
}

# As above, with a user who has no subordinate ids; only as root, after need_plain_user.
as_plain_user() # COMMAND...
{
	as_identity "${VRUN_TEST_PLAIN:?call need_plain_user first}" "$@"
}

need_plain_user()
{
	[[ -n ${VRUN_TEST_PLAIN-} ]] ||
		unsupported "no user without subordinate ids was made for this run (use ./check as root)"
}

as_identity() # USER|"" COMMAND...
{
	local user=$1 home become=()

	shift
	home=$(user_dir "$user")
	if [[ -n $user ]]; then
		become=(setpriv --reuid "$user" --regid "$(id -g "$user")" --init-groups
			--inh-caps=-all --)
	fi
	"${become[@]}" env -i PATH="$PATH" LANG=C.UTF-8 TERM=dumb HOME="$home" \
		USER="${user:-$(id -un)}" XDG_RUNTIME_DIR="$home/run" TMPDIR="$home/tmp" \
		VRUN="$VRUN" VRUN_TEST_MARK="$MARK" "$@"
}

# Where that user may write: made when first asked for. "" is whoever runs the test.
user_dir() # [USER]
{
	local user=${1-${VRUN_TEST_USER-}} dir

	dir=$T/home-${user:-own}
	if [[ ! -d $dir ]]; then
		mkdir -m 0755 "$dir"
		mkdir -m 0700 "$dir/run" "$dir/tmp"
		[[ -z $user ]] || chown -R "$user:" "$dir"
	fi
	printf '%s\n' "$dir"
}

# Whoever runs the test can have more than one id in a sandbox: root, or a user with a range.
need_subordinate_ids()
{
	is_root && return
	need_command newuidmap newgidmap
	grep -q "^$(id -un):" /etc/subuid || unsupported "$(id -un) has no subordinate ids"
}

# --- bundles ----------------------------------------------------------------------

# A small root file system with a static busybox under all its names, which are hard links: a copy of
# some three hundred symbolic links takes as many inodes. It is made once for a run of bats and copied.
make_rootfs() # DIR
{
	local template=$BATS_RUN_TMPDIR/rootfs

	need_command busybox
	(
		flock 9
		[[ -d $template ]] || make_rootfs_template "$template"
	) 9>>"$BATS_RUN_TMPDIR/rootfs.lock"
	mkdir -p "$(dirname "$1")"
	cp -a --reflink=auto "$template" "$1"
}

make_rootfs_template() # DIR
{
	local new=$1.new

	rm -rf "$new"
	mkdir -p "$new"/{bin,dev,etc,home/app,proc,root,run,sys,tmp,usr,var/tmp}
	cp "$(command -v busybox)" "$new/bin/busybox"
	"$new/bin/busybox" --install "$new/bin"
	ln -s bin "$new/sbin"
	ln -s ../bin "$new/usr/bin"
	ln -s ../bin "$new/usr/sbin"
	printf 'root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:app:/home/app:/bin/sh\n' \
		>"$new/etc/passwd"
	printf 'root:x:0:\napp:x:1000:\nextra:x:2000:app\n' >"$new/etc/group"
	chmod 1777 "$new/tmp" "$new/var/tmp"
	chmod 0755 "$new"
	mv "$new" "$1"
}

# A bundle in full isolation whose program prints its arguments' list; jq filters change it:
#	make_bundle "$T/b" '.process.args = ["id", "-u"]' '.root.readonly = true'
make_bundle() # DIR [JQ_FILTER...]
{
	local dir=$1 filter=.

	shift
	make_rootfs "$dir/rootfs"
	# A bundle of a test is marked by its environment too.
	(($# == 0)) || filter+=$(printf ' | %s' "$@")
	jq --arg mark "$MARK" "$filter"' | .process.env += ["VRUN_TEST_MARK=" + $mark]' \
		"$BATS_TEST_DIRNAME/config.json" >"$dir/config.json"
}

# Changes a bundle that is there.
edit_bundle() # DIR JQ_FILTER
{
	jq "$2" "$1/config.json" >"$1/config.json.new" && mv "$1/config.json.new" "$1/config.json"
}

# The bundle belongs to the user who runs it (as root, with as_user).
give_bundle() # DIR
{
	[[ -z ${VRUN_TEST_USER-} ]] || ! is_root || chown -hR "$VRUN_TEST_USER:" "$1"
}

# An id nobody else uses, in $REPLY.
new_id()
{
	ID_COUNT=$((ID_COUNT + 1))
	REPLY=$MARK-$ID_COUNT
}

# --- running and waiting --------------------------------------------------------------

vrun()
{
	"$VRUN" "$@"
}

# A sandbox in the background, its id in $REPLY: run_detached [OPTIONS...] BUNDLE
run_detached()
{
	new_id
	"$VRUN" run -d --id "$REPLY" "$@" </dev/null >"$T/$REPLY.out" 2>"$T/$REPLY.err" 3>&- 4>&- ||
		fail "vrun run -d $*: status $?" "$(<"$T/$REPLY.err")"
}

# What ps --json says about a sandbox: record ID JQ_FILTER
record()
{
	"$VRUN" ps --json | jq -r --arg id "$1" '.[] | select(.id == $id) | '"$2"
}

# Ends a sandbox and waits until its record has gone.
end_sandbox() # ID [SIGNAL]
{
	"$VRUN" kill "$1" "${2:-KILL}" && wait_until sandbox_gone "$1"
}

sandbox_gone() # ID
{
	! "$VRUN" ps -q | grep -qxF "$1"
}

# Starts a command in the background, output in $T/NAME.out and $T/NAME.err, its pid in
# ${PID[NAME]}. Standard input is the caller's: redirect it where it matters.
spawn() # NAME COMMAND...
{
	local name=$1

	shift
	# Here, not in the background: what another one of this name said is not read as this one's.
	: >"$T/$name.out" 2>"$T/$name.err"
	"$@" >"$T/$name.out" 2>"$T/$name.err" 3>&- 4>&- &
	PID[$name]=$!
}

# A FIFO $T/NAME.in which has a writer until release, or until the test ends.
hold() # NAME
{
	mkfifo "$T/$1.in"
	# shellcheck disable=SC2016 # the other shell's
	spawn "hold-$1" sh -c 'exec sleep 1000 >"$0"' "$T/$1.in"
}

release() # NAME
{
	kill "${PID[hold-$1]}"
	wait_exit "${PID[hold-$1]}"
	rm "$T/$1.in"
}

# vrun with that file as its standard input, which a background command does not have by itself.
reading() # FILE ARGUMENTS...
{
	exec "$VRUN" "${@:2}" <"$1"
}

# Waits for a background command; its exit status in $status. Fails after WAIT_SECONDS.
wait_exit() # PID
{
	local name

	if ! timeout "$WAIT_SECONDS" tail --pid="$1" -s 0.02 -f /dev/null; then
		fail "process $1 is still there after $WAIT_SECONDS s:" \
			"  $(tr '\0' ' ' <"/proc/$1/cmdline" 2>/dev/null)"
		return 1
	fi
	status=0
	wait "$1" || status=$?
	# Its number may soon be somebody else's.
	for name in "${!PID[@]}"; do
		[[ ${PID[$name]} != "$1" ]] || unset "PID[$name]"
	done
}

# Waits until a process that is not our child is gone, or is a zombie that init has yet to collect.
wait_gone() # PID
{
	wait_until gone "$1"
}

gone() # PID
{
	[[ ! -e /proc/$1/stat || $(<"/proc/$1/stat") == *") Z "* ]] 2>/dev/null
}

# Reads a line from an open descriptor or a FIFO into $REPLY, or fails after WAIT_SECONDS.
wait_line() # FD|PATH
{
	REPLY=
	if [[ $1 =~ ^[0-9]+$ ]]; then
		IFS= read -r -t "$WAIT_SECONDS" -u "$1" && return 0
	else
		# Opened for both ways, so that the open itself does not wait.
		IFS= read -r -t "$WAIT_SECONDS" <>"$1" && return 0
	fi
	fail "no line came from $1 within $WAIT_SECONDS s (so far: $REPLY)"
}

# Waits until a path is there.
wait_path() # PATH
{
	local end=$((SECONDS + WAIT_SECONDS)) dir

	until [[ -e $1 || -L $1 ]]; do
		((SECONDS < end)) || fail "$1 did not appear within $WAIT_SECONDS s" || return 1
		dir=$(dirname "$1")
		[[ -d $dir ]] || dir=$T
		# At most a second each: the path may have come before the watch was in place.
		inotifywait -qq -t 1 -e create,moved_to "$dir" || :
	done
}

# Waits until somebody listens at a socket of our network namespace: its name is there a moment before.
wait_listening() # PATH|@NAME
{
	wait_until listens_at "$1"
}

# unix(7): SO_ACCEPTCON is the only flag that is shown.
listens_at() # PATH|@NAME
{
	awk -v name="$1" '$4 == "00010000" && $8 == name { found = 1 } END { exit !found }' /proc/net/unix
}

# For what gives no event: asks every 20 ms.
wait_until() # COMMAND...
{
	local end=$((SECONDS + WAIT_SECONDS)) pause

	exec {pause}<> <(:)
	until "$@"; do
		if ((SECONDS >= end)); then
			exec {pause}>&-
			fail "not so within $WAIT_SECONDS s: $*"
			return 1
		fi
		read -r -t 0.02 -u "$pause" || :
	done
	exec {pause}>&-
}

# --- what is left ------------------------------------------------------------------------

# Pids of the processes that carry this test's marker in environment, arguments or control group,
# or that live in another mount namespace in which something of the test's is mounted.
marked_processes()
{
	local pid list
	local -A seen=()

	# The list is complete before it is looked at: grep, which has the marker too, is gone then.
	# That it cannot read all of /proc is no failure. One find for all: a fork for each process
	# would cost more than most tests.
	list=$(
		grep -lsaF -e "$MARK" /proc/[0-9]*/{environ,cmdline,cgroup} || :
		find /proc/[0-9]*/ns/mnt -maxdepth 0 ! -lname "${OWN_MOUNTS//[[\]]/?}" \
			-printf '%h/../mountinfo\0' 2>/dev/null | xargs -0r grep -lsaF -e "$MARK" || :
	)
	while IFS=/ read -r _ _ pid _; do
		[[ -n $pid && -d /proc/$pid && -z ${seen[$pid]-} ]] || continue
		seen[$pid]=1
		[[ $pid == "$BASHPID" || $pid == "$$" || $pid == "$PPID" ]] || printf '%s\n' "$pid"
	done <<<"$list"
}

# Mount points under the test's directory in our own mount namespace, deepest first.
marked_mounts()
{
	awk -v dir="$T/" 'index($5, dir) == 1 { print $5 }' /proc/self/mountinfo | sort -r
}

marked_cgroups()
{
	find /sys/fs/cgroup -depth -type d -name "*$MARK*" 2>/dev/null || :
}

# What a run may leave in the state directories: directories, and nothing else.
state_entries()
{
	find "$T"/run "$T"/home-*/run "$T"/tmp "$T"/home-*/tmp -mindepth 1 \
		! -type d -o -name "*$MARK*" -path '*/run/*' 2>/dev/null || :
	grep -aF -e "$MARK" /proc/net/unix || :
	! is_root || find /run/vrun -name "*$MARK*" 2>/dev/null || :
}

nothing_left()
{
	[[ -z $(marked_processes; marked_mounts; marked_cgroups; state_entries) ]]
}

# No process, mount (and so no namespace that one of them holds), control group, socket or state
# entry of this test is left. The last process may be dying: that is waited for.
assert_nothing_left()
{
	local pid WAIT_SECONDS=5

	wait_until nothing_left 2>/dev/null && return 0
	fail "left behind after ${WAIT_SECONDS} s:" \
		"  processes: $(for pid in $(marked_processes); do
			printf '%s [%s] ' "$pid" "$(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null)"
		done)" \
		"  mounts: $(marked_mounts | tr '\n' ' ')" \
		"  control groups: $(marked_cgroups | tr '\n' ' ')" \
		"  state: $(state_entries | tr '\n' ' ')"
}
