# SPDX-License-Identifier: GPL-2.0-or-later
"""Recordings that are cut, damaged or forged: a sentence, or what is whole, and nothing worse."""

from __future__ import annotations

import os
import resource
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kvmlog.native import lib
from kvmlog.recording import format as blocks
from kvmlog.recording.reader import Recording, RecordingError
from kvmlog.ring.records import RECORD_BYTES
from tests.support import recordings
from tests.support.scale import FUZZ_CASES

RECORDS = 900
BLOCK = struct.Struct("<4sB3x4I3Q4xI")
# Of the files below: the start, HEADER, CLOCKS, GUESTS, RECORDS, END.
KINDS = (1, 3, 2, 4, 5)
settings.register_profile(
    "files", deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
FILES = settings.get_profile("files")


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A small recording."""
    path = tmp_path_factory.mktemp("good") / "x"
    return recordings.write(path, recordings.exits(RECORDS)).read_bytes()


def places(raw: bytes) -> list[tuple[int, int]]:
    """Where each block begins and ends."""
    found, at = [], blocks.START_BYTES
    while at < len(raw):
        end = at + blocks.BLOCK_BYTES + BLOCK.unpack_from(raw, at)[2]
        found.append((at, end))
        at = end
    return found


def forged(kind: int, content: bytes, *, plain: int = 0, records: int = 0) -> bytes:
    """A block with both checksums right, whatever is in it."""
    head = BLOCK.pack(
        blocks.BLOCK_MAGIC, kind, len(content), plain, records, zlib.crc32(content), 0, 0, 0, 0
    )[:-4]
    return head + struct.pack("<I", zlib.crc32(head)) + content


def read(path: Path, raw: bytes) -> list[str]:
    """All that a reader does with such a file; the sentences that it says."""
    path.write_bytes(raw)
    try:
        with Recording(path) as recording:
            whole = b"".join(recording.blocks())
            assert len(whole) % RECORD_BYTES == 0
            assert recording.statistics().exits <= len(whole) // RECORD_BYTES
            assert recording.clocks().pairs
            return recording.damaged
    except RecordingError as error:
        return [str(error)]


def test_the_blocks_of_a_recording(good: bytes) -> None:
    """What the cases below rely on."""
    assert tuple(good[at + 4] for at, _ in places(good)) == KINDS
    assert len(good) == places(good)[-1][1]


def test_cut_anywhere_what_is_whole_is_read(good: bytes, tmp_path: Path) -> None:
    """At many bytes: a sentence before the clocks, then what whole blocks there are."""
    (_, header_end), (_, clocks_end), _, (_, records_end), (_, end) = places(good)
    assert header_end < clocks_end
    whole = RECORDS + 2
    path = tmp_path / "cut"
    path.write_bytes(good)
    edges = {edge + by for at, to in places(good) for edge in (at, to) for by in (-1, 0, 1)}
    for length in sorted({*range(0, end, 97), *edges} - {0, end + 1}, reverse=True):
        os.truncate(path, length)
        if length < clocks_end:
            with pytest.raises(RecordingError, match=str(path)):
                Recording(path)
            continue
        with Recording(path) as recording:
            assert recording.records == (whole if length >= records_end else 0)
            assert (recording.end is None) == (length < end)
            assert recording.damaged == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda raw: b"", "is empty"),
        (lambda raw: b"#!/bin/sh\n" * 99, "no recording (it begins b'#!/bin/s'"),
        (lambda raw: raw[:5], "cut short before its first block"),
        (lambda raw: raw[: blocks.START_BYTES], "cut short before its first block"),
        (lambda raw: raw[:8] + b"\2" + raw[9:], "format 2, this kvmlog knows 1"),
        (lambda raw: raw[:12] + b"\3" + raw[13:], "record schema 3, this kvmlog knows 2"),
        (lambda raw: raw[:20] + b"\4" + raw[21:], "features 4, this kvmlog knows 0"),
        (lambda raw: raw[:24] + b"\x40" + raw[25:], "record size 64, this kvmlog knows 112"),
    ],
)
def test_what_is_no_recording_of_this_version_is_a_sentence(
    good: bytes, tmp_path: Path, change: Callable[[bytes], bytes], words: str
) -> None:
    """Which names the file and the remedy."""
    (sentence,) = read(tmp_path / "x", change(good))
    assert sentence.startswith(f"{tmp_path / 'x'}: ")
    assert words in sentence
    assert ";" in sentence


def test_missing_folders_and_pipes_are_sentences(tmp_path: Path) -> None:
    """Opening a FIFO does not block."""
    os.mkfifo(tmp_path / "fifo")
    for name, words in (
        ("missing", "there is no such recording"),
        (".", "is a directory, no recording"),
        ("fifo", "is no regular file, no recording"),
    ):
        with pytest.raises(RecordingError, match=words):
            Recording(tmp_path / name)


def test_a_block_with_a_wrong_content_is_left_out_and_told(tmp_path: Path) -> None:
    """The blocks around it are read."""
    path = recordings.write(tmp_path / "x", recordings.exits(3 * 16_384), guests=[])
    raw = bytearray(path.read_bytes())
    raw[places(bytes(raw))[3][0] + 500] ^= 1
    path.write_bytes(raw)
    with Recording(path) as recording:
        assert [len(one) // RECORD_BYTES for one in recording.blocks()] == [16_384, 16_384]
        assert recording.records == 3 * 16_384
        (sentence,) = recording.damaged
        assert "checksum" in sentence
        assert "16384 records" in sentence


@settings(FILES, max_examples=FUZZ_CASES // 100)
@given(st.data())
def test_flipped_bits_do_no_harm(good: bytes, tmp_path: Path, data: st.DataObject) -> None:
    """They are found by a checksum, wherever they are, or are of no consequence."""
    raw = bytearray(good)
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    read(tmp_path / "x", bytes(raw))


@settings(FILES, max_examples=FUZZ_CASES // 100)
@given(st.data())
def test_forged_contents_do_no_harm(good: bytes, tmp_path: Path, data: st.DataObject) -> None:
    """Checksums that are right vouch for nothing."""
    found = places(good)
    at, end = found[data.draw(st.integers(0, len(found) - 1))]
    kind, _, plain, count = BLOCK.unpack_from(good, at)[1:5]
    content = bytearray(good[at + blocks.BLOCK_BYTES : end])
    for _ in range(data.draw(st.integers(0, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    kept = bytes(content[: data.draw(st.integers(0, len(content)))])
    plain = data.draw(st.sampled_from([plain, 0, 1, plain + 1, 2**25]))
    count = data.draw(st.sampled_from([count, 1, count + 1, 16_384]))
    raw = forged(
        kind, kept, plain=plain, records=count if kind == lib.KVMLOG_RECORDING_RECORDS else 0
    )
    read(tmp_path / "x", good[:at] + raw + good[end:])


@pytest.mark.parametrize(
    "content",
    [
        b"[]",
        b"{}",
        b"null",
        b"[" * 100_000,
        b'{"host": 1}',
        b'[{"from_ns": "x"}]',
        b'[{"from_ns": 1e400, "realtime_offset_ns": 0, "utc_offset_s": 0}]',
        b'[{"from_ns": ' + b"9" * 5_000 + b', "realtime_offset_ns": 0, "utc_offset_s": 0}]',
        b"[7]",
        b"\xff\xfe",
    ],
)
@pytest.mark.parametrize("position", range(len(KINDS)))
def test_text_that_is_something_else_does_no_harm(
    good: bytes, tmp_path: Path, content: bytes, position: int
) -> None:
    """JSON of another shape, too deep, too large, or none."""
    at, end = places(good)[position]
    if KINDS[position] == blocks.RECORDS:
        block = forged(KINDS[position], content, records=5)
    else:
        block = blocks.text_block(KINDS[position], content)
    assert read(tmp_path / "x", good[:at] + block + good[end:])


def test_a_bomb_takes_no_memory(good: bytes, tmp_path: Path) -> None:
    """Texts of 32 MiB, of a KiB each in the file: no more than one is there at a time, and few."""
    at, _ = places(good)[2]
    bomb = blocks.text_block(blocks.GUESTS, bytes(2**25))
    assert len(bomb) < 5_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    (sentence, *_) = read(tmp_path / "x", good[:at] + bomb * 100)
    assert "more text than a recording has" in sentence
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # KiB


def test_a_header_that_claims_too_much_ends_the_file(good: bytes, tmp_path: Path) -> None:
    """Nothing is allocated for it."""
    at, _ = places(good)[3]
    limits: list[dict[str, Any]] = [
        {"kind": 4, "content": b"x", "records": 16_385},
        {"kind": 4, "content": b"x", "records": 0},
        {"kind": 2, "content": b"x", "plain": 2**25 + 1},
        {"kind": 2, "content": b"x", "records": 1},
    ]
    for one in limits:
        (tmp_path / "x").write_bytes(good[:at] + forged(**one) + good[at:])
        with Recording(tmp_path / "x") as recording:
            assert (recording.records, recording.end) == (0, None)


def test_blocks_of_an_unknown_kind_are_skipped(good: bytes, tmp_path: Path) -> None:
    """A later version of the same format may add some."""
    at, _ = places(good)[3]
    raw = good[:at] + blocks.text_block(77, b"what is new") + good[at:]
    assert read(tmp_path / "x", raw) == []
    with Recording(tmp_path / "x") as recording:
        assert recording.records == RECORDS + 2
        assert recording.end is not None
