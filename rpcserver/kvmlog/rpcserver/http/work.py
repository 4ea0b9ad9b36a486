# SPDX-License-Identifier: GPL-2.0-or-later
"""The work for one request, on its caller's account: a turn to compute, memory, request tokens."""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Hashable, Iterator
from http import HTTPStatus
from typing import Final

from kvmlog.rpcserver import faults
from kvmlog.rpcserver.http.memory import ReplyMemory
from kvmlog.rpcserver.http.service import RefusalError
from kvmlog.rpcserver.http.turns import OverShareError, Turns
from kvmlog.rpcserver.limits import BURST_S, Limits
from kvmlog.util.ratelimit import TokenBuckets

# How long a thread may compute before another that is ready gets the interpreter. The default of
# 5 ms adds up: a cheap call takes the interpreter back after each of its system calls.
_SWITCH_INTERVAL_S: Final = 0.0005


class Accounts:
    """What all callers share; thread-safe."""

    def __init__(self, limits: Limits) -> None:
        sys.setswitchinterval(_SWITCH_INTERVAL_S)
        rate = limits.requests_per_s
        self.limits: Final = limits
        self.turns: Final = Turns(limits.turns)
        self.memory: Final = ReplyMemory(limits.reply_bytes, limits.reply_bytes_per_caller)
        self._rates: Final = TokenBuckets(rate, rate * BURST_S) if rate else None

    def count_request(self, key: Hashable) -> None:
        """Count one request of a caller; RefusalError when there have been too many."""
        wait_s = self._rates.wait_s(key) if self._rates else 0.0
        if wait_s > 0:
            raise _too_many(
                f"More than {self.limits.requests_per_s:g} requests a second; call less often.",
                wait_s,
            )


class Work:
    """The work for one request; within `with` it holds a turn, and memory until sent()."""

    def __init__(self, accounts: Accounts, key: Hashable) -> None:
        self._accounts = accounts
        self._key = key
        self._has_turn = False
        self._since_s = 0.0
        self._bytes = 0

    def __enter__(self) -> Work:
        self._take_turn()
        return self

    def __exit__(self, *_: object) -> None:
        self._end_turn()

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Let others compute while this thread only waits; RefusalError as for all turns."""
        self._end_turn()
        try:
            yield
        finally:
            self._take_turn()

    def count_call(self) -> None:
        """Count one more call of the caller's; RefusalError when there have been too many."""
        self._accounts.count_request(self._key)

    def reserve(self, size: int) -> None:
        """Wait until there is memory for making a reply, `size` bytes more.

        RefusalError when there is none in time; Fault INVALID_PARAMETERS for one more reply of the
        same request when all of them together would be more than a caller may have.
        """
        memory, limits = self._accounts.memory, self._accounts.limits
        if self._bytes and self._bytes + size > limits.reply_bytes_per_caller:
            raise faults.fault(
                faults.INVALID_PARAMETERS,
                "The replies to one request may not take more than "
                f"{limits.reply_bytes_per_caller} bytes together; ask for less at a time.",
            )
        try:
            if not memory.take(self._key, size):
                with self.waiting():
                    memory.wait(self._key, size, limits.queue_s)
        except OverShareError:
            raise self._over_share() from None
        self._bytes += size

    def made(self, size: int) -> None:
        """Keep memory for the reply only, `size` bytes, where there was need to reserve any."""
        if self._bytes > size:
            self._accounts.memory.give_back(self._key, self._bytes - size)
            self._bytes = size

    def sent(self) -> None:
        """Return all memory: the reply has been sent, or will never be."""
        self.made(0)

    def _take_turn(self) -> None:
        try:
            self._since_s = self._accounts.turns.take(self._key, self._accounts.limits.queue_s)
        except OverShareError:
            raise self._over_share() from None
        self._has_turn = True

    def _end_turn(self) -> None:
        if self._has_turn:
            self._has_turn = False
            self._accounts.turns.give_back(self._key, self._since_s)

    def _over_share(self) -> RefusalError:
        return _too_many(
            f"Your other calls have kept this one waiting for {self._accounts.limits.queue_s:g} s; "
            "have fewer under way.",
            self._accounts.limits.queue_s,
        )


def _too_many(sentence: str, wait_s: float) -> RefusalError:
    return RefusalError(
        HTTPStatus.TOO_MANY_REQUESTS, sentence, {"Retry-After": str(math.ceil(wait_s))}
    )
