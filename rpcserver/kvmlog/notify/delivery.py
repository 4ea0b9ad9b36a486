# SPDX-License-Identifier: GPL-2.0-or-later
"""The delivery to one target: at least once, in order within a lane, lanes beside each other.

While the target is not to be reached all lanes wait together, longer each time. A message that it
refuses, or that fails again and again while others are taken, is dropped, counted and told.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from kvmlog.notify import log
from kvmlog.notify.message import Message
from kvmlog.notify.target import RefusedError, Target, UnavailableError
from kvmlog.util.ratelimit import LogLimiter

AT_ONCE: Final = 8
FIRST_S: Final = 1.0
LONGEST_S: Final = 60.0
# Failures of one message while others were taken in between.
ATTEMPTS: Final = 10


@dataclass
class _Entry:
    message: Message
    done: Callable[[], None]
    attempts: int = 0
    taken_before: int = 0  # what the target had taken at the attempt before


class Delivery:
    """The lanes of one target; used from one event loop."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.delivered = 0
        self.dropped = 0
        self.trouble: str | None = None  # why nothing is delivered now
        self._log = LogLimiter(log)
        self._lanes: dict[str, deque[_Entry]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._places = asyncio.Semaphore(AT_ONCE)
        self._wait_s = 0.0
        self._again = 0.0  # of time.monotonic(): nothing is tried before

    def add(self, message: Message, done: Callable[[], None]) -> None:
        """Deliver a message; done: called once it is delivered or dropped."""
        lane = self._lanes.get(message.lane)
        entry = _Entry(message, done)
        if lane is not None:
            lane.append(entry)
            return
        self._lanes[message.lane] = deque([entry])
        task = asyncio.create_task(self._run(message.lane))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """End; what is not delivered is not done."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.target.close()

    async def _run(self, name: str) -> None:
        lane = self._lanes[name]
        while lane:
            async with self._places:
                gone = await self._attempt(lane[0])
            if gone:
                lane.popleft().done()
        del self._lanes[name]

    async def _attempt(self, entry: _Entry) -> bool:
        """Return whether the message is done with."""
        while (left_s := self._again - time.monotonic()) > 0:
            await asyncio.sleep(left_s)
        try:
            await self.target.send(entry.message)
        except RefusedError as error:
            return self._drop(entry, str(error))
        except UnavailableError as error:
            return self._failed(entry, str(error))
        self.delivered += 1
        self._wait_s = 0.0
        if self.trouble is not None:
            log(f"{self.target.where}: takes notifications again")
            self.trouble = None
        return True

    def _failed(self, entry: _Entry, why: str) -> bool:
        if self.delivered > entry.taken_before or entry.attempts == 0:
            entry.attempts += 1
            entry.taken_before = self.delivered
        if entry.attempts > ATTEMPTS:
            return self._drop(entry, f"{why}, {ATTEMPTS} times, while others were taken")
        if self.trouble is None:
            self._log(f"{self.target.where}: {why}; trying again until it is taken")
        self.trouble = why
        now = time.monotonic()
        if now >= self._again:  # no other lane has found out at the same time
            self._wait_s = min(LONGEST_S, max(FIRST_S, self._wait_s * 2))
            # Many hosts lose the same receiver at the same time.
            self._again = now + self._wait_s * random.uniform(0.5, 1.0)
        return False

    def _drop(self, entry: _Entry, why: str) -> bool:
        self.dropped += 1
        message = entry.message
        self._log(f"{self.target.where}: {message.event_type} {message.id} is dropped: {why}")
        return True
