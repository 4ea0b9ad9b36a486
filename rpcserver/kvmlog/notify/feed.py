# SPDX-License-Identifier: GPL-2.0-or-later
"""Feed of one target: entries of the journal into its delivery, and how far it has got.

All up to the cursor is done with, and the history keeps it. Entries behind it are taken before the
one at its front is done, so that one VM does not hold up the others; at most WINDOW.
"""

from __future__ import annotations

import asyncio
import functools
import time
from typing import Final

from kvmlog.history.client import HistoryClient
from kvmlog.history.model import Change, Life, Service, Status
from kvmlog.history.moment import Stamp
from kvmlog.history.reader import HistoryReader
from kvmlog.notify import log, payloads
from kvmlog.notify.delivery import Delivery
from kvmlog.notify.message import Message, Origin
from kvmlog.notify.payloads import Facts
from kvmlog.notify.periods import last_complete
from kvmlog.notify.state import AuditState
from kvmlog.util.errors import KvmlogError

WINDOW: Final = 1_000


class Feed:
    """What one target is told; used from one event loop."""

    def __init__(
        self,
        reader: HistoryReader,
        client: HistoryClient,
        origin: Origin,
        delivery: Delivery,
        audit: AuditState,
        *,
        period: str | None,
        boot_id: str,
    ) -> None:
        self.delivery = delivery
        self.lost = 0  # entries that the journal no longer had
        self._consumer = f"notify-{delivery.target.name}"
        self._reader = reader
        self._client = client
        self._origin = origin
        self._audit = audit
        self._period = period
        self._boot_id = boot_id
        self._begun: Stamp | None = None  # the history's file; None: not known yet
        self._kept: int | None = None  # the cursor as the history has it
        self._taken = 0  # the newest sequence that the delivery has
        self._open: set[int] = set()  # sequences in it
        self._audited: int | None = None  # end of the period whose messages are under way

    @property
    def waiting(self) -> int:
        """Return how many notifications are not done."""
        return len(self._open)

    async def tick(self) -> None:
        """Take what is new, and keep how far the target is; HistoryError where there is none."""
        await asyncio.to_thread(self._begin)
        if len(self._open) < WINDOW:
            limit = WINDOW - len(self._open)
            found = await asyncio.to_thread(self._reader.changes, self._taken, limit)
            facts = self._facts()
            for change in found:
                made = await asyncio.to_thread(payloads.message, change, facts)
                self._take(change, made)
        if self._period is not None:
            await self._exists(self._period)
        await self._keep()

    def _begin(self) -> None:
        """Find where to go on, at the start and when the history was begun anew."""
        status = self._reader.status()
        if status.observed_since == self._begun:
            return
        known = self._reader.cursor(self._consumer)
        if known is None:
            # A new receiver is told what comes from now on; of a history begun anew, all.
            known = status.newest_sequence if self._begun is None else 0
        self._begun, self._taken, self._kept = status.observed_since, known, None
        self._open.clear()

    def _facts(self) -> Facts:
        life = functools.lru_cache(WINDOW)(self._life)
        return Facts(self._origin, life, self._service, Stamp.now(self._boot_id))

    def _life(self, uuid: str) -> Life | None:
        return self._reader.last_life(uuid)

    def _service(self, binary: str) -> Service | None:
        return next(iter(self._reader.services(binary=binary)), None)

    def _take(self, change: Change, made: Message | None) -> None:
        missing = change.sequence - self._taken - 1
        if missing:
            self.lost += missing
            log(
                f"{self.delivery.target.where}: {missing} entries of the history were gone before "
                "they could be sent; raise history.keep_days or history.max_mib"
            )
            told = payloads.lost(missing, self._taken, change.at.realtime_ns, self._origin)
            self._deliver(told, change.sequence - 1)
        self._taken = change.sequence
        if made is not None:
            self._deliver(made, change.sequence)

    def _deliver(self, message: Message, sequence: int) -> None:
        self._open.add(sequence)
        self.delivery.add(message, lambda: self._open.discard(sequence))

    async def _keep(self) -> None:
        cursor = min(self._open) - 1 if self._open else self._taken
        if cursor != self._kept:
            await asyncio.to_thread(self._client.consumed, self._consumer, cursor)
            self._kept = cursor

    async def _exists(self, kind: str) -> None:
        """Send `instance.exists` of the last period to a target that has not got it."""
        name = self.delivery.target.name
        period = last_complete(kind, time.time_ns())
        got = self._audit.end_ns(name)
        if got is None:
            # One that begins in the middle of a period is told of the next.
            self._got(period.end_ns)
            return
        if got >= period.end_ns or self._audited is not None:
            return
        lives = await asyncio.to_thread(
            self._reader.lives, start_ns=period.begin_ns, stop_ns=period.end_ns
        )
        self._audited = period.end_ns
        left = {life.number for life in lives}
        if not left:
            self._got(period.end_ns)

        def done(number: int) -> None:
            left.discard(number)
            if not left:
                self._got(period.end_ns)

        for life in lives:
            message = payloads.exists(life, period, self._origin)
            self.delivery.add(message, functools.partial(done, life.number))

    def _got(self, end_ns: int) -> None:
        self._audited = None
        try:
            self._audit.got(self.delivery.target.name, end_ns)
        except KvmlogError as error:
            log(str(error))


def status_of(feeds: list[Feed]) -> str:
    """Return a line for people: what was delivered where, what waits, what was dropped."""
    words = []
    for one in feeds:
        delivery = one.delivery
        text = f"{delivery.target.name}: {delivery.delivered} sent, {one.waiting} waiting"
        if delivery.dropped or one.lost:
            text += f", {delivery.dropped + one.lost} dropped"
        if delivery.trouble is not None:
            text += f" ({delivery.trouble})"
        words.append(text)
    return "; ".join(words)


def origin_of(status: Status) -> Origin:
    """Return the host that a history is of."""
    return Origin(status.host, status.host_uuid)
