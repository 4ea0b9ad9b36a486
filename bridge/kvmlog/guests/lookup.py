# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests by the words that people give: the one place that decides which guests a word means.

A word is a name, an alias, a UUID (in any case, with or without dashes) or a pid. It means every
guest that it matches: several guests may share a name, and a name may look like another guest's
pid. A word that matches no guest is an error, never an empty choice. The switch asks about the
guests that run, readers of records and statistics about all that are known.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final, Generic, TypeVar

from kvmlog.guests.model import Guest, GuestError
from kvmlog.guests.sanitize import clean, normal_uuid

_LISTED: Final = 20

_Item = TypeVar("_Item")


class WordIndex(Generic[_Item]):
    """Items by the words that name them; a word may name several."""

    def __init__(self) -> None:
        self._by_word: dict[str, list[_Item]] = {}

    def add(self, item: _Item, words: Iterable[str | None]) -> None:
        """Add one item under all of its words; None stands for a name that it does not have."""
        for word in {clean(word) for word in words if word is not None}:
            self._by_word.setdefault(word, []).append(item)

    def matching(self, word: str) -> list[_Item]:
        """Return all items that the word names; empty when there are none."""
        found = list(self._by_word.get(clean(word), ()))
        uuid = normal_uuid(word)
        if uuid is not None and uuid != clean(word):
            found += [item for item in self._by_word.get(uuid, ()) if item not in found]
        return found


class GuestIndex(WordIndex[Guest]):
    """Guests by name, alias, UUID and pid.

    which: the guests that these are, for error messages: "running" or "known". problem: why some
    may be missing, a sentence that error messages repeat.
    """

    def __init__(self, guests: Iterable[Guest], which: str, problem: str | None = None) -> None:
        super().__init__()
        self._guests = list(guests)
        self._which = which
        self._problem = problem
        for guest in self._guests:
            # A guest without a name of its own is known by its process's.
            comm = None if guest.named else guest.comm
            self.add(guest, (guest.name, *guest.aliases, comm, guest.uuid, str(guest.pid)))

    def resolve(
        self, words: Iterable[str], accepted: Collection[str] = ()
    ) -> dict[str, list[Guest]]:
        """Return the guests that each word matches.

        GuestError for a word that matches none, unless it is one of `accepted`: a word that
        matched before, whose guest has been forgotten since.
        """
        found = {word: self.matching(word) for word in words}
        for word, guests in found.items():
            if not guests and word not in accepted:
                raise GuestError(self._no_match(word))
        return found

    def _no_match(self, word: str) -> str:
        sentence = f"no {self._which} guest has the name, UUID or pid '{clean(word)}'; "
        shown = [f"{guest.name} (pid {guest.pid})" for guest in self._guests[:_LISTED]]
        if shown:
            sentence += f"name one of: {', '.join(shown)}"
        else:
            sentence += f"there is no {self._which} guest at all: start one, or name none"
        if len(self._guests) > _LISTED:
            sentence += f", and {len(self._guests) - _LISTED} more"
        return f"{sentence} ({self._problem})" if self._problem else sentence


class PinnedWords:
    """Words that matched running guests once, asked again as guests come and go.

    A name, alias or UUID also matches guests that are started later. A pid stays with the process
    that had it, and never means a later one of that number.
    """

    def __init__(self, matched: Mapping[str, Sequence[Guest]]) -> None:
        self._words = tuple(matched)
        self._pinned = {
            (word, guest.start_ticks)
            for word, guests in matched.items()
            for guest in guests
            if word == str(guest.pid)
        }

    def matching(self, guests: Iterable[Guest]) -> list[Guest]:
        """Return those of `guests` that match now, each once, in the order of the words."""
        index = GuestIndex(guests, "running")
        found = {
            guest: None
            for word in self._words
            for guest in index.matching(word)
            if word != str(guest.pid) or (word, guest.start_ticks) in self._pinned
        }
        return list(found)
