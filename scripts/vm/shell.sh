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
# As kvmlog switch on does: that takes seconds to start in emulation.
/usr/bin/python3 -IS - 2>/dev/null <<END || echo "vm: tracing was not switched on: see kvmlog status"
import socket, sys
link = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
link.settimeout(60)
link.connect("/run/kvmlog/switch")
link.bind("")
link.send(b"on")
sys.exit(link.recv(1024) != b"ok on")
END
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
