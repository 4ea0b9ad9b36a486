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
_FOR_LEGEND = 7  # lines from which a heat map can spare one


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
                fit_line([(f"{picture.value}: {group.name}", "")], width, "title"),
                *_drawn(picture, group, moments, width, room - (1 if last else 2), glyphs),
            ]
            lines += drawn[:room] + [[("", "")]] * (room - len(drawn))
    lines = [fit_line(one, width) for one in lines[:height]]
    return lines + [[(" " * width, "")]] * (height - len(lines))


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
        with_legend = height > _FOR_LEGEND
        lines = heat(moments, width, height - 1 if with_legend else height, glyphs)
        if lines and with_legend:
            lines.append([(f"{'':7} exits: {heat_legend(glyphs)}", "dim")])
    return lines or [[("no exits in this time", "dim")]]
