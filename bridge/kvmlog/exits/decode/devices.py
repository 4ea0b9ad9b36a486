# SPDX-License-Identifier: GPL-2.0-or-later
"""The device behind a port or an address of a PC, in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kvmlog.exits.decode import gpa, ports


@dataclass(frozen=True)
class Place:
    """A port or an address; words: what the column DETAIL shows where the VMM has a device."""

    kind: str  # port, gpa
    number: int
    words: str
    name: str | None
    note: str | None

    def sentence(self) -> str:
        """Return "port 0xcf8 (pci-config): PCI configuration, address"."""
        return f"{self.words}: {self.note or 'no device that every PC or QEMU has there'}"

    def describe(self) -> dict[str, Any]:
        """Return a JSON-ready object, with the members that records have for their detail."""
        return {
            "detail": self.number,
            "detail_kind": self.kind,
            "detail_words": self.words,
            "detail_name": self.name,
            "detail_note": self.note,
        }


def at_port(port: int) -> Place:
    """Return the device behind a port."""
    name = ports.port_name(port)
    return Place("port", port, _words("port", port, name), name, ports.port_note(port))


def at_address(address: int) -> Place:
    """Return the device at a guest physical address, or what else is there."""
    name = gpa.gpa_name(address, is_device=True)
    return Place("gpa", address, _words("gpa", address, name), name, gpa.gpa_note(address))


def _words(kind: str, number: int, name: str | None) -> str:
    return f"{kind} {number:#x}" + (f" ({name})" if name else "")
