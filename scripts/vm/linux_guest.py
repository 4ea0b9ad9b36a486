# SPDX-License-Identifier: GPL-2.0-or-later
"""The initramfs of the Linux guest that `make run` shows: busybox and linux_guest.sh.

python -m scripts.vm.linux_guest FILE
"""

from __future__ import annotations

import sys
from pathlib import Path

from scripts.vm.initramfs import Archive

_INIT = Path(__file__).with_name("linux_guest.sh")
_DIRECTORIES = ("bin", "dev", "proc", "sys")


def build(path: Path) -> None:
    """Write it, complete or not at all. Raises KernelError when busybox is missing."""
    archive = Archive(_DIRECTORIES)
    archive.add_program("init", _INIT)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_bytes(archive.finish())
    part.rename(path)


if __name__ == "__main__":
    build(Path(sys.argv[1]))
