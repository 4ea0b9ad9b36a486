# SPDX-License-Identifier: GPL-2.0-or-later
"""What each caller has been told, for documents that tell the growth since then.

A caller is who was authenticated, and a word of their own: two engines behind one credential do not
take each other's growth. Cursors are bounded in number, those of one caller by themselves, and
forgotten when they have not been used for an hour: the next document is a first one again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

_MOST_CALLERS: Final = 64
_MOST_WORDS: Final = 8
_KEPT_S: Final = 3_600.0

_Cursor = TypeVar("_Cursor")
_Document = TypeVar("_Document")


class Cursors(Generic[_Cursor]):
    """The cursors of one kind of document; thread-safe."""

    def __init__(self, first: _Cursor, clock: Callable[[], float] = time.monotonic) -> None:
        """first: the cursor of a caller who has been told nothing."""
        self._first = first
        self._clock = clock
        # Covers the one below; held while a document is made, so that no growth is told twice.
        self._lock = threading.Lock()
        self._told: dict[Hashable, dict[str, tuple[float, _Cursor]]] = {}

    def advance(
        self, caller: Hashable, word: str, make: Callable[[_Cursor], tuple[_Document, _Cursor]]
    ) -> _Document:
        """Return the document that `make` makes of the caller's cursor, and keep its next one."""
        with self._lock:
            now_s = self._clock()
            self._forget(now_s)
            own = self._told.get(caller, {})
            _, cursor = own.get(word, (0.0, self._first))
            document, following = make(cursor)
            # The last ones used stand last, and are forgotten last.
            own.pop(word, None)
            own[word] = (now_s, following)
            self._told.pop(caller, None)
            self._told[caller] = own
            if len(own) > _MOST_WORDS:
                del own[next(iter(own))]
            if len(self._told) > _MOST_CALLERS:
                del self._told[next(iter(self._told))]
            return document

    def _forget(self, now_s: float) -> None:
        for caller, own in list(self._told.items()):
            for word, (used_s, _) in list(own.items()):
                if now_s - used_s > _KEPT_S:
                    del own[word]
            if not own:
                del self._told[caller]
