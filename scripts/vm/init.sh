#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-or-later
# The first process of a VM, run by busybox from the initramfs that
# scripts/vm/initramfs.py packs, with /vm/config.sh beside it:
#   VM_PROJECT       the project's directory, the one that is writable
#   VM_CWD           where the command runs
#   VM_MODULES_DIR   the kernel's lib/modules/VERSION, below VM_PROJECT
#   VM_BOOT_MODULES  what to insmod, in order, to reach the root file system
#   VM_LOAD          modules to load before the command
#   VM_TERM          where somebody sits at the command: what is in its TERM; the port "terminal" leads there,
#                    and the port "window" tells its size, "ROWS COLUMNS" in a line, whenever it changes
# It ends by writing "exit N" to the port "control" and powering off.

bb=/bin/busybox

stage_one() {
	$bb mount -t devtmpfs dev /dev
	$bb mount -t proc proc /proc
	$bb mount -t sysfs sys /sys
	exec </dev/console >/dev/console 2>&1
	. /vm/config.sh
	for module in $VM_BOOT_MODULES; do
		$bb insmod "/vm/$module" || echo "init: insmod $module failed"
	done
	options=trans=virtio,version=9p2000.L,msize=512000
	# Nobody else changes the files; somebody who works with a VM does, while it runs.
	project_cache=loose
	[ -z "$VM_TERM" ] || project_cache=mmap
	$bb mount -t 9p -o "ro,$options,cache=loose" root /lower || fail "the root file system does not mount"
	$bb mount -t tmpfs -o mode=755 upper /upper
	$bb mkdir /upper/data /upper/work
	[ -z "$VM_TERM" ] || own_what_is_hidden
	$bb mount -t overlay -o lowerdir=/lower,upperdir=/upper/data,workdir=/upper/work root /root ||
		fail "the overlay does not mount"
	for directory in tmp run var/tmp dev/shm; do
		$bb mount -t tmpfs -o mode=1777 tmpfs "/root/$directory" 2>/dev/null
	done
	$bb chmod 755 /root/run
	[ -z "$VM_TERM" ] || $bb mount -t tmpfs -o mode=700 home /root/root
	$bb mkdir -p /root/run/lock "/root$VM_PROJECT"
	$bb mount -t 9p -o "$options,cache=$project_cache" project "/root$VM_PROJECT" || fail "the project does not mount"
	$bb mkdir -p /root/lib/modules
	$bb mount -t tmpfs -o mode=755 modules /root/lib/modules
	$bb ln -s "$VM_MODULES_DIR" "/root/lib/modules/$($bb uname -r)"
	for directory in dev proc sys; do
		$bb mount --move "/$directory" "/root/$directory"
	done
	$bb cp -a /vm /root/run/kvmlog-vm
	$bb cp -a $bb /root/run/kvmlog-vm/busybox
	exec $bb switch_root /root /run/kvmlog-vm/busybox sh /run/kvmlog-vm/init.sh two
}

# QEMU reads the files as the developer, who may not be root: what root alone may read is the VM's own.
own_what_is_hidden() {
	$bb mkdir /upper/data/etc
	for file in shadow gshadow .pwd.lock; do
		$bb cat "/lower/etc/$file" >/dev/null 2>&1 && continue
		: >"/upper/data/etc/$file"
		$bb chmod 600 "/upper/data/etc/$file"
	done
}

stage_two() {
	bb=/run/kvmlog-vm/busybox
	. /run/kvmlog-vm/config.sh
	export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
	export HOME=/root LANG=C.UTF-8 TERM=dumb
	$bb mkdir -p /dev/pts /dev/shm
	$bb mount -t devpts -o mode=620,ptmxmode=666 devpts /dev/pts
	$bb mount -t tmpfs -o mode=1777 shm /dev/shm
	$bb ln -s /proc/self/fd /dev/fd
	$bb ln -s /proc/self/fd/0 /dev/stdin
	$bb ln -s /proc/self/fd/1 /dev/stdout
	$bb ln -s /proc/self/fd/2 /dev/stderr
	$bb mount -t cgroup2 cgroup2 /sys/fs/cgroup
	$bb mount -t debugfs debugfs /sys/kernel/debug
	$bb mount -t tracefs tracefs /sys/kernel/tracing
	$bb mount -t bpf bpf /sys/fs/bpf
	$bb hostname kvmlog-vm
	$bb ip link set lo up
	for module in $VM_LOAD; do
		modprobe "$module" || fail "modprobe $module failed"
	done
	[ -e /dev/kvm ] && $bb chmod 666 /dev/kvm
	# From here on the console is the kernel's alone, and shows all that it says.
	echo 8 >/proc/sys/kernel/printk
	if [ -n "$VM_TERM" ]; then
		run_at_terminal
	else
		run_command
	fi
	$bb dmesg -n 1
	$bb sync
	say "exit $status"
	power_off
}

# The command writes to pipes, not to the ports themselves: a port can be opened
# only once, and so /dev/stdout would not open.
run_command() {
	stdout_port=$(port stdout)
	stderr_port=$(port stderr)
	$bb mkfifo /run/kvmlog-vm/stdout /run/kvmlog-vm/stderr
	$bb cat /run/kvmlog-vm/stdout >"$stdout_port" &
	stdout_pid=$!
	$bb cat /run/kvmlog-vm/stderr >"$stderr_port" &
	stderr_pid=$!
	say started
	(
		cd "$VM_CWD" || exit 127
		exec $bb setsid /bin/bash /run/kvmlog-vm/command.sh
	) </dev/null >/run/kvmlog-vm/stdout 2>/run/kvmlog-vm/stderr
	status=$?
	# What the command left running may hold the pipes open: wait a while, not for ever.
	tries=0
	while [ $tries -lt 20 ]; do
		kill -0 $stdout_pid 2>/dev/null || kill -0 $stderr_pid 2>/dev/null || break
		$bb usleep 100000
		tries=$((tries + 1))
	done
}

# The command gets a terminal of its own: job control, and signals by key. A virtio console
# would be a tty by itself, but QEMU throws away what such a one prints too fast.
run_at_terminal() {
	export TERM="$VM_TERM" VM_CWD
	say started
	script --quiet --return --echo always --command "$bb sh /run/kvmlog-vm/init.sh at-terminal" /dev/null \
		<>"$(port terminal)" >&0 2>&0
	status=$?
}

at_terminal() {
	$bb stty sane iutf8
	terminal=$($bb tty)
	window=$(port window)
	while read -r rows columns; do
		$bb stty -F "$terminal" rows "$rows" columns "$columns"
	done <"$window" &
	cd "$VM_CWD" || exit 127
	exec /bin/bash /run/kvmlog-vm/command.sh
}

# The device of a virtio-serial port: /dev/vport0p1 for "stdout".
port() {
	for entry in /sys/class/virtio-ports/*; do
		if [ "$($bb cat "$entry/name")" = "$1" ]; then
			echo "/dev/${entry##*/}"
			return
		fi
	done
	fail "no virtio port $1"
}

say() {
	echo "$1" >"$(port control)"
}

fail() {
	echo "init: FATAL: $1"
	power_off
}

power_off() {
	echo o >/proc/sysrq-trigger
	$bb sleep 60
}

case $1 in
two) stage_two ;;
at-terminal) at_terminal ;;
*) stage_one ;;
esac
