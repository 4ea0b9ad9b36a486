# SPDX-License-Identifier: GPL-2.0-or-later
"""The collector's file: replaced whole, by one collector at a time, and nobody else's."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from kvmlog.util.errors import KvmlogError, VmStatsError
from kvmlog.vmstats import file
from kvmlog.vmstats.reader import SnapshotReader
from kvmlog.vmstats.writer import SnapshotWriter
from tests.support.vmstats_samples import snapshot


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """Each snapshot as it was, in a file of mode 0640; only the lock is beside it."""
    path = tmp_path / "vms.json"
    with SnapshotWriter(str(path)) as writer:
        reader = SnapshotReader(str(path))
        for _ in range(3):
            given = snapshot()
            writer.write(given)
            assert reader.read() == given
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        assert {one.name for one in tmp_path.iterdir()} == {"vms.json", "vms.json.lock"}


def test_readers_never_see_a_part(tmp_path: Path) -> None:
    """While it is written as fast as it goes, each read gives a whole snapshot."""
    path = str(tmp_path / "vms.json")
    given = snapshot()
    ended = threading.Event()
    with SnapshotWriter(path) as writer:
        writer.write(given)

        def write() -> None:
            while not ended.is_set():
                writer.write(given)

        thread = threading.Thread(target=write)
        thread.start()
        try:
            for _ in range(300):
                assert SnapshotReader(path).read() == given
        finally:
            ended.set()
            thread.join()


def test_one_writer(tmp_path: Path) -> None:
    """A second one is refused, until the first has ended."""
    path = str(tmp_path / "vms.json")
    with (
        SnapshotWriter(path),
        pytest.raises(VmStatsError, match="another collector writes it; end that one"),
    ):
        SnapshotWriter(path)
    SnapshotWriter(path).close()


def test_a_link_that_comes_later(tmp_path: Path) -> None:
    """What it leads to is not written."""
    path, target = tmp_path / "vms.json", tmp_path / "target"
    target.write_text("precious")
    with SnapshotWriter(str(path)) as writer:
        writer.write(snapshot())
        path.unlink()
        path.symlink_to(target)
        with pytest.raises(VmStatsError, match="is no regular file"):
            writer.write(snapshot())
    assert target.read_text() == "precious"


def test_a_planted_lock(tmp_path: Path) -> None:
    """A link in place of the lock is not followed."""
    path, target = tmp_path / "vms.json", tmp_path / "target"
    Path(f"{path}.lock").symlink_to(target)
    with pytest.raises(VmStatsError, match="it is a symbolic link; choose another place"):
        SnapshotWriter(str(path))
    assert not target.exists()


def test_a_snapshot_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused with both sizes; the file before stays."""
    path = tmp_path / "vms.json"
    with SnapshotWriter(str(path)) as writer:
        size = writer.write(snapshot())
        monkeypatch.setattr(file, "FILE_BYTES", size - 1)
        with pytest.raises(VmStatsError, match=f"{size} bytes, more than {size - 1}"):
            writer.write(snapshot())
        assert path.stat().st_size == size


def test_a_folder_of_others(tmp_path: Path) -> None:
    """Where anybody may replace files there is no writing."""
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    if os.geteuid() == 0:
        os.chown(folder, 65_534, 65_534)
    with pytest.raises(KvmlogError, match="others could replace files there"):
        SnapshotWriter(str(folder / "vms.json"))
