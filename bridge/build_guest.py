# SPDX-License-Identifier: GPL-2.0-or-later
"""Builds what QEMU's guests of kvmlog run instead of a BIOS: bridge/guest/payload.S as an image.

    python bridge/build_guest.py IMAGE

setup.py has it built into the package. It takes a compiler for x86, and no library.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).resolve().parent / "guest" / "payload.S"
FLAGS = [
    *("-m32", "-nostdlib", "-static", "-no-pie", "-Wall", "-Werror"),
    # Where the image is seen when a vCPU begins: the last 64 KiB below 4 GiB.
    "-Wl,--build-id=none,-Ttext=0xffff0000,-e,image,--oformat=binary",
]


def build(image: Path) -> None:
    """Assembles it with CC, or gcc, into a file whose folder is made if need be."""
    image.parent.mkdir(parents=True, exist_ok=True)
    compiler = shlex.split(os.environ.get("CC", "gcc"))
    subprocess.run([*compiler, *FLAGS, "-o", str(image), str(SOURCE)], check=True)
    image.chmod(0o644)


if __name__ == "__main__":
    build(Path(sys.argv[1]))
