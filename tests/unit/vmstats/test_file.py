# SPDX-License-Identifier: GPL-2.0-or-later
"""The collector's file: what is written is read, and what is no figure is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvmlog.util.errors import VmStatsError
from kvmlog.vmstats.file import decode, encode
from kvmlog.vmstats.reader import SnapshotReader
from tests.support import vmstats_samples as samples

SNAPSHOT = samples.snapshot(samples.vm(), samples.hung_vm(), samples.off_vm())


def test_all_that_is_written_is_read() -> None:
    """Without VMs, too."""
    assert decode("x", encode(SNAPSHOT)) == SNAPSHOT
    empty = samples.snapshot(vms=())
    assert decode("x", encode(empty)) == empty


@pytest.mark.parametrize("figure", [b"NaN", b"Infinity", b"-Infinity", b"1e999", b'"90.0"', b"{}"])
def test_what_is_no_figure_is_refused(figure: bytes) -> None:
    """JSON's reader takes some of them, which no client could be given."""
    raw = encode(SNAPSHOT).replace(b'"percent_of_one_cpu":90.0', b'"percent_of_one_cpu":' + figure)
    assert raw.count(figure) >= 1
    with pytest.raises(VmStatsError, match="a damaged one"):
        decode("x", raw)


def test_half_a_pair_of_surrogates_can_be_written_again() -> None:
    """As JSON has it; UTF-8 has no such character."""
    raw = encode(SNAPSHOT).replace(b'"name":"web1"', b'"name":"\\ud800"')
    found = decode("x", raw)
    assert found.vms[0].sample.name == "\ud800"
    assert decode("x", encode(found)) == found


def test_a_reader_knows_whether_it_has_the_newest(tmp_path: Path) -> None:
    """Before the first file, after each, and once it is gone."""
    path = tmp_path / "vms"
    reader = SnapshotReader(str(path))
    assert not reader.is_current()
    path.write_bytes(encode(SNAPSHOT))
    assert not reader.is_current()
    first = reader.read()
    assert (first, reader.is_current()) == (SNAPSHOT, True)
    assert reader.read() is first
    assert reader.read_content() == (first, path.read_bytes())
    path.write_bytes(encode(samples.snapshot()))
    assert not reader.is_current()
    path.unlink()
    assert not reader.is_current()


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        (b'"pid":4300', b'"pid":"4300"'),
        (b'"pid":4300', b'"pid":4300.0'),
        (b'"pid":4300', b'"pid":true'),
        (b'"name":"web1"', b'"name":7'),
        (b'"timed_out":false', b'"timed_out":0'),
        (b'"state":1', b'"state":"1"'),
        (b'"state":1', b'"state":99'),
    ],
)
def test_another_type_is_refused(right: bytes, wrong: bytes) -> None:
    """Of a figure that may be missing as of one that may not; nothing is converted."""
    raw = encode(SNAPSHOT)
    assert right in raw
    with pytest.raises(VmStatsError, match="a damaged one"):
        decode("x", raw.replace(right, wrong))
