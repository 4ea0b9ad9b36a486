#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-or-later
# The first process of a machine in Bochs. Packed by machine.py with /vm/config.sh beside it:
#   VM_MODULES   what to insmod, in order: KVM, then kvmlog
# It runs /vm/scenario.sh, whose output goes out through kvmlog-port, and last of all its
# status, as "exit N". The console (ttyS0) is the kernel's.

bb=/bin/busybox

$bb --install -s /bin
$bb mount -t devtmpfs dev /dev
$bb mount -t proc proc /proc
$bb mount -t sysfs sys /sys
$bb mount -t tracefs tracefs /sys/kernel/tracing
$bb mkfifo /tmp/output
/bin/kvmlog-port </tmp/output &
port=$!
exec </dev/null >/tmp/output 2>&1
. /vm/config.sh
for module in $VM_MODULES; do
	$bb insmod "/vm/$module" || echo "init: FATAL: insmod $module failed" >/dev/console
done
PATH=/bin $bb setsid $bb sh /vm/scenario.sh
echo "exit $?"
exec >/dev/null 2>&1
wait $port
$bb poweroff -f
