# SPDX-License-Identifier: GPL-2.0-or-later
"""The guests of a ring for readers of its records: the bridge's file of guests (docs/guests.md)."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from kvmlog.guests.model import HEAD_BYTES, Guest, GuestError, decode, open_file, read_file
from kvmlog.guests.table import GuestTable

__all__ = ["Guest", "GuestError", "GuestList", "GuestNames"]


class GuestList:
    """A given list of guests, looked up by number, process or word (GuestTable).

    `problem`: why guests may be missing, a sentence.
    """

    problem: str | None = None

    def __init__(self, guests: Sequence[Guest] = ()) -> None:
        self._table = GuestTable(guests)

    def reload(self) -> bool:
        """Take in what has changed; return whether the guests have."""
        return False

    def of_number(self, number: int, ns: int) -> Guest | None:
        """Return the guest of a record with this guest number and time, as GuestTable does."""
        return self._table.of_number(number, ns)

    def turns_ns(self, number: int) -> Iterator[int]:
        """Yield the times at which the answer of of_number() may change, in any order."""
        return self._table.turns_ns(number)

    def of_process(self, tgid: int, start_boottime_ns: int) -> Guest | None:
        """Return the guest of a process; None for an unknown process, or start 0."""
        return self._table.of_process(tgid, start_boottime_ns)

    def matching(self, words: Sequence[str], accepted: Collection[str] = ()) -> list[Guest]:
        """Return the guests, running and ended, that any of the words matches, or GuestError."""
        return self._table.matching(words, accepted)

    def guests(self) -> list[Guest]:
        """Return all guests: those that have ended, in that order, then those that run."""
        return list(self._table.guests)


class GuestNames(GuestList):
    """The guests of a ring, from the file `<ring>.guests`, which a process reads only once.

    There are none where the file is missing or cannot be used; `problem` then says why it cannot,
    `absent` that there is none, a sentence each.
    """

    def __init__(self, ring_path: str) -> None:
        super().__init__()
        self.path = f"{ring_path}.guests"
        self._content: _Content | None = None
        self.reload()

    @property
    def absent(self) -> str | None:
        """Return the sentence for a missing file; None where there is one."""
        if self._content is not _NO_FILE:
            return None
        return (
            f"{self.path}: no bridge has listed guests there; start it (kvmlog bridge) "
            "or name its ring (--ring)"
        )

    def reload(self) -> bool:
        """Read the file again if it has been replaced; return whether the guests have changed."""
        content = _shared_file(self.path).content()
        changed = content is not self._content
        self._content, self._table, self.problem = content, content.table, content.problem
        return changed


# A process reads the file of one ring, tests those of several.
_FILES_MOST: Final = 4
# Lines are kept of files up to this size, some 25,000 guests of the usual length.
_LINES_BYTES: Final = 16 << 20

_Identity: TypeAlias = tuple[int, int, int, int, int, bytes]


@dataclass(frozen=True, eq=False)
class _Content:
    """What was read; problem: why it has no guests, a sentence."""

    table: GuestTable = field(default_factory=GuestTable)
    problem: str | None = None


_NO_FILE: Final = _Content()


class _SharedFile:
    """One file of guests, read once after each change, for all threads; thread-safe.

    Every call of a server shows guests, and there may be thousands: of a file that has changed,
    only lines that are new are parsed.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = threading.Lock()  # covers all below
        self._identity: _Identity | None = None
        self._content = _NO_FILE
        self._lines: dict[bytes, Guest] = {}

    def content(self) -> _Content:
        """Return the content as of now: the same object as long as nothing has changed."""
        with self._lock:
            try:
                fd = open_file(self._path)
            except FileNotFoundError:
                return self._keep(None, _NO_FILE)
            except GuestError as error:
                return self._keep(None, _problem(error))
            try:
                identity = _identity(fd)
                if identity != self._identity:
                    self._keep(identity, self._read(fd))
                return self._content
            finally:
                os.close(fd)

    def _read(self, fd: int) -> _Content:
        try:
            raw = read_file(self._path, fd)
            if len(raw) > _LINES_BYTES:
                self._lines.clear()
            keep = self._lines if len(raw) <= _LINES_BYTES else None
            return _Content(GuestTable(decode(self._path, raw, keep)[1]))
        except (GuestError, OSError) as error:
            return _problem(error)

    def _keep(self, identity: _Identity | None, content: _Content) -> _Content:
        self._identity = identity
        if content.problem is None or content.problem != self._content.problem:
            self._content = content
        return self._content


def _problem(error: Exception) -> _Content:
    sentence = str(error)
    return _Content(GuestTable((), sentence), sentence)


def _identity(fd: int) -> _Identity:
    """Return what no other content of the file has: the bridge always writes a new file.

    Its inode may be used again within a tick of the clock; the generation is never.
    """
    status = os.fstat(fd)
    head = b""
    # A pipe or a folder has none; reading it says what is wrong.
    with contextlib.suppress(OSError):
        head = os.pread(fd, HEAD_BYTES, 0)
    return (
        status.st_dev,
        status.st_ino,
        status.st_mtime_ns,
        status.st_ctime_ns,
        status.st_size,
        head,
    )


_files_lock: Final = threading.Lock()  # covers _files
_files: Final[dict[str, _SharedFile]] = {}


def _shared_file(path: str) -> _SharedFile:
    """Return the one of this process for a path."""
    with _files_lock:
        found = _files.pop(path, None) or _SharedFile(path)
        _files[path] = found  # the last one used is forgotten last
        if len(_files) > _FILES_MOST:
            del _files[next(iter(_files))]
        return found
