#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Guests run one after the other, each traced by kvmlog and by the kernel's own events at once:
#   === run NAME COMMAND...
#   lines of kvmlog-receiver (JSON)
#   === trace
#   lines of ftrace
#   === end STATUS
# and before them, after each loading of kvm_intel, "=== kvm_intel NAME=VALUE..." (its parameters); first
# of all what the kernel says of control-flow integrity, and kvmlog of the functions that it calls.

tracing=/sys/kernel/tracing

echo mono >$tracing/trace_clock
echo 4096 >$tracing/buffer_size_kb

enable_events() {
	for event in exit entry userspace_exit page_fault mmio fast_mmio pio cpuid msr cr eoi hypercall vcpu_wakeup \
		apic nested_vmexit nested_vmexit_inject; do
		echo 1 >$tracing/events/kvm/kvm_$event/enable
	done
}

tell_parameters() {
	line="=== kvm_intel"
	for parameter in ept unrestricted_guest flexpriority enable_apicv pml nested preemption_timer; do
		line="$line $parameter=$(cat /sys/module/kvm_intel/parameters/$parameter 2>/dev/null)"
	done
	echo "$line"
}

# reload [PARAMETER=VALUE...]
reload() {
	rmmod kvm_intel && insmod /vm/kvm-intel.ko "$@" || exit 1
	tell_parameters
}

# run NAME COMMAND...
run() {
	echo "=== run $*"
	shift
	echo >$tracing/trace
	echo 1 >$tracing/tracing_on
	# shellcheck disable=SC2016 # expanded by the inner shell
	kvmlog-receiver --records sh -c '"$0" "$@" >/tmp/guest.log 2>&1' "$@"
	status=$?
	echo 0 >$tracing/tracing_on
	echo "=== trace"
	grep -v '^#' $tracing/trace
	echo "=== end $status"
	[ $status = 0 ] || cat /tmp/guest.log
}

dmesg | grep -E 'Indirect Branch Tracking|kvmlog: '
echo 0 >$tracing/tracing_on
enable_events
tell_parameters
run kinds kvmlog-vmx-guest kinds
run steps kvmlog-vmx-guest kinds 12
run spin kvmlog-vmx-guest spin
run window kvmlog-vmx-guest window
run dirty kvmlog-vmx-guest dirty
run level kvmlog-vmx-guest level
run nested kvmlog-vmx-guest nested
run turns kvmlog-guest --turns 300 --kinds cpuid,pio,mmio,hlt,msr --json
run two-vcpus kvmlog-guest --vcpus 2 --turns 50 --kinds cpuid,pio,mmio,hlt,msr --json
run two-timers kvmlog-guest --vcpus 2 --turns 4 --kinds cpuid,hlt --hlt timer --halt-us 500 --json
run timer kvmlog-guest --turns 4 --kinds cpuid,hlt --hlt timer --halt-us 500 --json
reload enable_apicv=0
run timer-plain kvmlog-guest --turns 4 --kinds cpuid,hlt --hlt timer --halt-us 500 --json
reload ept=0
run kinds-shadow kvmlog-vmx-guest kinds
run timer-shadow kvmlog-guest --turns 4 --kinds cpuid,hlt --hlt timer --halt-us 500 --json
