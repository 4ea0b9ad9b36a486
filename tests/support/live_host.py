# SPDX-License-Identifier: GPL-2.0-or-later
"""A host that is traced, for programs that watch it: real ring, statistics and file of guests.

    python -m tests.support.live_host FOLDER [--guests 200] [--vcpus 8]

Exits are made up, and are fed as a source's records are; the switch is answered as the bridge does.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import random
import socket
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kvmlog.control import protocol
from kvmlog.guests.model import Guest, encode
from kvmlog.native import lib
from kvmlog.ring.reader import boot_id
from tests.support.statistics_feed import Counting, Records, exits, note
from tests.support.statistics_rows import named

IO, HLT, NPF, MSR, CPUID, INTR = 0x7B, 0x78, 0x400, 0x7C, 0x72, 0x60
# Reason, median ns, spread, part of the exits, part of the time in the VMM.
KINDS = (
    (IO, 18_000, 0.7, 0.16, 0.8),
    (NPF, 2_400, 0.9, 0.34, 0.1),
    (MSR, 1_100, 0.4, 0.28, 0.0),
    (CPUID, 1_300, 0.3, 0.06, 0.0),
    (INTR, 900, 0.5, 0.16, 0.0),
)
PORTS = (0x3F8, 0xCF8, 0x70, 0xC000, 0x60)


class LiveHost:
    """Guests of a host in `folder`, with so many exits a second each; close() ends the bridge."""

    def __init__(
        self, folder: Path, names: Sequence[str], vcpus: int = 2, mib: int = 8, seed: int = 1
    ) -> None:
        self.folder, self.names, self.vcpus = folder, list(names), vcpus
        self.ring, self.switch = str(folder / "ring"), str(folder / "switch")
        self.counting = Counting(folder, mib)
        self.counting.ring.switched(True, lib.KVMLOG_SOURCE_KMOD)
        self.commands: list[protocol.Command] = []
        self.on = True
        self.filter: tuple[str, ...] = ()
        self.for_s: float | None = None
        self._random = np.random.default_rng(seed)
        self._lock = threading.Lock()  # covers the writers
        self._ended: dict[str, int] = {}
        for number, _ in enumerate(self.names):
            self.counting.feed(note(number + 1, self.pid(number)))
        self.write_guests()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.switch)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def __enter__(self) -> LiveHost:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @staticmethod
    def pid(number: int) -> int:
        """The process of a guest, by its place among the names."""
        return 4_000 + number

    def close(self) -> None:
        """End as a bridge does: ring and statistics say that nobody writes them."""
        if self._socket.fileno() < 0:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
            link.sendto(b"end", self.switch)
        self._thread.join()
        self._socket.close()
        Path(self.switch).unlink()
        self.counting.__exit__()

    def end(self, name: str) -> None:
        """A guest's process ends."""
        self._ended[name] = time.time_ns()
        self.write_guests()

    def write_guests(self) -> None:
        """Write the file of guests anew."""
        guests: list[Guest] = []
        for number, name in enumerate(self.names):
            one = named(self.pid(number), name)
            guests.append(dataclasses.replace(one, ended_realtime_ns=self._ended.get(name)))
        fresh = self.folder / "ring.guests.new"
        fresh.write_bytes(encode(boot_id(), guests, generation=time.monotonic_ns()))
        fresh.rename(self.folder / "ring.guests")

    def feed(self, number: int, count: int) -> None:
        """So many exits of a guest, on all its vCPUs, of all kinds, and halts."""
        with self._lock:
            self.counting.feed(*self._made(number, count))

    def feed_all(self, each: int) -> None:
        """So many exits of each guest, fewer of later ones."""
        for number in range(len(self.names)):
            if self.names[number] not in self._ended:
                self.feed(number, max(1, each // (1 + number // 4)))

    def _made(self, number: int, count: int) -> list[Records]:
        batches = []
        for reason, median, spread, part, vmm in KINDS:
            some = max(1, round(count * part))
            total = self._random.lognormal(np.log(median), spread, some).astype("u8") + 100
            total[self._random.random(some) < 0.002] *= 400
            made = exits(
                some,
                guest=number + 1,
                vcpu=self._random.integers(0, self.vcpus, some),
                reason=reason,
                total_ns=total,
                user_ns=(total * vmm).astype("u8"),
            )
            if reason == IO:
                made["flags"] |= lib.KVMLOG_F_DETAIL_VALID
                made["detail"] = self._random.choice(PORTS, some)
            batches.append(made)
        sleeps = self._random.lognormal(np.log(2e6), 1.0, max(1, count // 20)).astype("u8")
        batches.append(
            exits(
                len(sleeps),
                guest=number + 1,
                vcpu=self._random.integers(0, self.vcpus, len(sleeps)),
                reason=HLT,
                total_ns=sleeps,
            )
        )
        return batches

    def _serve(self) -> None:
        while True:
            datagram, sender = self._socket.recvfrom(65_536)
            if datagram == b"end":
                return
            command = protocol.parse("unix", datagram)
            if sender:
                self._socket.sendto(self._answer(command).encode(), sender)

    def _answer(self, command: protocol.Command) -> str:
        if command.word == "flush":
            with self._lock:
                self.counting.writer.flush()
            number = bytes(self.counting.writer.header().statistics_id).hex()
            return "ok flush " + json.dumps({"statistics_id": number, "late_ms": 20})
        if command.word == "status":
            return "ok status " + json.dumps(self._status())
        self.commands.append(command)
        self.on = command.word == "on"
        self.filter, self.for_s = command.vm, command.for_s
        self.counting.ring.switched(self.on, lib.KVMLOG_SOURCE_KMOD)
        return f"ok {command.word}" + (" {}" if command.has_arguments else "")

    def _status(self) -> dict[str, Any]:
        return {
            "state": "on" if self.on else "off",
            "wanted": "on" if self.on else "off",
            "filter": {"vm": list(self.filter), "tgids": 1} if self.filter else None,
            "lease_s": self.for_s,
            "sampling": None,
            "budget": {
                "limit_percent": 2.0,
                "percent": 0.31,
                "cpus": 8,
                "one_cpu_percent": 2.5,
                "span_s": 10.0,
                "stopped": None,
            },
        }


def main() -> None:
    """Live until it is killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--guests", type=int, default=12)
    parser.add_argument("--vcpus", type=int, default=4)
    parser.add_argument("--each", type=int, default=3_000, help="exits a second of the first ones")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    names = [f"web{number}" for number in range(1, args.guests - 2)]
    names += ["数据库-db1", "[red]build[/red]", "vm with a rather long name " + "x" * 24]
    with LiveHost(args.folder, names, args.vcpus, mib=64) as host:
        while True:
            host.feed_all(round(args.each / 5 * random.uniform(0.3, 1.4)))
            time.sleep(0.2)


if __name__ == "__main__":
    main()
