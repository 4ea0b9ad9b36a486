# SPDX-License-Identifier: GPL-2.0-or-later
"""Fixtures of the tests of the source bpf on this machine (bpf_process.py), and a libvirt."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from kvmlog.sources.bpf import plan
from tests.support.bpf_process import Traced
from tests.support.bridge_process import running_bridge
from tests.support.libvirt_host import LibvirtHost, libvirt_host


@pytest.fixture
def traced(tmp_path: Path) -> Iterator[Traced]:
    """Ready, and off."""
    with running_bridge(tmp_path, "--source", "bpf") as bridge:
        yield Traced(bridge)


@pytest.fixture
def event(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The event kvm_exit, as any kernel since 5.17 has it, without tracefs."""
    fields = (
        ("exit_reason", 8, 4),
        ("guest_rip", 16, 8),
        ("isa", 24, 4),
        ("info1", 32, 8),
        ("info2", 40, 8),
        ("intr_info", 48, 4),
        ("vcpu_id", 56, 4),
    )
    folder = tmp_path / "events" / "kvm" / "kvm_exit"
    folder.mkdir(parents=True)
    lines = [f"\tfield:u64 {name};\toffset:{at};\tsize:{size};\n" for name, at, size in fields]
    (folder / "format").write_text("".join(lines), encoding="ascii")
    (folder / "id").write_text("1\n", encoding="ascii")
    monkeypatch.setattr(plan, "_TRACEFS", (tmp_path,))


@pytest.fixture(scope="module")
def libvirtd() -> Iterator[LibvirtHost]:
    """A libvirtd."""
    if os.geteuid() != 0:
        pytest.skip("libvirt with namespaces and a bridge of its own takes root")
    with libvirt_host() as host:
        yield host
