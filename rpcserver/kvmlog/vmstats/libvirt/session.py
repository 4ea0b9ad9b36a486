# SPDX-License-Identifier: GPL-2.0-or-later
"""One libvirt, asked so that nothing that hangs there hangs here.

Two connections: one that watches (events, definitions, who is occupied), and one for figures. A
call that does not return in time is left alone in its thread with its connection, and another
connection is opened. There are at most as many of them as there are domains that hang, and two
where libvirt itself does.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final, TypeVar

import libvirt

from kvmlog.util.errors import VmStatsError
from kvmlog.vmstats.libvirt import binding, calls
from kvmlog.vmstats.libvirt.events import Changes, Subscription
from kvmlog.vmstats.libvirt.lane import Lane, keep_alive

_T = TypeVar("_T")

CALL_S: Final = 2.0
_CONNECT_S: Final = 5.0
# A remote one logs in first.
_CONNECT_REMOTE_S: Final = 15.0
# libvirt's daemon takes three to four milliseconds for each domain.
_DOMAIN_S: Final = 0.010
# When figures are this late it is asked who is occupied.
_PATIENCE_S: Final = 0.3
_PATIENCE_MOST_S: Final = 1.0
_OCCUPIED_MS: Final = 200
_AGAIN_S: Final = 0.1
_CLOSE_S: Final = 0.5


class UnreachableError(VmStatsError):
    """libvirt cannot be asked now."""


class Session:
    """The connections to one libvirt; for one thread. They open when they are needed."""

    def __init__(self, uri: str, *, remote: bool, changes: Changes) -> None:
        binding.set_up()
        self.hung: frozenset[str] = frozenset()  # UUIDs of the domains that do not answer
        self.connections = 0  # watching connections opened so far
        self.has_events = False
        self._uri = uri
        self._connect_s = _CONNECT_REMOTE_S if remote else _CONNECT_S
        self._changes = changes
        self._watch: Lane | None = None
        self._subscription: Subscription | None = None  # of _watch
        self._figures: Lane | None = None
        self._left: list[Lane] = []
        self._last_s = 0.0  # how long the last figures took
        self._domains = 0

    @property
    def stuck_threads(self) -> int:
        """Return how many threads are in a call that was given up."""
        self._left = [lane for lane in self._left if not lane.ended]
        return len(self._left)

    def watch(self, function: Callable[[libvirt.virConnect], _T], timeout_s: float = CALL_S) -> _T:
        """Return function(connection); UnreachableError where it fails or takes too long."""
        lane = self._watching()
        try:
            return self._result(lane.begin(function), timeout_s)
        except UnreachableError:
            self._leave_watch()
            raise
        except libvirt.libvirtError as error:
            if lane.lost:
                self._leave_watch()
            raise UnreachableError(binding.sentence(error)) from None

    def figures(self, most_s: float) -> calls.Answer:
        """Return the figures of all domains but those that hang, which are in `hung` afterwards.

        most_s: how long it may take as long as more of those are found. UnreachableError.
        """
        began = time.monotonic()
        if self.hung:
            self.hung = self.watch(lambda connection: calls.occupied(connection, self.hung, 0))
        while (future := self._asked()) is None:
            if time.monotonic() - began > most_s:
                raise UnreachableError(
                    f"{len(self.hung)} domains do not answer; the others are asked again"
                )
        try:
            answer = future.result()
        except libvirt.libvirtError as error:
            if self._figures is not None and self._figures.lost:
                self.close()
            if binding.is_unsupported(error):
                raise UnreachableError(
                    "this driver of libvirt's has no figures in bulk; remove the URI (vmstats.uris)"
                ) from None
            raise UnreachableError(binding.sentence(error)) from None
        self._last_s = time.monotonic() - began
        self._domains = len(answer.records) + len(self.hung)
        return answer

    def close(self) -> None:
        """Close both connections, without waiting; a call that is in one ends first."""
        self._leave_watch()
        self._leave_figures()

    def join(self, timeout_s: float) -> None:
        """Wait for the connections that have been closed."""
        limit = time.monotonic() + timeout_s
        for lane in self._left:
            lane.join(max(0.0, limit - time.monotonic()))

    def _asked(self) -> Future[calls.Answer] | None:
        """Return the figures, which are there, or None: then more domains are known to hang."""
        hung = self.hung
        future = self._asking().begin(lambda connection: calls.figures(connection, hung))
        patience_s = min(_PATIENCE_MOST_S, max(_PATIENCE_S, 2 * self._last_s))
        limit = time.monotonic() + max(CALL_S, _DOMAIN_S * self._domains)
        try:
            while not _is_done(future, patience_s):
                found = self.watch(
                    lambda connection: calls.occupied(connection, None, _OCCUPIED_MS)
                )
                if not found <= hung and not future.done():
                    self.hung = hung | found
                    self._leave_figures()
                    return None
                if time.monotonic() > limit:
                    raise UnreachableError(
                        f"libvirt has taken more than {CALL_S:g} s to answer; it is tried again; "
                        f"{self._look_first()}"
                    )
                patience_s = _AGAIN_S
        except UnreachableError:
            self._leave_figures()
            raise
        return future

    def _watching(self) -> Lane:
        if self._watch is not None and self._watch.lost and self._watch.opened.done():
            self._leave_watch()
        if self._watch is None:
            self._check_stuck()
            subscription = Subscription(self._changes)

            def begin(connection: libvirt.virConnect) -> None:
                keep_alive(connection)
                subscription.begin(connection)
                self.has_events = subscription.complete
                self.connections += 1

            self._watch = Lane(self._uri, opened_by=begin, closed_by=subscription.end)
            self._subscription = subscription
        lane = self._watch
        self._opened(lane, self._leave_watch)
        return lane

    def _asking(self) -> Lane:
        if self._figures is None:
            self._check_stuck()
            self._watching()
            self._figures = Lane(self._uri, opened_by=keep_alive)
        self._opened(self._figures, self._leave_figures)
        return self._figures

    def _check_stuck(self) -> None:
        # One of each kind, where libvirtd itself hangs.
        most = len(self.hung) + 1
        if self.stuck_threads > most:
            # Those that only close end now.
            self.join(_CLOSE_S)
        if self.stuck_threads > most:
            raise UnreachableError(
                f"{self.stuck_threads} calls of libvirt have not returned; {self._look_first()}"
            )

    def _opened(self, lane: Lane, leave: Callable[[], None]) -> None:
        """Wait until the connection is open.

        One that takes longer goes on opening: the next call waits for it again.
        """
        try:
            self._result(lane.opened, self._connect_s)
        except libvirt.libvirtError as error:
            leave()
            raise UnreachableError(binding.sentence(error)) from None

    def _result(self, future: Future[_T], timeout_s: float) -> _T:
        try:
            return future.result(timeout_s)
        except TimeoutError:
            raise UnreachableError(
                f"libvirt has not answered within {timeout_s:g} s; {self._look_first()}"
            ) from None

    def _look_first(self) -> str:
        return (
            f"see whether virsh -r -c {shlex.quote(self._uri)} list answers, and restart libvirtd "
            "only where that hangs for minutes"
        )

    def _leave_watch(self) -> None:
        if self._subscription is not None:
            self._subscription.mute()
            self._subscription = None
        self._leave(self._watch)
        self._watch = None

    def _leave_figures(self) -> None:
        self._leave(self._figures)
        self._figures = None

    def _leave(self, lane: Lane | None) -> None:
        if lane is not None:
            lane.leave()
            self._left.append(lane)


def _is_done(future: Future[calls.Answer], timeout_s: float) -> bool:
    try:
        future.exception(timeout_s)
    except TimeoutError:
        return False
    return True
