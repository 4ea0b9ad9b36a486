# SPDX-License-Identifier: GPL-2.0-or-later
"""Fixtures of the tests of BPF plans: what the kernel of scripted_btf.py shows in files."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvmlog.sources.bpf import plan
from tests.support.scripted_btf import Event, Switches


@pytest.fixture
def event(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Event:
    """Makes a tracefs whose event kvm_exit has this format; returns the event's folder."""
    tracefs = tmp_path / "tracing"
    monkeypatch.setattr(plan, "_TRACEFS", (tmp_path / "not mounted", tracefs))

    def make(text: str) -> Path:
        folder = tracefs / "events" / "kvm" / "kvm_exit"
        folder.mkdir(parents=True)
        (folder / "format").write_text(text, encoding="ascii")
        (folder / "id").write_text("1711\n", encoding="ascii")
        return folder

    return make


@pytest.fixture
def module_switch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Switches:
    """A /sys/module without modules; sets a parameter there, "kvm_amd/parameters/sev_es"."""
    modules = tmp_path / "module"
    modules.mkdir()

    def elsewhere(first: str | Path, *rest: str) -> Path:
        return Path(modules if first == "/sys/module" else first, *rest)

    monkeypatch.setattr(plan, "Path", elsewhere)

    def set_to(parameter: str, value: str) -> None:
        place = modules / parameter
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(f"{value}\n", encoding="ascii")

    return set_to
