#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-or-later
# The first process of the guest that `make run` shows. Once booted it does a little of everything
# for which a guest leaves the CPU: its clock and its console (ports), memory it has not had before
# (nested page faults), and sleep (halts, the timer's MSRs and interrupts).

bb=/bin/busybox
$bb mount -t devtmpfs dev /dev
$bb mount -t proc proc /proc
$bb mount -t sysfs sys /sys
$bb mount -t tmpfs tmp /tmp 2>/dev/null || { $bb mkdir -p /tmp && $bb mount -t tmpfs tmp /tmp; }
exec </dev/console >/dev/console 2>&1

read -r up _ </proc/uptime
echo "booted in $up s; from now on it works a little, and sleeps"
turn=0
while :; do
	turn=$((turn + 1))
	$bb dd if=/dev/zero of=/tmp/memory bs=64k count=16 2>/dev/null
	$bb gzip -c /tmp/memory | $bb md5sum >/dev/null
	$bb hwclock -r >/dev/null 2>&1
	read -r up _ </proc/uptime
	echo "turn $turn, up $up s"
	$bb usleep 300000
done
