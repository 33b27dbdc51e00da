#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Runs test programs as root on a machine of their own: Debian's kernel under
# QEMU, an initramfs with busybox, the programs and their libraries, and cgroup
# v2 alone. Prints what they print, in TAP. "make check-vm" calls it.
#
# With --launcher on a kernel that is older than vrun takes, it is only seen that
# vrun says so (refused.sh).
#
# usage: boot.sh [--systemd] [--launcher VRUN] [--kernel FLAVOUR] WORKDIR [PROGRAM...]
#
# With --systemd the machine has systemd, its bus, and a user manager for uid
# 1000, copied from the host that this runs on. With --launcher it has the
# program VRUN, what that needs, a disk and a user, and runs launcher.sh,
# fabric.sh, oci.sh and limits.sh; with both the last two and, with Debian's
# podman, podman.sh.
# FLAVOUR is the kernel's package without "linux-image-" and machine, "cloud"
# or "6.12-cloud"; what apt does not know is skipped.
#
#   VRUN_VM_KERNEL   a kernel image to boot instead of Debian's; its modules
#                    are looked for in VRUN_VM_MODULES, a directory
#   VRUN_VM_APPEND   more words for the kernel's command line
#   VRUN_VM_TIMEOUT  seconds until the machine is given up (default 300)
#
# Needs qemu-system-x86, busybox-static and, for the kernel, apt; with
# Debian's apparmor oci.sh looks at profiles, too.

set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
with_systemd='' launcher='' flavour=''
while [[ $1 == --* ]]; do
	case $1 in
	--systemd) with_systemd=1 ;;
	--launcher) launcher=$2 && shift ;;
	--kernel) flavour=$2 && shift ;;
	*) exit 2 ;;
	esac
	shift
done
work=$1
shift
mkdir -p "$work"
work=$(cd "$work" && pwd)

die()
{
	echo "Bail out! $*"
	exit 99
}

case $(uname -m) in
x86_64) qemu=(qemu-system-x86_64) console=ttyS0 machine=amd64 ;;
aarch64) qemu=(qemu-system-aarch64 -machine virt) console=ttyAMA0 machine=arm64 ;;
*) die "no virtual machine for $(uname -m)" ;;
esac
package=linux-image-${flavour:-cloud}-$machine

# Debian's kernel: the one that the package of the flavour depends on, unpacked, not installed. Sets
# $kernel, and $modules to the directory with those that a launch needs.
fetch_kernel()
{
	local name

	name=$(apt-cache depends --important "$package" 2>/dev/null |
		sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1)
	if [[ -z $name && -n $flavour ]]; then
		echo "1..0 # SKIP apt knows no $package"
		exit 0
	fi
	[[ -n $name ]] || die "apt knows no $package (apt-get update?)"
	kernel=$work/$name.vmlinuz modules=$work/$name.modules
	[[ ! -s $kernel || ! -d $modules ]] || return 0
	rm -rf "$work/unpack" "$modules"
	mkdir -p "$work/unpack" "$modules"
	(cd "$work/unpack" && apt-get download -qq "$name" >&2)
	dpkg-deb --fsys-tarfile "$work"/unpack/*.deb | tar -x -C "$work/unpack" --wildcards \
		'./boot/vmlinuz-*' '*/overlay.ko*' '*/loop.ko*' \
		'*/veth.ko*' '*/inet_diag.ko*' '*/tcp_diag.ko*' '*/unix_diag.ko*' \
		'*/ipip.ko*' '*/ip_tunnel.ko*' '*/tunnel4.ko*' || :
	find "$work/unpack" -name '*.ko*' -exec cp -t "$modules" {} +
	! ls "$modules"/*.xz >/dev/null 2>&1 || xz -d "$modules"/*.xz
	mv "$work"/unpack/boot/vmlinuz-* "$kernel"
	rm -rf "$work/unpack"
}

# add FILE [PATH]: into the tree at PATH (default: where it is), with the libraries it is linked with.
add()
{
	local library

	install -D "$1" "$tree${2:-$1}"
	while read -r library; do
		[[ -e $tree$library ]] || install -D "$library" "$tree$library"
	done < <(ldd "$1" 2>/dev/null | grep -o '/[^ ]*')
}

# The parts of systemd that a manager, a bus and a user's manager need, and units that run the tests.
add_systemd()
{
	local file

	for file in /usr/lib/systemd/systemd /usr/lib/systemd/systemd-executor /usr/bin/busctl \
		/usr/bin/systemctl /usr/bin/dbus-daemon; do
		[[ ! -e $file ]] || add "$file"
	done
	for file in /usr/lib/systemd/system/{basic,sysinit,sockets,paths,timers,slices,local-fs,swap,shutdown,umount,final}.target \
		/usr/lib/systemd/system/{user,dbus}.s{lice,ocket,ervice} \
		/usr/lib/systemd/user/{basic,default,sockets,paths,timers,shutdown,exit}.target \
		/usr/lib/systemd/user/{app,session,background}.slice \
		/usr/lib/systemd/user/dbus.{service,socket} \
		/usr/share/dbus-1/{system,session}.conf \
		/usr/share/dbus-1/system.d/org.freedesktop.systemd1.conf; do
		[[ ! -e $file ]] || install -D -m 644 "$file" "$tree$file"
	done
	mkdir -p "$tree"/usr/lib/systemd/{system,user}/sockets.target.wants "$tree/etc/systemd/system"
	ln -s ../dbus.socket "$tree/usr/lib/systemd/system/sockets.target.wants/dbus.socket"
	ln -s ../dbus.socket "$tree/usr/lib/systemd/user/sockets.target.wants/dbus.socket"
	cp "$here"/systemd/* "$tree/etc/systemd/system/"
	printf '[Manager]\nDefaultStandardOutput=null\n' >"$tree/etc/systemd/system.conf"
	ln -s /usr/lib "$tree/lib"
	echo 0123456789abcdef0123456789abcdef >"$tree/etc/machine-id"
	printf 'messagebus:x:101:101::/:/bin/false\nuser:x:1000:1000::/tmp:/bin/sh\n' >>"$tree/etc/passwd"
	printf 'root:x:0:\nmessagebus:x:101:\nuser:x:1000:\n' >"$tree/etc/group"
	echo 'ID=vrun-test' >"$tree/etc/os-release"
}

# The launcher, what it calls, what its tests call, and the kernel's modules.
add_launcher()
{
	local file

	add "$launcher" /usr/bin/vrun
	for file in newuidmap newgidmap setpriv script jq; do
		command -v "$file" >/dev/null || die "$file is not installed"
		add "$(command -v "$file")" "/usr/bin/$file"
	done
	mkdir -p "$tree/tests-data"
	[[ -z $modules ]] || cp "$modules"/*.ko "$tree/tests-data/"
	cp "$here/../bats/config.json" "$here/common.sh" "$here/refused.sh" "$tree/tests-data/"
	install -D -m 755 "$here/limits.sh" "$tree/tests/limits.sh"
	install -D -m 755 "$here/oci.sh" "$tree/tests/oci.sh"
	if [[ -z $with_systemd ]]; then
		install -D -m 755 "$here/launcher.sh" "$tree/tests/launcher.sh"
		install -D -m 755 "$here/fabric.sh" "$tree/tests/fabric.sh"
		add "$(dirname "$launcher")/vrun-resolver" /usr/bin/vrun-resolver
		for file in flows unixes; do
			install -D "$(dirname "$launcher")/tests/guest/$file" "$tree/tests-data/rootfs/bin/$file"
		done
		printf 'user:x:1000:1000::/disk/user:/bin/sh\n' >>"$tree/etc/passwd"
		printf 'root:x:0:\nuser:x:1000:\n' >>"$tree/etc/group"
	fi
	# AppArmor's compiler needs no such kernel, and its loader is a file of the guest's.
	if command -v apparmor_parser >/dev/null; then
		apparmor_parser -Q -S -K -M /usr/share/apparmor-features/features "$here/apparmor.profile" \
			>"$tree/tests-data/apparmor.bin"
	fi
	# Under systemd podman is there, too, where this host has it.
	if [[ -n $with_systemd ]] && command -v podman >/dev/null; then
		for file in podman conmon systemd-run; do
			command -v "$file" >/dev/null || die "$file is not installed"
			add "$(command -v "$file")" "/usr/bin/$file"
		done
		install -D -m 755 "$here/podman.sh" "$tree/tests/podman.sh"
	fi
	echo 'user:100000:65536' | tee "$tree/etc/subuid" >"$tree/etc/subgid"
}

command -v "${qemu[0]}" >/dev/null || die "${qemu[0]} is not installed"
busybox=$(command -v busybox) || die "busybox-static is not installed"
ldd "$busybox" >/dev/null 2>&1 && die "busybox is not static (install busybox-static)"
kernel=${VRUN_VM_KERNEL-} modules=${VRUN_VM_MODULES-}
[[ -n $kernel ]] || fetch_kernel

tree=$(mktemp -d "$work/tree.XXXXXX")
trap 'rm -rf "$tree" "$tree.cpio"' EXIT
chmod 755 "$tree"
mkdir -p "$tree"/{bin,dev,proc,sys,tmp,run,etc,usr/lib,var}
echo 'root:x:0:0:root:/:/bin/sh' >"$tree/etc/passwd"
[[ -z $with_systemd ]] || add_systemd
[[ -z $launcher ]] || add_launcher
install -m 755 "$busybox" "$tree/bin/busybox"
install -m 755 "$here/init.sh" "$tree/init"
for program; do
	add "$program" "/tests/$(basename "$program")"
done
(cd "$tree" && find . | busybox cpio -o -H newc 2>/dev/null) >"$tree.cpio"

# KVM where it works; a device node alone says little, so it is tried.
accel=tcg
if [[ -w /dev/kvm ]] && timeout 5 "${qemu[@]}" -accel kvm -display none -nodefaults -S \
	-monitor stdio </dev/null >/dev/null 2>&1; then
	accel=kvm
fi
# Emulated, cmpxchg16b leaves rubbish in the flags (QEMU 7.2), of which some kernels die, each time elsewhere: Debian's
# 6.12.107. Without it they take another way.
cpu=()
[[ $accel$machine != tcgamd64 ]] || cpu=(-cpu "qemu64,-cx16")
echo "# $(basename "$kernel"), $accel${with_systemd:+, systemd}${launcher:+, launcher}"

timeout "${VRUN_VM_TIMEOUT:-300}" "${qemu[@]}" -accel "$accel" "${cpu[@]}" -m 1280 -smp 2 -display none \
	-nodefaults -no-reboot -serial stdio -kernel "$kernel" -initrd "$tree.cpio" \
	-append "console=$console ${VRUN_VM_APPEND-} loglevel=0 panic=-1 cgroup_no_v1=all ${launcher:+vm.launcher} ${with_systemd:+vm.systemd systemd.unit=vm-tests.service systemd.show_status=no systemd.log_target=null systemd.unified_cgroup_hierarchy=1}" \
	</dev/null 2>"$work/qemu.err" | tr -d '\r' >"$work/console" || true

sed -n '/^VM-BEGIN/,/^VM-END/p' "$work/console" | sed '/^VM-/d'
if grep -q '^not ok' "$work/console" || ! grep -q '^VM-END 0$' "$work/console"; then
	tail -n 20 "$work/console" "$work/qemu.err" | sed 's/^/# /'
	echo "not ok - every program in the machine succeeded"
	exit 1
fi
