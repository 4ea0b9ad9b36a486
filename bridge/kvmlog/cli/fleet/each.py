# SPDX-License-Identifier: GPL-2.0-or-later
"""The commands of `kvmlog remote` on each host of a fleet, with its name before each line."""

from __future__ import annotations

import argparse
import json
import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final

from kvmlog.cli import interval, switch
from kvmlog.cli.fleet import output
from kvmlog.cli.fleet.chosen import Fleet, status_of
from kvmlog.cli.remote.command import COMMANDS, words_about
from kvmlog.cli.stat import options
from kvmlog.util.errors import KvmlogError
from kvmlog.util.printable import printable

if TYPE_CHECKING:
    from kvmlog.client import Client
    from kvmlog.fleet.ask import Answer
    from kvmlog.fleet.hosts import FleetHost

# `services` and `usage` are merged; services are changed one host at a time, through `remote`.
EACH: Final = tuple(name for name in COMMANDS if name not in ("services", "usage"))
# docs/rpc.md, "Faults": the host has no such VM, which some other has.
_NO_GUEST: Final = 110


def add_arguments(parser: argparse.ArgumentParser, name: str) -> None:
    """Add the options that `kvmlog remote HOST NAME` has, and where it switches --yes."""
    COMMANDS[name][0](parser)
    if name in ("switch", "why"):
        what = "switch" if name == "switch" else "with --trace: switch"
        parser.add_argument(
            "--yes", action="store_true", help=f"{what} tracing on all hosts of the list"
        )
    parser.set_defaults(refuse_each=parser.error)


def run(fleet: Fleet, args: argparse.Namespace, name: str) -> int:
    """Run a command on each host; return the exit status."""
    _check(fleet, args, name)
    act = COMMANDS[name][1]
    printed = output.current()
    header = _Once()
    live = _is_live(args, name)
    failed = 0

    def call(client: Client, host: FleetHost) -> bool:
        lines: list[str] = []
        take: Callable[[str], None] | None = None
        as_json, as_csv = (bool(getattr(args, form, False)) for form in ("json", "csv"))
        if as_csv:
            take = _csv(host.name, printed.write, header)
        elif as_json:
            take = (lambda line: _json(host.name, [line], printed.write)) if live else lines.append
        with printed.of(f"{host.name}: ", take, live=live):
            done = act(client, args, words_about(host.name)) == 0
        if as_json and not live:
            _json(host.name, lines, printed.write)
        return done

    def ended(answer: Answer[bool]) -> None:
        nonlocal failed
        if answer.error is None:
            failed += answer.value is not True
        elif not (_names_vm(args) and answer.fault == _NO_GUEST):
            failed += 1
            # What an answer advises is for that host; that there is none, says so itself.
            words = str if answer.fault is None else words_about(answer.host.name)
            printed.say(f"kvmlog: {answer.host.name}: {printable(words(answer.error))}")

    try:
        with ExitStack() as stack:
            stack.enter_context(printed.installed())
            answers = fleet.ask(call, longer_s=None if live else _longer_s(args), done=ended)
    except KeyboardInterrupt:
        if printed.reader_went:
            raise BrokenPipeError from None
        if live:
            return 0
        raise
    if not failed and all(one.error is not None for one in answers):
        raise KvmlogError(f"no host of the list has this VM: {answers[0].error}")
    return status_of(len(answers), failed)


def _check(fleet: Fleet, args: argparse.Namespace, name: str) -> None:
    """Exit with status 2 for options that mean nothing for many hosts, or are wrong for any."""
    # Here, since a thread cannot end the process.
    if name == "switch":
        switch.requested_sampling(args)
    elif name == "stat":
        options.query(args)
        if args.output is not None:
            args.refuse_each("-o is for one host; redirect the output")
    elif name == "vms":
        interval.check(args)
    if _is_live(args, name) and fleet.parallel < len(fleet.hosts):
        args.refuse_each(
            f"this goes on until it is interrupted, on {len(fleet.hosts)} hosts at once; give "
            f"--parallel {len(fleet.hosts)}, or fewer hosts"
        )
    switches = name == "switch" or getattr(args, "trace", False)
    if switches and not args.yes:
        args.refuse_each(
            f"this switches tracing on {len(fleet.hosts)} hosts; if you mean that, add --yes"
        )


def _is_live(args: argparse.Namespace, name: str) -> bool:
    """Return whether a command goes on, so that its lines are printed as they come."""
    return name == "tail" or getattr(args, "interval", None) is not None


def _longer_s(args: argparse.Namespace) -> float:
    """Return how long a command watches before it answers."""
    watched: float | None = getattr(args, "for_s", None) if hasattr(args, "trace") else None
    # `vms` counts exits for a moment, if there are any.
    return 5.0 if watched is None else watched + 5.0


def _names_vm(args: argparse.Namespace) -> bool:
    return bool(getattr(args, "vm", None))


def _json(name: str, lines: list[str], write: Callable[[str], None]) -> None:
    """Print each document of a host's output with the host's name, a line each."""
    text = "\n".join(lines)
    documents: list[Any]
    try:
        documents = [json.loads(text)] if text else []
    except ValueError:
        documents = [json.loads(line) for line in lines if line]
    for one in documents:
        write(json.dumps({"host": name, "reply": one}))


def _csv(name: str, write: Callable[[str], None], header: _Once) -> Callable[[str], None]:
    """Return what prints a host's CSV with a column more; the header once for all of them."""
    first = True

    def take(line: str) -> None:
        nonlocal first
        if not first:
            write(f"{name},{line}")
        elif header.first():
            write(f"host,{line}")
        first = False

    return take


class _Once:
    """Tells the first of several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def first(self) -> bool:
        """Return whether this is the first call."""
        # Never released: whoever comes later does not get it.
        return self._lock.acquire(blocking=False)
