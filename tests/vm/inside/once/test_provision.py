# SPDX-License-Identifier: GPL-2.0-or-later
"""vagrant/provision.sh as `make vm` calls it: what it makes works, also after a kill."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vm.inside import host, provisioned
from tests.vm.inside.provisioned import ACCESS, CONFIG, PROVISION, RELOAD, SERVICES, UNCHANGED
from tests.vm.inside.sources import KMOD, only

pytestmark = only(KMOD)


@pytest.fixture
def vm(source: str) -> Iterator[None]:
    """The VM, which is as it was afterwards."""
    with provisioned.forgotten():
        yield


def older_module(folder: Path) -> Path:
    """The module with another build id, as if it was built from other sources."""
    note, other = folder / "note", folder / "kvmlog.ko"
    section = ".note.gnu.build-id"
    host.run("objcopy", f"--dump-section={section}={note}", str(host.MODULE), str(other))
    content = bytearray(note.read_bytes())
    content[-1] ^= 1
    note.write_bytes(content)
    host.run("objcopy", f"--update-section={section}={note}", str(host.MODULE), str(other))
    return other


def test_what_it_makes_serves_the_developers_machine(vm: None, tmp_path: Path) -> None:
    """TLS and token from outside; a second run leaves all alone; a reload goes on with tracing.

    At first another module holds the one that is to be exchanged: the services run all the same.
    """
    host.run("insmod", str(older_module(tmp_path)))
    older = provisioned.module_note()
    host.run("insmod", str(host.EMIT_TEST_MODULE), "count=0")
    held = provisioned.run(*PROVISION, status=1)
    host.run("rmmod", host.EMIT_TEST_MODULE.stem)
    assert "module: the loaded one is in use" in held
    assert held.endswith("it was not exchanged, as said above; the services run again\n")
    assert provisioned.module_note() == older
    assert provisioned.remote("status").returncode == 0
    assert "module: loaded" in provisioned.run(*PROVISION)
    fresh = provisioned.module_note()
    assert fresh != older
    pids = [provisioned.pid_of(name) for name in SERVICES]
    assert [(ACCESS / name).stat().st_mode & 0o777 for name in ("token", "ca.pem")] == [0o600] * 2

    assert UNCHANGED in provisioned.run(*PROVISION)
    assert [provisioned.pid_of(name) for name in SERVICES] == pids

    wrong = ACCESS / "wrong"
    wrong.write_text("wrong\n")
    wrong.chmod(0o600)
    refused = provisioned.remote("status", token=wrong)
    assert refused.returncode != 0
    assert "401" in refused.stderr
    assert provisioned.remote("switch", "on").returncode == 0

    # A bridge that does not start leaves the RPC server serving, and the next reload tracing.
    own = (CONFIG / "kvmlog.toml").read_text() + "[bridge]\nslots = 1024\n"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        taken = f'[udp]\nlisten = "127.0.0.1:{other.getsockname()[1]}"\n'
        (CONFIG / "kvmlog.toml").write_text(own + taken)
        said = provisioned.run(*RELOAD, status=1)
    assert "services: kvmlog-bridge does not start" in said
    assert "kvmlog-rpc does not" not in said
    status = json.loads(provisioned.remote("status", "--json").stdout)
    assert status["bridge"] is None
    (CONFIG / "kvmlog.toml").write_text(own)
    assert "tracing is on again" in provisioned.run(*RELOAD)
    assert all(provisioned.pid_of(name) not in pids for name in SERVICES)
    assert provisioned.module_note() == fresh
    host.guest("--turns", "10")
    assert provisioned.remote("switch", "off").returncode == 0
    status = json.loads(provisioned.remote("status", "--json").stdout)
    counters = status["bridge"]["counters"]
    assert counters["emitted"] > 10
    assert counters["seen"] == counters["emitted"]
    assert status["ring"]["capacity"] == 1024

    assert "changed by hand" in provisioned.run(*PROVISION)
    assert (CONFIG / "kvmlog.toml").read_text() == own
