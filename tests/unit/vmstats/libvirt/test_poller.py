# SPDX-License-Identifier: GPL-2.0-or-later
"""What a poller logs of a libvirt that fails now in one way and now in another."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from kvmlog.vmstats.libvirt import poller as pollers
from kvmlog.vmstats.libvirt import session as sessions
from kvmlog.vmstats.libvirt.poller import Poller
from tests.support.bridge_process import HANG_S

MISSING = "No such file or directory"
SILENT = "libvirt has not answered within"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where libvirt's socket would be."""
    return tmp_path / "sock"


@pytest.fixture
def poller(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Poller]:
    """A poller of it that is in no thread: each poll is the test's."""
    monkeypatch.setattr(sessions, "_CONNECT_S", 0.2)
    made = Poller(
        f"qemu+unix:///system?socket={path}",
        interval_s=1,
        history_s=10,
        balloon_period_s=0,
        images="/",
        reported=lambda: None,
        note=lambda _: None,
    )
    yield made
    made._session.close()
    made._session.join(HANG_S)


def fail_twice(poller: Poller, path: Path) -> None:
    """Two polls without a socket, two of one that nobody answers at, two without."""
    for _ in range(2):
        poller._poll()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        for _ in range(2):
            poller._poll()
    path.unlink()
    poller._session.join(HANG_S)
    for _ in range(2):
        poller._poll()


def test_each_reason_is_logged_when_it_comes(
    poller: Poller, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second kind of failure as the first, with the URI and what to look at; not each poll."""
    fail_twice(poller, path)
    said = capsys.readouterr().err
    assert (said.count(MISSING), said.count(SILENT)) == (1, 1)
    assert said.index(MISSING) < said.index(SILENT)
    assert f"{poller.uri}: {SILENT}" in said
    assert f"see whether virsh -r -c '{poller.uri}' list answers" in said


def test_a_reason_that_is_back_after_long_is_logged_again(
    poller: Poller,
    path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So that the last line of the log is the reason that holds."""
    monkeypatch.setattr(pollers, "_ERROR_S", 0.0)
    fail_twice(poller, path)
    said = capsys.readouterr().err
    assert (said.count(MISSING), said.count(SILENT)) == (2, 1)
    assert said.rindex(MISSING) > said.index(SILENT)
