# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether the bridge takes the BPF source, and what it says where that cannot be."""

from __future__ import annotations

import re

import pytest

from kvmlog.util.errors import SwitchError
from tests.vm.inside import host
from tests.vm.inside.conftest import load_module, unload_module
from tests.vm.inside.processes import KVMLOG, Bridge, ended, folder


def test_auto_takes_what_there_is() -> None:
    """The module where it is loaded, else the programs, and it says which and why."""
    with folder() as place:
        bridge = Bridge(place)
        with ended(bridge):
            bridge.ready()
            assert "source bpf: the kernel module kvmlog cannot be loaded (" in bridge.log()
            assert bridge.status()["source"]["name"] == "bpf"
    load_module()
    try:
        with folder() as place:
            bridge = Bridge(place)
            with ended(bridge):
                bridge.ready()
                assert "source kmod: the kernel module kvmlog is loaded" in bridge.log()
                assert bridge.status()["source"]["name"] == "kmod"
    finally:
        unload_module()


def test_without_headers_it_says_what_to_install() -> None:
    """A sentence with the package; the bridge stays, and compiles when they are there."""
    release = host.run("uname", "-r").strip()
    with folder() as place:
        hidden = "mount -t tmpfs none /lib/modules && exec "
        command = (
            f"{hidden}{KVMLOG} bridge --source bpf --ring {place}/ring "
            f"--switch {place}/switch --udp 127.0.0.1:0"
        )
        bridge = Bridge(place, command=("unshare", "--mount", "sh", "-c", command))
        with ended(bridge):
            bridge.ready()
            with pytest.raises(SwitchError, match=re.escape(f"linux-headers-{release} (")):
                bridge.client.switch(on=True)
