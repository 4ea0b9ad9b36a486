#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What `make vm` runs in its VM, at a terminal: provisions it, starts a guest, and gives a shell.

guest=(build/guest/kvmlog-guest --turns 0 --name demo-guest --kinds "cpuid,pio,mmio,hlt,msr" --hlt timer --pause-ms 400)

if ! vagrant/provision.sh --from-build; then
	echo "vm: the VM is not provisioned; mend what is said above (exit ends the VM)"
	bash --norc -i
	exit 1
fi
setsid "${guest[@]}" </dev/null >/run/demo-guest.log 2>&1 &
# As README.md has it for nc, and kvmlog switch on would: that takes seconds to start in emulation.
exec 3<>/dev/udp/127.0.0.1/50000
printf on >&3
read -r -t 60 -N 5 answer <&3 && [[ $answer == "ok on" ]] || echo "vm: tracing was not switched on: see kvmlog status"
exec 3>&-
cat <<END

A traced KVM host of your own: kernel $(uname -r), a guest that is called demo-guest, tracing is on.
  kvmlog tail            live exits (Ctrl-C ends it)
  kvmlog stat -i 1       what came each second, and where the time went
  kvmlog status          what runs; the services' logs are in /run/kvmlog-services
  kvmlog demo            a whole session over RPC, with a guest of QEMU
  vagrant/reload.sh      after \`make kmod\` outside, or a change of a Python file: reloads all
This directory is the one outside; everything else forgets what you do. exit ends the VM;
three times Ctrl-] does when it hangs.

END
export PS1='[kvmlog-vm \W]# '
bash --norc -i
exit 0
