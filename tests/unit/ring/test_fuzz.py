# SPDX-License-Identifier: GPL-2.0-or-later
"""Any header gives a reading or an error message, never a crash."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kvmlog.native import ffi, lib
from kvmlog.ring.header import HEADER_BYTES
from kvmlog.ring.reader import RingReader
from kvmlog.ring.writer import RingWriter
from kvmlog.util import units
from kvmlog.util.errors import RingError, RingFormatError

SLOTS = 1024
FIELDS = [
    (info.offset, ffi.sizeof(info.type))
    for name, info in ffi.typeof("struct kvmlog_ring_header").fields
    if not name.startswith("reserved")
]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole ring file. (A path: hypothesis would print all of its bytes.)"""
    path = tmp_path_factory.mktemp("good") / "ring"
    with RingWriter(str(path), SLOTS) as writer:
        writer.append(bytes(1500 * lib.KVMLOG_RECORD_BYTES))
    return path


@st.composite
def damage(draw: st.DrawFn) -> list[tuple[int, bytes]]:
    """Some fields, or any bytes of the header, overwritten."""
    patches = []
    for offset, size in draw(st.lists(st.sampled_from(FIELDS), max_size=4)):
        patches.append((offset, draw(st.binary(min_size=size, max_size=size))))
    if draw(st.booleans()):
        offset = draw(st.integers(0, HEADER_BYTES - 8))
        patches.append((offset, draw(st.binary(max_size=8))))
    return patches


@settings(
    max_examples=500,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(patches=damage(), cut=st.one_of(st.none(), st.integers(0, HEADER_BYTES * 3)))
def test_a_damaged_header_is_read_or_refused_with_a_sentence(
    good: Path, tmp_path: Path, patches: list[tuple[int, bytes]], cut: int | None
) -> None:
    """Make all of a reader's calls, then let a writer continue or replace the file."""
    raw = bytearray(good.read_bytes())
    for offset, patch in patches:
        raw[offset : offset + len(patch)] = patch
    path = tmp_path / "ring"
    path.write_bytes(bytes(raw[:cut]))
    with contextlib.suppress(RingError), RingReader(path) as reader:
        reader.info()
        reader.snapshot()
        reader.snapshot(10, since=5)
        clocks = reader.clocks()
        for ns in (0, 1, 2**64 - 1):
            assert units.iso_time(*clocks.at(ns))
            assert units.iso_time(*clocks.of(ns))
    with contextlib.suppress(RingError):
        with RingWriter(str(path), SLOTS) as writer:
            writer.append(bytes(lib.KVMLOG_RECORD_BYTES))
        with RingReader(path) as reader:
            assert reader.snapshot(1).records == bytes(lib.KVMLOG_RECORD_BYTES)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("format_version", 9, "format 9, this version knows 1"),
        ("schema_version", 3, "record schema 3, this version knows 2"),
        ("incompat_flags", 4, "features 0x4"),
        ("header_bytes", 512, "header size 512"),
        ("record_bytes", 64, "record size 64"),
        ("capacity", 1000, "capacity 1000"),
        ("capacity", 2048, "its header says"),
        ("state", 7, "state 7"),
        ("head", 2**40, "head 1099511627776"),
        ("reserve", 1, "reserve 1"),
    ],
)
def test_the_sentence_names_file_value_and_remedy(
    good: Path, tmp_path: Path, field: str, value: int, words: str
) -> None:
    """Each field that decides whether the ring can be read."""
    raw = bytearray(good.read_bytes())
    info = dict(ffi.typeof("struct kvmlog_ring_header").fields)[field]
    size = ffi.sizeof(info.type)
    raw[info.offset : info.offset + size] = value.to_bytes(size, "little")
    path = tmp_path / "ring"
    path.write_bytes(bytes(raw))
    with pytest.raises(RingFormatError) as refused:
        RingReader(path)
    sentence = str(refused.value)
    assert sentence.startswith(f"{path}: ")
    assert words in sentence
    assert any(remedy in sentence for remedy in ("restart the bridge", "upgrade kvmlog"))
