# SPDX-License-Identifier: GPL-2.0-or-later
"""libvirt's daemons for these tests: the system's, or, where nothing starts them, our own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

URI = "qemu:///system"
_START_S = 60
_REAPER = Path(__file__).with_name("reaper.py")
# What vagrant-libvirt makes for its VMs; a network's dnsmasq outlives libvirtd.
_NETWORK = "vagrant-libvirt"


def virsh(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run virsh and return the process, whether it succeeded or not."""
    return subprocess.run(
        ["virsh", "--connect", URI, "--quiet", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "LC_ALL": "C"},
        check=False,
    )


def answers() -> bool:
    """Return whether a libvirtd answers."""
    return virsh("version").returncode == 0


class Daemons:
    """virtlogd and libvirtd, started here and ended by process id."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._running: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Start both and wait until libvirtd answers."""
        for name in ("virtlogd", "libvirtd"):
            log = (self._logs / f"{name}.log").open("ab")
            # In a session of their own: Ctrl-C is for the tests.
            self._running.append(
                subprocess.Popen(
                    [sys.executable, str(_REAPER), f"/usr/sbin/{name}"],
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            )
            log.close()
        end = time.monotonic() + _START_S
        while not answers():
            assert time.monotonic() < end, f"libvirtd does not answer; its log is in {self._logs}"
            time.sleep(0.2)

    def stop(self) -> None:
        """End them; VMs would go on running."""
        for process in reversed(self._running):
            process.terminate()
            process.wait()
        self._running.clear()


@contextmanager
def libvirt(logs: Path) -> Iterator[Daemons | None]:
    """A libvirtd that answers: ours, which can be stopped and started, or None: the system's."""
    if answers():
        yield None
        return
    assert not Path("/run/systemd/system").is_dir(), (
        "libvirtd is not running: systemctl start libvirtd"
    )
    logs.mkdir(parents=True, exist_ok=True)
    daemons = Daemons(logs)
    try:
        daemons.start()
        yield daemons
    finally:
        virsh("net-destroy", _NETWORK)
        daemons.stop()
