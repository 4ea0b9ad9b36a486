# SPDX-License-Identifier: GPL-2.0-or-later
"""A source that a test plays: the engine's other side, where no module can be loaded.

Its batches are real messages through a real socket into the real pump. What the kernel module does
is tested with the module, in tests/vm.
"""

from __future__ import annotations

import dataclasses
import socket
from typing import Any

from kvmlog.native import lib
from kvmlog.sources.base import CpuStatus, Source, SourceGoneError, SourceStatus, SwitchConfig
from kvmlog.util.errors import SourceError
from tests.support.batches import FAMILY, batch, exits

NAMES = ("seen", "emitted", "filtered", "sampled", "dropped", "pending", "dropped_table", "notes")


class ScriptedSource(Source):
    """`present`: loaded or not. `refusal`: what it says to being switched on."""

    name = "scripted"
    number: int = lib.KVMLOG_SOURCE_FOREIGN

    def __init__(self, present: bool = True) -> None:
        self.present = present
        self.refusal: str | None = None
        self.pending_records = b""
        self.last_words: list[bytes] = []  # sent between switching off and the acknowledgement
        self.slow_batches = 0  # of the last words: delivered after off, one before each status
        self.configs: list[SwitchConfig] = []  # all that it was asked and did
        self.status_requests = 0
        self._ends: tuple[socket.socket, socket.socket] | None = None
        self.state = self._fresh()

    @property
    def configured(self) -> list[bool]:
        """Return whether each configuration was on or off, in order."""
        return [config.on for config in self.configs]

    def end_lease(self) -> None:
        """Its lease is over: it switches itself off."""
        self.set(on=False, attached=False, tgids=(), lease_ms=0)

    def reload(self) -> None:
        """The module was unloaded and loaded: it knows its receiver no more."""
        self.state = self._fresh()

    def deliver(self, first: int, count: int, cpu: int = 0) -> None:
        """One batch that the engine receives."""
        assert self._ends is not None
        self._ends[0].send(self._next(first, count, cpu))

    def lose(self, first: int, count: int, cpu: int = 0) -> None:
        """One batch that the source believes to have delivered."""
        self._next(first, count, cpu)

    def set(self, **fields: Any) -> None:
        """Changes what status() says."""
        self.state = dataclasses.replace(self.state, **fields)

    def open(self) -> SourceStatus:
        self._check()
        if self._ends is None:
            self._ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self.set(receiver=1)
        return self.state

    def switch(self, config: SwitchConfig) -> SourceStatus:
        self._check()
        if config.on and self.state.receiver is None:
            raise SourceGoneError("the scripted source was reloaded")
        if config.on and self.refusal is not None:
            raise SourceError(self.refusal)
        self.configs.append(config)
        if config.on and not self.state.on:
            cpus = {n: dataclasses.replace(cpu, messages=0) for n, cpu in self.state.cpus.items()}
            self.set(cpus=cpus, epoch=self.state.epoch + 1)
        if not config.on:
            for number, _ in enumerate(self.last_words):
                self.deliver(9000 + number, 1)
            self.set(stopping=self.slow_batches > 0)
        tgids = tuple(sorted(config.tgids)) if config.on else ()
        lease_ms = config.lease_ms if config.on else 0
        self.set(on=config.on, attached=config.on, tgids=tgids, lease_ms=lease_ms)
        if config.on:
            self.set(one_in=config.one_in, on_ms=config.on_ms, off_ms=config.off_ms)
        return self.status()

    def pump(self, native: Any) -> None:
        assert self._ends is not None
        lib.kvmlog_pump_socket(native, self._ends[1].fileno(), FAMILY)

    def status(self) -> SourceStatus:
        self.status_requests += 1
        self._check()
        if self._ends is not None and self.state.receiver is None:
            raise SourceGoneError("the scripted source was reloaded")
        if self.state.stopping:
            self.slow_batches -= 1
            self.deliver(9100 + self.slow_batches, 1)
            self.set(stopping=self.slow_batches > 0)
        return self.state

    def pending(self) -> bytes:
        self._check()
        return self.pending_records

    def notes(self) -> list[str]:
        return []

    def close(self) -> None:
        if self._ends is not None:
            for end in self._ends:
                end.close()
        self._ends = None

    def _check(self) -> None:
        if not self.present:
            raise SourceGoneError("the scripted source is not loaded")

    def _next(self, first: int, count: int, cpu: int) -> bytes:
        before = self.state.cpus.get(cpu, CpuStatus())
        after = dataclasses.replace(before, messages=before.messages + 1)
        counters = dict(self.state.counters)
        counters["seen"] += count
        counters["emitted"] += count
        self.set(cpus={**self.state.cpus, cpu: after}, counters=counters)
        return batch(exits(first, count), cpu=cpu, sequence=before.messages)

    @staticmethod
    def _fresh() -> SourceStatus:
        return SourceStatus(
            on=False,
            attached=False,
            waiting_for=None,
            epoch=0,
            one_in=1,
            on_ms=0,
            off_ms=0,
            tgids=(),
            flush_ms=20,
            counters=dict.fromkeys(NAMES, 0),
            receiver=None,
            schema=lib.KVMLOG_SCHEMA_VERSION,
            record_bytes=lib.KVMLOG_RECORD_BYTES,
            isa=lib.KVMLOG_ISA_SVM,
            vendor="kvm_amd",
            version="scripted",
            pending_slots=1024,
        )
