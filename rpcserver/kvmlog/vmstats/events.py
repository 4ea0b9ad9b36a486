# SPDX-License-Identifier: GPL-2.0-or-later
"""Events of VMs and connections, in the order in which libvirt told them, and their file.

The file stands beside that of the samples: a header line, then a line of JSON for each event, with
numbers that grow by one. A line that is missing was lost, which its number tells. The collector
appends; where the file has grown too long it begins another with the newest half, in its place.
"""

from __future__ import annotations

import functools
import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, TypeVar

import cattrs

from kvmlog.guests.sanitize import clean
from kvmlog.util.errors import VmStatsError, VmStatsMissingError
from kvmlog.vmstats.moment import Moment

_T = TypeVar("_T")

FORMAT: Final = "kvmlog-events"
VERSION: Final = 1
# Some 4,000 events; readers take no larger file.
FILE_BYTES: Final = 1 << 20
LINE_BYTES: Final = 8 << 10
_ENCODER: Final = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"))


class Kind(StrEnum):
    """What has happened; lifecycle events under libvirt's own names."""

    # Of a domain: virDomainEventType, with its detail in words.
    DEFINED = "defined"
    UNDEFINED = "undefined"
    STARTED = "started"
    SUSPENDED = "suspended"
    RESUMED = "resumed"
    STOPPED = "stopped"
    SHUTDOWN = "shutdown"
    PMSUSPENDED = "pmsuspended"
    CRASHED = "crashed"
    # Others of a domain.
    REBOOT = "reboot"
    WATCHDOG = "watchdog"  # detail: what it does
    IO_ERROR = "io_error"  # detail: the reason; facts: alias, path, action
    DEVICE_ADDED = "device_added"  # detail: its alias
    DEVICE_REMOVED = "device_removed"
    # Of a connection: uuid and name are None.
    CONNECTED = "connected"
    DISCONNECTED = "disconnected"  # detail: why, a sentence
    # Of the collector: what was before nobody has seen.
    BEGAN = "began"


@dataclass(frozen=True)
class Occurrence:
    """What has happened, before it has a number."""

    at: Moment
    uri: str | None  # None: the collector itself
    kind: Kind
    uuid: str | None = None
    name: str | None = None  # printable
    detail: str | None = None  # printable
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Event:
    """An occurrence with its number."""

    sequence: int  # from 1; grows over restarts of the collector within a boot
    what: Occurrence


@dataclass(frozen=True)
class Header:
    """The file's first line."""

    log_id: str  # another one: numbers have begun anew
    boot_id: str


def path_of(samples: str) -> str:
    """Return the path of the events beside the file of samples."""
    return f"{samples}.events"


def encode_header(header: Header) -> bytes:
    """Return the file's first line."""
    return _line({"format": FORMAT, "version": VERSION, **vars(header)})


def encode(event: Event) -> bytes:
    """Return the line of an event."""
    plain: dict[str, Any] = _converter().unstructure(event)
    return _line(plain)


def _line(document: dict[str, Any]) -> bytes:
    return _ENCODER.encode(document).encode() + b"\n"


def decode_header(path: str, line: bytes) -> Header:
    """Parse the first line of the file at a path; VmStatsError for anything else."""
    document = _document(path, line)
    if document.get("format") != FORMAT or document.get("version") != VERSION:
        raise VmStatsError(
            f"{path}: its format is not {FORMAT} {VERSION}; restart the collector (kvmlog vmstats)"
        )
    return _structured(path, document, Header)


def decode(path: str, line: bytes) -> Event:
    """Parse the line of an event in the file at a path; VmStatsError for anything else."""
    return _structured(path, _document(path, line), Event)


def _document(path: str, line: bytes) -> dict[str, Any]:
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise _damaged(path, "a line is no JSON")
    return document


def _structured(path: str, document: dict[str, Any], kind: type[_T]) -> _T:
    try:
        return _converter().structure(document, kind)
    except (cattrs.BaseValidationError, ValueError, TypeError, KeyError) as error:
        raise _damaged(path, clean(str(error))) from None


def _damaged(path: str, what: str) -> VmStatsError:
    return VmStatsError(
        f"{path}: no file of events, or a damaged one ({what}); restart the collector "
        "(kvmlog vmstats)"
    )


@functools.cache
def _converter() -> cattrs.Converter:
    converter = cattrs.Converter(detailed_validation=False)
    for kind in (int, str):
        converter.register_structure_hook(kind, _exactly)
    converter.register_structure_hook(Kind, lambda value, _: Kind(_exactly(value, str)))
    return converter


def _exactly(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise TypeError(f"{kind.__name__} expected, not {type(value).__name__}")
    return value


class EventReader:
    """A reader that follows the file at a path; it holds no descriptor between calls."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._seen: tuple[int, int] | None = None  # inode, and how far it has been read
        self._header: Header | None = None

    def read(self) -> tuple[Header, list[Event]]:
        """Return the header, and the events that came since the last call.

        Some may come twice, after the collector has begun another file: their numbers tell.
        VmStatsMissingError: there is no file; VmStatsError: it cannot be used.
        """
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            raise VmStatsMissingError(
                f"{self.path}: there are no events; start the collector (kvmlog vmstats)"
            ) from None
        except OSError as error:
            raise VmStatsError(
                f"{self.path}: cannot be read ({error.strerror}); run as root or join the group "
                "kvmlog"
            ) from None
        with open(fd, "rb") as file:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode) or status.st_size > FILE_BYTES + LINE_BYTES:
                raise _damaged(self.path, f"{status.st_size} bytes")
            at = 0
            if self._seen is not None and self._seen[0] == status.st_ino:
                at = min(self._seen[1], status.st_size)
            file.seek(at)
            content = file.read(FILE_BYTES + LINE_BYTES)
        # A line that is being written has no end yet.
        whole = content[: content.rfind(b"\n") + 1]
        lines = whole.splitlines()
        if at == 0:
            if not lines:
                raise _damaged(self.path, "it has no header")
            self._header = decode_header(self.path, lines.pop(0))
        assert self._header is not None
        events = [decode(self.path, line) for line in lines]
        self._seen = status.st_ino, at + len(whole)
        return self._header, events
