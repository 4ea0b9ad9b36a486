# SPDX-License-Identifier: GPL-2.0-or-later
"""Pictures of the line under the cursor: beside the table all of them, below it one."""

from __future__ import annotations

import enum
from collections.abc import Sequence

from kvmlog.top.model.groups import Group
from kvmlog.top.model.history import Moment
from kvmlog.top.model.pictures import Glyphs, TextLine, heat, heat_legend, histogram, who
from kvmlog.top.view.cells import fit_line

_WHO_LINES = 5


class Picture(enum.Enum):
    """What can be shown of a line."""

    WHO = "who spent the time"
    HISTOGRAM = "how long exits took"
    HEAT = "the same over time"


def side_lines(
    group: Group | None,
    moments: Sequence[Moment],
    pictures: Sequence[Picture],
    width: int,
    height: int,
    glyphs: Glyphs,
) -> list[TextLine]:
    """Return exactly `height` lines with these pictures, one above the other."""
    lines: list[TextLine] = []
    for at, picture in enumerate(pictures):
        rest = height - len(lines)
        last = at == len(pictures) - 1
        room = rest if last else (_WHO_LINES + 2 if picture is Picture.WHO else rest // 2)
        if group is not None and room > 1:
            drawn = [
                fit_line(_title(picture, group, glyphs), width, "title"),
                *_drawn(picture, group, moments, width, room - (1 if last else 2), glyphs),
            ]
            lines += drawn[:room] + [[("", "")]] * (room - len(drawn))
    lines = [fit_line(one, width) for one in lines[:height]]
    return lines + [[(" " * width, "")]] * (height - len(lines))


def _title(picture: Picture, group: Group, glyphs: Glyphs) -> TextLine:
    title: TextLine = [(f"{picture.value}: {group.name}", "bold")]
    if picture is Picture.HEAT:
        title.append((f"  exits: {heat_legend(glyphs)}", ""))
    return title


def _drawn(
    picture: Picture,
    group: Group,
    moments: Sequence[Moment],
    width: int,
    height: int,
    glyphs: Glyphs,
) -> list[TextLine]:
    if picture is Picture.WHO:
        lines = who(group, width, glyphs)
    elif picture is Picture.HISTOGRAM:
        lines = histogram(group.line.octaves, width, height, glyphs)
    else:
        lines = heat(moments, width, height, glyphs)
    return lines or [[("no exits in this time", "dim")]]
