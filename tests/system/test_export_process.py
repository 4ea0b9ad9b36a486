# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog export` and `query` as processes: killed, without space, without their packages."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support import exported, recordings

# As many as take some seconds.
MANY = 300_000


def call(*words: str | Path) -> list[str]:
    """The words of a call of kvmlog."""
    return [sys.executable, "-m", "kvmlog.cli.main", *map(str, words)]


def failed(*words: str | Path, **options: object) -> str:
    """What a call that fails says: one sentence."""
    done = subprocess.run(call(*words), capture_output=True, text=True, **options)  # type: ignore[call-overload]
    assert done.returncode == 1
    assert done.stderr.startswith("kvmlog: ")
    assert done.stderr.count("\n") == 1
    return str(done.stderr)


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording whose export takes a while."""
    return recordings.synthetic(tmp_path_factory.mktemp("long") / "r", MANY)


@pytest.mark.parametrize("name", ["x.jsonl", "x.pftrace"])
def test_what_kill_ends_is_not_there(long: Path, tmp_path: Path, name: str) -> None:
    """Half an export has another name, and the next one does not mind it."""
    process = subprocess.Popen(call("export", long, "-o", tmp_path / name))
    try:
        while not any(one.stat().st_size for one in tmp_path.iterdir()):
            assert process.poll() is None
            time.sleep(0.01)
        assert not (tmp_path / name).exists()
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not (tmp_path / name).exists()
    small = exported.made(tmp_path / "small", 50)
    subprocess.run(call("export", small, "-o", tmp_path / name), check=True)
    assert (tmp_path / name).stat().st_size > 0


def test_a_dataset_that_kill_ends_has_no_half_file(long: Path, tmp_path: Path) -> None:
    """Readers see the earlier export, whole, or nothing."""
    root = tmp_path / "set"
    process = subprocess.Popen(call("export", long, "--dataset", root))
    try:
        while not list(root.rglob(".part-*")):
            assert process.poll() is None
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert list(root.rglob("part-*")) == []
    assert "has no Parquet file" in failed("query", root, "select 1")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small tmpfs: root only")
def test_without_space_nothing_is_left(long: Path, tmp_path: Path) -> None:
    """Neither a file nor an object of a data set nor the result of a query is left half written."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", tmp_path], check=True)
    try:
        for words in (
            ("export", long, "-o", tmp_path / "x.csv"),
            ("export", long, "-o", tmp_path / "x.parquet"),
            ("export", long, "-o", tmp_path / "x.pftrace"),
            ("export", long, "--dataset", tmp_path / "set"),
        ):
            assert "no space is left" in failed(*words).lower()
            assert [one for one in tmp_path.rglob("*") if one.is_file()] == []
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def test_a_file_that_is_there_stays(tmp_path: Path) -> None:
    """Unless --force is given; a folder, one that is missing, and a full device are named."""
    made = exported.made(tmp_path / "r", 50)
    out = tmp_path / "x.csv"
    out.write_text("mine")
    assert "is there already; give another name (-o), or --force" in failed(
        "export", made, "-o", out
    )
    assert out.read_text() == "mine"
    subprocess.run(call("export", made, "-o", out, "--force"), check=True)
    assert out.read_text().startswith('"host","day","type"')
    assert "is a directory" in failed("export", made, "--format", "csv", "-o", tmp_path)
    assert "no such folder" in failed("export", made, "-o", tmp_path / "none" / "x.csv")
    assert "no space is left" in failed("export", made, "--format", "csv", "-o", "/dev/full")


@pytest.mark.parametrize(
    ("package", "words"),
    [
        ("pyarrow", ("export", "RECORDING", "-o", "x.parquet")),
        ("numpy", ("export", "RECORDING", "-o", "x.csv")),
        ("perfetto", ("export", "RECORDING", "-o", "x.pftrace")),
        ("duckdb", ("query", "RECORDING", "select 1")),
    ],
)
def test_a_missing_package_is_named(tmp_path: Path, package: str, words: tuple[str, ...]) -> None:
    """The sentence has the command that installs it; JSON lines take none."""
    made = exported.made(tmp_path / "r", 50)
    hidden = tmp_path / "hidden" / package
    hidden.mkdir(parents=True)
    (hidden / "__init__.py").write_text(f"raise ImportError('there is no {package}')")
    environment = {**os.environ, "PYTHONPATH": str(hidden.parent)}
    given = [str(made) if word == "RECORDING" else word for word in words]
    error = failed(*given, cwd=tmp_path, env=environment)
    assert f"takes the Python package {package}, " in error
    assert "pip install 'kvmlog[analysis]'" in error
    lines = call("export", made, "--format", "jsonl")
    done = subprocess.run(lines, capture_output=True, check=True, env=environment)
    assert len(done.stdout.splitlines()) == 56


def test_a_cut_recording_is_exported_and_said_to_be_cut(tmp_path: Path) -> None:
    """What is whole of it is in the file."""
    path = recordings.write(tmp_path / "r", exported.varied(100), ended=False)
    done = subprocess.run(
        call("export", path, "--format", "jsonl"), capture_output=True, text=True, check=True
    )
    assert "cut short" in done.stderr
    assert len(done.stdout.splitlines()) == 102


def test_an_empty_recording_has_headers_only(tmp_path: Path) -> None:
    """And answers queries with no row."""
    path = recordings.write(tmp_path / "r", b"", guests=[])
    done = subprocess.run(
        call("export", path, "--format", "csv"), capture_output=True, text=True, check=True
    )
    assert len(done.stdout.splitlines()) == 1
    assert "empty" in done.stderr
    found = subprocess.run(
        call("query", path, "select count(*) as n from exits", "--format", "json"),
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout == '{"n": 0}\n'
