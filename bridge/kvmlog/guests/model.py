# SPDX-License-Identifier: GPL-2.0-or-later
"""One guest, and the file of guests as bytes (docs/guests.md): the bridge writes, all others read.

The file may be damaged or forged: reading checks the bounds that writing keeps.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from kvmlog.guests.sanitize import NAME_CHARACTERS, clean, normal_uuid
from kvmlog.util.errors import KvmlogError

FORMAT: Final = "kvmlog-guests"
VERSION: Final = 1
RUNNING_MOST: Final = 8_192
ENDED_MOST: Final = 1_024
NUMBERS_MOST: Final = 16
ALIASES_MOST: Final = 4
CGROUP_CHARACTERS: Final = 1_024
# More than all entries at their largest: a larger file is not the bridge's.
FILE_BYTES: Final = 128 << 20
_ID_CHARACTERS: Final = 64
# All before the guests, the generation included.
HEAD_BYTES: Final = 160


class GuestError(KvmlogError):
    """There is no such guest, or the file of guests cannot be used."""


@dataclass(frozen=True)
class Guest:
    """A process that runs a guest (two VMs of one process are two numbers of one entry)."""

    pid: int  # thread group id
    start_ticks: int  # /proc/PID/stat, field 22, in clock ticks since boot; 0: unknown
    comm: str
    kind: str  # qemu, firecracker, cloud-hypervisor, crosvm, kvmtool, other
    name: str  # never empty: "comm:pid" for a guest without a name
    named: bool  # whether `name` is the guest's own
    uuid: str | None = None  # lower case, with dashes
    aliases: tuple[str, ...] = ()  # other names: "namespace_vm" and "vm" with KubeVirt
    cgroup: str = ""  # path below the cgroup root
    container: str | None = None  # the container's id
    pod: str | None = None  # UID of the Kubernetes pod
    numbers: tuple[tuple[int, int], ...] = ()  # (guest number, CLOCK_MONOTONIC ns announced)
    first_seen_realtime_ns: int = 0
    ended_realtime_ns: int | None = None  # when the bridge noticed; None: running


_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
# The guests' lines begin behind the first, and end before the second.
_BEGIN: Final = b',"guests":[\n'
_END: Final = b"\n]}\n"


def encode(boot_id: bytes, guests: Iterable[Guest], generation: int = 0) -> bytes:
    """Return the content of the file, each guest on a line of its own.

    boot_id: 16 bytes, of the boot in which the guests run. generation: greater than in the file
    before; it stands within the first HEAD_BYTES.
    """
    head = {
        "format": FORMAT,
        "version": VERSION,
        "boot_id": boot_id.hex(),
        "generation": generation,
    }
    lines = (_ENCODER.encode(vars(guest)).encode() for guest in guests)
    return _ENCODER.encode(head)[:-1].encode() + _BEGIN + b",\n".join(lines) + _END


def decode(
    path: str, raw: bytes, known: dict[bytes, Guest] | None = None
) -> tuple[bytes, list[Guest]]:
    """Parse the content of a file into boot id and guests; GuestError for anything else.

    known: guests of an earlier file by their lines, which are not parsed again; replaced by those
    of this one.
    """
    frame, lines = (raw, None) if known is None else _split(raw)
    try:
        document = json.loads(frame)
    except (ValueError, RecursionError):
        raise _foreign(path, "no JSON") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise _foreign(path, f"its format is not {FORMAT}")
    version = document.get("version")
    if version != VERSION:
        raise GuestError(
            f"{path}: version {clean(str(version))}, this kvmlog knows {VERSION}; "
            "restart the bridge or use the kvmlog that wrote it"
        )
    try:
        boot_id = bytes.fromhex(document["boot_id"])
        if known is None or lines is None:
            guests = [_guest(entry) for entry in _list(document["guests"])]
        else:
            found = {line: known.get(line) or _guest(json.loads(line)) for line in lines}
            guests = [found[line] for line in lines]
            known.clear()
            known.update(found)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise _foreign(path, f"{type(error).__name__} {clean(str(error))}") from None
    if len(guests) > RUNNING_MOST + ENDED_MOST:
        raise _foreign(path, f"{len(guests)} guests")
    return boot_id, guests


def _split(raw: bytes) -> tuple[bytes, list[bytes] | None]:
    """Return the file without guests, and the guests' lines; None where it has no such lines.

    A line break cannot be part of a JSON text: one that is cut there does not parse.
    """
    head, begin, rest = raw.partition(_BEGIN)
    if not begin or not rest.endswith(_END):
        return raw, None
    body = rest.removesuffix(_END)
    return head + b',"guests":[]}', body.split(b",\n") if body else []


def read_file(path: str, fd: int) -> bytes:
    """Read an open file of guests; GuestError for one of the wrong kind or size."""
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        what = "a directory" if stat.S_ISDIR(status.st_mode) else "no regular file"
        raise GuestError(f"{path}: is {what}, no file of guests; name the bridge's ring (--ring)")
    if status.st_size > FILE_BYTES:
        raise _foreign(path, f"{status.st_size} bytes, at most {FILE_BYTES} are expected")
    with open(fd, "rb", closefd=False) as file:
        # Not up to FILE_BYTES, for which room would be made first.
        return file.read(status.st_size)


def open_file(path: str) -> int:
    """Open the file for reading; FileNotFoundError, or GuestError where it cannot be opened."""
    try:
        # O_NONBLOCK: a FIFO must not block.
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise GuestError(
            f"{path}: cannot be read ({error.strerror}); run as root or join the group kvmlog"
        ) from None


def _guest(entry: Any) -> Guest:
    """Parse an entry; ValueError, TypeError or KeyError for what the bridge never writes."""
    if not isinstance(entry, dict):
        raise TypeError("a guest that is no object")
    numbers = tuple((_count(number), _count(ns)) for number, ns in _list(entry["numbers"]))
    aliases = tuple(_text(alias) for alias in _list(entry["aliases"]))
    if len(numbers) > NUMBERS_MOST or len(aliases) > ALIASES_MOST:
        raise ValueError("a guest with too many numbers or aliases")
    uuid, ended = entry["uuid"], entry["ended_realtime_ns"]
    if uuid is not None and normal_uuid(_text(uuid)) != uuid:
        raise ValueError("a UUID that is none")
    if not isinstance(entry["named"], bool) or not entry["name"]:
        raise ValueError("a guest without a name")
    return Guest(
        pid=_count(entry["pid"]),
        start_ticks=_count(entry["start_ticks"]),
        comm=_text(entry["comm"]),
        kind=_text(entry["kind"]),
        name=_text(entry["name"]),
        named=entry["named"],
        uuid=uuid,
        aliases=aliases,
        cgroup=_text(entry["cgroup"], CGROUP_CHARACTERS),
        container=_optional(entry["container"]),
        pod=_optional(entry["pod"]),
        numbers=numbers,
        first_seen_realtime_ns=_count(entry["first_seen_realtime_ns"]),
        ended_realtime_ns=None if ended is None else _count(ended),
    )


def _list(value: Any) -> list[Any]:
    # A string would be a sequence too.
    if not isinstance(value, list):
        raise TypeError("a list that is none")
    return value


def _count(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**64:
        raise ValueError("a number that is none")
    return value


def _text(value: Any, most: int = NAME_CHARACTERS) -> str:
    # What the bridge wrote is clean already.
    if not isinstance(value, str) or clean(value, most) != value:
        raise ValueError("a text that is none")
    return value


def _optional(value: Any) -> str | None:
    return None if value is None else _text(value, _ID_CHARACTERS)


def _foreign(path: str, what: str) -> GuestError:
    return GuestError(
        f"{path}: no file of guests, or a damaged one ({what}); check --ring, and if it is the "
        "bridge's, remove it and restart the bridge"
    )
