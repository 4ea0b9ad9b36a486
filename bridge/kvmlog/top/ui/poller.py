# SPDX-License-Identifier: GPL-2.0-or-later
"""The thread that takes samples: one after the other, and again after an error."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Final

from kvmlog.top.model.scope import Wanted
from kvmlog.top.source.base import Sample, Source
from kvmlog.util.errors import KvmlogError

_AGAIN_S: Final = 1.0


class Poller:
    """Takes samples of a source; took and failed are called in its thread.

    plan: returns what the next sample is to have, and its length in s.
    """

    def __init__(
        self,
        source: Source,
        plan: Callable[[], tuple[Sequence[Wanted], float]],
        took: Callable[[Sample], None],
        failed: Callable[[str], None],
    ) -> None:
        self._source = source
        self._plan = plan
        self._took, self._failed = took, failed
        self._ended = threading.Event()
        # A call to another host may last a minute: quitting does not wait for it.
        self._thread = threading.Thread(target=self._run, name="poller", daemon=True)

    def start(self) -> None:
        """Begin with what there is since the statistics began."""
        self._thread.start()

    def stop(self) -> None:
        """Have it end after the sample that is under way."""
        self._ended.set()

    def _run(self) -> None:
        begun = False
        while not self._ended.is_set():
            wanted, interval_s = self._plan()
            try:
                sample = self._source.sample(wanted, interval_s if begun else None)
            except KvmlogError as error:
                begun = False
                self._tell(self._failed, str(error))
                self._ended.wait(_AGAIN_S)
                continue
            begun = True
            self._tell(self._took, sample)

    def _tell(self, who: Callable[..., None], what: object) -> None:
        if not self._ended.is_set():
            who(what)
