# SPDX-License-Identifier: GPL-2.0-or-later
"""KVM's announcements of VMs: uevents of /dev/kvm (kvm_uevent_notify_change in kvm_main.c).

Each is a "change" with EVENT=create or destroy, and in PID= the thread that created the VM.
"""

from __future__ import annotations

import errno
import socket
from typing import Final

from kvmlog.guests.proc import thread_group, vm_processes
from kvmlog.util.closeable import Closeable

# linux/netlink.h; the socket module has no name for it.
NETLINK_KOBJECT_UEVENT: Final = 15
_KERNELS_GROUP: Final = 1
# The kernel's own limit is 2,048 bytes of variables (UEVENT_BUFFER_SIZE) and the path.
_EVENT_BYTES: Final = 8192
_BUFFER_BYTES: Final = 1 << 18
# Limit per call: the caller has other work, and a selector calls again.
_EVENTS_AT_ONCE: Final = 256


class VmEvents(Closeable):
    """A socket, for a selector, that receives an event when a process creates a VM."""

    def __init__(self, buffer_bytes: int = _BUFFER_BYTES, root: str = "/proc") -> None:
        """OSError where the kernel gives no such socket."""
        self._root = root
        self.socket = socket.socket(
            socket.AF_NETLINK,
            socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC,
            NETLINK_KOBJECT_UEVENT,
        )
        try:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
            self.socket.bind((0, _KERNELS_GROUP))
        except BaseException:
            self.socket.close()
            raise

    @classmethod
    def open(cls, root: str = "/proc") -> VmEvents | None:
        """Open it; None where the kernel gives no such socket: exits then announce the guests."""
        try:
            return cls(root=root)
        except OSError:
            return None

    def fileno(self) -> int:
        """Return the socket's descriptor."""
        return self.socket.fileno()

    def handle(self) -> list[int]:
        """Return the tgids of processes that created a VM; after a loss, of all that hold one now.

        KVM sends the event before the descriptor exists: vm_processes() may not find the process
        yet. No message makes this raise.
        """
        found: dict[int, None] = {}
        lost = False
        for _ in range(_EVENTS_AT_ONCE):
            try:
                event, sender = self.socket.recvfrom(_EVENT_BYTES)
            except InterruptedError:
                continue
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    break
                # Some events were lost, of unknown processes.
                lost = True
                continue
            # Only the kernel has the port 0.
            tid = created_by(event) if sender[0] == 0 else None
            pid = None if tid is None else thread_group(tid, self._root)
            if pid is not None:
                found[pid] = None
        if lost:
            found.update(dict.fromkeys(vm_processes(self._root)))
        return list(found)

    def close(self) -> None:
        """Close the socket; a second call does nothing."""
        self.socket.close()


def created_by(event: bytes) -> int | None:
    """Return the thread that created a VM, from an event's bytes; None for any other event."""
    head, *variables = event.split(b"\0")
    if not head.startswith(b"change@") or not head.endswith(b"/misc/kvm"):
        return None
    values = dict(variable.partition(b"=")[::2] for variable in variables)
    # Synthetic: somebody wrote to the device's uevent file, nothing has happened.
    if b"SYNTH_UUID" in values or values.get(b"EVENT") != b"create":
        return None
    pid = values.get(b"PID", b"")
    return int(pid) if pid.isdigit() and len(pid) <= len(str(2**32)) and int(pid) else None
