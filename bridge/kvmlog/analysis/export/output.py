# SPDX-License-Identifier: GPL-2.0-or-later
"""Files that exports are written into: whole, or not there at all under their names."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
from collections.abc import Iterator
from typing import BinaryIO, Final

from kvmlog.util.errors import KvmlogError

STDOUT: Final = "-"
_NO_SPACE: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class ExportError(KvmlogError):
    """An export cannot be made or written."""


@contextlib.contextmanager
def written(path: str, *, force: bool = False) -> Iterator[BinaryIO]:
    """Provide a stream whose content is at `path` when the block ends well, else nothing is.

    "-" is standard output. A file that is there is replaced with `force` only; into a pipe or a
    device is written directly. ExportError.
    """
    if path == STDOUT:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        if _is_stream(path, force):
            with open(path, "wb") as stream:
                yield stream
            return
        with _beside(path) as (stream, part):
            yield stream
            stream.flush()
            _name(part, path, force)
    except BrokenPipeError:
        raise
    except OSError as failure:
        raise failed(path, failure) from None


def failed(path: str, failure: OSError) -> ExportError:
    """Return the sentence for a file that cannot be written."""
    if failure.errno in _NO_SPACE:
        return ExportError(
            f"{path}: no space is left, nothing was exported; free some, or export less "
            "(--vm, --reason, --slower-than)"
        )
    why = "there is no such folder" if failure.errno == errno.ENOENT else failure.strerror
    return ExportError(f"{path}: cannot be written ({why or failure}); give another name (-o)")


def _is_stream(path: str, force: bool) -> bool:
    """Return whether the path is a pipe or a device; ExportError where it may not be replaced."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return False
    if stat.S_ISDIR(mode):
        raise ExportError(f"{path}: is a directory; give the name of a file (-o), or --dataset")
    if not stat.S_ISREG(mode):
        return True
    if not force:
        raise _exists(path)
    return False


def _exists(path: str) -> ExportError:
    return ExportError(f"{path}: is there already; give another name (-o), or --force")


@contextlib.contextmanager
def _beside(path: str) -> Iterator[tuple[BinaryIO, str]]:
    """Provide a new file in the folder of `path`, and remove it unless it was renamed."""
    folder, name = os.path.split(path)
    part = os.path.join(folder, f".{name[:200]}.{os.getpid()}.part")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    fd = os.open(part, flags, 0o666)
    try:
        with open(fd, "wb") as stream:
            yield stream, part
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(part)


def _name(part: str, path: str, force: bool) -> None:
    if force:
        os.replace(part, path)
        return
    try:
        os.link(part, path)
    except FileExistsError:
        raise _exists(path) from None
    except OSError:
        # A file system without links; whoever made the file in this very moment loses it.
        os.rename(part, path)
