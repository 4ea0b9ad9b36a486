# SPDX-License-Identifier: GPL-2.0-or-later
"""VMs as KVM tells of them: uevents of /dev/kvm (kvm_uevent_notify_change, virt/kvm/kvm_main.c).

One "change" each with EVENT=create or destroy, and in PID= the thread that made the VM.
"""

from __future__ import annotations

import errno
import socket
from typing import Final

from kvmlog.guests.proc import thread_group, vm_processes

# linux/netlink.h; the socket module has no name for it.
NETLINK_KOBJECT_UEVENT: Final = 15
_KERNELS_GROUP: Final = 1
# The kernel's own limit is 2,048 bytes of variables (UEVENT_BUFFER_SIZE) and the path.
_EVENT_BYTES: Final = 8192
_BUFFER_BYTES: Final = 1 << 18
# At most so many per call: the caller has other work, and a selector calls again.
_EVENTS_AT_ONCE: Final = 256


class VmEvents:
    """A socket that tells when a process makes a VM; for a selector."""

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
        """None where the kernel gives no such socket: guests are found when they have exits."""
        try:
            return cls(root=root)
        except OSError:
            return None

    def fileno(self) -> int:
        """For the selector."""
        return self.socket.fileno()

    def handle(self) -> list[int]:
        """The tgids of processes that made a VM; after a loss, of all that hold one now.

        KVM tells before the descriptor is there: the process may not be found by it yet. Never
        raises for what arrives.
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
                # Some were lost; which, nobody knows.
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
        """Closes the socket."""
        self.socket.close()


def created_by(event: bytes) -> int | None:
    """The thread that made a VM, from an event's bytes; None for all other events, and garbage."""
    head, *variables = event.split(b"\0")
    if not head.startswith(b"change@") or not head.endswith(b"/misc/kvm"):
        return None
    values = dict(variable.partition(b"=")[::2] for variable in variables)
    # Somebody wrote into the device's uevent file: nothing has happened.
    if b"SYNTH_UUID" in values or values.get(b"EVENT") != b"create":
        return None
    pid = values.get(b"PID", b"")
    return int(pid) if pid.isdigit() and len(pid) <= len(str(2**32)) and int(pid) else None
