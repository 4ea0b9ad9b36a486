# SPDX-License-Identifier: GPL-2.0-or-later
"""Files that recordings are written into: new ones, of the least mode, never through a link."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from typing import Final

from kvmlog.recording.format import RecordingError
from kvmlog.util import ownership

NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_MODE: Final = 0o600


def create(path: str, *, force: bool = False, mode: int = _MODE) -> int:
    """Create the file of a recording and return its descriptor; RecordingError.

    force: a file that is there is replaced: who reads it keeps the old one.
    """
    try:
        found: os.stat_result | None = os.lstat(path)
    except FileNotFoundError:
        found = None
    except OSError as failure:
        raise _failed(path, failure) from None
    if found is not None:
        what = _kind(found)
        if what:
            raise RecordingError(
                f"{path}: is {what}; give the name of a file that is not there yet (-o)"
            )
        if not force:
            raise RecordingError(f"{path}: is there already; give another name, or --force")
        with contextlib.suppress(FileNotFoundError):
            try:
                os.unlink(path)
            except FileNotFoundError:
                raise
            except OSError as failure:
                raise _failed(path, failure) from None
    try:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | ownership.OPEN_FLAGS
        fd = os.open(path, flags, mode)
    except OSError as failure:
        raise _failed(path, failure) from None
    # By this a reader knows that more comes (Recording.is_being_written).
    with contextlib.suppress(OSError):
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return fd


def write_failed(path: str, failure: OSError, records: int) -> RecordingError:
    """Return the error for a recording that cannot go on; records: that are in the file."""
    why = failure.strerror or str(failure)
    if failure.errno in NO_ROOM:
        why = "no space is left"
    kept = f"its first {records:,} records can be read" if records else "it has no records"
    return RecordingError(
        f"{path}: {why}, the recording ends here ({kept}); free some, or record less (--vm, "
        "--reason, --slower-than, --size)"
    )


def _kind(status: os.stat_result) -> str:
    """Return what is no regular file, in words; "" for one."""
    for test, words in (
        (stat.S_ISREG, ""),
        (stat.S_ISDIR, "a directory"),
        (stat.S_ISFIFO, "a FIFO, and a recording is no stream"),
        (stat.S_ISLNK, "a symbolic link"),
    ):
        if test(status.st_mode):
            return words
    return "no regular file"


def _failed(path: str, failure: OSError) -> RecordingError:
    why = "there is no such folder" if failure.errno == errno.ENOENT else failure.strerror
    return RecordingError(f"{path}: cannot be written ({why}); give another name (-o)")
