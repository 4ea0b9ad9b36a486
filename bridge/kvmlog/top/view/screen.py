# SPDX-License-Identifier: GPL-2.0-or-later
"""All lines of the screen, and what keys, clicks and the wheel do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from kvmlog.top.model.columns import Column
from kvmlog.top.model.groups import ALL, Group
from kvmlog.top.model.pictures import Glyphs, TextLine
from kvmlog.top.model.scope import Level
from kvmlog.top.view import pages
from kvmlog.top.view.cells import fit_line
from kvmlog.top.view.head import Facts, head_lines
from kvmlog.top.view.side import Picture, side_lines
from kvmlog.top.view.state import Mode, State
from kvmlog.top.view.switching import menu_of
from kvmlog.top.view.table import column_at, columns_for, lines_of

_LOW: Final = 8  # lines below which there is no foot
_FOR_PICTURE: Final = 16  # lines from which there is a picture below the table
_WIDE: Final = 130  # cells from which pictures are beside the table
_SIDE_CELLS: Final = 60
_WHEEL: Final = 3
_FILTER_CHARACTERS: Final = 64
_HINTS: Final = "? help  / filter  Enter open  Esc back  Space pause  s switch  q quit"


class Screen:
    """The screen of a state, in a terminal of `width` x `height` cells."""

    def __init__(self, state: State, glyphs: Glyphs) -> None:
        self.state = state
        self._glyphs = glyphs
        self.width, self.height = 80, 24
        self._columns: list[Column] = []
        self._body = (0, 0)  # the first line of the table, and how many
        self._keys: Mapping[Mode, Callable[[str, str | None], None]] = {
            Mode.TABLE: self._table_key,
            Mode.FILTER: self._filter_key,
            Mode.PAGE: self._page_key,
            Mode.MENU: self._menu_key,
        }

    def resize(self, width: int, height: int) -> None:
        """Take the size of the terminal."""
        self.width, self.height = max(1, width), max(1, height)

    def lines(self) -> list[TextLine]:
        """Return exactly `height` lines of exactly `width` cells."""
        head = head_lines(self._facts(), self.width, self.height, self._glyphs)
        foot = [self._foot()] if self.height >= _LOW or self.state.mode is Mode.FILTER else []
        head = head[: max(0, self.height - len(foot))]
        room = self.height - len(head) - len(foot)
        self._body = (len(head), room)
        if self.state.mode is Mode.PAGE:
            body = self._page_lines(room)
        elif self.state.mode is Mode.MENU:
            body = self._menu_lines(room)
        else:
            body = self._table_and_pictures(room)
        return [*head, *body, *foot]

    def key(self, name: str, character: str | None) -> None:
        """Do what a key is for; character: what it types, if anything."""
        self.state.said = ""
        self._keys[self.state.mode](name, character)

    def click(self, x: int, y: int) -> None:
        """Choose the line that was clicked, open it if it was chosen; sort by a title."""
        state, (first, count) = self.state, self._body
        if state.mode is not Mode.TABLE or not first <= y < first + count:
            return
        if x >= self._table_width or y >= first + self._table_height(count):
            return
        if y == first:
            column = column_at(self._columns, x)
            if column is not None:
                state.sort(state.place.order.clicked(column.name))
            return
        row = state.place.first + y - first - 1
        if row >= len(state.place.listed):
            return
        if state.place.row == row:
            state.open()
        else:
            state.move(row)

    def wheel(self, by: int) -> None:
        """Scroll; by: -1 is up."""
        if self.state.mode is Mode.PAGE:
            self.state.page_at = max(0, self.state.page_at + by * _WHEEL)
        elif self.state.mode is Mode.TABLE:
            self.state.move(self.state.place.row + by * _WHEEL)

    # what is shown

    @property
    def _wide(self) -> bool:
        return self.state.with_pictures and self.width >= _WIDE and self.height >= _LOW

    @property
    def _table_width(self) -> int:
        return self.width - _SIDE_CELLS - 1 if self._wide else self.width

    def _table_height(self, room: int) -> int:
        if self._wide or not self.state.with_pictures or self.height < _FOR_PICTURE:
            return room
        return room - max(7, room // 3)

    def _facts(self) -> Facts:
        state = self.state
        return Facts(
            state.host,
            state.span,
            state.exits_per_s,
            state.all_moments,
            state.health,
            state.problem or (state.health.problem if state.health is not None else ""),
            state.missing,
        )

    def _table_and_pictures(self, room: int) -> list[TextLine]:
        height = self._table_height(room)
        table = self._table_lines(height)
        group, moments = self.state.place.chosen, self.state.moments
        if self._wide:
            side = side_lines(group, moments, list(Picture), _SIDE_CELLS, room, self._glyphs)
            return [[*left, (" ", ""), *right] for left, right in zip(table, side, strict=True)]
        picture = [self.state.picture]
        return table + side_lines(group, moments, picture, self.width, room - height, self._glyphs)

    def _table_lines(self, height: int) -> list[TextLine]:
        place, width = self.state.place, self._table_width
        self._columns = columns_for(place.scope.level, place.listed, width)
        rows = max(0, height - 1)
        place.first = max(0, min(place.first, place.row, len(place.listed) - rows))
        place.first = max(place.first, place.row - rows + 1) if rows else place.first
        shown: list[Group] = place.listed[place.first : place.first + rows]
        lines = lines_of(self._columns, shown, place.cursor, place.order, width, self._glyphs)
        if all(one.key == ALL for one in place.listed) and len(lines) < height:
            lines.append([(self._why_empty(), "dim")])
        lines = lines[:height]
        return [fit_line(one, width) for one in lines] + [
            [(" " * width, "")] for _ in range(height - len(lines))
        ]

    def _why_empty(self) -> str:
        place = self.state.place
        if place.waiting:
            return "waiting for figures"
        if place.text:
            return "no line has this text; Esc removes the filter"
        if place.scope.level is Level.GUESTS:
            return "no guest runs, or none that the bridge knows"
        return "no exits in this time"

    def _foot(self) -> TextLine:
        state = self.state
        if state.mode is Mode.FILTER:
            return fit_line([(f"/{state.place.text}_", "bold")], self.width, "foot")
        if state.mode is Mode.PAGE:
            return fit_line([("Up Down scroll  Esc back", "")], self.width, "foot")
        if state.mode is Mode.MENU:
            words = "Up Down choose  Left Right time  Enter do it  Esc back"
            return fit_line([(words, "")], self.width, "foot")
        if state.said:
            return fit_line([(state.said, "bold")], self.width, "foot")
        path = state.place.scope.path()
        if state.place.text:
            path += f" /{state.place.text}"
        return fit_line([(path, "bold"), (f"  {_HINTS}", "")], self.width, "foot")

    def _page_lines(self, room: int) -> list[TextLine]:
        page = self.state.page or pages.HELP_PAGE
        text = page.lines(self.width)
        self.state.page_at = max(0, min(self.state.page_at, len(text) - room))
        shown = text[self.state.page_at : self.state.page_at + room]
        shown += [""] * (room - len(shown))
        return [fit_line([(one, "")], self.width) for one in shown]

    def _menu_lines(self, room: int) -> list[TextLine]:
        menu = self.state.menu
        assert menu is not None
        lines: list[TextLine] = []
        for at, choice in enumerate(menu.choices):
            lease = f", {menu.lease_words}" if choice.command.on else ""
            chosen = at == menu.at
            words = f"{'>' if chosen else ' '} {choice.words}{lease}"
            lines.append(fit_line([(words, "")], self.width, "cursor" if chosen else ""))
        first = max(0, menu.at - room + 1)
        if room > len(lines) + 1:
            lines.insert(0, fit_line([("switch tracing", "bold")], self.width, "title"))
        lines = lines[first : first + room]
        return lines + [[(" " * self.width, "")] for _ in range(room - len(lines))]

    # what keys do

    def _table_key(self, name: str, character: str | None) -> None:
        state, place = self.state, self.state.place
        page = max(1, self._table_height(self._body[1]) - 2)
        moves = {
            "up": -1,
            "k": -1,
            "down": 1,
            "j": 1,
            "pageup": -page,
            "pagedown": page,
            "home": -len(place.listed),
            "end": len(place.listed),
        }
        actions: Mapping[str, Callable[[], None]] = {
            "enter": state.open,
            "right": state.open,
            "escape": state.back,
            "left": state.back,
            "backspace": state.back,
            "space": state.pause,
            "p": state.pause,
            "tab": lambda: self._next_picture(1),
            "shift+tab": lambda: self._next_picture(-1),
            "d": self._toggle_pictures,
            "h": self._help,
            "f1": self._help,
            "s": self._open_menu,
            "q": state.quit,
            "<": lambda: state.sort(place.order.moved(self._columns, -1)),
            ">": lambda: state.sort(place.order.moved(self._columns, 1)),
            "r": lambda: state.sort(place.order.clicked(place.order.column)),
            "/": lambda: self._mode(Mode.FILTER),
            "?": self._explain,
            "+": lambda: state.longer(1),
            "-": lambda: state.longer(-1),
        }
        if name in moves:
            state.move(place.row + moves[name])
        elif (action := actions.get(name) or actions.get(character or "")) is not None:
            action()

    def _filter_key(self, name: str, character: str | None) -> None:
        state = self.state
        if name == "enter":
            self._mode(Mode.TABLE)
        elif name == "escape":
            state.filter("")
            self._mode(Mode.TABLE)
        elif name == "backspace":
            state.filter(state.place.text[:-1])
        elif character is not None and character.isprintable():
            state.filter((state.place.text + character)[:_FILTER_CHARACTERS])

    def _page_key(self, name: str, _character: str | None) -> None:
        state, room = self.state, max(1, self._body[1])
        by = {"up": -1, "k": -1, "down": 1, "j": 1, "pageup": -room, "pagedown": room}
        if name == "space":
            name = "pagedown"
        if name in by:
            state.page_at = max(0, state.page_at + by[name])
        elif name in ("home", "end"):
            state.page_at = 0 if name == "home" else 1 << 20
        else:
            self._mode(Mode.TABLE)

    def _menu_key(self, name: str, _character: str | None) -> None:
        state = self.state
        assert state.menu is not None
        if name in ("up", "k", "down", "j"):
            state.menu = state.menu.moved(-1 if name in ("up", "k") else 1)
        elif name in ("left", "right"):
            state.menu = state.menu.leased(-1 if name == "left" else 1)
        else:
            self._mode(Mode.TABLE)
            if name == "enter":
                state.switch(state.menu.command)

    def _mode(self, mode: Mode) -> None:
        self.state.mode = mode

    def _help(self) -> None:
        self._open_page(pages.HELP_PAGE)

    def _explain(self) -> None:
        group = self.state.place.chosen
        reason = group.reason if group is not None else None
        self._open_page(pages.HELP_PAGE if reason is None else pages.explanation(reason))

    def _open_page(self, page: pages.Page) -> None:
        self.state.page, self.state.page_at = page, 0
        self._mode(Mode.PAGE)

    def _open_menu(self) -> None:
        state = self.state
        guest, label = None, ""
        if state.place.scope.level is Level.GUESTS and state.place.chosen is not None:
            guest, label = state.place.chosen.guest, state.place.chosen.name
        elif state.place.scope.guest is not None:
            guest, label = state.guest_of(state.place.scope.guest), state.place.scope.label
        state.menu = menu_of(state.health, guest, label)
        self._mode(Mode.MENU)

    def _next_picture(self, by: int) -> None:
        known = list(Picture)
        self.state.picture = known[(known.index(self.state.picture) + by) % len(known)]

    def _toggle_pictures(self) -> None:
        self.state.with_pictures = not self.state.with_pictures
