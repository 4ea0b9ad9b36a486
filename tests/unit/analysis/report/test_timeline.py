# SPDX-License-Identifier: GPL-2.0-or-later
"""kvmlog.analysis.report.timeline and thinning: which exits the page has, and how exactly."""

from __future__ import annotations

import base64
import zlib

import numpy as np
import pytest

from kvmlog.analysis.report.codes import Kind
from kvmlog.analysis.report.columns import EXIT, Array
from kvmlog.analysis.report.scan import Scan
from kvmlog.analysis.report.thinning import Thinning
from kvmlog.analysis.report.timeline import Timeline, timeline
from kvmlog.analysis.report.tracks import Track

BEGUN = 10**12
KINDS = [Kind(name, "", "", halt=False, nested=False) for name in ("hlt", "io", "npf", "msr")]
TRACKS = [Track("web2", 0), Track("web1", 1), Track("web1", 0)]


def exits(count: int, seed: int = 1) -> Array:
    """So many exits of three tracks, sorted as Thinning does."""
    random = np.random.default_rng(seed)
    found = np.zeros(count, dtype=EXIT)
    found["exit_ns"] = BEGUN + np.sort(random.integers(0, 10**10, count))
    found["total_ns"] = random.lognormal(8, 2, count)
    found["code"] = random.choice([1, 3], count)
    found["track"] = random.integers(0, 3, count)
    found["cpu"] = random.integers(0, 300, count)
    found["vmm"] = random.integers(0, 101, count)
    ordered: Array = found[np.lexsort((found["exit_ns"], found["track"]))]
    return ordered


def unpacked(line: Timeline) -> dict[str, Array]:
    """The columns, by the rules that page/exits.js follows."""
    raw = np.frombuffer(zlib.decompress(base64.b64decode(line.data)), dtype="u1")
    columns, at = {}, 0
    for name, planes in line.planes.items():
        column = np.zeros(line.exits, dtype="u8")
        for plane in range(planes):
            column |= raw[at : at + line.exits].astype("u8") << np.uint64(8 * plane)
            at += line.exits
        columns[name] = column
    assert at == len(raw)
    begin, first = columns.pop("since"), 0
    for _, count in line.tracks:
        begin[first : first + count] = np.cumsum(begin[first : first + count])
        first += count
    return {"begin": begin * np.uint64(line.tick_ns), **columns}


def test_the_exits_come_out_as_they_went_in() -> None:
    """They stand by guest and vCPU, to the nanosecond, with only the kinds that there are."""
    given = exits(5_000)
    line = timeline(given, 5_000, BEGUN, TRACKS, KINDS)
    assert (line.tick_ns, line.exits) == (1, 5_000)
    assert [track for track, _ in line.tracks] == [TRACKS[2], TRACKS[1], TRACKS[0]]
    assert [kind.reason for kind in line.kinds] == ["io", "msr"]
    found = unpacked(line)
    expected = np.concatenate([given[given["track"] == at] for at in (2, 1, 0)])
    assert (found["begin"] == expected["exit_ns"] - BEGUN).all()
    for name in ("cpu", "vmm"):
        assert (found[name] == expected[name]).all()
    assert (found["total"] == expected["total_ns"]).all()
    assert [line.kinds[code].reason for code in found["code"]] == [
        KINDS[code].reason for code in expected["code"]
    ]


def test_a_page_that_would_be_too_large_has_coarser_times() -> None:
    """Ten times coarser until it fits, never by more than that, and in the same order."""
    given = exits(20_000)
    whole = len(timeline(given, 20_000, BEGUN, TRACKS, KINDS).data)
    line = timeline(given, 20_000, BEGUN, TRACKS, KINDS, bytes_most=whole * 4 // 5)
    assert line.tick_ns > 1
    assert len(line.data) <= whole * 4 // 5
    found = unpacked(line)
    expected = np.concatenate([given[given["track"] == at] for at in (2, 1, 0)])
    late = (expected["exit_ns"] - BEGUN).astype("i8") - found["begin"].astype("i8")
    assert ((late >= 0) & (late < line.tick_ns)).all()


def test_one_that_is_too_large_all_the_same_keeps_the_longest() -> None:
    """Half of the exits give way, the shorter ones."""
    given = exits(20_000)
    line = timeline(given, 20_000, BEGUN, TRACKS, KINDS, bytes_most=60_000)
    assert len(line.data) <= 60_000
    assert line.exits < line.recorded == 20_000
    assert unpacked(line)["total"].max() * line.tick_ns == pytest.approx(
        int(given["total_ns"].max()), abs=line.tick_ns
    )


def test_no_exit_is_no_error() -> None:
    """An empty recording has an empty time line."""
    line = timeline(np.zeros(0, dtype=EXIT), 0, 0, [], KINDS)
    assert (line.exits, list(line.tracks), list(line.kinds)) == (0, [], [])
    assert unpacked(line)["begin"].size == 0


def thinned(given: Array, most: int, windows: list[tuple[int, int]]) -> Array:
    """What Thinning keeps of them, taken in blocks in the order of time."""
    by_time = given[np.argsort(given["exit_ns"], kind="stable")]
    ended = int((by_time["exit_ns"] + by_time["total_ns"]).max())
    found = Scan(exits=len(given), begun_ns=int(by_time["exit_ns"][0]), ended_ns=ended)
    thinning = Thinning(found, windows, most)
    for block in np.array_split(by_time, 7):
        thinning.add(block)
    return thinning.exits()


def test_few_exits_are_all_kept() -> None:
    """Sorted by track and time."""
    given = exits(3_000)
    assert sorted(thinned(given, 3_000, []).tolist()) == sorted(given.tolist())


def test_of_many_exits_no_maximum_is_lost() -> None:
    """Near each exit one is kept of the same track that is at least as long, halts apart."""
    given = exits(60_000)
    given["halt"] = np.arange(60_000) % 3 == 0
    kept = thinned(given, 5_000, [])
    assert 1_500 < len(kept) <= 5_000
    assert set(kept.tolist()) <= set(given.tolist())
    near_ns = 10**10 // 128
    for one in given[np.argsort(given["total_ns"])[-500:]]:
        of = kept[(kept["track"] == one["track"]) & (kept["halt"] == one["halt"])]
        away = np.abs(of["exit_ns"].astype("i8") - int(one["exit_ns"]))
        assert of["total_ns"][away <= near_ns].max() >= one["total_ns"]


def test_around_the_longest_exits_all_are_kept_once() -> None:
    """What surrounds an outlier is what one zooms to."""
    given = exits(60_000)
    begun = BEGUN + 5 * 10**9
    kept = thinned(given, 5_000, [(begun, begun + 10**6)])
    near = (given["exit_ns"] >= begun) & (given["exit_ns"] <= begun + 10**6)
    assert near.any()
    assert set(given[near].tolist()) <= set(kept.tolist())
    assert len(set(kept.tolist())) == len(kept)
