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


def features_of(series: str, since: float) -> dict[str, set[str]]:
    """What was found in each kernel of a series that was built since then, by release."""
    found = {}
    for path in sorted((PROJECT / "build/kmod").glob("*/features.h")):
        release = path.parent.name
        if re.match(re.escape(series) + r"[.-]", release) and path.stat().st_mtime >= since:
            lines = path.read_text().splitlines()
            assert all(re.fullmatch(r"#define KVMLOG_HAVE_\w+ 1", line) for line in lines), release
            found[release] = {line.split()[1].removeprefix("KVMLOG_HAVE_") for line in lines}
    return found


@pytest.mark.parametrize("series", ALWAYS_BUILT)
def test_features_are_those_of_the_kernel(series: str) -> None:
    """All that are there, and no other."""
    found = features_of(series, 0.0)
    assert found
    assert found == dict.fromkeys(found, KNOWN[series])


def test_features_are_those_of_each_kernel_that_was_built_besides() -> None:
    """Each that `scripts/kmod-matrix` has built since what is asked has changed."""
    asked_at = max(
        (PROJECT / "kmod" / name).stat().st_mtime for name in ("Kbuild", "compat/probe.c")
    )
    for series in KNOWN.keys() - set(ALWAYS_BUILT):
        found = features_of(series, asked_at)
        assert found == dict.fromkeys(found, KNOWN[series])
