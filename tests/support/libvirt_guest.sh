#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-or-later
# /init of a guest of libvirt: drivers, then a shell on the serial line that does what it is told.
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
while read -r module; do
	insmod "/modules/$module"
done </modules/order
# Only what a test sends.
ip link set eth0 up
stty -F /dev/ttyS0 -echo
# Who connects late sees it too.
# shellcheck disable=SC3045 # busybox has -t
until read -r -t 1 _; do
	echo up
done </dev/ttyS0 >/dev/ttyS0 2>&1
exec setsid sh -c 'PS1= exec sh </dev/ttyS0 >/dev/ttyS0 2>&1'
