# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether the bridge takes the BPF source, and what it says where that cannot be."""

from __future__ import annotations

from tests.vm.inside import host, ring_bytes
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


def test_without_headers_it_compiles_and_the_next_start_needs_no_compiler() -> None:
    """Nothing of a kernel's build is there the first time, and no bcc the second."""
    with folder() as place:
        for name, hidden, how in (
            ("first", ("/lib/modules", "/usr/src"), "compiled in "),
            ("second", ("/usr/lib/python3/dist-packages/bcc",), "compiled before, by bcc "),
        ):
            mounts = "".join(f"mount -t tmpfs none {path} && " for path in hidden)
            command = (
                f"{mounts}exec {KVMLOG} bridge --source bpf --ring {place}/ring "
                f"--switch {place}/switch --udp 127.0.0.1:0 --bpf-cache {place}/cache"
            )
            bridge = Bridge(place, command=("unshare", "--mount", "sh", "-c", command), name=name)
            with ended(bridge):
                bridge.ready().client.switch(on=True)
                begin = bridge.info().head
                host.guest("--turns", "101")
                bridge.client.switch(on=False)
                assert len(ring_bytes.exits(bridge.records(begin))) > 202
                assert bridge.status()["source"]["notes"][1].startswith(how)
                assert ("compiling the BPF programs" in bridge.log()) == (name == "first")
                assert bridge.end() == 0
