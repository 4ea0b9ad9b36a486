# SPDX-License-Identifier: GPL-2.0-or-later
"""The systemd units under a systemd of their own: users, sandbox, readiness, reload, restart."""

from __future__ import annotations

import contextlib
import grp
import pwd
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from xmlrpc.client import ServerProxy

import pytest

from kvmlog.config.load import DEFAULT_CONFIG
from kvmlog.config.schema.defaults import (
    DEFAULT_HISTORY,
    DEFAULT_HISTORY_SOCKET,
    DEFAULT_RING,
    DEFAULT_VMSTATS,
)
from kvmlog.history.client import HistoryClient
from kvmlog.history.model import Binary
from kvmlog.history.protocol import Update
from kvmlog.history.reader import HistoryReader
from tests.vm.inside import host, libvirt
from tests.vm.inside.processes import KVMLOG, until
from tests.vm.inside.sources import KMOD, only
from tests.vm.inside.systemd import UNITS, Systemd

pytestmark = only(KMOD)

SOURCES = {"kvmlog-bridge": "bridge/systemd", "kvmlog-rpc": "rpcserver/systemd"}
HISTORY = "kvmlog-history"
COLLECTOR = "kvmlog-vmstats"
RPC = "http://127.0.0.1:50080"


def write_units() -> None:
    """The project's own units, where its systemd finds them."""
    for name, folder in {
        **SOURCES,
        **dict.fromkeys((HISTORY, COLLECTOR), "rpcserver/systemd"),
    }.items():
        text = (host.PROJECT / folder / f"{name}.service").read_text()
        # The project may stand in a home, or below /tmp, where the services see their own.
        text = text.replace("@bindir@", f"{host.PROJECT}/.venv/bin")
        text = text.replace("ProtectHome=yes\n", f"BindReadOnlyPaths={host.PROJECT}\n")
        (UNITS / f"{name}.service").write_text(text)


@pytest.fixture
def systemd(module: Callable[..., None]) -> Iterator[Systemd]:
    """The module loaded, the users there, the services started."""
    with tempfile.TemporaryDirectory(dir="/run") as name:
        root = Path(name)
        (root / "etc").mkdir()
        for file in ("passwd", "group"):
            (root / "etc" / file).write_bytes(Path("/etc", file).read_bytes())
        confs = root / "usr/lib/sysusers.d"
        confs.mkdir(parents=True)
        for path in ("bridge/systemd/kvmlog", "rpcserver/systemd/kvmlog-vmstats"):
            source = host.PROJECT / f"{path}.sysusers"
            (confs / f"{source.stem}.conf").write_bytes(source.read_bytes())
        host.run("systemd-sysusers", f"--root={root}")
        root.chmod(0o755)
        for file in ("passwd", "group"):
            host.run("mount", "--bind", str(root / "etc" / file), f"/etc/{file}")
        config = Path(DEFAULT_CONFIG)
        try:
            module()
            UNITS.mkdir(parents=True, exist_ok=True)
            write_units()
            # On a busy machine tracing would end itself.
            config.parent.mkdir(exist_ok=True)
            config.write_text("[budget]\ncpu_percent = 0\n")
            with contextlib.closing(Systemd((*SOURCES, HISTORY, COLLECTOR))) as one:
                one.ctl("start", *SOURCES)
                yield one
        finally:
            config.unlink(missing_ok=True)
            for file in ("passwd", "group"):
                host.run("umount", f"/etc/{file}")


def test_the_services_work_in_their_sandboxes(systemd: Systemd) -> None:
    """A server without any right switches and reads; a killed bridge comes back with its ring."""
    rpc = Path("/proc") / host.run("pgrep", "-f", "bin/kvmlog rpc").strip() / "status"
    status = dict(line.split(":", 1) for line in rpc.read_text().splitlines())
    assert int(status["CapBnd"], 16) == 0
    assert int(status["Uid"].split()[1]) != 0
    assert status["Seccomp"].strip() == "2"
    inode = Path(DEFAULT_RING).stat().st_ino
    with ServerProxy(RPC) as server:
        assert server.kvmLogSwitch("on") == "true"
        host.guest("--turns", "100")
        until(lambda: server.getKvmLog() != "none", "no records over RPC")
        until(lambda: systemd.value("kvmlog-bridge", "StatusText").startswith("on, "), "no status")
        systemd.ctl("reload", *SOURCES)
        assert server.kvmLogSwitch("off") == "true"
    assert [systemd.value(name, "ActiveState") for name in SOURCES] == ["active"] * 2
    assert [systemd.value(name, "NRestarts") for name in SOURCES] == ["0"] * 2

    systemd.ctl("kill", "-s", "KILL", "kvmlog-bridge")
    until(lambda: systemd.value("kvmlog-bridge", "NRestarts") == "1", "no restart")
    until(lambda: systemd.value("kvmlog-bridge", "ActiveState") == "active", "not active")
    assert Path(DEFAULT_RING).stat().st_ino == inode
    with ServerProxy(RPC) as server:
        assert server.kvmLogSwitch("off") == "true"


def test_the_history_keeps_in_its_sandbox(systemd: Systemd) -> None:
    """It finds each service by its heartbeat; what is set stays over a kill.

    The RPC server tells its own, with no right but to use the socket.
    """
    systemd.ctl("start", HISTORY)
    reader, client = HistoryReader(DEFAULT_HISTORY), HistoryClient(DEFAULT_HISTORY_SOCKET)
    expected = {Binary.BRIDGE, Binary.SOURCE, Binary.SWITCH, Binary.RPC, Binary.HISTORY}
    until(
        lambda: {one.binary for one in reader.services()} >= expected,
        "a service is not found",
    )
    client.update_service(Binary.RPC, Update(enabled=False, disabled_reason="maintenance"))
    process = systemd.value(HISTORY, "MainPID")
    systemd.ctl("kill", "-s", "KILL", HISTORY)
    until(lambda: systemd.value(HISTORY, "MainPID") not in (process, "0"), "no restart")
    (rpc,) = reader.services(binary=Binary.RPC)
    assert (rpc.enabled, rpc.disabled_reason) == (False, "maintenance")
    found = Path(DEFAULT_HISTORY).stat()
    group = grp.getgrnam("kvmlog").gr_gid
    user = pwd.getpwnam(HISTORY).pw_uid
    assert (found.st_mode & 0o777, found.st_uid, found.st_gid) == (0o640, user, group)


def test_the_collector_reads_libvirt_in_its_sandbox(systemd: Systemd) -> None:
    """It serves without libvirt and finds it; its file is the group's; it comes back from a kill.

    Of libvirt's sockets it takes the read-only one.
    """

    def connected(number: int) -> bool:
        state = f"0 VMs from {number} of 1 libvirt connections"
        return systemd.value(COLLECTOR, "StatusText").startswith(state)

    systemd.ctl("start", COLLECTOR)
    until(lambda: connected(0), "no status")
    file = Path(DEFAULT_VMSTATS)
    group = grp.getgrnam("kvmlog").gr_gid
    user = pwd.getpwnam(COLLECTOR).pw_uid
    until(file.exists, "no file")
    for path, mode in ((file, 0o640), (file.parent, 0o750)):
        found = path.stat()
        assert (found.st_mode & 0o777, found.st_uid, found.st_gid) == (mode, user, group)
    told = host.run(str(KVMLOG), "vms")
    assert told.splitlines()[0].endswith(": 0 VMs known; 0 of 1 connections answer")
    with libvirt.libvirtd():
        until(lambda: connected(1), "libvirt is not found")
    process = systemd.value(COLLECTOR, "MainPID")
    systemd.ctl("kill", "-s", "KILL", COLLECTOR)
    until(lambda: systemd.value(COLLECTOR, "MainPID") not in (process, "0"), "no restart")
    assert file.exists()
    systemd.ctl("stop", COLLECTOR)
    assert not file.parent.exists()
