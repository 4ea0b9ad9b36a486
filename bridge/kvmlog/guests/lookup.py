# SPDX-License-Identifier: GPL-2.0-or-later
"""Which guests a word means, and what to say when it means none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from kvmlog.guests.model import Guest, GuestError
from kvmlog.guests.sanitize import clean, normal_uuid

_LISTED: Final = 20


class GuestIndex:
    """Guests by all that they are called: names, aliases, UUIDs, pids."""

    def __init__(self, guests: Iterable[Guest]) -> None:
        self._guests = list(guests)
        self._by_word: dict[str, list[Guest]] = {}
        for guest in self._guests:
            # Who has no name of its own is known by its process's.
            comm = None if guest.named else guest.comm
            for word in {guest.name, *guest.aliases, comm, guest.uuid, str(guest.pid)}:
                if word is not None:
                    self._by_word.setdefault(word, []).append(guest)

    def matching(self, word: str) -> list[Guest]:
        """All that the word matches: several guests may share a name, or be called as a pid is."""
        found = list(self._by_word.get(clean(word), ()))
        uuid = normal_uuid(word)
        if uuid is not None and uuid != clean(word):
            found += [guest for guest in self._by_word.get(uuid, ()) if guest not in found]
        return found

    def all(self, words: Sequence[str], which: str) -> dict[str, list[Guest]]:
        """Per word what it matches; GuestError for one that matches none of the `which` guests."""
        found = {word: self.matching(word) for word in words}
        for word, guests in found.items():
            if not guests:
                raise GuestError(self._sentence(word, which))
        return found

    def _sentence(self, word: str, which: str) -> str:
        start = f"no {which} guest has the name, UUID or pid '{clean(word)}'; "
        if not self._guests:
            return start + f"there is no {which} guest at all: start one, or name none"
        shown = ", ".join(f"{guest.name} (pid {guest.pid})" for guest in self._guests[:_LISTED])
        more = len(self._guests) - _LISTED
        return start + f"name one of: {shown}" + (f", and {more} more" if more > 0 else "")
