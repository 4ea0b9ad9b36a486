# SPDX-License-Identifier: GPL-2.0-or-later
"""A libvirt with two Linux guests for each module here, and a collector for each test."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.libvirt_guest import LibvirtGuest, libvirt_guest
from tests.support.libvirt_host import LibvirtHost
from tests.support.vmstats_process import Collector, collector


@pytest.fixture(scope="module")
def guests(libvirtd: LibvirtHost) -> Iterator[tuple[LibvirtGuest, LibvirtGuest]]:
    """Two guests that run; each test leaves them running."""
    with contextlib.ExitStack() as stack:
        web = stack.enter_context(libvirt_guest(libvirtd, "web1"))
        data = stack.enter_context(libvirt_guest(libvirtd, "data1"))
        yield web, data


@pytest.fixture
def vmstats(
    libvirtd: LibvirtHost, guests: tuple[LibvirtGuest, LibvirtGuest], tmp_path: Path
) -> Iterator[Collector]:
    """A collector of them."""
    with collector(tmp_path, libvirtd.read_only_uri) as made:
        made.until(lambda now: len(now.vms) == len(guests))
        yield made
