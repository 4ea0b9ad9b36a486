# SPDX-License-Identifier: GPL-2.0-or-later
"""Readers of the ring that are kept: always of the file that has the name, and never for long."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from kvmlog.ring.writer import RingWriter
from kvmlog.rpcserver.methods import table
from kvmlog.rpcserver.methods.readers import close_idle, ring_reader
from kvmlog.util.errors import RingError, RingMissingError
from tests.support.records import exit_bytes

# The writer's own: the ring and its lock.
WRITERS = 2


@pytest.fixture
def ring(tmp_path: Path) -> Iterator[Path]:
    """A ring with three records; afterwards no reader is left."""
    path = tmp_path / "ring"
    with RingWriter(str(path), 1_024) as writer:
        writer.append(exit_bytes() * 3)
        yield path
    close_idle(0.0)


def mapped(ring: Path) -> int:
    """Return how many readers of this process have the ring open, by whatever name it has."""
    links = [os.readlink(one) for one in Path("/proc/self/fd").iterdir() if one.is_symlink()]
    return sum(link.startswith(str(ring)) for link in links) - WRITERS


def test_a_reader_is_used_again(ring: Path) -> None:
    """One call after the other has the same; two at a time do not."""
    with ring_reader(str(ring)) as first:
        assert first.info().head == 3
        with ring_reader(str(ring)) as second:
            assert second is not first
    with ring_reader(str(ring)) as third:
        assert third is first
    assert mapped(ring) == 2


def test_a_ring_that_is_gone_is_missing_at_once(ring: Path) -> None:
    """What was mapped before is let go with it."""
    with ring_reader(str(ring)):
        pass
    ring.rename(f"{ring}.old")
    with pytest.raises(RingMissingError), ring_reader(str(ring)):
        pass
    assert mapped(ring) == 0


def test_a_ring_that_was_replaced_is_the_new_one(ring: Path, tmp_path: Path) -> None:
    """Also between two calls that follow each other at once."""
    with ring_reader(str(ring)) as reader:
        old = reader.info().ring_id
    with RingWriter(str(tmp_path / "other"), 1_024):
        (tmp_path / "other").rename(ring)
        with ring_reader(str(ring)) as reader:
            assert reader.info().ring_id != old


def test_a_reader_whose_call_failed_is_closed(ring: Path) -> None:
    """What went wrong may be the reader's."""
    with pytest.raises(RingError), ring_reader(str(ring)):
        raise RingError("anything")
    assert mapped(ring) == 0


def test_what_nobody_uses_is_closed(ring: Path) -> None:
    """The server's rounds close it; what was used just now is kept."""
    with ring_reader(str(ring)):
        pass
    close_idle(60.0)
    assert mapped(ring) == 1
    assert close_idle in table._tidying
    close_idle(0.0)
    assert mapped(ring) == 0
