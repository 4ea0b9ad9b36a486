# SPDX-License-Identifier: GPL-2.0-or-later
"""A fleet of real `kvmlog rpc`, each with a history and VMs of its own, and its `fleet serve`."""

from __future__ import annotations

import contextlib
import re
import subprocess
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kvmlog.vmstats.snapshot import Snapshot
from tests.support import vmstats_samples as samples
from tests.support.fleet_hosts import id_of, name_of
from tests.support.json_history import served_history
from tests.support.json_process import JsonHost, json_server
from tests.support.rpc_process import KVMLOG, START_S


def vm_uuid(number: int, at: int) -> str:
    """The UUID of a host's VM, 0: web1, 1: db1; web1 of the first host is the one with a past."""
    return (
        (samples.WEB1, samples.DB1)[at]
        if number == 0
        else f"{number:08}-0000-4000-8000-00000000000{at}"
    )


def snapshot(number: int) -> Snapshot:
    """The VMs of a host: as those of the first, with names and UUIDs of their own."""
    found = samples.snapshot()
    hosts = tuple(
        replace(one, hostname=name_of(number), uuid=id_of(number), local=True)
        for one in found.hosts
    )
    vms = tuple(
        replace(
            vm,
            sample=replace(
                vm.sample,
                uuid=vm_uuid(number, at),
                name=vm.sample.name if number == 0 else f"{vm.sample.name}-{number}",
            ),
        )
        for at, vm in enumerate(found.vms)
    )
    return replace(found, hosts=hosts, vms=vms)


@dataclass
class Served:
    """A running `kvmlog fleet serve`."""

    process: subprocess.Popen[str]
    lines: list[str]
    url: str
    folder: Path


@contextlib.contextmanager
def real_fleet(folder: Path, count: int, extra: Sequence[str] = ()) -> Iterator[list[JsonHost]]:
    """Run so many servers; the first has a past (json_history.past), the others none yet."""
    with contextlib.ExitStack() as stack:
        found = []
        for number in range(count):
            own = folder / f"host{number}"
            own.mkdir()
            options: list[str] = []
            if number == 0:
                _, options = stack.enter_context(served_history(own, own / "vms"))
            made = json_server(own, snapshot(number), extra=[*options, *extra])
            found.append(stack.enter_context(made))
        yield found


def listed(folder: Path, hosts: Sequence[JsonHost], *more: str) -> Path:
    """Write the list of hosts."""
    path = folder / "hosts.txt"
    lines = [f"127.0.0.1:{one.server.port}" for one in hosts]
    path.write_text("# the fleet\n" + "\n".join([*lines, *more]) + "\n")
    return path


@contextlib.contextmanager
def fleet_server(hosts: Path, *extra: str) -> Iterator[Served]:
    """Run `kvmlog fleet serve`; afterwards end it and check for status 0."""
    command = [*KVMLOG, "fleet", "serve", "--hosts", str(hosts), "--listen", "127.0.0.1:0"]
    process = subprocess.Popen(
        [*command, "--user", "root", *extra], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    line = process.stderr.readline()
    lines = [line]
    found = re.search(r"serving (https?://\S+)/ from", line)
    if found is None:
        process.kill()
        raise AssertionError(line + process.communicate()[1])
    reader = threading.Thread(target=lines.extend, args=(process.stderr,))
    reader.start()
    try:
        yield Served(process, lines, found[1], hosts.parent)
    finally:
        process.terminate()
        process.wait(START_S)
        reader.join()
        process.stderr.close()
    assert process.returncode == 0, lines
