# SPDX-License-Identifier: GPL-2.0-or-later
"""Parts of the source bpf that can run on this machine's own kernel, and why the rest cannot.

Where KVM has no kvm_amd or kvm_intel, kvm_exit never fires, and the source records each return
from KVM_RUN: those the guest counts itself. All other ways to a reason need a VM (tests/vm); here
they are compiled, and loaded, so that this kernel's verifier judges them (test_bpf_verifier.py),
and kvm_exit's program is run by hand (test_bpf_by_hand.py).
"""

from __future__ import annotations

import functools
import importlib.util
import os
import shutil
from typing import Final

import pytest

from kvmlog.native import ffi, lib
from kvmlog.sources.bpf import plan
from kvmlog.sources.btf import Btf
from tests.support.bpf_process import GUEST

BPFTOOL: Final = shutil.which("bpftool", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
# Two instructions that return 0: whether this process may load programs at all.
NOTHING: Final = bytes.fromhex("b700000000000000 9500000000000000")


@functools.cache
def without_programs() -> str | None:
    """Why BPF programs cannot be compiled and loaded here."""
    if os.geteuid() != 0:
        return "loading BPF programs takes root; run the tests as root"
    if importlib.util.find_spec("bcc") is None:
        return "bcc is not installed; apt-get install python3-bpfcc"
    fd = lib.kvmlog_bpf_load(
        b"kvmlog_probe", lib.KVMLOG_BPF_RAW, NOTHING, len(NOTHING), 0, ffi.NULL, ffi.NULL, 0
    )
    if fd < 0:
        return f"this kernel loads no BPF programs ({os.strerror(-fd)})"
    os.close(fd)
    return None


@functools.cache
def without_returns() -> str | None:
    """Why there is nothing to trace here that a bridge would trace by itself."""
    why_not = without_programs()
    if why_not is not None:
        return why_not
    if plan.loaded_vendor() is not None:
        return f"{plan.loaded_vendor()} is loaded: exits are traced here, not only returns"
    if plan.waiting_for() is not None:
        return f"{plan.waiting_for()} is not loaded"
    try:
        os.close(os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return f"/dev/kvm: {error.strerror}"
    if not GUEST.exists():
        return f"{GUEST} is not built; run make guest"
    if BPFTOOL is None:
        return "bpftool is not installed; apt-get install bpftool"
    return None


def made(known: Btf | None, vendor: str | None, wanted: str) -> plan.Plan:
    """The plan for this kernel if it had that vendor's module."""
    return plan._Planner(known, vendor, plan.machine_macros()).plan(wanted)


needs_programs = pytest.mark.skipif(without_programs() is not None, reason=str(without_programs()))
needs_returns = pytest.mark.skipif(without_returns() is not None, reason=str(without_returns()))
