# SPDX-License-Identifier: GPL-2.0-or-later
"""The initramfs of a VM: busybox, init.sh, the command, and the modules that reach the root.

The archive format is "newc" of Documentation/driver-api/early-userspace/buffer-format.rst.
"""

from __future__ import annotations

import lzma
import os
import shlex
import stat
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from scripts.vm.kernels import PROJECT, Kernel, KernelError

_BUSYBOX = Path("/bin/busybox")
_INIT = Path(__file__).with_name("init.sh")
_NEEDED = ("virtio_pci", "virtio_console", "9pnet_virtio", "9p", "overlay")
_DIRECTORIES = ("bin", "dev", "lower", "proc", "root", "sys", "upper", "vm")


def build(
    kernel: Kernel, command: str, cwd: Path, load: Sequence[str], config: Mapping[str, str]
) -> bytes:
    """The archive for one run of `command` (bash) in `cwd`, after modprobe of `load`.

    config: more variables for init.sh, which has them all at its top.

    Raises KernelError when busybox or a module is missing.
    """
    modules = modules_of(kernel, _NEEDED)
    archive = Archive(_DIRECTORIES)
    archive.add_program("init", _INIT)
    archive.add_program("vm/init.sh", _INIT)
    archive.add_config(
        "vm/config.sh",
        {
            "VM_PROJECT": str(PROJECT),
            "VM_CWD": str(cwd),
            "VM_MODULES_DIR": str(kernel.modules),
            "VM_BOOT_MODULES": " ".join(name for name, _ in modules),
            "VM_LOAD": " ".join(load),
            **config,
        },
    )
    archive.add_file("vm/command.sh", command.encode() + b"\n")
    for name, content in modules:
        archive.add_file(f"vm/{name}", content)
    return archive.finish()


def modules_of(kernel: Kernel, wanted: Sequence[str]) -> list[tuple[str, bytes]]:
    """The modules and what they depend on: file names and contents (uncompressed), as they load.

    Raises KernelError when one is missing.
    """
    loaded: dict[str, bytes] = {}
    for module in wanted:
        done = subprocess.run(
            ["modprobe", "-d", str(kernel.root), "-S", kernel.version, "--show-depends", module],
            capture_output=True,
            text=True,
            env={**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"},
        )
        if done.returncode != 0:
            raise KernelError(f"{kernel.version}: no module {module}: {done.stderr.strip()}")
        for line in done.stdout.splitlines():
            action, _, rest = line.partition(" ")
            if action == "insmod":  # the other one is "builtin"
                path = Path(rest.split(" ")[0])
                name = path.name.removesuffix(".xz")
                content = path.read_bytes()
                if path.suffix == ".xz":
                    content = lzma.decompress(content)
                loaded.setdefault(name, content)
    return list(loaded.items())


class Archive:
    """A cpio archive in the making: it begins with directories, /dev/console and busybox.

    Raises KernelError when busybox is missing.
    """

    def __init__(self, directories: Sequence[str]) -> None:
        if not _BUSYBOX.exists():
            raise KernelError(f"{_BUSYBOX} is missing: run `make setup` (package busybox-static)")
        self._bytes = bytearray()
        self._inode = 0
        for directory in directories:
            self.add(directory, stat.S_IFDIR | 0o755)
        self.add("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
        self.add_program("bin/busybox", _BUSYBOX)

    def add_program(self, name: str, path: Path) -> None:
        """A copy of `path` that can be executed."""
        self.add(name, stat.S_IFREG | 0o755, path.read_bytes())

    def add_file(self, name: str, content: bytes) -> None:
        """A file with this content."""
        self.add(name, stat.S_IFREG | 0o644, content)

    def add_config(self, name: str, variables: Mapping[str, str]) -> None:
        """A file of variables for a shell to source."""
        lines = (f"{variable}={shlex.quote(value)}\n" for variable, value in variables.items())
        self.add_file(name, "".join(lines).encode())

    def add(
        self, name: str, mode: int, content: bytes = b"", device: tuple[int, int] = (0, 0)
    ) -> None:
        """One entry; `mode` with its type, as in stat(2)."""
        self._inode += 1
        path = name.encode() + b"\0"
        fields = (
            *(self._inode, mode, 0, 0, 1, 0, len(content)),
            *(0, 0, *device, len(path), 0),
        )
        self._bytes += b"070701" + b"".join(b"%08X" % field for field in fields) + path
        self._pad()
        self._bytes += content
        self._pad()

    def finish(self) -> bytes:
        """The archive, complete."""
        self.add("TRAILER!!!", 0)
        return bytes(self._bytes)

    def _pad(self) -> None:
        self._bytes += bytes(-len(self._bytes) % 4)
