# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs in the machine: what scenario.sh does, with a bridge in the receiver's place.

    python -m tests.vm.intel.traced kmod|bpf

prints the same parts, but for what the bridge says of itself: its own counters.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from kvmlog.util.errors import SwitchError
from tests.vm.inside import host
from tests.vm.inside.processes import Bridge, ended, folder

VMX_GUEST: Final = "kvmlog-vmx-guest"
RUNS: Final = {
    "kinds": (VMX_GUEST, "kinds"),
    "steps": (VMX_GUEST, "kinds", "12"),
    "spin": (VMX_GUEST, "spin"),
    "window": (VMX_GUEST, "window"),
    "dirty": (VMX_GUEST, "dirty"),
    "level": (VMX_GUEST, "level"),
    "nested": (VMX_GUEST, "nested"),
    "turns": ("kvmlog-guest", "--turns", "300", "--kinds", "cpuid,pio,mmio,hlt,msr"),
    "timer": ("kvmlog-guest", "--turns", "4", "--kinds", "cpuid,hlt", "--hlt", "timer"),
}
EVENTS: Final = (
    *("exit", "entry", "userspace_exit", "page_fault", "mmio", "fast_mmio", "pio", "cpuid", "msr"),
    *("cr", "eoi", "hypercall", "vcpu_wakeup", "apic", "nested_vmexit", "nested_vmexit_inject"),
)
PARAMETERS: Final = ("ept", "enable_apicv", "pml", "nested")


def tell_parameters() -> None:
    """Print how kvm_intel was loaded."""
    folder_of = Path("/sys/module/kvm_intel/parameters")
    words = (f"{name}={(folder_of / name).read_text().strip()}" for name in PARAMETERS)
    print(f"=== kvm_intel {' '.join(words)}")


def tell(**line: Any) -> None:
    """Print what kvmlog-receiver would."""
    print(json.dumps(line))


def trace(bridge: Bridge, name: str, command: tuple[str, ...]) -> None:
    """Run one guest."""
    print(f"=== run {name} {' '.join(command)}")
    since = bridge.info().head
    (host.TRACING / "trace").write_text("")
    (host.TRACING / "tracing_on").write_text("1")
    try:
        bridge.client.switch(True)
    except SwitchError:
        print(bridge.log())
        raise
    done = subprocess.run(command, capture_output=True, text=True)
    bridge.client.switch(False)
    (host.TRACING / "tracing_on").write_text("0")
    bridge.client.flush()
    tell(line="records", bytes=bridge.records(since).hex())
    counters = bridge.status()["source"]["counters"]
    tell(line="status", moment="off", **counters)
    print("=== trace")
    for line in (host.TRACING / "trace").read_text().splitlines():
        if not line.startswith("#"):
            print(line)
    print(f"=== end {done.returncode}")
    if done.returncode:
        print(done.stdout, done.stderr)


def main(source: str) -> int:
    """Trace all guests."""
    (host.TRACING / "tracing_on").write_text("0")
    (host.TRACING / "trace_clock").write_text("mono")
    (host.TRACING / "buffer_size_kb").write_text("4096")
    if source == "kmod":
        host.run("insmod", str(host.MODULE))
    with folder() as place:
        bridge = Bridge(place, "--source", source)
        with ended(bridge):
            bridge.ready()
            for event in EVENTS:
                (host.TRACING / f"events/kvm/kvm_{event}/enable").write_text("1")
            tell_parameters()
            for name, command in RUNS.items():
                trace(bridge, name, command)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
