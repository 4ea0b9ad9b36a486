# SPDX-License-Identifier: GPL-2.0-or-later
"""What a call of a method opens when it is made again: only files that change."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kvmlog.guests.model import encode
from kvmlog.ring.reader import boot_id
from kvmlog.ring.statistics.writer import StatisticsWriter
from kvmlog.ring.writer import RingWriter
from kvmlog.rpcserver.methods.table import METHODS, load
from tests.support import statistics_rows
from tests.support.records import exit_bytes
from tests.support.rpc_calls import call_of

_noted: list[str] | None = None


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and _noted is not None and isinstance(arguments[0], str | bytes):
        _noted.append(os.fsdecode(arguments[0]))


# It cannot be taken away again.
sys.addaudithook(_note)


@pytest.fixture
def ring(tmp_path: Path) -> Iterator[str]:
    """A ring with an exit, statistics and guests."""
    path = str(tmp_path / "ring")
    with RingWriter(path, 1024) as writer:
        statistics = StatisticsWriter(f"{path}.statistics", writer, 1)
        writer.append(exit_bytes(guest=1, reason=0x78))
        known = [statistics_rows.named(7, "web1", numbers=((1, 0),))]
        Path(f"{path}.guests").write_bytes(encode(boot_id(), known))
        yield path
        statistics.close()


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("kvmLogStatus", ()),
        ("getKvmLog", ()),
        ("kvmStatus", ()),
        ("kvmGuests", ()),
        ("kvmRecords", ({},)),
        ("kvmRecords", ({"form": "structs", "vm": ["web1"]},)),
        ("kvmExplain", ("hlt",)),
    ],
)
def test_a_call_opens_only_what_changes(ring: str, name: str, parameters: tuple[Any, ...]) -> None:
    """Neither packages' metadata nor facts of the boot; what guests there are is not parsed."""
    global _noted
    method = load(METHODS[name])
    call = call_of(ring, *parameters, switch=f"{ring}.none")
    first = method(call)
    _noted = []
    try:
        second = method(call)
    finally:
        opened, _noted = _noted, None
    assert type(second) is type(first)
    changing = {ring, f"{ring}.statistics", f"{ring}.guests", f"/proc/{os.getpid()}/stat"}
    assert set(opened) <= changing
    assert len(opened) == len(set(opened))
