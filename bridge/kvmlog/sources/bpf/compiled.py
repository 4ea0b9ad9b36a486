# SPDX-License-Identifier: GPL-2.0-or-later
"""Compiled programs, before they are loaded: bytes that depend on text and macros only.

An instruction that loads a map has the map's place in MAPS where the kernel takes a descriptor.
As a file they are three lines: what it is, the SHA-256 of the third, a JSON object.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

# The maps of bridge/bpf/maps.c, in the order in which compiled programs number them.
MAPS: Final = (
    "kvmlog_control",
    "kvmlog_cpus",
    "kvmlog_records",
    "kvmlog_slots",
    "kvmlog_threads",
    "kvmlog_free",
    "kvmlog_guests",
    "kvmlog_tgids",
)
# Far above what programs have: 60 KB in all.
MOST_BYTES: Final = 1 << 20
MAGIC: Final = b"kvmlog BPF programs 1"
# With which the compiler answers that there are none.
ERROR: Final = b"error: "
_INSTRUCTION: Final = struct.Struct("<BBhi")  # code, registers, offset, immediate
_LOAD_WIDE: Final = 0x18  # of two instructions (BPF_LD | BPF_DW | BPF_IMM, linux/bpf.h)
_FROM_MAP: Final = 1  # BPF_PSEUDO_MAP_FD, as source register


class DamagedError(Exception):
    """What was read are no compiled programs; the text says in a few words why not."""


@dataclass(frozen=True)
class Compiled:
    """programs: instructions by the function's name; compiler: "bcc 0.26.0"."""

    programs: Mapping[str, bytes]
    compiler: str

    def to_bytes(self, key: str) -> bytes:
        """Return them as a file; key: what they were compiled from (cache.key_of)."""
        programs = {name: base64.b64encode(code).decode() for name, code in self.programs.items()}
        fields = {"key": key, "compiler": self.compiler, "programs": programs}
        body = json.dumps(fields).encode("ascii")
        return b"\n".join((MAGIC, hashlib.sha256(body).hexdigest().encode(), body)) + b"\n"

    @staticmethod
    def from_bytes(data: bytes, key: str | None = None) -> Compiled:
        """Read a file; DamagedError where it is cut short, changed, or was made from another key.

        key: None: any will do.
        """
        lines = data.split(b"\n")
        if lines[0] != MAGIC:
            raise DamagedError("it is no file of this version's")
        if len(lines) != 4 or lines[3]:
            raise DamagedError("it is cut short or longer than it was")
        if hashlib.sha256(lines[2]).hexdigest().encode() != lines[1]:
            raise DamagedError("its content is not what was written")
        try:
            fields = json.loads(lines[2])
            programs = {
                str(name): base64.b64decode(code, validate=True)
                for name, code in fields["programs"].items()
            }
            made_from, compiler = str(fields["key"]), str(fields["compiler"])
        except (ValueError, KeyError, TypeError, AttributeError, binascii.Error) as error:
            raise DamagedError(f"it has not the fields that belong there ({error!r})") from None
        if key is not None and made_from != key:
            raise DamagedError("it was compiled from something else")
        for name, code in programs.items():
            _check(name, code)
        return Compiled(programs, compiler)


def _check(name: str, code: bytes) -> None:
    if not code or len(code) % _INSTRUCTION.size:
        raise DamagedError(f"{name} is no whole number of instructions")
    for _, number in _map_loads(code):
        if not 0 <= number < len(MAPS):
            raise DamagedError(f"{name} uses a map that there is not ({number})")


def detached(code: bytes, fds: Mapping[str, int]) -> bytes:
    """Return instructions as bcc leaves them, with places in MAPS; fds: its own maps by name."""
    return _replaced(code, {fds[name]: place for place, name in enumerate(MAPS)})


def attached(code: bytes, fds: Mapping[str, int]) -> bytes:
    """Return instructions as the kernel takes them; fds: descriptors by the map's name."""
    return _replaced(code, {place: fds[name] for place, name in enumerate(MAPS)})


def _replaced(code: bytes, numbers: Mapping[int, int]) -> bytes:
    changed = bytearray(code)
    for at, number in _map_loads(code):
        struct.pack_into("<i", changed, at + 4, numbers[number])
    return bytes(changed)


def _map_loads(code: bytes) -> list[tuple[int, int]]:
    """Return (offset of the instruction, its immediate) of each that loads a map."""
    found = []
    second = False
    for place, (opcode, registers, _, number) in enumerate(_INSTRUCTION.iter_unpack(code)):
        if second:
            second = False
        elif opcode == _LOAD_WIDE:
            second = True
            if registers >> 4 == _FROM_MAP:
                found.append((place * _INSTRUCTION.size, number))
    return found
