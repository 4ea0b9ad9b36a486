# SPDX-License-Identifier: GPL-2.0-or-later
"""Prototypes out of this machine's own BTF: those that have not changed in ten years."""

from __future__ import annotations

import os

import pytest

from kvmlog.native import ffi, lib
from kvmlog.sources import btf

HAS_BTF = os.access(btf.VMLINUX, os.R_OK)
needs_btf = pytest.mark.skipif(
    not HAS_BTF, reason=f"this kernel has no {btf.VMLINUX}; run where CONFIG_DEBUG_INFO_BTF is set"
)


@needs_btf
def test_functions_and_tracepoints_are_spelt_canonically() -> None:
    """Typedefs resolved, pointers with a space, a tracepoint without its data pointer."""
    names = ["vfs_read", "ksys_write", "sched_process_fork", "vfs_fsync"]
    types, why_not = btf.running_types(names, [])
    found = types.signatures
    assert why_not is None
    # fs/read_write.c, fs/sync.c, include/trace/events/sched.h
    assert found["vfs_read"] == "struct file *, char *, long unsigned int, long long int *"
    assert found["vfs_fsync"] == "struct file *, int"
    assert found["sched_process_fork"] == "struct task_struct *, struct task_struct *"
    assert found["ksys_write"] == "unsigned int, const char *, long unsigned int"


@needs_btf
def test_what_this_kernel_does_not_have_is_left_out() -> None:
    """Not an error: the vendor module may come later."""
    types, why_not = btf.running_types(
        ["no_such_function_in_any_kernel", "vfs_fsync"],
        ["no_such_struct.member", "task_struct.no_such_member", "task_struct.comm", "task_struct"],
    )
    assert why_not is None
    assert list(types.signatures) == ["vfs_fsync"]
    assert list(types.fields) == ["task_struct.no_such_member", "task_struct.comm"]
    assert types.fields["task_struct.no_such_member"] == btf.NOWHERE
    assert types.fields["task_struct.comm"].size == 16  # TASK_COMM_LEN


@needs_btf
def test_a_signature_too_long_for_its_place_is_said() -> None:
    """-ENOSPC, nothing cut off."""
    error = ffi.new("int *")
    handle = lib.kvmlog_btf_open(btf.VMLINUX.encode(), error)
    text = ffi.new("char[]", 8)
    assert lib.kvmlog_btf_signature(handle, b"vfs_fsync", text, 8) == -28
    lib.kvmlog_btf_close(handle)


def test_a_kernel_without_btf_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bridge then passes none and says so in its status."""
    monkeypatch.setattr(btf, "VMLINUX", "/nonexistent/vmlinux")
    types, why_not = btf.running_types(["vfs_fsync"], ["task_struct.comm"])
    assert types == btf.KernelTypes()
    assert why_not == "/nonexistent/vmlinux: No such file or directory"
