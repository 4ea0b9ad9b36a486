# SPDX-License-Identifier: GPL-2.0-or-later
"""KVM's announcements of VMs: uevents of /dev/kvm (kvm_uevent_notify_change in kvm_main.c).

Each is a "change" with EVENT=create or destroy, and in PID= the thread that created the VM.
KVM destroys a VM when its last descriptor is closed, with or without the process that made it.
"""

from __future__ import annotations

import contextlib
import errno
import socket
from typing import Final, NamedTuple

from kvmlog.guests.proc import thread_group, vm_processes
from kvmlog.util.closeable import Closeable

# linux/netlink.h; the socket module has no name for it.
NETLINK_KOBJECT_UEVENT: Final = 15
_KERNELS_GROUP: Final = 1
# The kernel's own limit is 2,048 bytes of variables (UEVENT_BUFFER_SIZE) and the path.
_EVENT_BYTES: Final = 8192
# Some 1,000 events: a host may start hundreds of guests at once, each with other devices' events.
_BUFFER_BYTES: Final = 2 << 20
_SO_RCVBUFFORCE: Final = 33
# Limit per call: the caller has other work, and a selector calls again.
_EVENTS_AT_ONCE: Final = 256


class VmEvent(NamedTuple):
    """A VM came or went; pid: of the thread that made it, or of its process."""

    pid: int
    created: bool


class VmEvents(Closeable):
    """A socket, for a selector, that receives an event when a VM is created or destroyed."""

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
            with contextlib.suppress(PermissionError):
                # Beyond net.core.rmem_max.
                self.socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, buffer_bytes)
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

    def handle(self) -> list[VmEvent]:
        """Return the processes that created or lost a VM; after a loss, all that hold one now.

        KVM sends the event before the descriptor exists: vm_processes() may not find the process
        yet. No message makes this raise.
        """
        found: dict[VmEvent, None] = {}
        lost = False
        for _ in range(_EVENTS_AT_ONCE):
            try:
                raw, sender = self.socket.recvfrom(_EVENT_BYTES)
            except InterruptedError:
                continue
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    break
                # Some events were lost, of unknown processes.
                lost = True
                continue
            # Only the kernel has the port 0.
            event = vm_event(raw) if sender[0] == 0 else None
            pid = None if event is None else thread_group(event.pid, self._root)
            if event is not None and pid is not None:
                found[VmEvent(pid, event.created)] = None
        if lost:
            found.update((VmEvent(pid, True), None) for pid in vm_processes(self._root))
        return list(found)

    def close(self) -> None:
        """Close the socket; a second call does nothing."""
        self.socket.close()


def vm_event(event: bytes) -> VmEvent | None:
    """Parse an event's bytes, with a thread's id as pid; None for any other event."""
    head, *variables = event.split(b"\0")
    if not head.startswith(b"change@") or not head.endswith(b"/misc/kvm"):
        return None
    values = dict(variable.partition(b"=")[::2] for variable in variables)
    what, pid = values.get(b"EVENT"), values.get(b"PID", b"")
    # Synthetic: somebody wrote to the device's uevent file, nothing has happened.
    if b"SYNTH_UUID" in values or what not in (b"create", b"destroy"):
        return None
    if not pid.isdigit() or len(pid) > len(str(2**32)) or not int(pid):
        return None
    return VmEvent(int(pid), what == b"create")
