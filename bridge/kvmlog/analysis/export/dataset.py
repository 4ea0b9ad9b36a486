# SPDX-License-Identifier: GPL-2.0-or-later
"""Data sets: Parquet files by host and day, in a folder or an object store.

    ROOT/host=web-host-1/day=2026-11-30/part-0123456789abcdef.parquet

A file is one recording's, by its name: exporting the recording again replaces its files.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from typing import Any, Final
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import fs

from kvmlog.analysis.export.output import ExportError, failed
from kvmlog.analysis.export.tables import day_numbers, day_text, parquet_writer
from kvmlog.analysis.records.batches import SCHEMA
from kvmlog.recording.header import Header

# Of one recording: only a forged one has more.
_DAYS_MOST: Final = 400
_ERROR_CHARACTERS: Final = 300
_GCS_LIMIT: Final = "retry_limit_seconds"


def place_of(where: str) -> tuple[Any, str]:
    """Return the file system and the path of a folder or URI (file, s3, gs); ExportError."""
    if "://" not in where:
        return fs.LocalFileSystem(), os.path.abspath(where)
    try:
        found: tuple[Any, str] = fs.FileSystem.from_uri(_patient(where))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ExportError(
            f"{where}: is no place for a data set ({_short(error)}); give a folder, or a URI as "
            "file:///folder, s3://bucket/folder or gs://bucket/folder"
        ) from None
    return found[0], found[1].rstrip("/")


def _patient(uri: str) -> str:
    """Return the URI with a limit to how long Google's client tries again: its own is 15 min."""
    if not uri.startswith(("gs://", "gcs://")) or _GCS_LIMIT in uri:
        return uri
    return f"{uri}{'&' if '?' in uri else '?'}{_GCS_LIMIT}=10"


def write_dataset(batches: Iterable[Any], where: str, header: Header, identity: str) -> int:
    """Write the batches of a recording into a data set; return how many rows.

    Its files have their names when all are whole; then those of an earlier export are gone.
    ExportError.
    """
    filesystem, root = place_of(where)
    folder = f"{root}/host={quote(header.host or 'unknown', safe='')}"
    with _errors_of(where), _Parts(filesystem, folder, header, identity) as parts:
        rows = sum(parts.write(batch) for batch in batches)
        parts.finish()
    return rows


class _Parts:
    """The files of one recording: written under names that readers leave out, then renamed."""

    def __init__(self, filesystem: Any, folder: str, header: Header, identity: str) -> None:
        self._fs = filesystem
        self._folder = folder
        self._header = header
        self._name: Final = f"part-{identity}.parquet"
        self._writers: dict[int, Any] = {}

    def __enter__(self) -> _Parts:
        return self

    def __exit__(self, *_error: object) -> None:
        for day, writer in self._writers.items():
            # What failed is told already.
            with contextlib.suppress(OSError, pa.ArrowException):
                writer.close()
            with contextlib.suppress(OSError, pa.ArrowException):
                self._fs.delete_file(self._part(day))

    def write(self, batch: Any) -> int:
        """Write the rows of a batch into the files of their days; return how many."""
        days = day_numbers(batch)
        for day in pc.unique(days).to_pylist():
            self._writer(day).write_batch(batch.filter(pc.equal(days, day)))
        return len(batch)

    def finish(self) -> None:
        """Give all files their names, and remove the others of this recording."""
        for writer in self._writers.values():
            writer.close()
        kept = set()
        for day in list(self._writers):
            path = f"{self._day(day)}/{self._name}"
            self._fs.move(self._part(day), path)
            del self._writers[day]
            kept.add(path)
        selector = fs.FileSelector(self._folder, allow_not_found=True, recursive=True)
        for info in self._fs.get_file_info(selector):
            if info.base_name == self._name and info.path not in kept:
                self._fs.delete_file(info.path)

    def _writer(self, day: int) -> Any:
        found = self._writers.get(day)
        if found is None:
            if len(self._writers) >= _DAYS_MOST:
                raise ExportError(
                    f"the recording has records of more than {_DAYS_MOST} days, which no recording "
                    "has: it is damaged; use a copy that is not"
                )
            self._fs.create_dir(self._day(day), recursive=True)
            found = parquet_writer(self._part(day), SCHEMA, self._header, self._fs)
            self._writers[day] = found
        return found

    def _day(self, day: int) -> str:
        return f"{self._folder}/day={day_text(day)}"

    def _part(self, day: int) -> str:
        return f"{self._day(day)}/.{self._name}.{os.getpid()}"


@contextlib.contextmanager
def _errors_of(where: str) -> Iterator[None]:
    """Make sentences of what file systems say, those of object stores included."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and "://" not in where:
            raise failed(where, error) from None
        raise ExportError(
            f"{where}: cannot be written ({_short(error)}); check the address and the credentials "
            "of this user, and that it may write there"
        ) from None
    except pa.ArrowException as error:
        raise ExportError(f"{where}: cannot be written ({_short(error)})") from None


def _short(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= _ERROR_CHARACTERS else text[: _ERROR_CHARACTERS - 1] + "…"
