# SPDX-License-Identifier: GPL-2.0-or-later
"""Bytecode for VMs, which compile nothing that is there already."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest

from scripts.vm import bytecode
from scripts.vm.kernels import PROJECT


def test_all_modules_have_theirs_even_where_python_keeps_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each process in a VM loads kvmlog and finds all of it compiled."""
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    assert bytecode.compile_project()
    modules = [
        *(PROJECT / "bridge/kvmlog").rglob("*.py"),
        *(PROJECT / "rpcserver/kvmlog").rglob("*.py"),
    ]
    assert len(modules) > 100
    for path in modules:
        compiled = Path(importlib.util.cache_from_source(str(path)))
        # Magic, flags, then the source's time of change in seconds (PEP 552).
        changed_s = int.from_bytes(compiled.read_bytes()[8:12], "little")
        assert changed_s == int(path.stat().st_mtime) & 0xFFFFFFFF, path


def test_what_has_changed_is_compiled_again_and_what_is_no_python_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """False, while everything else is compiled nevertheless."""
    monkeypatch.setattr(bytecode, "PROJECT", tmp_path)
    monkeypatch.setattr(bytecode, "_FOLDERS", ("first", "second"))
    for folder, text in (("first", "x = 1 1\n"), ("second", "x = 1\n")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "module.py").write_text(text)
    assert not bytecode.compile_project()
    good = tmp_path / "second/module.py"
    compiled = Path(importlib.util.cache_from_source(str(good)))
    before = compiled.read_bytes()
    good.write_text("x = 2\n")
    os.utime(good, (1, 1))
    bytecode.compile_project()
    assert compiled.read_bytes() != before
