# SPDX-License-Identifier: GPL-2.0-or-later
"""The page: models of one or two recordings as one HTML document that needs nothing else."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from kvmlog.analysis.report import assets, groups, sections
from kvmlog.analysis.report.drawn import drawn
from kvmlog.analysis.report.gather import Model, changes
from kvmlog.analysis.report.tables import Cell, Column, Table, words
from kvmlog.exits.format.notes import counted
from kvmlog.util import units
from kvmlog.util.version import version


@dataclass(frozen=True)
class _Section:
    key: str
    title: str


_SECTIONS: Final = (
    _Section("findings", "What stands out"),
    _Section("changed", "What changed"),
    _Section("timeline", "Time line"),
    _Section("heat", "Handling time"),
    _Section("reasons", "Reasons"),
    _Section("icicle", "Guest to detail"),
    _Section("outliers", "Longest exits"),
    _Section("places", "Ports, registers, addresses"),
    _Section("losses", "Losses and events"),
    _Section("machine", "Machine"),
    _Section("about", "About"),
)


def document(model: Model, before: Model | None = None) -> str:
    """Return the page of a recording; before: an earlier one, to say what changed since."""
    comparison = None if before is None else changes(before, model)
    library, style = assets.echarts(), assets.style()
    scripts = [] if library is None else [library, assets.scripts()]
    problems = [*(before.problems if before else ()), *model.problems]
    page = _environment().get_template("report.html.j2")
    return page.render(
        title=f"KVM exits of {model.header.host}, {sections.begun(model)}",
        subtitle=_subtitle(model),
        version=version(),
        policy=assets.policy(style, scripts),
        # Only what this project and ECharts wrote, and JSON without "<".
        style=Markup(style),
        scripts=[Markup(one) for one in scripts],
        data=Markup("" if library is None else _json(drawn(model, comparison))),
        charts=library is not None,
        sections=[one for one in _SECTIONS if comparison or one.key != "changed"],
        problems=[problem.rstrip(".") for problem in problems],
        tiles=list(sections.tiles(model)),
        findings=model.findings,
        comparison=comparison,
        compared=None if before is None else _compared(before, model),
        compared_facts=None if before is None else _compared_facts(before, model),
        timeline_words=sections.timeline_words(model),
        vcpus=groups.vcpus_table(model.groups),
        intervals=sections.intervals_table(model),
        reasons=groups.reasons_table(model.groups),
        guests=groups.guests_table(model.groups),
        returns=groups.returns_table(model.groups),
        details=groups.details_table(model.groups),
        outliers_words=_outliers_words(model),
        outliers=list(sections.outliers(model)),
        places=groups.place_tables(model.groups),
        losses=sections.losses(model),
        events=sections.events_table(model),
        machine=sections.machine_table(model),
        about=_ABOUT,
        licences=[] if library is None else assets.licences(),
        source=model.path.rsplit("/", 1)[-1],
    )


def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(assets.PAGE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _json(content: dict[str, Any]) -> str:
    """Return JSON that no text in it can end the script element of."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _subtitle(model: Model) -> str:
    guests = counted(len(model.groups["guest"].guests), "guest")
    return (
        f"{counted(model.scan.exits, 'exit')} of {guests} in {units.duration(model.over_ns)}, "
        f"Linux {model.header.kernel}."
    )


def _compared(before: Model, after: Model) -> str:
    return (
        f"From {before.path.rsplit('/', 1)[-1]} to {after.path.rsplit('/', 1)[-1]}, per second, "
        "since they need not be equally long. Everything below this section is of the second one."
    )


def _compared_facts(before: Model, after: Model) -> Table:
    """Return machine and totals of both recordings, where they differ or one asks."""
    rows = []
    firsts, seconds = (
        {row[0].text: row[1].text for row in sections.machine_table(one).rows}
        for one in (before, after)
    )
    for name in dict.fromkeys([*firsts, *seconds]):
        one, other = firsts.get(name, ""), seconds.get(name, "")
        changed: Cell = words("" if one == other else "differs")
        rows.append((words(name), words(one), words(other), changed))
    columns = (Column("What"), Column("First"), Column("Second"), Column("Note"))
    return Table("compared", "The two recordings", columns, rows)


def _outliers_words(model: Model) -> str:
    found = len(model.scan.outliers)
    if not found:
        return "There is no exit but halts."
    return (
        f"The {counted(found, 'exit')} that took longest, without halts, at most four of one "
        "guest's reason; each with the exits of its vCPU before and after it."
    )


_ABOUT: Final = (
    "An exit is the time from where a vCPU left its guest until it went back in. Times are the "
    "traced host's; its zone is that of the recording.",
    "Figures of groups are those of kvmlog stat --from for the same recording. Shares leave out "
    "halts, in which a guest has nothing to do. Percentiles are within 1.6 %; “<” before one: "
    "only its power of two is known.",
    "The page holds all that it shows, loads nothing from anywhere, and sends nothing. It names "
    "the guests, the host and the addresses that they touched: mind to whom you give it.",
    "kvmlog is free software under the GNU General Public License, version 2 or later; with "
    "Apache ECharts in it, this page may be passed on under its version 3.",
)
