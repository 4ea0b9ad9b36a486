# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog status`: the state of bridge and ring, of each even when the other is missing."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from typing import Any, Final

from kvmlog.cli import records, table
from kvmlog.cli.table import Words
from kvmlog.control.client import SwitchClient
from kvmlog.control.sampling import describe_sampling
from kvmlog.ring.reader import ABANDONED, RingInfo, RingReader
from kvmlog.ring.serialize import info_object
from kvmlog.util.errors import RingError, SwitchError

_NS_PER_S: Final = 1_000_000_000
_BUSY_PER_S: Final = 1_000
_COUNTERS: Final = ("seen", "emitted", "filtered", "sampled", "dropped", "pending")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `kvmlog status`."""
    parser.add_argument("--json", action="store_true", help="one JSON object instead of text")
    records.add_ring(parser)
    records.add_switch(parser)


def run(args: argparse.Namespace) -> int:
    """Print what is available; return 0 when both bridge and ring could be read, else 1."""
    bridge, bridge_error = _ask_bridge(args.switch)
    ring, ring_error = _read_ring(args.ring)
    return show(bridge, bridge_error, ring, ring_error, args.json)


def show(
    bridge: dict[str, Any] | None,
    bridge_error: str | None,
    ring: RingInfo | None,
    ring_error: str | None,
    as_json: bool,
    words: Words = str,
) -> int:
    """Print the state of both, or why it is unknown; return the exit status, as run()."""
    if as_json:
        print(
            json.dumps(
                {
                    "bridge": bridge,
                    "bridge_error": bridge_error,
                    "ring": None if ring is None else info_object(ring),
                    "ring_error": ring_error,
                }
            )
        )
    else:
        lines = _bridge_lines(bridge) if bridge is not None else [("bridge", bridge_error or "")]
        lines += _ring_lines(ring) if ring is not None else [("ring", ring_error or "")]
        table.show(table.Pairs([(name, words(text)) for name, text in lines]))
    return 0 if bridge is not None and ring is not None else 1


def _ask_bridge(path: str) -> tuple[dict[str, Any] | None, str | None]:
    try:
        return SwitchClient(path).status(), None
    except SwitchError as error:
        return None, str(error)


def _read_ring(path: str) -> tuple[RingInfo | None, str | None]:
    try:
        with RingReader(path) as reader:
            return reader.info(), None
    except RingError as error:
        return None, str(error)


def _bridge_lines(status: dict[str, Any]) -> list[tuple[str, str]]:
    source = status.get("source", {})
    words = [str(source.get("name", "unknown"))]
    if source.get("version"):
        words.append(str(source["version"]))
    words.append("connected" if source.get("connected") else "not there")
    if source.get("vendor"):
        words.append(f"for {source['vendor']}")
    if source.get("waiting_for"):
        words.append(f"waiting for {source['waiting_for']}")
    lines = [
        ("bridge", f"pid {status.get('pid')}, up {status.get('uptime_s')} s"),
        ("tracing", str(status.get("state"))),
        *(("", words) for words in _limits(status)),
        *cost_lines(status.get("budget", {})),
        ("source", ", ".join(words)),
    ]
    if status.get("trouble"):
        lines.append(("", str(status["trouble"])))
    lines += [("", str(note)) for note in source.get("notes", [])]
    if status.get("guests"):
        lines.append(("guests", f"{status['guests'].get('running')} running (kvmlog guests)"))
    lines += _recorder_lines(status.get("recorder"))
    lines += [("files", str(problem)) for problem in status.get("files", [])]
    lines.append(("commands", f"{status.get('switch')}"))
    lines.append(("", f"UDP {status.get('udp')}: {status.get('udp_accepts')}"))
    return lines


def _recorder_lines(recorder: dict[str, Any] | None) -> list[tuple[str, str]]:
    """Return what the bridge's flight recorder waits for and has kept."""
    if not recorder:
        return []
    lines = [("recorder", f"waits for {', '.join(recorder['freeze_on'])}")]
    kept = f"{recorder['kept']} kept in {recorder['folder']}"
    lines.append(("", f"{kept}, the last in {recorder['last']}" if recorder["last"] else kept))
    if recorder["trouble"]:
        lines.append(("", str(recorder["trouble"])))
    return lines


def cost_lines(budget: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the CPU time that tracing takes, and why the budget ended it, from the status."""
    if budget.get("span_s"):
        parts = ", ".join(
            f"{name} {budget[f'{name}_percent']:.2g}" for name in ("probes", "worker", "engine")
        )
        each = f"; {budget['exit_ns']:.0f} ns an exit" if _is_busy(budget) else ""
        yield ("cost", f"{budget['one_cpu_percent']:.2g} % of one CPU ({parts}){each}")
        limit = budget["limit_percent"]
        words = f"limit {limit:.3g} %" if limit else "no limit"
        yield ("", f"{budget['percent']:.2g} % of all {budget['cpus']} CPUs ({words})")
    if budget.get("stopped"):
        yield ("", budget["stopped"])


def _is_busy(budget: dict[str, Any]) -> bool:
    """Return whether there were enough exits for a time per exit: some cost is fixed."""
    if not budget["exit_ns"]:
        return False
    exits_per_s = budget["one_cpu_percent"] / 100 * _NS_PER_S / budget["exit_ns"]
    return bool(exits_per_s >= _BUSY_PER_S)


def _limits(status: dict[str, Any]) -> Iterator[str]:
    """Yield the limits of tracing: guests, sampling, remaining time."""
    chosen = status.get("filter")
    if chosen:
        found = chosen["tgids"]
        processes = "1 process" if found == 1 else f"{found} processes"
        yield f"only {', '.join(chosen['vm'])} ({processes})"
    if status.get("sampling"):
        yield from describe_sampling(status["sampling"])
    if status.get("lease_s") is not None:
        yield f"off by itself in {status['lease_s']:.0f} s"


def _ring_lines(info: RingInfo) -> list[tuple[str, str]]:
    kept = min(info.head, info.capacity)
    lines = [
        ("ring", f"{info.path}, {info.state}, id {info.ring_id}"),
        ("records", f"{info.head} written, newest {kept} kept, room for {info.capacity}"),
        ("exits", ", ".join(f"{info.counters[name]} {name}" for name in _COUNTERS)),
        (
            "lost",
            f"{info.lost_records} records, {info.lost_messages} messages; "
            f"{info.bad_messages} bad messages",
        ),
        ("heartbeat", f"{info.heartbeat_age_ns / _NS_PER_S:.1f} s ago"),
    ]
    if info.state == ABANDONED:
        lines.append(("", f"its writer (pid {info.writer_pid}) is gone; restart the bridge"))
    return lines
