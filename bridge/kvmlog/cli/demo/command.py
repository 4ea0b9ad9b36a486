# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog demo`: one whole tracing session of this host, with a guest of its own.

All goes through the running services, or through its own, over RPC, as a cloud engine does it.
However the demo ends, its guest ends with it, and tracing is as it was before: switched off, or
when this process is killed by the end of its lease.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from pathlib import Path
from typing import Any, Final

from kvmlog.cli import status, switch, table, top
from kvmlog.cli.demo.ending import Ended, ended_by_signals, ignore_signals
from kvmlog.cli.demo.guest import NAME, DemoError, DemoGuest, Linux, check_host
from kvmlog.cli.demo.rounds import show_rounds
from kvmlog.cli.demo.screen import show_screen
from kvmlog.cli.demo.server import own_server
from kvmlog.cli.demo.services import OwnServices
from kvmlog.cli.demo.visibility import Visibility, visibility_for
from kvmlog.cli.remote import follow, link
from kvmlog.cli.stat import columns, tables
from kvmlog.client import Client, RpcFaultError, RpcUnreachableError
from kvmlog.config.load import DEFAULT_CONFIG, Config
from kvmlog.exits.format.notes import counted
from kvmlog.rpcserver import faults
from kvmlog.stat.report import Report
from kvmlog.util.errors import KvmlogError

DEFAULT_S: Final = 5.0
# With --every: it is looked at until Ctrl-C, and ends where that is forgotten.
LONG_S: Final = 3_600.0
# Generous bounds: an emulated CPU is 20 times slower.
TIMEOUT_S: Final = 60.0
GUEST_LIMIT_S: Final = 60.0
EXITS_LIMIT_S: Final = 20.0
# What tracing outlives a demo by that is killed.
LEASE_S: Final = 30.0
_STEP_S: Final = 0.2
_SERVICES: Final = "systemctl start kvmlog-bridge kvmlog-rpc"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `kvmlog demo`: how long it shows exits, and where the RPC server is."""
    parser.add_argument(
        "host",
        nargs="?",
        metavar="HOST",
        help="this host's kvmlog rpc: HOST:PORT or https://HOST:PORT (default: as the "
        "configuration has it, trusting its certificate)",
    )
    parser.add_argument(
        "--seconds",
        type=switch.period_s,
        metavar="N",
        help=f"how long exits are shown as they come (default {DEFAULT_S:g}; with --every until "
        "Ctrl-C, an hour at most)",
    )
    parser.add_argument(
        "--every",
        type=switch.period_s,
        metavar="S",
        help="in place of each exit: every S seconds (0.1 to 60) the newest ones of each reason, "
        "and the table of all that came meanwhile",
    )
    parser.add_argument(
        "--top",
        action="store_true",
        help="with --services, in place of each exit: kvmlog top on this terminal, until it ends",
    )
    parser.add_argument(
        "--kernel",
        type=Path,
        metavar="FILE",
        help="a Linux kernel that the guest boots (default: a firmware that only leaves the guest)",
    )
    parser.add_argument("--initrd", type=Path, metavar="FILE", help="with --kernel: its initramfs")
    parser.add_argument(
        "--all",
        dest="everybody",
        action="store_true",
        help="trace and show all guests of this host, not only the demo's own",
    )
    parser.add_argument(
        "--services",
        action="store_true",
        help="start a bridge and an RPC server for this demo, as root; they end with it",
    )
    parser.add_argument(
        "--source",
        choices=("auto", "kmod", "bpf"),
        default="auto",
        help="with --services: where their exits come from, as for kvmlog bridge",
    )
    parser.add_argument(
        "--config",
        metavar="PATH",
        help=f"configuration file (default: {DEFAULT_CONFIG}, where it exists)",
    )
    link.add_link(parser, timeout_s=TIMEOUT_S)


def run(args: argparse.Namespace) -> int:
    """0 when exits of the demo's guest were seen and tracing is as before; KvmlogError."""
    try:
        with ended_by_signals():
            _run(args)
    except Ended as ended:
        return ended.status
    return 0


def _run(args: argparse.Namespace) -> None:
    _check(args)
    if args.seconds is None:
        args.seconds = DEFAULT_S if args.every is None and not args.top else LONG_S
    kernel = os.uname().release
    if args.top:
        say(f"why a guest leaves the CPU, seen by the kernel {kernel} that runs it, live")
    elif args.every is None:
        say(
            f"a tracing session of this host, kernel {kernel}: a guest to look at, tracing on over "
            f"RPC, its exits as they come for {args.seconds:g} s, statistics, and off again"
        )
    else:
        ends = f"for {args.seconds:g} s" if args.seconds < LONG_S else "until Ctrl-C"
        say(f"why a guest leaves the CPU, seen by the kernel {kernel} that runs it, {ends}")
    check_host()
    with contextlib.ExitStack() as stack:
        if args.services:
            say("starting a bridge and an RPC server, which end with this demo")
            args.host = stack.enter_context(OwnServices(args.source)).url
        linux = None if args.kernel is None else Linux(args.kernel, args.initrd)
        client = stack.enter_context(_connected(args))
        _Session(client, args.seconds, args.every, linux, args.everybody, args.top).show()


def _check(args: argparse.Namespace) -> None:
    """Refuse options that do not go together, or name nothing."""
    if args.initrd is not None and args.kernel is None:
        raise DemoError("--initrd is of the kernel that --kernel names: give both")
    if args.services and args.host is not None:
        raise DemoError(f"--services starts an RPC server: leave out {args.host}")
    if args.top and (not args.services or args.every is not None):
        raise DemoError("--top goes with --services, and without --every")
    if args.top:
        top.require_terminal()
    if args.every is not None and not 0.1 <= args.every <= 60:
        raise DemoError(f"--every {args.every:g}: give 0.1 to 60 s")
    for path in (args.kernel, args.initrd):
        if path is not None and not path.is_file():
            raise DemoError(f"{path}: no such file for the guest to boot")


def _connected(args: argparse.Namespace) -> Client:
    host = args.host
    if host is None:
        host, trusted = own_server(Config.load(args.config))
        args.tls_ca = args.tls_ca or trusted
    return link.connect(args, host)


class _Session:
    """One run of the demo: what is shown, in order, and what is undone however it ends."""

    def __init__(
        self,
        client: Client,
        seconds: float,
        every_s: float | None,
        linux: Linux | None,
        everybody: bool,
        on_screen: bool,
    ) -> None:
        self._client = client
        self._seconds = seconds
        self._every_s = every_s
        self._linux = linux
        self._on_screen = on_screen
        # Who is traced; none: all.
        self._vm: list[str] = [] if everybody else [NAME]
        self._ours = False  # tracing was switched on by this demo

    def show(self) -> None:
        """All of it; DemoError, RpcError when a part does not work."""
        before = self._bridge_before()
        cleanup = contextlib.ExitStack()
        try:
            try:
                seen = self._show(before, cleanup)
            finally:
                cleanup.close()
        finally:
            # Where Ended came just as that began, for another reason. It comes once.
            cleanup.close()
        self._sum_up(*seen)

    def _show(
        self, before: dict[str, Any], cleanup: contextlib.ExitStack
    ) -> tuple[int, int, Visibility]:
        guest = cleanup.enter_context(DemoGuest(linux=self._linux))
        cleanup.callback(self._off_in_the_end)
        # The first of what is done at the end.
        cleanup.callback(ignore_signals)
        say(f"the guest {NAME} runs: QEMU, pid {guest.pid}, {guest.describe()}")
        self._wait_until_seen(guest)
        self._on(before, guest)
        guest.go()
        visible = self._visibility()
        if self._on_screen:
            say("opening kvmlog top: q leaves it, and ends the demo; h shows its keys")
            show_screen(self._seconds, guest.check)
            exits = counted = self._statistics(guest, visible).shown_exits
        elif self._every_s is None:
            exits = self._live(guest, visible)
            counted = self._statistics(guest, visible).shown_exits
        else:
            exits, counted = self._rounds(guest, self._every_s, visible)
        guest.check()
        self._off(before)
        return exits, counted, visible

    def _bridge_before(self) -> dict[str, Any]:
        """The bridge's status, which is shown; DemoError for what keeps it from tracing."""
        try:
            found = self._client.status()
        except RpcUnreachableError as error:
            raise DemoError(f"{error} As services: {_SERVICES}") from None
        if self._every_s is None and not self._on_screen:
            say(f"kvmlog rpc at {self._client.name} tells of bridge and ring (kvmlog status):")
            status.show(
                found.bridge, found.bridge_error, found.ring, found.ring_error, as_json=False
            )
            _blank()
        bridge = found.bridge
        if bridge is None:
            raise DemoError(f"{found.bridge_error}; as services: {_SERVICES}")
        if not bridge["source"]["connected"]:
            raise DemoError(f"the bridge has no source of exits: {bridge['trouble']}")
        others = [one.pid for one in self._client.guests().guests if one.name == NAME]
        if others:
            raise DemoError(
                f"a guest {NAME} runs here already, pid {others[0]}: another demo? wait for its "
                f"end, or end it (kill {others[0]})"
            )
        chosen = bridge["filter"]
        if chosen is None:
            return bridge
        if chosen["vm"] == [NAME]:
            say("tracing is still on for the guest of a demo that was killed")
            return {**bridge, "wanted": "off"}
        raise DemoError(
            f"tracing is on for {', '.join(chosen['vm'])} only, which the demo would change; "
            "switch off first (kvmlog switch off), or wait until it is"
        )

    def _wait_until_seen(self, guest: DemoGuest) -> None:
        limit = time.monotonic() + GUEST_LIMIT_S
        while True:
            guest.check()
            if any(one.pid == guest.pid for one in self._client.guests().guests):
                return
            if time.monotonic() > limit:
                raise DemoError(
                    f"the bridge at {self._client.name} has not seen the guest, pid {guest.pid}, "
                    f"within {GUEST_LIMIT_S:.0f} s; is that this host?"
                )
            time.sleep(_STEP_S)

    def _on(self, before: dict[str, Any], guest: DemoGuest) -> None:
        if before["wanted"] == "on":
            say("tracing is on already, for all guests: it is left as it is")
            return
        lease_s = self._seconds + LEASE_S
        vm = f"--vm {NAME} " if self._vm else ""
        say(f"switching on over RPC (kvmlog switch on {vm}--for {lease_s:g}):")
        self._ours = True
        try:
            done = self._client.switch(True, self._vm, lease_s)
        except RpcFaultError as error:
            if error.code != faults.OVER_BUDGET:
                raise
            say(f"the bridge tells, once: {error}")
            done = self._client.switch(True, self._vm, lease_s)
        switch.print_accepted({"matched": done.matched}, done.for_s, done.sampling)
        _blank()
        if self._vm and done.matched.get(NAME) != [guest.pid]:
            raise DemoError(
                f"{NAME} is the name of {done.matched.get(NAME)}, not of the demo's guest "
                f"{guest.pid} alone: another demo? try again after its end"
            )

    def _visibility(self) -> Visibility:
        bridge = self._client.status().bridge or {}
        return visibility_for(bridge.get("source", {}).get("isa"))

    def _live(self, guest: DemoGuest, visible: Visibility) -> int:
        vm, words = self._chosen(guest)
        say(f"{visible.seen} as they come (kvmlog tail{words}):")
        print(visible.columns, flush=True)
        ends = time.monotonic() + self._seconds

        def enough(exits: int) -> bool:
            guest.check()
            return time.monotonic() >= ends + (0 if exits else EXITS_LIMIT_S)

        exits = follow.follow(self._client, 0, vm, enough=enough)
        _blank()
        return exits

    def _rounds(self, guest: DemoGuest, every_s: float, visible: Visibility) -> tuple[int, int]:
        vm, words = self._chosen(guest)
        say(f"every {every_s:g} s exits (kvmlog dump{words}), then the table (kvmlog stat{words})")
        print(visible.columns, flush=True)
        _blank()

        def check() -> str:
            guest.check()
            line = guest.console_line()
            return f"the guest's console: {line}" if line else ""

        return show_rounds(self._client, vm, visible, every_s, self._seconds, check)

    def _statistics(self, guest: DemoGuest, visible: Visibility) -> Report:
        vm, words = self._chosen(guest)
        say(f"{visible.counted} (kvmlog stat{visible.options}{words}):")
        report, notes = self._client.statistics(visible.view, vm, fresh=True)
        for note in notes:
            print(f"kvmlog: {note}", file=sys.stderr, flush=True)
        table.show(*tables.blocks(report, columns.default(sys.stdout)), "")
        return report

    def _off(self, before: dict[str, Any]) -> None:
        """DemoError unless tracing is now as it was before."""
        if self._ours:
            say("switching off over RPC (kvmlog switch off)")
            self._switch_off()
        now = self._client.status().bridge
        stopped = (now or before)["budget"].get("stopped")
        if stopped == before["budget"].get("stopped"):
            stopped = None
        if now is None or now["wanted"] != before["wanted"]:
            is_now = "unknown" if now is None else now["wanted"]
            why = stopped or "somebody else has switched it; look at kvmlog status"
            raise DemoError(f"tracing was {before['wanted']} before and is {is_now} now: {why}")
        if stopped is not None:
            say(f"the bridge had ended it before: {stopped}")

    def _off_in_the_end(self) -> None:
        """Switch tracing off after an early end; report what cannot be done, and raise nothing."""
        if not self._ours:
            return
        # A call may have been under way when the end came.
        self._client.close()
        try:
            self._switch_off()
        except KvmlogError as error:
            with contextlib.suppress(OSError):
                print(
                    f"kvmlog: tracing of {self._who()} could not be switched off ({error}); it "
                    f"ends by itself after {self._seconds + LEASE_S:g} s",
                    file=sys.stderr,
                )

    def _switch_off(self) -> None:
        """Off, unless somebody has switched on for others meanwhile, or the lease is over."""
        bridge = self._client.status().bridge
        if bridge is not None and bridge["wanted"] == "on":
            chosen = bridge["filter"]
            if ([] if chosen is None else chosen["vm"]) == self._vm:
                self._client.switch(False)
        self._ours = False

    def _chosen(self, guest: DemoGuest) -> tuple[list[str], str]:
        """Return the guests to show, and the options that select them."""
        return ([str(guest.pid)], f" --vm {NAME}") if self._vm else ([], "")

    def _who(self) -> str:
        return ", ".join(self._vm) or "all guests"

    def _sum_up(self, exits: int, counted_exits: int, visible: Visibility) -> None:
        if not exits:
            waited_s = self._seconds + (EXITS_LIMIT_S if self._every_s is None else 0)
            raise DemoError(
                f"no {visible.one} of {self._who()} was seen in {waited_s:g} s; look "
                "at kvmlog status, and at the notes of the bridge in its log"
            )
        say(
            f"done: {counted(exits, visible.one)} of {self._who()} shown, {counted_exits} counted; "
            "the guest has ended, and tracing is as it was before"
        )
        print(visible.following, flush=True)


def say(text: str) -> None:
    """One line to whoever watches."""
    print(f"demo: {text}", flush=True)


def _blank() -> None:
    print(flush=True)
