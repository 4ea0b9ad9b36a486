# SPDX-License-Identifier: GPL-2.0-or-later
"""The folder of compiled programs, by which a start needs neither LLVM nor its seconds.

What lies there is loaded into the kernel. So folder and files count only while they belong to root,
or to who runs this, and nobody else may write to them: whatever is otherwise is refused in a
sentence, and compiled anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from kvmlog.sources.bpf.compiled import MOST_BYTES, Compiled, DamagedError
from kvmlog.sources.bpf.plan import Plan
from kvmlog.sources.bpf.program_text import COMPILER_FLAGS, kernel_folder, program_text, text_files
from kvmlog.util.errors import SourceError

SUFFIX: Final = ".bpf"
# A kernel more makes an entry more: the newest stay.
MOST_ENTRIES: Final = 64
_KEY_DIGITS: Final = 32  # of 64: nobody gains by two that are equal
_FRESH: Final = ".new"
_FRESH_LIMIT_S: Final = 3600.0  # longer than any compiler runs
_FOLDER_MODE: Final = 0o755
_FILE_MODE: Final = 0o644


class RefusedError(Exception):
    """An entry, or the folder, is not to be used; the text is a sentence with path and cause."""


@dataclass(frozen=True)
class Entry:
    """A file of the folder. refused: why it is not used; else compiler: "bcc 0.26.0"."""

    path: str
    made_s: float  # seconds since 1970
    compiler: str = ""
    refused: str = ""


def key_of(plan: Plan) -> str:
    """Return a hash, in hex, of all that the plan's compiled programs depend on."""
    digest = hashlib.sha256()
    functions = sorted(program.function for program in plan.programs)
    digest.update(json.dumps([sorted(plan.macros.items()), functions, COMPILER_FLAGS]).encode())
    digest.update(program_text().encode())
    for path in text_files():
        digest.update(f"\0{path.name}\0".encode() + path.read_bytes())
    for path in sorted(kernel_folder().rglob("*.h")):
        digest.update(f"\0{path.relative_to(kernel_folder())}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:_KEY_DIGITS]


class Cache:
    """The folder; "" keeps nothing and finds nothing."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def path_of(self, key: str) -> str:
        """Return where the entry of that key is."""
        return os.path.join(self.folder, f"{key}{SUFFIX}")

    def find(self, key: str) -> Compiled | None:
        """Return the entry; None: there is none. RefusedError: what is there must not be used."""
        if not self.folder or not os.path.lexists(self.path_of(key)):
            return None
        with self._opened() as folder:
            try:
                return Compiled.from_bytes(self._read(folder, f"{key}{SUFFIX}"), key)
            except DamagedError as error:
                raise RefusedError(f"{self.path_of(key)}: {error}") from None

    def store(self, key: str, compiled: Compiled) -> None:
        """Keep an entry, in place of what has its name. RefusedError where it cannot be kept."""
        if not self.folder:
            return
        try:
            made = False
            with contextlib.suppress(FileExistsError):
                os.mkdir(self.folder, _FOLDER_MODE)
                made = True
            with self._opened() as folder:
                if made:
                    os.fchmod(folder, _FOLDER_MODE)  # whatever the umask is
                fresh = f"{key}.{os.getpid()}{_FRESH}"
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(fresh, dir_fd=folder)
                fd = os.open(
                    fresh,
                    os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC,
                    _FILE_MODE,
                    dir_fd=folder,
                )
                with open(fd, "wb") as file:
                    os.fchmod(fd, _FILE_MODE)
                    file.write(compiled.to_bytes(key))
                os.rename(fresh, f"{key}{SUFFIX}", src_dir_fd=folder, dst_dir_fd=folder)
                _prune(folder)
        except OSError as error:
            raise RefusedError(f"{self.folder}: {error.strerror}") from None

    def entries(self) -> list[Entry]:
        """Return all entries, the newest first. RefusedError: the folder must not be used."""
        if not self.folder or not os.path.lexists(self.folder):
            return []
        with self._opened() as folder:
            found = [self._entry(folder, name) for name in _names(folder, SUFFIX)]
        return sorted(found, key=lambda entry: -entry.made_s)

    def _entry(self, folder: int, name: str) -> Entry:
        path = os.path.join(self.folder, name)
        made_s = 0.0
        with contextlib.suppress(OSError):
            made_s = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mtime
        try:
            key = name.removesuffix(SUFFIX)
            compiled = Compiled.from_bytes(self._read(folder, name), key)
        except DamagedError as error:
            return Entry(path, made_s, refused=str(error))
        except RefusedError as error:
            return Entry(path, made_s, refused=str(error).removeprefix(f"{path}: "))
        return Entry(path, made_s, compiled.compiler)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[int]:
        """Provide the folder's descriptor, once it is known to be nobody else's."""
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            folder = os.open(self.folder, flags)
        except OSError as error:
            raise RefusedError(f"{self.folder}: {error.strerror}") from None
        try:
            _check_owner(self.folder, os.fstat(folder))
            yield folder
        finally:
            os.close(folder)

    def _read(self, folder: int, name: str) -> bytes:
        path = os.path.join(self.folder, name)
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            fd = os.open(name, flags, dir_fd=folder)
            try:
                about = os.fstat(fd)
                if not stat.S_ISREG(about.st_mode):
                    raise RefusedError(f"{path}: it is no regular file")
                _check_owner(path, about)
                with open(fd, "rb", closefd=False) as file:
                    data = file.read(MOST_BYTES + 1)
            finally:
                os.close(fd)
        except OSError as error:
            raise RefusedError(f"{path}: {error.strerror}") from None
        if len(data) > MOST_BYTES:
            raise RefusedError(f"{path}: it has more than {MOST_BYTES} bytes")
        return data


def compiled_for(
    plan: Plan, cache: Cache, installed: str | None, compiler: Callable[[Plan], Compiled]
) -> tuple[Compiled, bool, Sequence[str]]:
    """Return the plan's programs, whether they were kept, and what there is to say about it.

    installed: the compiler that is there, None without one: then an entry of any fits.
    """
    key = key_of(plan)
    said = []
    older: Compiled | None = None
    try:
        kept = cache.find(key)
        if kept is not None and not _has_all(kept.programs, plan):
            raise RefusedError(f"{cache.path_of(key)}: it lacks programs")
        if kept is not None and installed is not None and kept.compiler != installed:
            said.append(
                f"{cache.path_of(key)}: compiled by {kept.compiler}, {installed} is installed: "
                "compiled anew"
            )
            older, kept = kept, None
    except RefusedError as error:
        said.append(f"{error}; it is not used, and compiled anew")
        kept = None
    if kept is not None:
        return kept, True, said
    try:
        fresh = compiler(plan)
    except SourceError as error:
        if older is None:
            raise
        return older, True, [*said, f"{error}; what was compiled before is used"]
    try:
        cache.store(key, fresh)
    except RefusedError as error:
        said.append(f"{error}; compiled programs are not kept, the next start compiles again")
    return fresh, False, said


def _has_all(programs: Mapping[str, bytes], plan: Plan) -> bool:
    return {program.function for program in plan.programs} <= set(programs)


def _check_owner(path: str, about: os.stat_result) -> None:
    if about.st_uid not in (0, os.geteuid()):
        raise RefusedError(f"{path}: it belongs to user {about.st_uid}, not to root")
    if about.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise RefusedError(
            f"{path}: others than its owner may write to it (mode "
            f"{stat.S_IMODE(about.st_mode):04o}); chmod go-w"
        )


def _names(folder: int, suffix: str) -> list[str]:
    return sorted(name for name in os.listdir(folder) if name.endswith(suffix))


def _prune(folder: int) -> None:
    """Take away the oldest entries beyond MOST_ENTRIES, and what a killed writer left."""

    def made_s(name: str) -> float:
        try:
            return os.stat(name, dir_fd=folder, follow_symlinks=False).st_mtime
        except OSError:
            return 0.0

    old = [name for name in _names(folder, _FRESH) if made_s(name) < time.time() - _FRESH_LIMIT_S]
    old += sorted(_names(folder, SUFFIX), key=made_s, reverse=True)[MOST_ENTRIES:]
    for name in old:
        with contextlib.suppress(OSError):
            os.unlink(name, dir_fd=folder)
