# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes the recording of an Intel host in tests/data/recordings/: two guests that boot Linux.

    .venv/bin/python -m tests.vm.intel.recorded

The guests are those of tests.vm.recorded_guests, under QEMU/KVM on the kvm_intel of a machine in
Bochs, with a bridge, the module and `kvmlog record`; some ten minutes.
"""

from __future__ import annotations

import base64
import re
import sys
from pathlib import Path
from typing import Final

from scripts.vm import linux_guest
from scripts.vm.kernels import find
from tests.vm.recorded_guests import FOLDER, INITRD, record

NAME: Final = "two-guests-boot-intel.kvmlog"
KERNEL: Final = "6.1"
MODEL: Final = "corei7_haswell_4770"
LIMIT_S: Final = 60  # in time of the machine
_QEMU: Final = (
    Path("/usr/bin/qemu-system-x86_64"),
    Path("/usr/bin/nice"),
    Path("/usr/share/qemu"),
    Path("/usr/share/seabios"),
)
_CONTENT: Final = re.compile(r"^=== recording\n([A-Za-z0-9+/=\n]+)^=== end$", re.MULTILINE)


def main() -> int:
    """Boot the machine, and take its recording over."""
    from tests.vm.intel.machine import Machine, run_bochs

    linux_guest.build(INITRD)
    kernel = find(KERNEL)
    result = run_bochs(
        KERNEL,
        Path(__file__).with_name("python.sh"),
        Machine(MODEL, has_python=True, files=(*_QEMU, kernel.vmlinux, INITRD)),
        config={
            "VM_PROGRAM": "tests.vm.intel.recorded",
            "VM_ARGUMENTS": f"inside {kernel.vmlinux}",
        },
        name="intel-recorded",
        timeout_s=3_600,
    )
    found = _CONTENT.search(result.stdout)
    if result.exit_code or found is None:
        print(result.stdout[-4000:])
        return 1
    (FOLDER / NAME).write_bytes(base64.decodebytes(found[1].encode()))
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["inside"]:
        content = record(Path(sys.argv[2]), LIMIT_S).read_bytes()
        print(f"=== recording\n{base64.encodebytes(content).decode()}=== end")
    else:
        sys.exit(main())
