# SPDX-License-Identifier: GPL-2.0-or-later
"""Each event of a real libvirt, in one history: what was done to a guest, and what went wrong."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from kvmlog.history.model import (
    Action,
    ChangeKind,
    Fault,
    FaultKind,
    Life,
    Owner,
    Size,
    Source,
)
from kvmlog.history.reader import HistoryReader
from kvmlog.vmstats.sample import State
from tests.support.history_process import History, history
from tests.support.libvirt_guest import LibvirtGuest, libvirt_guest
from tests.support.libvirt_host import LibvirtHost, wait_for_state
from tests.support.vmstats_process import collector

_OWNED = """
<metadata>
  <nova:instance xmlns:nova="http://openstack.org/xmlns/libvirt/nova/1.1">
    <nova:name>web</nova:name>
    <nova:flavor name="m1.tiny">
      <nova:memory>128</nova:memory><nova:disk>1</nova:disk><nova:swap>0</nova:swap>
      <nova:ephemeral>2</nova:ephemeral><nova:vcpus>1</nova:vcpus>
    </nova:flavor>
    <nova:owner>
      <nova:user uuid="u-1">ann</nova:user><nova:project uuid="p-1">shop</nova:project>
    </nova:owner>
  </nova:instance>
</metadata>
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the files of collector and history are."""
    return tmp_path_factory.mktemp("history")


class Scene:
    """A guest, defined and started while a collector and a history look on."""

    def __init__(
        self,
        host: LibvirtHost,
        folder: Path,
        kept: History,
        guest: LibvirtGuest,
        collectors: contextlib.ExitStack,
    ) -> None:
        self.host, self.folder, self.kept, self.guest = host, folder, kept, guest
        self.collectors = collectors  # the one that runs
        self._done = 0  # actions before the test

    def begin(self) -> None:
        """Leave aside what happened before."""
        self._done = len(self.kept.actions(self.guest.uuid))

    def actions(self, *names: str) -> list[Action]:
        """Wait for these actions, in this order; return them. There are no others."""
        uuid = self.guest.uuid
        self.kept.until(lambda _: len(self.kept.names(uuid)) >= self._done + len(names))
        found = self.kept.actions(uuid)[self._done :]
        events = (self.folder / "vms.json.events").read_text()
        assert [one.action for one in found] == list(names), (found, events)
        self._done += len(names)
        return found

    def fault(self, kind: FaultKind, count: int = 1) -> Fault:
        """Wait for so many faults of a kind; return the last."""

        def of_kind() -> list[Fault]:
            return [one for one in self.kept.faults(self.guest.uuid) if one.kind is kind]

        self.kept.until(lambda _: len(of_kind()) >= count)
        found = of_kind()
        assert len(found) == count
        return found[-1]

    def state(self, state: State) -> None:
        """Wait until the guest is in a state."""
        self.kept.until(lambda reader: _life(reader, self.guest).state == state)


def _life(reader: HistoryReader, guest: LibvirtGuest) -> Life:
    found = reader.last_life(guest.uuid)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def running(libvirtd: LibvirtHost, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """The one scene of all tests here, which leave the guest running."""
    folder = tmp_path_factory.mktemp("history")
    with history(folder) as kept, contextlib.ExitStack() as collectors:
        first = collectors.enter_context(collector(folder, libvirtd.read_only_uri))
        first.until(lambda now: now.collector.connections[0].connected)
        with libvirt_guest(libvirtd, "web1", metadata=_OWNED) as guest:
            # A life has a size once it was sampled; libvirt may take long to start it.
            kept.until(lambda reader: reader.last_life(guest.uuid))
            kept.until(lambda reader: _life(reader, guest).state == State.RUNNING)
            yield Scene(libvirtd, folder, kept, guest, collectors)


@pytest.fixture
def scene(running: Scene) -> Scene:
    """The scene, in which nothing has happened yet."""
    running.begin()
    return running


def test_a_life_begins(running: Scene) -> None:
    """Witnessed, with the owner and the flavor of Nova's metadata, from define and start on."""
    guest, kept = running.guest, running.kept
    life = _life(kept.reader, guest)
    assert (life.name, life.witnessed, life.ended) == ("web1", True, None)
    (span,) = life.spans
    assert span.owner == Owner("p-1", "shop", "u-1", "ann")
    assert span.size == Size(1, 128 << 20, 3 << 30, None, "m1.tiny")
    (run,) = life.runs
    assert (run.witnessed, run.ended) == (True, None)
    create, start = kept.actions(guest.uuid)
    assert (create.action, start.action) == ("create", "start")
    assert start.project_id == "p-1"
    assert start.start is None  # its beginning was not observed
    assert start.request_id.startswith("req-")
    (event,) = start.events
    assert (event.event, event.result) == ("libvirt_domain_started", "Success")
    assert event.finish == start.observed


def test_pause_resume_reset(scene: Scene) -> None:
    """Each is one action; a reset, of which libvirt tells three times, is one reboot."""
    guest, host = scene.guest, scene.host
    host.virsh("suspend", guest.name)
    scene.state(State.PAUSED)
    host.virsh("resume", guest.name)
    scene.state(State.RUNNING)
    guest.reset()
    scene.actions("pause", "unpause", "reboot")
    changes = scene.kept.reader.states(uuid=guest.uuid, limit=2)
    assert [(one.before, one.after, one.source) for one in changes] == [
        (State.PAUSED, State.RUNNING, Source.EVENT),
        (State.RUNNING, State.PAUSED, Source.EVENT),
    ]


def test_what_the_guest_does(scene: Scene) -> None:
    """A reboot from within is one; a watchdog that fires is one fault and one reboot."""
    guest = scene.guest
    guest.send("reboot -f")
    scene.actions("reboot")
    guest.hang_up()
    guest.send("watchdog -T 2 -t 300 -F /dev/watchdog")
    fault = scene.fault(FaultKind.WATCHDOG)
    guest.hang_up()
    scene.actions("reboot")
    assert (fault.count, fault.details) == (1, {"action": "reset"})


def test_a_full_disk(scene: Scene) -> None:
    """One fault, with device and reason, and one pause."""
    guest, host = scene.guest, scene.host
    place = host.folder / "small"
    host.inside("mkdir", "-p", str(place))
    host.inside("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place))
    image = place / "full.img"
    host.inside("truncate", "-s", "8M", str(image))
    host.virsh("attach-disk", guest.name, str(image), "vdb", "--subdriver", "raw", "--live")
    scene.actions("attach_volume")
    guest.run("while [ ! -e /dev/vdb ]; do usleep 100000; done")
    guest.send("dd if=/dev/zero of=/dev/vdb bs=64k count=64 oflag=direct 2>/dev/null")
    (pause,) = scene.actions("pause")
    assert pause.events[0].details == "ioerror"
    fault = scene.fault(FaultKind.IO_ERROR)
    assert fault.details["reason"] == "enospc"
    assert fault.details["path"] == str(image)
    assert fault.message.endswith("(enospc): the guest is paused")
    host.virsh("destroy", guest.name)
    host.inside("umount", str(place))
    guest.start()
    scene.actions("stop", "start")


def test_a_qemu_that_is_killed(scene: Scene) -> None:
    """A fault, and no action: nobody stopped it. A crash is another fault."""
    guest, host = scene.guest, scene.host
    os.kill(guest.pid, signal.SIGKILL)
    fault = scene.fault(FaultKind.QEMU_DIED)
    assert fault.source is Source.EVENT
    guest.start()
    scene.actions("start")
    # Which pauses it.
    host.virsh("dump", "--crash", "--memory-only", guest.name, str(host.folder / "core"))
    scene.fault(FaultKind.CRASHED)
    guest.start()
    scene.actions("pause", "start")
    runs = _life(scene.kept.reader, guest).runs
    assert [run.end_source for run in runs[-3:]] == [Source.EVENT, Source.EVENT, None]


def test_a_qemu_that_dies_while_libvirtd_is_away(scene: Scene) -> None:
    """Found by reconciliation; that libvirt was away is told as well."""
    guest, host, kept = scene.guest, scene.host, scene.kept
    before = kept.reader.status().newest_sequence
    pid = guest.pid
    host.stop_daemon(signal.SIGKILL)
    os.kill(pid, signal.SIGKILL)
    kept.until(lambda reader: _connections(reader, before) == [False])
    host.start_daemon()
    kept.until(lambda reader: _connections(reader, before) == [False, True])
    fault = scene.fault(FaultKind.QEMU_DIED, 2)
    assert fault.source is Source.SAMPLE
    guest.start()
    scene.actions("start")


def test_a_qemu_that_dies_while_the_collector_is_away(scene: Scene) -> None:
    """Found by the next collector, whose events go on in the same file."""
    guest, host, kept = scene.guest, scene.host, scene.kept
    scene.collectors.close()
    os.kill(guest.pid, signal.SIGKILL)
    wait_for_state(host, guest.name, "shut off")
    scene.collectors.enter_context(collector(scene.folder, host.read_only_uri))
    fault = scene.fault(FaultKind.QEMU_DIED, 3)
    assert fault.source is Source.SAMPLE
    guest.start()
    scene.actions("start")
    assert kept.reader.status().lost_events == 0


def test_a_life_ends(scene: Scene) -> None:
    """Undefined while it runs, it lives until it is destroyed; no older sample revives it."""
    guest, host, kept = scene.guest, scene.host, scene.kept
    before = kept.reader.status().newest_sequence
    host.virsh("undefine", guest.name)
    scene.actions("delete")
    assert _life(kept.reader, guest).ended is None
    host.virsh("destroy", guest.name)
    scene.actions("stop")
    kept.until(lambda reader: _life(reader, guest).ended)
    # A younger sample has been taken, after those in which the guest still was.
    with libvirt_guest(host, "web2") as other:
        kept.until(lambda reader: reader.last_life(other.uuid))
        life = _life(kept.reader, guest)
    # On a machine so busy that the connection is given up, a sample tells it.
    lost = False in _connections(kept.reader, before)
    assert life.end_source is (Source.SAMPLE if lost else Source.EVENT)
    assert life.spans[-1].ended == life.runs[-1].ended == life.ended
    told = [
        one.body["what"]
        for one in kept.reader.changes(before)
        if one.kind is ChangeKind.LIFE and one.uuid == guest.uuid
    ]
    assert told == ["ended"]


def _connections(reader: HistoryReader, after: int) -> list[bool]:
    return [
        one.body["connected"] for one in reader.changes(after) if one.kind is ChangeKind.CONNECTION
    ]
