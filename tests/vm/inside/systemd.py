# SPDX-License-Identifier: GPL-2.0-or-later
"""A systemd inside the VM, whose first process is another."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path

from tests.vm.inside import host
from tests.vm.inside.processes import until

UNITS = Path("/run/systemd/system")
# What comes with every service and would empty /tmp, which is the tests' too.
UNWANTED = "systemd-tmpfiles-setup.service"
SOCKET = Path("/run/systemd/private")


class Systemd:
    """A systemd that is process 1 of a PID namespace, and starts what it is told, nothing else."""

    def __init__(self, services: Iterable[str]) -> None:
        """services: those that close() stops."""
        self._services = tuple(services)
        if "cgroup2" not in Path("/proc/mounts").read_text():
            host.run("mount", "-t", "cgroup2", "none", "/sys/fs/cgroup")
        UNITS.mkdir(parents=True, exist_ok=True)
        (UNITS / "only.target").write_text("[Unit]\nDefaultDependencies=no\n")
        (UNITS / UNWANTED).unlink(missing_ok=True)
        (UNITS / UNWANTED).symlink_to("/dev/null")
        self._process = subprocess.Popen(
            [
                *("unshare", "--pid", "--fork", "--kill-child", "--mount", "--mount-proc"),
                *("env", "container=vm", "/lib/systemd/systemd", "--unit=only.target"),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until(SOCKET.exists, "no systemd")
        self._pid = host.run("pgrep", "-P", str(self._process.pid)).strip()
        until(lambda: self.ctl("is-active", "only.target", check=False) == "active\n", "no target")

    def within(self) -> tuple[str, ...]:
        """Words before a command that has it find systemd's processes."""
        return ("nsenter", "-t", self._pid, "-p", "-m", "--")

    def ctl(self, *words: str, check: bool = True) -> str:
        """Return the output of systemctl."""
        return host.run(*self.within(), "systemctl", "--no-pager", *words, check=check)

    def value(self, name: str, key: str) -> str:
        """A property of a service."""
        return self.ctl("show", "--value", "-p", key, name).strip()

    def close(self) -> None:
        """Ends systemd, and with it the namespace and the services."""
        self.ctl("stop", *self._services, check=False)
        self._process.kill()
        self._process.wait()
        # The next one makes it anew.
        SOCKET.unlink(missing_ok=True)
