# SPDX-License-Identifier: GPL-2.0-or-later
"""What the screen is at: places in the tree, cursor, order, filter, pause, and modes."""

from __future__ import annotations

import enum
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Final

from kvmlog.guests.model import Guest
from kvmlog.stat import words
from kvmlog.stat.report import Report
from kvmlog.top.model.groups import ALL, Group, groups_of, seconds_of
from kvmlog.top.model.health import Health, health_of
from kvmlog.top.model.history import History, Moment
from kvmlog.top.model.listing import Kept, Order, arranged
from kvmlog.top.model.scope import ROOT, GuestKey, Level, Scope, Wanted
from kvmlog.top.source.base import Sample
from kvmlog.top.view.pages import Page
from kvmlog.top.view.side import Picture
from kvmlog.top.view.switching import Command, Menu
from kvmlog.util import units

INTERVALS_S: Final = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)


class Mode(enum.Enum):
    """What keys are for."""

    TABLE = enum.auto()
    FILTER = enum.auto()
    PAGE = enum.auto()
    MENU = enum.auto()


@dataclass
class Place:
    """A table that was opened: where its cursor is, and how it is ordered and filtered."""

    scope: Scope
    cursor: Hashable = ALL
    row: int = 0  # of the cursor, where its line has gone
    first: int = 0  # the line at the top
    order: Order = field(default_factory=Order)
    text: str = ""
    kept: Kept = field(init=False)
    groups: list[Group] = field(default_factory=list)  # as they came
    listed: list[Group] = field(default_factory=list)  # as they are shown
    waiting: bool = True  # nothing came yet

    def __post_init__(self) -> None:
        self.kept = Kept(self.scope.level)

    def arrange(self) -> None:
        """Sort and filter; the cursor stays on its line, or where that was."""
        self.listed = arranged(self.groups, self.order, self.text)
        keys = [one.key for one in self.listed]
        if self.cursor in keys:
            self.row = keys.index(self.cursor)
        elif keys:
            self.row = min(self.row, len(keys) - 1)
            self.cursor = keys[self.row]

    @property
    def chosen(self) -> Group | None:
        """The line under the cursor."""
        return self.listed[self.row] if self.row < len(self.listed) else None


class State:
    """The screen's state; `switch` and `quit` are called for what it cannot do by itself."""

    def __init__(
        self,
        host: str,
        interval_s: float,
        switch: Callable[[Command], None],
        quit_: Callable[[], None],
    ) -> None:
        self.host = host
        self.interval_s = interval_s
        self.switch = switch
        self.quit = quit_
        self.places = [Place(ROOT)]
        self.history = History()
        self.mode = Mode.TABLE
        self.page: Page | None = None
        self.page_at = 0
        self.menu: Menu | None = None
        self.picture = Picture.WHO
        self.with_pictures = True
        self.paused = False
        self.health: Health | None = None
        self.problem = ""  # of the source
        self.said = ""  # what the last command did
        self._shown: Sample | None = None
        self._newest: Sample | None = None
        self._whole: Report | None = None
        self._made_of: Sample | None = None
        self._made: dict[Scope, list[Group]] = {}

    @property
    def place(self) -> Place:
        """The table that is open."""
        return self.places[-1]

    @property
    def wanted(self) -> Sequence[Wanted]:
        """The reports that the next sample should have: of all guests, and of the open table."""
        return list(dict.fromkeys([ROOT.wanted(), self.place.scope.wanted()]))

    def take(self, sample: Sample) -> None:
        """Take what came; a paused screen keeps it for its history only."""
        self._newest = sample
        self.problem = ""
        self.health = health_of(sample.status)
        if not sample.from_start:
            for scope in dict.fromkeys([ROOT, self.place.scope]):
                found = self._groups(sample, scope)
                if found is not None:
                    self.history.add(scope, found)
        if not self.paused:
            self._show(sample)

    def fail(self, sentence: str) -> None:
        """Tell that nothing came, and why; what was there stays."""
        self.problem = sentence

    def pause(self) -> None:
        """Stop changing the figures, or show the newest."""
        self.paused = not self.paused
        if not self.paused and self._newest is not None:
            self._show(self._newest)

    def open(self) -> None:
        """Open the line under the cursor, if there is more of it."""
        group, scope = self.place.chosen, self.place.scope
        if group is None:
            return
        if scope.level is Level.GUESTS:
            # The same words wherever it stands: names are shown as they are then.
            self._enter(scope.of_guest(group.guest_key, group.name))
        elif scope.level is Level.VCPUS:
            self._enter(scope.of_vcpu(group.vcpu))
        elif scope.level is Level.REASONS and group.reason is not None:
            self._enter(scope.of_reason(group.reason))

    def back(self) -> None:
        """Return to the table before; in the first one: remove the filter."""
        if self.place.text:
            self.filter("")
        elif len(self.places) > 1:
            self.places.pop()
            self.history.forget([one.scope for one in self.places])
            if self._shown is not None:
                self._fill(self._shown)

    def filter(self, text: str) -> None:
        """Show only lines that have this text."""
        self.place.text = text
        self.place.arrange()

    def sort(self, order: Order) -> None:
        """Sort the table."""
        self.place.order = order
        self.place.arrange()

    def move(self, to: int) -> None:
        """Put the cursor on a line, or the nearest there is."""
        place = self.place
        if place.listed:
            place.row = max(0, min(to, len(place.listed) - 1))
            place.cursor = place.listed[place.row].key

    def longer(self, steps: int) -> None:
        """Take the next longer interval, or shorter."""
        if steps > 0:
            found = [one for one in INTERVALS_S if one > self.interval_s]
            self.interval_s = found[0] if found else self.interval_s
        else:
            found = [one for one in INTERVALS_S if one < self.interval_s]
            self.interval_s = found[-1] if found else self.interval_s

    def guest_of(self, key: GuestKey) -> Guest | None:
        """Return the running guest of a key, None for one that is not known."""
        roster = self._newest.roster if self._newest is not None else ()
        return next((one for one in roster if one.pid == key.pid), None)

    @property
    def moments(self) -> list[Moment]:
        """What the line under the cursor had before."""
        return self.history.of(self.place.scope, self.place.cursor)

    @property
    def all_moments(self) -> list[Moment]:
        """What all guests together had before."""
        return self.history.of(ROOT, ALL)

    @property
    def exits_per_s(self) -> float | None:
        """Exits of all guests a second, halts too; None: nothing came yet."""
        if self._whole is None:
            return None
        seconds = seconds_of(self._whole)
        return self._whole.shown_exits / seconds if seconds else 0.0

    @property
    def span(self) -> str:
        """What time the figures are of."""
        if self._whole is None or self._shown is None:
            return "waiting for the first figures"
        until = units.date_time(self._whole.until_realtime_ns, self._whole.until_utc_offset_s)
        if self.paused:
            return f"PAUSED at {until[-8:]}"
        if self._shown.from_start:
            since = units.date_time(self._whole.since_realtime_ns, self._whole.since_utc_offset_s)
            return f"averages since {since}"
        return f"{until[-8:]} every {self.interval_s:g}s"

    @property
    def missing(self) -> str:
        """What the figures lack, a sentence or ""."""
        if self._whole is None or self._shown is None:
            return ""
        if self.place.scope.level is Level.REASONS and any(
            one.reason is None and one.line.row.count for one in self.place.groups
        ):
            return words.NO_REASONS
        return words.missing(self._whole)

    def _enter(self, scope: Scope) -> None:
        self.places.append(Place(scope))
        if self._shown is not None:
            self._fill(self._shown)

    def _show(self, sample: Sample) -> None:
        self._shown = sample
        self._whole = sample.report(ROOT.wanted()) or self._whole
        self._fill(sample)

    def _fill(self, sample: Sample) -> None:
        place = self.place
        found = self._groups(sample, place.scope)
        if found is not None:
            place.waiting = False
            place.groups = place.kept.filled(found)
        place.arrange()

    def _groups(self, sample: Sample, scope: Scope) -> list[Group] | None:
        """Return the lines of a table, made once of each sample; None where it lacks them."""
        if self._made_of is not sample:
            self._made_of, self._made = sample, {}
        if scope not in self._made:
            found = sample.report(scope.wanted())
            if found is None:
                return None
            self._made[scope] = groups_of(scope, found, sample.roster)
        return self._made[scope]
