# SPDX-License-Identifier: GPL-2.0-or-later
"""What the module's build found in each kernel's headers, against what these are known to have.

A trial that fails for another reason than the feature's absence would leave the module whole,
but built for another kernel.
"""

from __future__ import annotations

import re

import pytest

from scripts.vm.kernels import PROJECT

V6_1 = {"EXIT_INFO_REASON", "VCPU_PROTECTED", "VCPU_ARRAY", "GENL_RESV_START_OP"}
V7_2 = V6_1 | {"VCPU_RIP", "TRACEPOINT_SRCU", "SYSTEM_DFL_WQ"}
KNOWN: dict[str, set[str]] = {
    "5.10": set(),
    "6.1": V6_1,
    "6.12": V6_1 | {"SYSTEM_DFL_WQ"},
    "7.2": V7_2,
    "7.3": V7_2,
}
ALWAYS_BUILT = ("6.1", "6.12")


@pytest.mark.parametrize("series", KNOWN)
def test_features_are_those_of_the_kernel(series: str) -> None:
    """All that are there, and no other."""
    asked_at = max(
        (PROJECT / "kmod" / name).stat().st_mtime for name in ("Kbuild", "compat/probe.c")
    )
    found = [
        path
        for path in sorted((PROJECT / "build/kmod").glob("*/features.h"))
        if re.match(re.escape(series) + r"[.-]", path.parent.name)
        and (series in ALWAYS_BUILT or path.stat().st_mtime > asked_at)
    ]
    if not found and series not in ALWAYS_BUILT:
        pytest.skip(f"not built for {series} lately: `scripts/kmod-matrix {series}` does")
    assert found
    for path in found:
        lines = path.read_text().splitlines()
        assert all(re.fullmatch(r"#define KVMLOG_HAVE_\w+ 1", line) for line in lines)
        features = {line.split()[1].removeprefix("KVMLOG_HAVE_") for line in lines}
        assert features == KNOWN[series], path.parent.name
