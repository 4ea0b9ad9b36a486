# SPDX-License-Identifier: GPL-2.0-or-later
"""The bridge process: switch and log engine around one loop."""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import time
from collections.abc import Callable
from typing import Any, Final

from kvmlog.bridge.dispatch import Dispatcher
from kvmlog.bridge.names import Names, socket_objection
from kvmlog.bridge.recorder import StandingOrder
from kvmlog.bridge.udp_server import UdpServer
from kvmlog.bridge.unix_server import UnixServer
from kvmlog.config.load import Config, add_options
from kvmlog.config.reload import Reload
from kvmlog.config.schema.defaults import DEFAULT_VCPUS
from kvmlog.config.schema.tracing import BridgeKeys
from kvmlog.control.udp_auth import read_key
from kvmlog.engine.budget import Budget
from kvmlog.engine.engine import Engine
from kvmlog.engine.monitor import GuestAnnouncements, GuestMonitor
from kvmlog.ring.statistics.reader import SUFFIX
from kvmlog.ring.statistics.writer import NONE, StatisticsWriter
from kvmlog.ring.writer import RingWriter
from kvmlog.sources.base import Source
from kvmlog.util.log import log
from kvmlog.util.loop import Loop, signals
from kvmlog.util.sdnotify import Notifier

_MODPROBE_S: Final = 30


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `kvmlog bridge`: those of its keys in the configuration."""
    add_options(parser, "bridge")


def run(args: argparse.Namespace) -> int:
    """Run the bridge until SIGTERM or SIGINT; return 0. KvmlogError when it cannot start."""
    notifier = Notifier()
    config = Config.of(args)
    keys = config.bridge
    source = make_source(keys)
    with contextlib.ExitStack() as stack:
        wake = stack.enter_context(signals())
        writer = stack.enter_context(RingWriter(keys.ring, keys.slots))
        if writer.killed_before:
            log(f"{keys.ring}: the last bridge was killed; its ring is kept and continued")
        statistics = None
        if keys.statistics_mib:
            statistics = StatisticsWriter(keys.ring + SUFFIX, writer, keys.statistics_mib)
            stack.callback(statistics.close)
            if statistics.restart_reason not in ("", NONE):
                log(f"{statistics.path}: statistics begin anew ({statistics.restart_reason})")
        else:
            writer.set_statistics(bytes(16))
        budget = Budget(config.budget.cpu_percent)
        engine = Engine(writer, source, statistics=statistics, budget=budget)
        watch = GuestMonitor(engine)
        stack.callback(watch.close)
        stack.callback(engine.stop)
        order = None
        if config.recorder.freeze_on:
            order = StandingOrder(keys.ring, config.recorder)
            stack.callback(order.close)
        bridge = _Bridge(keys.ring, writer, engine, order)
        switch = Dispatcher(engine, bridge.about)
        udp = _Udp(config, switch)
        stack.callback(udp.close)
        control = _Control(keys.switch, switch)
        stack.callback(control.close)
        bridge.servers = lambda: {
            "udp": udp.server.address,
            "udp_accepts": udp.server.accepts,
            "switch": keys.switch,
        }

        def relisten(fresh: Config) -> None:
            before = udp.server
            udp.listen(fresh)
            loop.replace(before, udp.server)
            before.close()

        reload = Reload("bridge", config, lambda: Config.of(args), log)
        reload.on("udp.listen", apply=relisten)
        reload.on("udp.key_file", "udp.plain", apply=udp.allow, always=True)

        def relimit(fresh: Config) -> None:
            budget.limit_percent = fresh.budget.cpu_percent

        reload.on("budget.cpu_percent", apply=relimit)

        def commands() -> str:
            over_udp = f"over UDP {udp.server.address}: {udp.server.accepts}"
            return f"commands on {keys.switch}; {over_udp}"

        def said() -> str:
            return f"{engine.state()}, ring {keys.ring}, {commands()}"

        def read_again() -> None:
            notifier.reloading()
            reload.now()
            notifier.ready(said())

        def tick() -> None:
            # The guests first: a source that is back is switched on for those of now.
            watch.tick()
            engine.tick()
            bridge.names.tick()
            notifier.status(said())
            if notifier.watchdog_s is not None and _lives(engine, writer, notifier.watchdog_s):
                notifier.beat()

        loop = Loop(tick, read_again)
        # What else becomes readable is served by handle(), in this thread.
        for one in (udp.server, control.server, GuestAnnouncements(engine)):
            loop.add(one)
        control.replace = loop.replace
        counted = [] if statistics is None else [statistics]
        bridge.names = Names([writer, *counted, engine.registry, control])
        if watch.events is not None:
            loop.add(watch)

        engine.start()
        if order is not None:
            order.start()
        log(f"ready: ring {keys.ring} ({writer.geometry.capacity} records), {commands()}")
        notifier.ready(said())
        loop.run(wake)
        notifier.stopping()
        log("stopping: tracing off, ring kept")
    return 0


def _lives(engine: Engine, writer: RingWriter, limit_s: float) -> bool:
    """Return whether the pump's thread works: the ring's heartbeat is its doing."""
    age_ns = time.monotonic_ns() - int(writer.header().monotonic_ns)
    return engine.pump.alive() and age_ns < limit_s * 1e9 / 2


class _Udp:
    """The UDP server in use; a changed configuration may replace it."""

    def __init__(self, config: Config, switch: Dispatcher) -> None:
        self._switch = switch
        self.listen(config)

    def listen(self, config: Config) -> None:
        """Replace `server`; SwitchError, and nothing changes, when the address cannot be bound."""
        keys = config.udp
        self.server = UdpServer(keys.listen, self._switch, _udp_key(config), keys.plain)

    def allow(self, config: Config) -> None:
        """Replace key and permitted senders; KvmlogError when the address does not allow them."""
        self.server.allow(_udp_key(config), config.udp.plain)

    def close(self) -> None:
        self.server.close()


class _Control:
    """The local socket in use; one whose file was removed is replaced."""

    def __init__(self, path: str, switch: Dispatcher) -> None:
        self._switch = switch
        self.server = UnixServer(path, switch)
        self.replace: Callable[[UnixServer, UnixServer], None]

    def keep(self) -> str:
        """Bind the socket anew where its file was removed (bridge.names)."""
        if self.server.is_named():
            return ""
        path = self.server.path
        foreign = socket_objection(path)
        if foreign:
            return f"{path}: {foreign}, so no commands come to it; remove it"
        before, self.server = self.server, UnixServer(path, self._switch)
        self.replace(before, self.server)
        before.close()
        log(f"{path}: the socket had been removed or replaced; bound anew")
        return ""

    def close(self) -> None:
        self.server.close()


def _udp_key(config: Config) -> bytes | None:
    return read_key(config.udp.key_file) if config.udp.key_file else None


def make_source(keys: BridgeKeys) -> Source:
    """Return the source that the configuration asks for."""
    name = keys.source
    if name == "auto":
        name, why = choose_source(keys.max_vcpus)
        log(f"source {name}: {why}")
    # Only the one that is used is imported: pyroute2 takes a third of the daemon's start.
    if name == "bpf":
        from kvmlog.sources.bpf.source import BpfSource

        return BpfSource(keys.bpf_reason, keys.bpf_cache, keys.max_vcpus)
    from kvmlog.sources.kmod.source import KmodSource

    return KmodSource()


def choose_source(max_vcpus: int) -> tuple[str, str]:
    """Return kmod where the module is loaded or can be, else bpf; and why.

    max_vcpus: its parameter; the default leaves it to modprobe's own configuration.
    """
    if os.path.isdir("/sys/module/kvmlog"):
        return "kmod", "the kernel module kvmlog is loaded"
    if not os.path.exists("/proc/modules"):
        return "bpf", "this kernel cannot load modules"
    given = [] if max_vcpus == DEFAULT_VCPUS else [f"max_vcpus={max_vcpus}"]
    why_not = "modprobe is not installed"
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(
            ["modprobe", "kvmlog", *given],
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
    """The process itself, for the status answer."""

    def __init__(
        self, ring: str, writer: RingWriter, engine: Engine, order: StandingOrder | None
    ) -> None:
        self._order = order
        self.servers: Callable[[], dict[str, str]] = dict
        self.names = Names([])
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
            **self.servers(),
            "files": self.names.problems,
            "recorder": None if self._order is None else self._order.describe(),
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
    """Return the bytes that this process has in RAM (statm, proc(5))."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
