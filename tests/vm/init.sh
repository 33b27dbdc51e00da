#!/bin/busybox sh
# shellcheck shell=dash
# SPDX-License-Identifier: Apache-2.0
#
# The first process of the test machine: mounts what a system has, runs each
# program in /tests, says how it went, and switches the machine off. With
# "vm.systemd" on the kernel's command line systemd takes its place, and runs
# it again as a service. With "vm.launcher" it moves from the initramfs, which
# cannot be pivoted away from, to a tmpfs, and makes a disk and a user.

run_tests()
{
	failed=0
	echo VM-BEGIN
	set -- /tests/*
	case $(uname -r) in
	[1-4].* | 5.[0-9].* | 5.1[0-4].*) [ ! -e /tests-data/refused.sh ] || set -- /tests-data/refused.sh ;;
	esac
	for t; do
		echo "# $t on $(uname -r)"
		"$t" 2>&1 || { echo "# $t: exit status $?"; failed=1; }
	done
	echo "VM-END $failed"
	sync
	busybox poweroff -f
}

# Everything onto a tmpfs, which becomes the root; then this script again.
leave_initramfs()
{
	local f

	mkdir /new
	mount -t tmpfs -o mode=755 root /new
	for f in /*; do
		[ "$f" = /new ] || cp -a "$f" /new/
	done
	chown -hR 0:0 /new
	exec switch_root /new /init switched
}

prepare_launcher()
{
	local module dir applet

	mount -t securityfs securityfs /sys/kernel/security
	# Twice: some need others that come later.
	for module in /tests-data/*.ko; do
		insmod "$module" 2>/dev/null
	done
	for module in /tests-data/*.ko; do
		grep -q "^$(basename "$module" .ko) " /proc/modules || insmod "$module" || echo "# $module cannot be loaded"
	done
	mkdir -p /dev/pts /disk
	mount -t devpts -o mode=620,ptmxmode=666 devpts /dev/pts
	truncate -s 200M /tmp/disk.img
	mke2fs -F /tmp/disk.img >/dev/null 2>&1
	mount -t ext4 -o loop /tmp/disk.img /disk
	chmod 1777 /tmp
	mkdir -p /root /run/root /run/user/1000 /disk/root/project /disk/user/project /disk/shown /tmp/root /tmp/user
	chmod 700 /run/root /run/user/1000
	chown 1000:1000 /run/user/1000 /disk/user /disk/user/project /tmp/user
	mkdir -p /disk/shown/sub
	mount -t tmpfs shown /disk/shown/sub
	echo one >/disk/shown/sub/a
	for dir in bin dev etc proc root run sys tmp usr var/tmp; do
		mkdir -p "/tests-data/rootfs/$dir"
	done
	cp /bin/busybox /tests-data/rootfs/bin/
	for applet in cat cut echo grep head hostname id ls mkdir mv readlink rm sed sh sleep stat stty \
		tail touch tr true tty wc; do
		ln -s busybox "/tests-data/rootfs/bin/$applet"
	done
	echo 'root:x:0:0:root:/:/bin/sh' >/tests-data/rootfs/etc/passwd
	ln -s secret /tests-data/rootfs/alias
	echo secret >/tests-data/rootfs/secret
	mknod -m 666 /disk/device c 10 237
}

export PATH=/bin:/usr/bin VRUN_MUST_WORK=1
if [ "$$" != 1 ]; then
	run_tests
	exit
fi
[ -n "$1" ] || /bin/busybox --install -s /bin
mount -t proc proc /proc
if grep -q vm.launcher /proc/cmdline && [ -z "$1" ]; then
	umount /proc
	leave_initramfs
fi
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /run
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ip link set lo up
if grep -q vm.launcher /proc/cmdline; then
	chmod u+s /usr/bin/newuidmap /usr/bin/newgidmap
fi
if grep -q vm.systemd /proc/cmdline; then
	mkdir -p /run/user/1000
	chown 1000:1000 /run/user/1000
	chmod 700 /run/user/1000
	exec /usr/lib/systemd/systemd
fi
if grep -q vm.launcher /proc/cmdline; then
	prepare_launcher
fi
run_tests
