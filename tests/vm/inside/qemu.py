# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests of a real QEMU with accel=kvm, as tools find them: by name, UUID and vCPU threads."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import tempfile
import uuid as uuids
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.vm.inside import payload
from tests.vm.inside.payload import Orders
from tests.vm.inside.processes import HANG_S, until


class Qmp:
    """QEMU's monitor (docs/interop/qmp-spec.txt in QEMU): one command at a time."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(HANG_S)
        # The file is there before QEMU listens.
        until(lambda: self._socket.connect_ex(str(path)) == 0, f"QEMU to listen on {path}")
        self._lines = self._socket.makefile("r")
        self.events: list[str] = []  # names of those that came so far
        assert "QMP" in json.loads(self._lines.readline())
        self.execute("qmp_capabilities")

    def execute(self, command: str, **arguments: Any) -> Any:
        """Execute a command and return its result; events that come before are noted."""
        request = {"execute": command, "arguments": arguments}
        self._socket.sendall(json.dumps(request).encode() + b"\n")
        while line := self._lines.readline():
            answer = json.loads(line)
            if "event" in answer:
                self.events.append(answer["event"])
                continue
            assert "return" in answer, (request, answer)
            return answer["return"]
        raise AssertionError(f"QEMU ended before it answered {request}")

    def close(self) -> None:
        """Hangs up; QEMU runs on."""
        self._lines.close()
        self._socket.close()


class QemuGuest:
    """A running QEMU process and its guest."""

    def __init__(self, name: str, uuid: str, process: subprocess.Popen[bytes], place: Path) -> None:
        self.name, self.uuid = name, uuid
        self.process = process
        self._place = place
        path = place / "qmp"
        until(lambda: path.exists() or process.poll() is not None, f"{path} of QEMU")
        assert process.poll() is None, (place / "log").read_text()
        self.qmp = Qmp(path)
        vcpus = self.qmp.execute("query-cpus-fast")
        self.vcpu_tids: tuple[int, ...] = tuple(int(vcpu["thread-id"]) for vcpu in vcpus)

    @property
    def pid(self) -> int:
        """Return the pid of the process, which is also the id of its first thread.

        Which runs no vCPU.
        """
        return self.process.pid

    def cont(self) -> None:
        """Lets the vCPUs run."""
        self.qmp.execute("cont")

    def stop(self) -> None:
        """Pauses the guest: when it returns, no vCPU is in KVM_RUN."""
        self.qmp.execute("stop")

    def memory(self, address: int, size: int) -> bytes:
        """The guest's physical memory."""
        file = self._place / "memory"
        self.qmp.execute("pmemsave", val=address, size=size, filename=str(file))
        return file.read_bytes()

    def done(self, vcpu: int = 0) -> dict[str, int]:
        """Return what a vCPU says it did; see payload.done()."""
        return payload.done(self.memory, vcpu)

    def wait_until_at_work(self) -> None:
        """Wait until the first vCPU has made an exit: on a busy machine it may take its time."""
        until(lambda: any(self.done().values()), f"{self.name} to exit")

    def wait_until_parked(self) -> None:
        """Wait until every vCPU has done all its turns and halts for ever."""
        vcpus = range(len(self.vcpu_tids))
        until(lambda: all(self.done(vcpu)["parked"] for vcpu in vcpus), f"{self.name} to be done")


@contextlib.contextmanager
def qemu_guest(
    name: str,
    orders: Orders | None = None,
    *,
    uuid: str | None = None,
    vcpus: int = 1,
    machine: str = "q35",
    paused: bool = False,
    bios: bool = False,
) -> Iterator[QemuGuest]:
    """A QEMU guest until the end, where QEMU is told to quit.

    orders: what its vCPUs do; Orders() for ever when None. machine: q35, pc or microvm.
    bios: QEMU's own (SeaBIOS) runs in place of orders; it finds nothing to boot, and halts.
    paused: its vCPUs wait for cont(); their threads are there, and made no exit yet.
    """
    uuid = uuid or str(uuids.uuid4())
    place = Path(tempfile.mkdtemp(prefix="qemu-", dir="/run"))
    image = () if bios else ("-bios", str((orders or Orders()).write_image(place / "payload.rom")))
    command = [
        "qemu-system-x86_64",
        *("-name", f"guest={name},debug-threads=on", "-uuid", uuid, "-S"),
        *("-machine", f"{machine},accel=kvm", "-cpu", "host", "-smp", str(vcpus), "-m", "16"),
        *("-nodefaults", "-no-user-config", "-display", "none"),
        *image,
        *("-qmp", f"unix:{place / 'qmp'},server=on,wait=off"),
    ]
    with (place / "log").open("wb") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        guest = QemuGuest(name, uuid, process, place)
        if not paused:
            guest.cont()
        yield guest
        if process.poll() is None:
            guest.qmp.execute("quit")
            assert process.wait(HANG_S) == 0, (place / "log").read_text()
        guest.qmp.close()
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(place)
