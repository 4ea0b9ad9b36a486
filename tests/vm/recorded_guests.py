# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes tests/data/recordings/: two guests that boot Debian's kernel under QEMU/KVM, recorded.

    .venv/bin/python -m tests.vm.recorded_guests

boots a VM with KVM, and in it a bridge with the module, and two guests, with `kvmlog record`
beside them; five minutes.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from scripts.vm import linux_guest
from scripts.vm.kernels import PROJECT, find
from scripts.vm.runner import run_vm

FOLDER: Final = PROJECT / "tests/data/recordings"
NAME: Final = "two-guests-boot.kvmlog"
KERNEL: Final = "6.1"
INITRD: Final = PROJECT / "build/guest/linux.cpio"
GUESTS: Final = (
    ("web1", "6f0b4f7e-0e4d-4b7c-8d62-3c1f0a9b7d21", 1),
    ("db1", "0b1c2d3e-4f50-4617-8293-a4b5c6d7e8f9", 2),
)
# Less than the file may have in the repository, and than a boot makes.
BYTES: Final = "960K"
LIMIT_S: Final = 300


def guest_command(name: str, uuid: str, vcpus: int, kernel: Path) -> list[str]:
    """QEMU, as libvirt would call it, with a console and a clock and little else."""
    return [
        # A boot is hard work: bridge and recorder go first.
        *("nice", "-n", "19"),
        *("qemu-system-x86_64", "-name", f"guest={name},debug-threads=on", "-uuid", uuid),
        *("-machine", "pc", "-accel", "kvm", "-cpu", "kvm64", "-smp", str(vcpus), "-m", "160"),
        *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
        *("-kernel", str(kernel), "-initrd", str(INITRD)),
        *("-append", "console=ttyS0 quiet panic=-1 tsc=reliable no_timer_check"),
        *("-serial", f"file:/run/{name}.console"),
    ]


def record(kernel: Path, limit_s: int) -> Path:
    """Record in the VM; return the file."""
    from tests.vm.inside.conftest import bridge_of
    from tests.vm.inside.processes import KVMLOG

    output = Path("/run") / NAME
    with bridge_of("kmod") as bridge:
        places = ["--ring", str(bridge.ring), "--switch", str(bridge.switch)]
        recorder = subprocess.Popen(
            [KVMLOG, "record", "-o", output, "--size", BYTES, "--for", str(limit_s), *places]
        )
        time.sleep(3)
        guests = [
            subprocess.Popen(guest_command(*one, kernel), stdin=subprocess.DEVNULL)
            for one in GUESTS
        ]
        try:
            assert recorder.wait() == 0
        finally:
            for guest in guests:
                guest.kill()
                guest.wait()
        for name, _, _ in GUESTS:
            console = Path(f"/run/{name}.console").read_text(errors="replace")
            print(f"{name}: {console.splitlines()[-1:]}", flush=True)
    return output


def main() -> int:
    """Boot the VM, and take its recording over."""
    linux_guest.build(INITRD)
    kernel = find(KERNEL)
    words = [sys.executable, "-m", "tests.vm.recorded_guests", "inside", str(kernel.vmlinux)]
    run_vm(KERNEL, shlex.join(words), name="recorded", timeout_s=900, echo=True)
    FOLDER.mkdir(exist_ok=True)
    shutil.move(PROJECT / "build" / NAME, FOLDER / NAME)
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["inside"]:
        shutil.copy(record(Path(sys.argv[2]), LIMIT_S), PROJECT / "build" / NAME)
    else:
        sys.exit(main())
