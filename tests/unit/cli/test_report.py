# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog report`: where the page goes, and a sentence for each thing that can be wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kvmlog.analysis.report import assets
from kvmlog.cli import main
from tests.support import busy_host


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small recording."""
    return busy_host.recording(tmp_path_factory.mktemp("report") / "a.kvmlog", 300)


def refused(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """What `kvmlog report` says on stderr when it fails."""
    assert main.main(["report", *map(str, arguments)]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    return said.err


def test_a_page_is_written(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its name, exits and size are told."""
    page = tmp_path / "page.html"
    assert main.main(["report", str(recording), "-o", str(page)]) == 0
    said = capsys.readouterr()
    assert said.out.startswith(f"{page}: 300 exits, ")
    assert said.err == ""
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert [one.name for one in tmp_path.iterdir()] == ["page.html"]


def test_a_page_that_is_there_stays(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is replaced with --force only."""
    page = tmp_path / "page.html"
    page.write_text("mine")
    assert "is there already" in refused(capsys, recording, "-o", page)
    assert page.read_text() == "mine"
    assert main.main(["report", str(recording), "-o", str(page), "--force"]) == 0
    assert page.stat().st_size > 10_000


def test_a_page_goes_to_standard_output(recording: Path) -> None:
    """Alone, for a pipe; a reader that ends early is no error with a traceback."""
    command = [sys.executable, "-m", "kvmlog.cli.main", "report", str(recording), "-o", "-"]
    done = subprocess.run(command, capture_output=True, check=True)
    assert done.stdout.startswith(b"<!doctype html>")
    assert done.stdout.rstrip().endswith(b"</html>")
    assert done.stderr == b""
    read, write = os.pipe()
    os.close(read)
    early = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert (early.returncode, early.stderr) == (141, b"")


def test_what_is_no_recording_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Missing, foreign, empty, a folder: a sentence each, and no page."""
    page = tmp_path / "page.html"
    foreign = tmp_path / "foreign"
    foreign.write_bytes(os.urandom(5_000))
    empty = tmp_path / "empty"
    empty.write_bytes(b"")
    assert "there is no such recording" in refused(capsys, tmp_path / "none", "-o", page)
    assert str(foreign) in refused(capsys, foreign, "-o", page)
    assert "is empty" in refused(capsys, empty, "-o", page)
    assert "a directory" in refused(capsys, tmp_path, "-o", page)
    assert not page.exists()


def test_one_that_was_cut_is_shown(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The page has what is there, and says, as stderr does, that it was cut."""
    cut = tmp_path / "cut.kvmlog"
    cut.write_bytes(recording.read_bytes()[:-20])
    assert main.main(["report", str(cut), "-o", str(tmp_path / "page.html")]) == 0
    said = capsys.readouterr()
    assert "300 exits" in said.out
    assert "was not ended in order" in said.err


def test_a_full_disk_is_told(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The sentence says how much room the page takes."""
    said = refused(capsys, recording, "-o", "/dev/full")
    assert said.startswith("kvmlog: /dev/full: no space is left for ")


def test_a_missing_folder_is_told(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is read."""
    said = refused(capsys, recording, "-o", tmp_path / "none" / "page.html")
    assert "there is no such folder" in said


@pytest.mark.parametrize("package", ["numpy", "jinja2"])
def test_a_missing_package_is_named(
    package: str,
    recording: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The sentence says how to install it."""
    # What the interpreter takes for a package that is not there.
    monkeypatch.setitem(sys.modules, package, None)  # type: ignore[misc]
    said = refused(capsys, recording, "-o", tmp_path / "page.html")
    assert f"kvmlog report takes the Python package {package}" in said
    assert "kvmlog[analysis]" in said


def test_missing_charts_are_told(
    recording: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The page is made all the same."""
    monkeypatch.setattr(assets, "_ECHARTS", (tmp_path / "none.js",))
    assert main.main(["report", str(recording), "-o", str(tmp_path / "page.html")]) == 0
    said = capsys.readouterr()
    assert "Apache ECharts is not installed" in said.err
    assert "300 exits" in said.out


def test_two_recordings_make_one_page(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The page is the second one's."""
    second = busy_host.recording(tmp_path / "b.kvmlog", 400, seed=2)
    page = tmp_path / "page.html"
    assert main.main(["report", str(recording), str(second), "-o", str(page)]) == 0
    assert "400 exits" in capsys.readouterr().out
    assert "From a.kvmlog to b.kvmlog, per second" in page.read_text(encoding="utf-8")
