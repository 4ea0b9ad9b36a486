# SPDX-License-Identifier: GPL-2.0-or-later
"""The table of `kvmlog vms`: as many columns as fit the terminal, all of them elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Final, TypeAlias

from kvmlog.cli.table import Column, Table
from kvmlog.cli.vms.figures import Figures
from kvmlog.util import units

LEGEND: Final = """\
STATE   running, blocked, paused, closing (shuts down), off, crashed, asleep (pmsuspended); hung:
        its QEMU does not answer libvirt
AGE     of figures, and a state, that are older than they should be
CPU%    of one CPU (200: two CPUs busy); VCPU% of the VM's own CPUs, HOST% of all of the host's
ST%     steal: time in which its vCPUs were ready and got no CPU, of one CPU
USED    memory that the guest cannot do without; MEM what it has now; RSS what its process has
READ, WRITE, RX, TX  bytes per second of all disks and interfaces, as the guest sees them
RLAT, WLAT  time of one read and write request
EXITS   exits per second while tracing is on; REASON of them, which took most time
-       not known, or a VM that does not run; KiB, MiB ... are K, M"""

_Cell: TypeAlias = Callable[[Figures], str]

_STATES: Final = {
    "nostate": "unknown",
    "shutdown": "closing",
    "shutoff": "off",
    "pmsuspended": "asleep",
}
_MOST_EXITS: Final = 99_999


def vms_table(rows: Collection[Figures]) -> Table:
    """Return the table of these VMs; AGE is there where something is stale."""
    stale = any(row["stale"] for row in rows)
    fields = [field for field in _FIELDS if stale or field is not _AGE_FIELD]
    return Table(
        [column for column, _ in fields],
        [[cell(row) for _, cell in fields] for row in rows],
        gap=" ",
    )


def _state(row: Figures) -> str:
    if row["hung"]:
        return "hung"
    state = str(row["state"])
    return _STATES.get(state, state)


def _age(row: Figures) -> str:
    """Return "99s", "59m", "23h" or days."""
    if not row["stale"]:
        return ""
    age_s = round(row["age_s"])
    for unit, seconds, most in (("s", 1, 100), ("m", 60, 100), ("h", 3_600, 48)):
        if age_s < most * seconds:
            return f"{age_s // seconds}{unit}"
    return f"{age_s // 86_400}d"


def _of(name: str, form: Callable[[Any], str]) -> _Cell:
    return lambda row: "" if row[name] is None else form(row[name])


def _percent(value: float) -> str:
    return f"{value:.1f}" if round(value, 1) < 100 else f"{value:.0f}"


def _bytes(value: float) -> str:
    return units.short(value, units.KIB)


def _rate(value: float) -> str:
    return f"{value:.0f}" if value <= _MOST_EXITS else units.short(value, 1_000)


def _latency(ns: float) -> str:
    return units.duration(round(ns))


def _field(
    title: str, name: str, form: Callable[[Any], str], spare: int = 0
) -> tuple[Column, _Cell]:
    return Column(title, right=True, width=4, spare=spare), _of(name, form)


_AGE_FIELD: Final[tuple[Column, _Cell]] = (Column("AGE", right=True, width=3), _age)
# What goes first from a narrow terminal has the greatest `spare`; a pair goes together.
_FIELDS: Final[tuple[tuple[Column, _Cell], ...]] = (
    (Column("NAME", width=12), lambda row: row["name"]),
    (Column("STATE", width=7), _state),
    _AGE_FIELD,
    _field("CPU%", "cpu_percent_of_one_cpu", _percent),
    _field("VCPU%", "cpu_percent_of_vcpus", _percent, 5),
    _field("HOST%", "cpu_percent_of_host", _percent, 6),
    _field("ST%", "steal_percent", _percent),
    _field("USED", "memory_used_bytes", _bytes),
    _field("MEM", "memory_actual_bytes", _bytes),
    _field("RSS", "memory_rss_bytes", _bytes, 4),
    _field("READ", "read_bytes_per_s", _bytes),
    _field("WRITE", "write_bytes_per_s", _bytes),
    _field("RLAT", "read_latency_ns", _latency, 1),
    _field("WLAT", "write_latency_ns", _latency, 1),
    _field("RX", "rx_bytes_per_s", _bytes),
    _field("TX", "tx_bytes_per_s", _bytes),
    _field("EXITS", "exits_per_s", _rate),
    (Column("REASON"), lambda row: row["exit_reason"] or ""),
    _field("VCPUS", "vcpus", str, 7),
    _field("PID", "pid", str, 8),
    (Column("UUID", spare=9), lambda row: row["uuid"]),
)
