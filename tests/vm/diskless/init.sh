#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-or-later
# The first process of a VM that has no device but two serial ports, because those
# of its kind survive suspend and virtio's do not. Packed by machine.py with
# /vm/config.sh beside it:
#   VM_MODULES   what to insmod, in order: KVM, then kvmlog
# It runs /vm/scenario.sh. The console (ttyS0) is the kernel's; what the programs say
# goes to the second port, and last of all the scenario's status, as "exit N".

bb=/bin/busybox

$bb mount -t devtmpfs dev /dev
$bb mount -t proc proc /proc
$bb mount -t sysfs sys /sys
$bb mount -t tracefs tracefs /sys/kernel/tracing
exec </dev/null >/dev/ttyS1 2>&1
. /vm/config.sh
for module in $VM_MODULES; do
	$bb insmod "/vm/$module" || echo "init: FATAL: insmod $module failed" >/dev/console
done
echo 8 >/proc/sys/kernel/printk
# A session of its own: what it does to its process group does not reach this one.
$bb setsid $bb sh /vm/scenario.sh
echo "exit $?"
# The last close of a serial port waits until all is sent.
exec >/dev/null 2>&1
# A reset ends the VM (-no-reboot): QEMU does not power off any more after S3.
echo b >/proc/sysrq-trigger
$bb sleep 60
