#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-or-later
# The scenario of a machine with Python: what is left to mount, then the program VM_PROGRAM of this folder, with the
# arguments VM_ARGUMENTS.

# shellcheck source=/dev/null
. /vm/config.sh
mkdir -p /dev/shm /var/tmp /root /etc /run
mount -t tmpfs shm /dev/shm
mount -t tmpfs run /run
mount -t debugfs debugfs /sys/kernel/debug
mount -t bpf bpf /sys/fs/bpf
mount -t cgroup2 cgroup2 /sys/fs/cgroup
echo root:x:0:0:root:/root:/bin/sh >/etc/passwd
echo root:x:0: >/etc/group
ln -s /proc/self/fd /dev/fd
ip link set lo up
export PATH=/usr/bin:/bin HOME=/root LANG=C.UTF-8 PYTHONDONTWRITEBYTECODE=1
cd "$VM_PROJECT" || exit 1
# shellcheck disable=SC2086 # words
exec .venv/bin/python -m "$VM_PROGRAM" $VM_ARGUMENTS
