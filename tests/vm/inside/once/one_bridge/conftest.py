# SPDX-License-Identifier: GPL-2.0-or-later
"""One bridge for all files of this folder, as in the other folder of that name."""

from __future__ import annotations

from tests.vm.inside.one_bridge.conftest import running_bridge

__all__ = ["running_bridge"]
