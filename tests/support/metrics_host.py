# SPDX-License-Identifier: GPL-2.0-or-later
"""A host for `kvmlog metrics`: real statistics fed by hand, a collector's file, the process."""

from __future__ import annotations

import contextlib
import http.client
import re
import signal
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from kvmlog.guests.model import Guest, encode
from kvmlog.ring.reader import boot_id
from kvmlog.rpcserver.http.service import NO_HEADERS
from kvmlog.vmstats.libvirt.cpu_time import process_cpu_ns
from kvmlog.vmstats.snapshot import Snapshot, Vm
from tests.support import vmstats_samples as samples
from tests.support.json_process import fresh, write_vms
from tests.support.rpc_process import KVMLOG, REPLY_S, START_S
from tests.support.statistics_feed import Counting, exits, note

TICKS_PER_S = 100
FIRST_PID = 4_000_000
# SVM: CPUID, MSR, HLT, IO, NPF, INTR, VINTR, PAUSE and others that there are.
REASONS = (0x72, 0x7C, 0x78, 0x7B, 0x400, 0x60, 0x64, 0x77, 0x61, 0x6E, 0x81, 0x89, 0x401, 0x402)


class MetricsHost:
    """Files of one host in a folder, and the process that serves their metrics."""

    def __init__(self, folder: Path, counting: Counting | None = None) -> None:
        """counting: None: another process writes ring and statistics."""
        self.folder = folder
        self._counting = counting
        self.guests: list[Guest] = []
        self.address, self.port = "127.0.0.1", 0
        self.process: subprocess.Popen[str] | None = None
        self.lines: list[str] = []

    @property
    def counting(self) -> Counting:
        """Ring and statistics, to be fed."""
        assert self._counting is not None
        return self._counting

    def list_guests(self, *guests: Guest) -> None:
        """Write the bridge's file of guests."""
        self.guests = list(guests)
        new = self.folder / "ring.guests.new"
        new.write_bytes(encode(boot_id(), guests))
        new.rename(self.folder / "ring.guests")

    def write_vms(self, snapshot: Snapshot) -> None:
        """Write the collector's file, as of now."""
        write_vms(self.folder / "vms", fresh(snapshot))

    def new_token(self, path: Path) -> str:
        """Add a token to a file; return it."""
        command = [*KVMLOG, "metrics", "--user", "root", "--token-file", str(path)]
        done = subprocess.run(
            [*command, "--new-token", "prometheus"], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def options(self) -> list[str]:
        """Return the paths of the files, as options."""
        return [
            *("--ring", str(self.folder / "ring")),
            *("--switch", str(self.folder / "switch")),
            *("--vmstats-file", str(self.folder / "vms")),
        ]

    @contextlib.contextmanager
    def serving(self, *extra: str, prefix: Sequence[str] = ()) -> Iterator[MetricsHost]:
        """Run `kvmlog metrics` over the files; afterwards end it and check for status 0."""
        command = [*prefix, *KVMLOG, "metrics", "--listen", "127.0.0.1:0", "--user", "root"]
        process = subprocess.Popen(
            [*command, *self.options(), *extra], stderr=subprocess.PIPE, text=True
        )
        assert process.stderr is not None
        self.process = process
        first = process.stderr.readline()
        self.lines = [first]
        found = re.search(r"serving https?://(?:\[([^]]+)]|([^:]+)):(\d+)/metrics", first)
        reader = threading.Thread(target=self.lines.extend, args=(process.stderr,))
        reader.start()
        try:
            if found:
                self.address, self.port = found[1] or found[2], int(found[3])
            else:
                assert "pushing to" in first, first
            yield self
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(START_S)
            finally:
                process.kill()
                reader.join()
                process.stderr.close()
        assert process.returncode == 0, self.lines

    def get(
        self,
        path: str = "/metrics",
        headers: Mapping[str, str] = NO_HEADERS,
        context: ssl.SSLContext | None = None,
        method: str = "GET",
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        """Return status, headers and body of a reply."""
        if context is None:
            connection = http.client.HTTPConnection(self.address, self.port, timeout=REPLY_S)
        else:
            connection = http.client.HTTPSConnection(
                self.address, self.port, timeout=REPLY_S, context=context
            )
        with contextlib.closing(connection):
            connection.request(method, path, headers=dict(headers))
            reply = connection.getresponse()
            return reply.status, reply.headers, reply.read()

    def text(self) -> str:
        """Return a scrape as text."""
        status, _, body = self.get()
        assert status == 200, body
        return body.decode("utf-8")

    def until(self, condition: Callable[[str], bool]) -> None:
        """Scrape until the text fulfils a condition; fails only when it hangs."""
        limit = time.monotonic() + START_S
        while not condition(self.text()):
            assert time.monotonic() < limit, self.lines
            time.sleep(0.2)

    def cpu_s(self) -> float:
        """Return the CPU time that the process has taken."""
        assert self.process is not None
        return (process_cpu_ns(self.process.pid) or 0) / 1e9


def guest(pid: int, name: str, uuid: str | None) -> Guest:
    """A guest that runs, whose process started as note() has it."""
    return Guest(pid, pid * TICKS_PER_S, "qemu-system-x86", "qemu", name, True, uuid=uuid)


@contextlib.contextmanager
def metrics_host(folder: Path, mib: int = 1) -> Iterator[MetricsHost]:
    """A host whose ring and statistics this process writes."""
    with Counting(folder, mib) as counting:
        yield MetricsHost(folder, counting)


def uuid_of(number: int) -> str:
    """The UUID of one of many VMs."""
    return f"00000000-0000-4000-8000-{number:012x}"


def add_vms(host: MetricsHost, vms: int) -> None:
    """Add so many VMs of 14 reasons, two vCPUs, two disks and an interface to the files."""
    random = np.random.default_rng(1)
    domains: list[Vm] = []
    for number in range(1, vms + 1):
        pid = FIRST_PID + number
        host.counting.feed(note(number, pid))
        for reason in REASONS:
            took = (2.0 ** random.uniform(9, 24, 200)).astype(np.uint64)
            host.counting.feed(
                exits(200, guest=number, reason=reason, exit_ns=10**9, total_ns=took)
            )
        one = samples.vm(uuid=uuid_of(number), name=f"instance-{number:08x}", pid=pid)
        domains.append(one)
    host.list_guests(
        *(
            guest(FIRST_PID + number, f"instance-{number:08x}", uuid_of(number))
            for number in range(1, vms + 1)
        )
    )
    host.counting.writer.flush()
    host.write_vms(replace(samples.snapshot(), vms=tuple(domains)))


@contextlib.contextmanager
def populated_host(folder: Path, vms: int) -> Iterator[MetricsHost]:
    """A host with so many VMs, that is served."""
    with metrics_host(folder, 64) as host:
        add_vms(host, vms)
        with host.serving() as served:
            yield served
