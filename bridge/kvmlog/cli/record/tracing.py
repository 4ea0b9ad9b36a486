# SPDX-License-Identifier: GPL-2.0-or-later
"""Tracing for as long as something is recorded: on where it was off, and off again.

It is switched on with a lease that is renewed: a recorder that is killed leaves tracing on for a
minute at most. Tracing that somebody else has switched on is left as it is.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from kvmlog.control.client import SwitchClient
from kvmlog.control.sampling import describe_sampling
from kvmlog.ring.reader import RingReader
from kvmlog.util.errors import BudgetError, SwitchError

LEASE_S: Final = 60.0
_RENEW_S: Final = 20.0
# Guests may leave the bridge little of the CPUs.
_ANSWER_S: Final = 15.0
_AGAIN_S: Final = 5.0


class Tracing:
    """The switch of the bridge that writes `ring`, for the guests that `words` name (none: all).

    warn: receives warnings, a sentence each. on_s: how long it is needed, None: unknown.
    """

    def __init__(
        self,
        switch: str,
        ring: RingReader,
        words: Sequence[str],
        warn: Callable[[str], None],
    ) -> None:
        self._client = SwitchClient(switch, _ANSWER_S)
        self._ring = ring
        self._words = list(words)
        self._warn = warn
        self._ours = False
        self._renewed_s = 0.0
        self._renewal: threading.Thread | None = None

    @property
    def switched_on(self) -> bool:
        """Return whether it is on because of this recording."""
        return self._ours

    def begin(self) -> None:
        """Switch on where tracing is off; SwitchError where nothing could be recorded."""
        info = self._ring.info()
        try:
            status = self._client.status()
        except SwitchError as error:
            if info.writer_alive and info.switched_on:
                self._warn(f"whether all exits are recorded is not known: {error}")
                return
            raise
        if status.get("ring", {}).get("ring_id", info.ring_id) != info.ring_id:
            raise SwitchError(
                f"the bridge at {self._client.path} writes another ring than {self._ring.path}; "
                "--switch takes the socket of this one's"
            )
        if status["wanted"] != "on":
            self._on()
            return
        if status["state"] == "waiting":
            self._warn(f"tracing waits for its source: {status['trouble']}")
        self._warn_of_others(status)

    def keep(self) -> None:
        """Renew the lease when it is time, in a thread: a busy bridge takes its time to answer."""
        if not self._ours or time.monotonic() - self._renewed_s < _RENEW_S:
            return
        if self._renewal is None or not self._renewal.is_alive():
            self._renewal = threading.Thread(target=self._renew, daemon=True)
            self._renewal.start()

    def end(self) -> None:
        """Switch off what begin() switched on; its last records are in the ring then."""
        if self._renewal is not None:
            self._renewal.join()
        if not self._ours:
            return
        self._ours = False
        try:
            if self._is_ours(self._client.status()):
                self._client.switch(False)
        except SwitchError as error:
            self._warn(
                f"tracing could not be switched off ({error}); it ends by itself within "
                f"{LEASE_S:g} s"
            )

    def late_s(self) -> float:
        """Return how long exits may take into the ring, as far as is known."""
        try:
            return float(self._client.flush().get("late_ms", 0)) / 1_000
        except SwitchError:
            return 0.0

    def _on(self) -> None:
        try:
            self._client.switch(True, self._words, LEASE_S)
        except BudgetError as error:
            # It is reported once, to whoever switches next.
            self._warn(str(error))
            self._client.switch(True, self._words, LEASE_S)
        self._ours, self._renewed_s = True, time.monotonic()

    def _renew(self) -> None:
        """Renew the lease; where somebody else has switched, leave it to them."""
        try:
            if self._is_ours(self._client.status()):
                self._on()
                return
            self._ours = False
            self._warn("somebody else has switched tracing; it is left as it is now")
        except SwitchError as error:
            # A bridge that restarts, or is busy: it is asked again soon.
            self._renewed_s = time.monotonic() - _RENEW_S + _AGAIN_S
            self._warn(f"tracing may end: {error}")

    def _is_ours(self, status: dict[str, Any]) -> bool:
        """Return whether the last request was this recording's."""
        left_s, chosen = status["lease_s"], status["filter"]
        words = [] if chosen is None else chosen["vm"]
        return (
            status["wanted"] == "on"
            and left_s is not None
            and left_s <= LEASE_S
            and words == list(dict.fromkeys(self._words))
        )

    def _warn_of_others(self, status: dict[str, Any]) -> None:
        """Tell what others have chosen to be traced: nothing else is recorded."""
        chosen, recorded, left_s = status["filter"], status["sampling"], status["lease_s"]
        if chosen is not None and set(chosen["vm"]) != set(self._words):
            names = ", ".join(chosen["vm"])
            self._warn(f"tracing is on for {names} only, and left so: only their exits come")
        if recorded:
            self._warn(f"not all exits come: {'; '.join(describe_sampling(recorded))}")
        if left_s is not None:
            self._warn(f"tracing was switched on by somebody else, for {left_s:.0f} s more")
