# SPDX-License-Identifier: GPL-2.0-or-later
"""A running `kvmlog history` whose file has the past of web1, beside a JSON server."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from kvmlog.guests.model import encode
from kvmlog.history import services
from kvmlog.history.model import Binary
from kvmlog.ring.reader import boot_id
from kvmlog.vmstats.events import Kind
from tests.support import vmstats_samples as samples
from tests.support.history_book import IDENTITY, Book
from tests.support.history_process import History, history
from tests.support.metrics_host import guest
from tests.support.statistics_feed import Counting, exits, note

WEB1_PID = 4300


def past(folder: Path) -> None:
    """Write a history in which web1 was started, paused and met a full disk; a collector ran."""
    with Book(folder) as book:
        book.started()
        book.poll(5, book.sample(5))
        book.tell(10, Kind.SUSPENDED, "paused")
        facts = {"alias": "virtio-disk0", "path": "/a", "action": "pause"}
        book.tell(11, Kind.IO_ERROR, "enospc", **facts)
        # The file of VMs is written by hand: there is no collector that the history could find.
        now = book.stamp(12)
        with book.store.transaction(now) as transaction:
            services.beat(transaction, Binary.VMSTATS, "nova", IDENTITY.host_uuid, now)


@contextlib.contextmanager
def served_history(folder: Path, vms: Path) -> Iterator[tuple[History, list[str]]]:
    """Run a history that goes on from past(); give it, and the options of a server that reads it.

    vms: the collector's file. There is a ring as well, with an exit of web1.
    """
    past(folder)
    with history(folder, vms) as running, Counting(folder) as counting:
        counting.feed(note(1, WEB1_PID))
        counting.feed(exits(1, guest=1, reason=0x7B, exit_ns=10**9, total_ns=1_000))
        guests = [guest(WEB1_PID, "web1", samples.WEB1)]
        (folder / "ring.guests").write_bytes(encode(boot_id(), guests))
        counting.writer.flush()
        options = ["--history-file", str(running.file), "--history-socket", str(running.socket)]
        yield running, options
