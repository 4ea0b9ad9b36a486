# SPDX-License-Identifier: GPL-2.0-or-later
"""What libvirt tells of its host, asked aside: no figure of a VM waits for it.

A libvirtd that lists its domains in no time may take minutes for its capabilities, for which it
runs each QEMU that is installed.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Final, Generic, TypeVar

import libvirt

from kvmlog.util.ratelimit import LogLimiter
from kvmlog.vmstats import log
from kvmlog.vmstats.libvirt.host import HostCalls, Identity, Node
from kvmlog.vmstats.libvirt.lane import Lane, keep_alive

_T = TypeVar("_T")

# A call that takes longer is told of, and counted as stuck; its answer is used all the same.
ANSWER_S: Final = 60.0
# One that took longer than this rests so many times as long, and a minute at least; so does one
# that failed.
_SLOW_S: Final = 2.0
_RESTS: Final = 10
_REST_S: Final = 60.0
# QEMU may be upgraded while libvirtd runs.
_IDENTITY_S: Final = 3_600.0
# How long a poll, which has its VMs already, waits for an answer that mostly is there.
_MOMENT_S: Final = 0.2


class HostFacts:
    """Identity and node of the host behind one libvirt; for one thread.

    There are two threads for it, one of them only until the identity is known, and two more at most
    where a connection was given up with calls in it.
    """

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._calls = HostCalls()
        self._node = _Fact(uri, self._calls.node)
        self._identity = _Fact(
            uri, self._calls.identity, every_s=_IDENTITY_S, whole=lambda told: told.complete
        )
        self._facts: Final[tuple[_Fact[Any], ...]] = (self._node, self._identity)
        self._told = False  # that it is slow
        self._log = LogLimiter(log)

    def renew(self) -> None:
        """Ask for everything again: another libvirt may have come. What is known is used until."""
        self._calls.renew()
        for fact in self._facts:
            fact.renew()

    def begin(self) -> None:
        """Ask for what is due, without waiting."""
        for fact in self._facts:
            fact.begin()
        slow = any(fact.is_late for fact in self._facts)
        if slow and not self._told:
            self._log(
                f"{self._uri}: libvirt has not told of its host within {ANSWER_S:g} s: VMs are "
                "collected without; see how long virsh -r -c "
                f"{shlex.quote(self._uri)} capabilities takes"
            )
        self._told = slow

    def get(self) -> tuple[Identity, Node] | None:
        """Return the newest answers, for which a moment is waited; None until there are both."""
        limit = time.monotonic() + _MOMENT_S
        node = self._node.get(limit)
        identity = self._identity.get(limit)
        return None if node is None or identity is None else (identity, node)

    def close(self) -> None:
        """Close the connections, without waiting."""
        for fact in self._facts:
            fact.close()

    def join(self, timeout_s: float) -> None:
        """Wait for the connections that have been closed."""
        limit = time.monotonic() + timeout_s
        for fact in self._facts:
            fact.join(limit)

    @property
    def stuck_threads(self) -> int:
        """Return how many threads are in a call that takes too long, or was given up."""
        return sum(fact.stuck_threads for fact in self._facts)


class _Fact(Generic[_T]):
    """One call, repeated on a connection of its own; never more than one at a time.

    call: returns None where libvirt does not tell now. every_s: between two that succeed; 0: with
    each begin(), and the connection stays open in between. whole: whether an answer lacks nothing;
    one that does is used where there was none before.
    """

    def __init__(
        self,
        uri: str,
        call: Callable[[libvirt.virConnect], _T | None],
        *,
        every_s: float = 0,
        whole: Callable[[_T], bool] = lambda _: True,
    ) -> None:
        self._uri = uri
        self._call = call
        self._every_s = every_s
        self._whole = whole
        self._newest: _T | None = None
        self._lane: Lane | None = None
        self._asked: Future[tuple[_T | None, float]] | None = None
        self._asked_s = 0.0
        self._due_s = 0.0
        self._left: Lane | None = None  # given up with a call in it

    def begin(self) -> None:
        """Ask, unless that is under way or not due."""
        self._take()
        if self._asked is not None or time.monotonic() < self._due_s:
            return
        if self._lane is None:
            self._lane = Lane(self._uri, opened_by=keep_alive)
        self._asked_s = time.monotonic()
        self._asked = self._lane.begin(self._timed)

    def get(self, limit: float) -> _T | None:
        """Return the newest answer; one that was asked for just now is waited for until then."""
        now = time.monotonic()
        if self._asked is not None and now - self._asked_s < _MOMENT_S:
            _wait(self._asked, max(0.0, limit - now))
        self._take()
        return self._newest

    def renew(self) -> None:
        """Ask as soon as possible, on a new connection.

        A call that has not returned is given up for that, but never a second one.
        """
        self._take()
        self._due_s = 0.0
        if self._asked is None:
            self.close()
        elif self._left is None or self._left.ended:
            self._left = self._lane
            self.close()

    def close(self) -> None:
        """Close the connection, without waiting."""
        if self._lane is not None:
            self._lane.leave()
        self._lane = self._asked = None

    def join(self, limit: float) -> None:
        """Wait for a connection that was given up."""
        if self._left is not None:
            self._left.join(max(0.0, limit - time.monotonic()))

    @property
    def is_late(self) -> bool:
        """Return whether the call under way takes longer than it may."""
        return self._asked is not None and time.monotonic() - self._asked_s > ANSWER_S

    @property
    def stuck_threads(self) -> int:
        """Return how many threads are in a call that takes too long, or was given up."""
        return self.is_late + (self._left is not None and not self._left.ended)

    def _timed(self, connection: libvirt.virConnect | None) -> tuple[_T | None, float]:
        """Return the answer, and when it was there."""
        # Without a connection: it did not open, which the session tells.
        answer = None if connection is None else self._call(connection)
        return answer, time.monotonic()

    def _take(self) -> None:
        """Take the answer where there is one, and decide when to ask again."""
        if self._asked is None or not self._asked.done():
            return
        answer, ended_s = self._asked.result()
        self._asked = None
        took_s = ended_s - self._asked_s
        rest_s = 0.0 if took_s < _SLOW_S else max(_REST_S, _RESTS * took_s)
        whole = answer is not None and self._whole(answer)
        if whole or self._newest is None:
            self._newest = answer
        rest_s = max(self._every_s if whole else _REST_S, rest_s)
        self._due_s = ended_s + rest_s
        if rest_s:
            self.close()


def _wait(future: Future[tuple[_T | None, float]], timeout_s: float) -> None:
    try:
        future.exception(timeout_s)
    except TimeoutError:
        return
