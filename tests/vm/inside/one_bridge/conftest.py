# SPDX-License-Identifier: GPL-2.0-or-later
"""Bridge of all files of this folder: a start takes a quarter of a minute in emulation, with LLVM
three times as long. Each test leaves it off, and counts from where it began."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.vm.inside.conftest import bridge_of
from tests.vm.inside.processes import Bridge


@pytest.fixture(scope="package")
def running_bridge(source: str) -> Iterator[Bridge]:
    """A bridge, with its module loaded, for all tests of the folder."""
    with bridge_of(source) as bridge:
        yield bridge
