# SPDX-License-Identifier: GPL-2.0-or-later
"""VMs as KVM tells of them: uevents of /dev/kvm."""

from __future__ import annotations


class VmEvents:
    """A socket that tells when a process makes a VM; for a selector."""

    @classmethod
    def open(cls, root: str = "/proc") -> VmEvents | None:
        """None where the kernel gives no such socket: guests are found when they have exits."""
        raise NotImplementedError

    def fileno(self) -> int:
        """For the selector."""
        raise NotImplementedError

    def handle(self) -> list[int]:
        """The tgids of processes that made a VM; after a loss, of all that hold one now."""
        raise NotImplementedError

    def close(self) -> None:
        """Closes the socket."""
        raise NotImplementedError
