# SPDX-License-Identifier: GPL-2.0-or-later
"""The bridge process: switch and log engine around one loop."""

from __future__ import annotations

import argparse
import contextlib
import os
import selectors
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final, Protocol

from kvmlog.bridge.bpf.plan import REASONS
from kvmlog.bridge.bpf.source import BpfSource
from kvmlog.bridge.control import DEFAULT_SOCKET, ControlServer
from kvmlog.bridge.engine import Engine
from kvmlog.bridge.guest_watch import Announcements, GuestWatch
from kvmlog.bridge.kmod import KmodSource
from kvmlog.bridge.log import log
from kvmlog.bridge.ring import DEFAULT_RING
from kvmlog.bridge.source import Source
from kvmlog.bridge.statistics import SUFFIX
from kvmlog.bridge.statistics_file import DEFAULT_MIB, NONE, StatisticsWriter
from kvmlog.bridge.switch import Switch
from kvmlog.bridge.udp import DEFAULT_UDP, UdpServer
from kvmlog.bridge.writer import DEFAULT_SLOTS, RingWriter

TICK_S: Final = 1.0
_MODPROBE_S: Final = 30
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `kvmlog bridge`."""
    parser.add_argument(
        "--source",
        choices=("auto", "kmod", "bpf"),
        default="auto",
        help="where the records come from: the kernel module, BPF programs that need no module, "
        "or auto, the module where it is loaded or can be, else bpf (default: %(default)s)",
    )
    parser.add_argument(
        "--bpf-reason",
        choices=REASONS,
        default="auto",
        help="how bpf learns an exit's reason: from the vCPU (SVM with BTF), from the event "
        "kvm_exit (works everywhere, costs 600 instructions more), or whichever fits (default: "
        "%(default)s)",
    )
    parser.add_argument("--ring", default=DEFAULT_RING, help="ring file (default: %(default)s)")
    parser.add_argument(
        "--slots",
        type=int,
        default=DEFAULT_SLOTS,
        help="records that the ring holds, a power of two (default: %(default)s)",
    )
    parser.add_argument(
        "--statistics-mib",
        type=int,
        default=DEFAULT_MIB,
        metavar="MIB",
        help="size of the statistics, a file beside the ring; 0: none (default: %(default)s)",
    )
    parser.add_argument(
        "--udp",
        default=DEFAULT_UDP,
        metavar="HOST:PORT",
        help="loopback address for commands (default: %(default)s)",
    )
    parser.add_argument(
        "--switch",
        default=DEFAULT_SOCKET,
        metavar="SOCKET",
        help="local socket for commands (default: %(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    """Runs the bridge until SIGTERM or SIGINT; 0. KvmlogError when it cannot start."""
    source = make_source(args.source, args.bpf_reason)
    with contextlib.ExitStack() as stack:
        wake = stack.enter_context(_signals())
        writer = stack.enter_context(RingWriter(args.ring, args.slots))
        if writer.killed_before:
            log(f"{args.ring}: the last bridge was killed; its ring goes on")
        statistics = None
        if args.statistics_mib:
            statistics = StatisticsWriter(args.ring + SUFFIX, writer, args.statistics_mib)
            stack.callback(statistics.close)
            if statistics.began not in ("", NONE):
                log(f"{statistics.path}: statistics begin anew ({statistics.began})")
        else:
            writer.set_statistics(bytes(16))
        engine = Engine(writer, source, statistics=statistics)
        watch = GuestWatch(engine)
        stack.callback(watch.close)
        stack.callback(engine.stop)
        bridge = _Bridge(args.ring, writer, engine)
        switch = Switch(engine, bridge.about)
        udp = UdpServer(args.udp, switch)
        stack.callback(udp.close)
        control = ControlServer(args.switch, switch)
        stack.callback(control.close)
        bridge.servers = {"udp": udp.address, "switch": args.switch}

        engine.start()
        log(
            f"ready: ring {args.ring} ({writer.geometry.capacity} records), "
            f"commands on {udp.address} and {args.switch}"
        )
        # What else becomes readable is served by handle(), in this thread.
        readable: list[_Readable] = [udp, control, Announcements(engine)]
        if watch.events is not None:
            readable.append(watch)
        _serve(wake, readable, engine, watch)
        log("stopping: tracing off, ring kept")
    return 0


def make_source(name: str, reason: str = "auto") -> Source:
    """The source of a --source option; reason: of --bpf-reason."""
    if name == "auto":
        name, why = choose_source()
        log(f"source {name}: {why}")
    return BpfSource(reason) if name == "bpf" else KmodSource()


def choose_source() -> tuple[str, str]:
    """kmod where the module is loaded or can be, else bpf; and why."""
    if os.path.isdir("/sys/module/kvmlog"):
        return "kmod", "the kernel module kvmlog is loaded"
    if not os.path.exists("/proc/modules"):
        return "bpf", "this kernel cannot load modules"
    why_not = "modprobe is not installed"
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(
            ["modprobe", "kvmlog"],
            check=False,
            capture_output=True,
            text=True,
            timeout=_MODPROBE_S,
            stdin=subprocess.DEVNULL,
        )
        if done.returncode == 0:
            return "kmod", "modprobe has loaded the kernel module kvmlog"
        why_not = (done.stderr.strip().splitlines() or ["modprobe gave no reason"])[-1]
    return "bpf", f"the kernel module kvmlog cannot be loaded ({why_not})"


class _Bridge:
    """What the status answer says about the process itself."""

    def __init__(self, ring: str, writer: RingWriter, engine: Engine) -> None:
        self.servers: dict[str, str] = {}
        self._ring = os.path.abspath(ring)
        self._writer = writer
        self._engine = engine
        self._began = time.monotonic()

    def about(self) -> dict[str, Any]:
        header = self._writer.header()
        return {
            "pid": os.getpid(),
            "uptime_s": int(time.monotonic() - self._began),
            "resident_bytes": resident_bytes(),
            **self.servers,
            "ring": {
                "path": self._ring,
                "ring_id": bytes(header.ring_id).hex(),
                "capacity": header.capacity,
                "head": header.head,
                "lost_records": header.lost_records,
                "lost_messages": header.lost_messages,
                "bad_messages": header.bad_messages,
            },
        }


def resident_bytes() -> int:
    """Memory that this process has in RAM (statm, proc(5))."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@contextlib.contextmanager
def _signals() -> Iterator[socket.socket]:
    """A socket that becomes readable at a signal that ends the bridge."""
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    reader.setblocking(False)
    before = {number: signal.signal(number, lambda *_: None) for number in _SIGNALS}
    descriptor = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    try:
        yield reader
    finally:
        signal.set_wakeup_fd(descriptor)
        for number, handler in before.items():
            signal.signal(number, handler)
        reader.close()
        writer.close()


class _Readable(Protocol):
    """Whatever the loop serves."""

    def fileno(self) -> int: ...
    def handle(self) -> None: ...


def _serve(
    wake: socket.socket, readable: Sequence[_Readable], engine: Engine, watch: GuestWatch
) -> None:
    """Answers commands and ticks until a signal comes."""
    with selectors.DefaultSelector() as selector:
        selector.register(wake, selectors.EVENT_READ)
        for one in readable:
            selector.register(one, selectors.EVENT_READ, one.handle)
        due = time.monotonic() + TICK_S
        while True:
            for key, _ in selector.select(max(0.0, due - time.monotonic())):
                if key.fileobj is wake:
                    return
                key.data()
            if time.monotonic() >= due:
                # The guests first: a source that is back is switched on for those of now.
                watch.tick()
                engine.tick()
                due = time.monotonic() + TICK_S
