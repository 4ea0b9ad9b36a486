# SPDX-License-Identifier: GPL-2.0-or-later
"""How long it takes to read the statistics of 200 VMs from a real server, as a table.

    python -m tests.bench.vms [SECONDS]     (of each way; default: 10)

Each VM has 4 vCPUs, 2 disks and an interface; a new poll comes every second. One caller reads all
of them ten times a second on a connection that is kept. Milliseconds from the request to the last
byte of its reply, server and caller on the same CPUs; the last column is the reply's size.
"""

from __future__ import annotations

import contextlib
import http.client
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final
from xmlrpc.client import dumps

from kvmlog.vmstats.moment import Moment
from kvmlog.vmstats.snapshot import Snapshot, Vm
from tests.support import vmstats_samples as samples
from tests.support.json_process import json_server, write_vms

VMS: Final = 200
VCPUS: Final = 4
_EACH_S: Final = 0.1
_XML: Final = {"Content-Type": "text/xml"}
# Whether at the JSON port, and a request for all VMs.
WAYS: Final = {
    "XML-RPC, structs": (False, "POST", "/RPC2", dumps((), "vmStats").encode()),
    "XML-RPC, binary": (False, "POST", "/RPC2", dumps(({"form": "binary"},), "vmStats").encode()),
    "JSON": (True, "GET", "/v1/vms", b""),
}


def snapshot() -> Snapshot:
    """A poll of all VMs, written just now."""
    now = Moment.now()
    collector = samples.collector(written=now, interval_s=1.0, effective_interval_s=1.0)
    return samples.snapshot(*(_vm(number, now) for number in range(VMS)), collector=collector)


def _vm(number: int, now: Moment) -> Vm:
    cpu, rates = samples.cpu(taken=now), samples.rates()
    assert rates.cpu is not None
    cpu = replace(cpu, vcpus=tuple(replace(cpu.vcpus[0], number=n) for n in range(VCPUS)))
    of_vcpus = tuple(replace(rates.cpu.vcpus[0], number=n) for n in range(VCPUS))
    found = samples.vm(
        uuid=f"2b6a0c3e-5d5f-4f0e-8a55-{number:012x}",
        name=f"vm{number}",
        pid=10_000 + number,
        taken=now,
        definition=samples.definition(vcpus=VCPUS),
        cpu=cpu,
    )
    return replace(found, rates=replace(rates, cpu=replace(rates.cpu, vcpus=of_vcpus)))


def measure(read: Callable[[], int], seconds: float) -> tuple[list[float], int]:
    """Return how long each call took, in ms, and how many bytes the last reply had."""
    took, size = [], 0
    end = time.perf_counter() + seconds
    while (began := time.perf_counter()) < end:
        size = read()
        took.append((time.perf_counter() - began) * 1_000)
        time.sleep(max(0.0, began + _EACH_S - time.perf_counter()))
    return sorted(took), size


def main() -> int:
    """Measures and prints."""
    if sys.argv[1:2] == ["--write"]:
        return write(Path(sys.argv[2]))
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
    print(f"{'ms':<24}{'p50':>8}{'p99':>8}{'max':>8}{'KiB':>8}")
    for name in WAYS:
        took, size = of_way(name, seconds)
        shown = (took[len(took) // 2], took[len(took) * 99 // 100], took[-1])
        print(f"{name:<24}{''.join(f'{ms:>8.1f}' for ms in shown)}{size / 1024:>8.0f}")
    return 0


def of_way(name: str, seconds: float) -> tuple[list[float], int]:
    """Return what measure() does, with a server that is asked in no other way."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder, contextlib.ExitStack() as stack:
        host = stack.enter_context(json_server(Path(folder), snapshot()))
        words = [sys.executable, "-m", "tests.bench.vms", "--write", str(host.vms)]
        writer = subprocess.Popen(words)
        stack.callback(writer.wait)
        stack.callback(writer.kill)
        of_json, method, path, body = WAYS[name]
        port = host.port if of_json else host.server.port
        link = http.client.HTTPConnection(host.host, port, timeout=60)
        stack.callback(link.close)

        def read() -> int:
            link.request(method, path, body or None, _XML if body else {})
            return len(link.getresponse().read())

        # As an engine that has been polling: the first call of all waits for a poll.
        measure(read, 3.0)
        return measure(read, seconds)


def write(path: Path) -> int:
    """Write a new poll every second, as the collector does, until killed."""
    while True:
        write_vms(path, snapshot())
        time.sleep(1.0)


if __name__ == "__main__":
    sys.exit(main())
