# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog remote HOST tail`: poll a server for new records."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from typing import Final

from kvmlog.cli import records
from kvmlog.cli.tail import REPLACED
from kvmlog.client import Client
from kvmlog.client.replies import Records
from kvmlog.exits.format import lines
from kvmlog.guests.labels import GuestView
from kvmlog.guests.names import GuestList
from kvmlog.ring.records import GuestRecord, Record

POLL_S: Final = 0.5
# A page: more are asked for at once when there are more.
_PAGE: Final = 16_384


def follow(
    client: Client,
    count: int,
    vm: Sequence[str] = (),
    reason: Sequence[str] = (),
    slower_than_ns: int = 0,
    enough: Callable[[int], bool] = lambda _exits: False,
) -> int:
    """Print the newest `count` records, then new ones as they come; RpcError.

    enough: called after each poll with the number of exits printed; when it returns true, return
    that number. Otherwise follow until interrupted.
    """
    page = client.records(max(1, count), vm=vm, reason=reason, slower_than_ns=slower_than_ns)
    print(lines.HEADER)
    guests = _guests(client)
    exits = _print(page, guests) if count else 0
    while True:
        sys.stdout.flush()
        if enough(exits):
            return exits
        if not page.more:
            time.sleep(POLL_S)
        at = (page.span.ring_id, page.span.next_index)
        page = client.records(_PAGE, at, vm, reason, slower_than_ns)
        if page.replaced:
            print(lines.sentence_line(REPLACED))
        if page.span.overwritten:
            print(records.overwritten_line(page.span.overwritten))
        if any(isinstance(one, GuestRecord) for one in page.decoded()):
            guests = _guests(client)
        exits += _print(page, guests)


def _guests(client: Client) -> GuestView:
    return GuestView(GuestList(client.guests(ended=True).guests))


def _print(page: Records, guests: GuestView) -> int:
    """Print a page; return the number of exits on it."""
    shown = page.decoded()
    guests.learn(shown)
    for line in records.record_lines(shown, page.clocks, guests, as_json=False):
        print(line)
    return sum(isinstance(one, Record) for one in shown)
