# SPDX-License-Identifier: GPL-2.0-or-later
"""Offsets and tracepoints out of this machine's own BTF, as bpftool's dump of it has them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import Any

import pytest

from kvmlog.sources import btf
from kvmlog.sources.btf import Btf

needs_btf = pytest.mark.skipif(
    not os.access(btf.VMLINUX, os.R_OK),
    reason=f"this kernel has no {btf.VMLINUX}; run where CONFIG_DEBUG_INFO_BTF is set",
)


@pytest.fixture(scope="module")
def types() -> dict[int, dict[str, Any]]:
    """All types of the running kernel by their ids, as bpftool reads them."""
    bpftool = shutil.which("bpftool", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if bpftool is None:
        pytest.skip("bpftool is not installed; apt-get install bpftool")
    command = [bpftool, "-j", "btf", "dump", "file", btf.VMLINUX]
    done = subprocess.run(command, check=True, capture_output=True)
    return {kind["id"]: kind for kind in json.loads(done.stdout)["types"]}


def bits(types: dict[int, dict[str, Any]], kind: dict[str, Any], path: list[str]) -> int | None:
    """The offset in bits of a member, another way than the C code's: over all its types."""
    while kind["kind"] in ("CONST", "VOLATILE", "TYPEDEF", "TYPE_TAG"):
        kind = types[kind["type_id"]]
    for member in kind.get("members", ()):
        rest = path[1:] if member["name"] == path[0] else path
        if member["name"] not in (path[0], "(anon)"):
            continue
        deeper = bits(types, types[member["type_id"]], rest) if rest else 0
        if deeper is not None:
            return int(member["bits_offset"]) + deeper
    return None


@needs_btf
@pytest.mark.parametrize(
    ("struct", "member"),
    [
        ("task_struct", "comm"),
        ("task_struct", "group_leader"),
        ("task_struct", "start_boottime"),
        ("task_struct", "sched_info.run_delay"),  # nested
        ("task_struct", "se.avg.last_update_time"),  # deeper
        ("page", "mapping"),  # in an unnamed struct in an unnamed union
        ("sk_buff", "next"),
        ("file", "f_path.dentry"),  # of a type that is, in recent kernels, const
    ],
)
def test_offsets_in_this_kernel(types: dict[int, dict[str, Any]], struct: str, member: str) -> None:
    """The same that bpftool's dump of the same BTF leads to."""
    (kind,) = (
        kind for kind in types.values() if (kind["kind"], kind["name"]) == ("STRUCT", struct)
    )
    expected = bits(types, kind, member.split("."))
    assert expected is not None
    with Btf() as here:
        assert here.offset(struct, member) == expected // 8


@needs_btf
@pytest.mark.parametrize(
    ("struct", "member"),
    [
        ("task_struct", "no_such_member"),
        ("no_such_struct", "comm"),
        ("task_struct", "sched_info.no_such_member"),
        ("task_struct", "pid.x"),  # no struct
        ("task_struct", "group_leader.comm"),  # behind a pointer
        ("task_struct", "sched_reset_on_fork"),  # a bit field
        ("task_struct", "c" * 200),
        ("task_struct", ""),
    ],
)
def test_what_has_no_offset_in_this_kernel(struct: str, member: str) -> None:
    """None, not an offset of something else."""
    with Btf() as here:
        assert here.offset(struct, member) is None


@needs_btf
def test_tracepoints_of_this_kernel(types: dict[int, dict[str, Any]]) -> None:
    """The type's id is that of its typedef; what is no tracepoint has none."""
    with Btf() as here:
        found = here.tracepoint("sched_process_exit")
        assert here.tracepoint("no_such_tracepoint") is None
        assert here.tracepoint("vfs_read") is None
        assert here.tracepoint("s" * 200) is None
    assert found is not None
    assert found.module is None
    kind = types[found.type_id]
    assert (kind["kind"], kind["name"]) == ("TYPEDEF", "btf_trace_sched_process_exit")
