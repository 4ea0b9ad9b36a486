#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-or-later
# The host sleeps while guests run in it and kvmlog traces them, VM_SLEEPS times in each of two ways:
#   core   the kernel goes all the way but the last step, and waits instead of
#          sleeping (/sys/power/pm_test): all clocks stand still meanwhile
#   deep   the machine sleeps (ACPI S3) until QEMU wakes it
# Says how each ended, how the guests did, and the kernel's own count of exits:
#   {"line": "slept", "how": "core", "status": 0}
#   hitcount lines of the hist trigger on kvm:kvm_exit

bb=/bin/busybox
event=/sys/kernel/tracing/events/kvm/kvm_exit

if [ "$1" != traced ]; then
	# By CPU: two that bring in the same new row at once may lose an exit.
	echo hist:keys=common_cpu,exit_reason:size=4096 >$event/trigger || exit 1
	/bin/kvmlog-receiver $bb sh "$0" traced
	status=$?
	$bb grep hitcount: $event/hist
	exit $status
fi

# shellcheck source=/dev/null # for VM_CORE_S and VM_SLEEPS
. /vm/config.sh

fall_asleep() {
	if echo mem >/sys/power/state; then status=0; else status=1; fi
	echo "{\"line\": \"slept\", \"how\": \"$1\", \"status\": $status}"
}

# One that waits in user space, one that is nearly always inside, one that halts in the kernel.
/bin/kvmlog-guest --json --turns 0 --vcpus 2 --kinds cpuid,pio --pause-ms 2 &
slow=$!
/bin/kvmlog-guest --json --turns 0 --kinds cpuid &
busy=$!
/bin/kvmlog-guest --json --turns 0 --kinds cpuid,hlt --hlt timer &
halting=$!
$bb sleep 0.5

echo "$VM_CORE_S" >/sys/module/suspend/parameters/pm_test_delay
echo deep >/sys/power/mem_sleep
sleeps=0
while [ $sleeps -lt "$VM_SLEEPS" ]; do
	echo core >/sys/power/pm_test
	fall_asleep core
	$bb sleep 0.5

	echo none >/sys/power/pm_test
	fall_asleep deep
	$bb sleep 0.5
	sleeps=$((sleeps + 1))
done

status=0
kill $slow $busy $halting
for guest in $slow $busy $halting; do
	wait "$guest" || status=$?
done
exit $status
