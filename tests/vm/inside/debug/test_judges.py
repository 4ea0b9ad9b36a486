# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's judges are awake: without them nothing else here would prove anything."""

from __future__ import annotations

from tests.vm.inside import host, judges


def test_the_judges_are_awake() -> None:
    """KASAN, lockdep and kmemleak began with the kernel, and still watch."""
    assert "KernelAddressSanitizer initialized" in host.kernel_log()
    assert judges.lockdep_watches()
    assert judges.KMEMLEAK.exists()
