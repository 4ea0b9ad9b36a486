# SPDX-License-Identifier: GPL-2.0-or-later
"""A test machine with an Intel CPU, in which kvm_intel runs guests: Bochs interprets it.

QEMU has no VMX without an Intel CPU below it. Here too everything stands in memory, as in
tests.vm.diskless, but kernel and initramfs are put there before the CPU starts (images.py).
Time in it is counted in instructions (`ips` to the second) and knows nothing of this machine's.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scripts.vm import console as console_reading
from scripts.vm import initramfs
from scripts.vm.kernels import PROJECT, Kernel, KernelError, find
from scripts.vm.runner import RUNS, VmResult, checked, only_one
from tests.vm.intel import images, root

_HERE: Final = Path(__file__).parent
_PROGRAMS: Final = (
    PROJECT / "build" / "diskless" / "kvmlog-receiver",
    PROJECT / "build" / "guest" / "kvmlog-guest",
    PROJECT / "build" / "intel" / "kvmlog-port",
    PROJECT / "build" / "intel" / "kvmlog-vmx-guest",
)
_DIRECTORIES: Final = ("bin", "dev", "proc", "sys", "tmp", "vm")
_BIOS: Final = Path("/usr/share/bochs/BIOS-bochs-latest")
_VGA_BIOS: Final = Path("/usr/share/seabios/vgabios.bin")  # Bochs insists
# In all of the machine's seconds; what its timers and its TSC count is derived of it.
_INSTRUCTIONS_PER_S: Final = 200_000_000
# tsc_early_khz: CPUs from Skylake on tell another frequency (CPUID 0x15) than Bochs gives them.
# nosmp, mitigations: a third of the time.
_COMMAND_LINE: Final = (
    "console=ttyS0 loglevel=5 panic=-1 tsc=reliable no_timer_check cryptomgr.notests "
    f"mitigations=off nokaslr random.trust_cpu=on tsc_early_khz={_INSTRUCTIONS_PER_S // 1000}"
)
_EXIT: Final = re.compile(r"^exit (\d+)$", re.MULTILINE)
_CONFIGURATION: Final = """\
config_interface: textconfig
display_library: nogui
memory: guest={memory}, host={memory}
romimage: file={bios}, options=fastboot
vgaromimage: file={vga_bios}
cpu: model={model}, count={cpus}, ips={ips}, reset_on_triple_fault=0, ignore_bad_msrs=1
clock: sync=none, time0=utc
pci: enabled=1, chipset=i440fx
floppya: 1_44={floppy}, status=inserted
boot: floppy
port_e9_hack: enabled=1
com1: enabled=1, mode=file, dev={directory}/console.log
log: {directory}/bochs.log
panic: action=fatal
error: action=report
info: action=ignore
debug: action=ignore
"""


@dataclass(frozen=True)
class Machine:
    """What is emulated."""

    model: str = "corei7_haswell_4770"  # of Bochs: `bochs --help cpu`
    cpus: int = 1
    has_python: bool = False  # see root.py; kvmlog's module is there, but not loaded
    files: tuple[Path, ...] = ()  # more of this machine's, with Python

    @property
    def memory_mib(self) -> int:
        return 2048 if self.has_python else 512


def run_bochs(
    kernel: str,
    scenario: Path,
    machine: Machine,
    *,
    name: str,
    config: Mapping[str, str] | None = None,
    timeout_s: float = 600.0,
) -> VmResult:
    """Boot the newest kernel of a series, load kvm_intel and kvmlog, run a script of busybox's sh.

    The script finds `config` as variables in /vm/config.sh, the modules beside it, and programs in
    /bin. What it prints is the result's stdout. timeout_s bounds the whole run, not Bochs's build.
    `name` names the directory below build/vm with console.log (the kernel's), output.log (the
    script's) and bochs.log.

    Raises VmTimeoutError, VmKernelError, KernelError as scripts.vm.runner.run_vm does.
    """
    chosen, bochs = find(kernel), build()
    directory = RUNS / name
    with only_one(directory):
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        archive = _initramfs(chosen, scenario, machine, config or {})
        append = _COMMAND_LINE if machine.cpus > 1 else f"{_COMMAND_LINE} nosmp"
        in_memory, floppy = images.write(
            directory, chosen, append, archive, machine.memory_mib << 20
        )
        (directory / "bochsrc").write_text(_configuration(machine, directory, in_memory, floppy))
        begin = time.monotonic()
        try:
            killed = _run(bochs, directory, timeout_s)
        finally:
            for path in (floppy, *(image.path for image in in_memory)):
                path.unlink()
        console = directory / "console.log"
        text = (directory / "output.log").read_text(errors="replace")
        exits = _EXIT.findall(text)
        result = VmResult(
            exit_code=int(exits[-1]) if exits else None,
            stdout_bytes=text.encode(),
            stderr_bytes=b"",
            console=console,
            problems=console_reading.problems(_read(console)),
            boot_s=0.0,
            total_s=time.monotonic() - begin,
        )
    return checked(chosen, result, killed)


def build() -> Path:
    """Return the emulator, which is built where it is missing; raise KernelError."""
    if not _BIOS.exists():
        raise KernelError(f"{_BIOS} is missing: run `make setup` (package bochsbios)")
    done = subprocess.run([PROJECT / "scripts" / "bochs"], capture_output=True, text=True)
    if done.returncode != 0:
        raise KernelError(f"scripts/bochs gave {done.returncode}: {done.stderr.strip()}")
    return Path(done.stdout.splitlines()[-1])


def _initramfs(
    kernel: Kernel, scenario: Path, machine: Machine, config: Mapping[str, str]
) -> bytes:
    module = PROJECT / "build" / "kmod" / kernel.version / "kvmlog.ko"
    for path in (*_PROGRAMS, images.BOOT_SECTOR, module):
        if not path.exists():
            raise KernelError(f"{path} is missing: run `make setup`")
    modules = initramfs.modules_of(kernel, ["kvm_intel"])
    if not machine.has_python:
        modules.append((module.name, module.read_bytes()))
    archive = initramfs.Archive(_DIRECTORIES)
    archive.add_program("init", _HERE / "init.sh")
    archive.add_program("vm/scenario.sh", scenario)
    for program in _PROGRAMS:
        archive.add_program(f"bin/{program.name}", program)
    archive.add_config(
        "vm/config.sh",
        {
            "VM_MODULES": " ".join(name for name, _ in modules),
            "VM_PROJECT": str(PROJECT),
            **config,
        },
    )
    for name, content in modules:
        archive.add_file(f"vm/{name}", content)
    if machine.has_python:
        root.add(archive, kernel, machine.files)
    return archive.finish()


def _configuration(
    machine: Machine, directory: Path, in_memory: list[images.Image], floppy: Path
) -> str:
    text = _CONFIGURATION.format(
        memory=machine.memory_mib,
        bios=_BIOS,
        vga_bios=_VGA_BIOS,
        model=machine.model,
        cpus=machine.cpus,
        ips=_INSTRUCTIONS_PER_S,
        floppy=floppy,
        directory=directory,
    )
    return text + "".join(
        f"optramimage{number}: file={image.path}, address={image.address:#x}\n"
        for number, image in enumerate(in_memory, 1)
    )


def _run(bochs: Path, directory: Path, timeout_s: float) -> str:
    """Why it was killed ("" when it ended by itself, which it does with status 1)."""
    with (directory / "output.log").open("wb") as output:
        process = subprocess.Popen(
            # When we are killed, it goes with us.
            ["setpriv", "--pdeathsig", "KILL", "--", bochs, "-q", "-f", directory / "bochsrc"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=directory,
            start_new_session=True,
        )
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return f"it did not end within {timeout_s:g} s"
        finally:
            process.kill()  # nothing to kill when it has ended
            process.wait()
    return ""


def _read(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""
