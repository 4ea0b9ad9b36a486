# SPDX-License-Identifier: GPL-2.0-or-later
"""Vagrant, run as a developer runs it, but with boxes, VM, port and pool of the tests' own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
BUILD = PROJECT / "build" / "vagrant"
NAME = "kvmlog-test"
CONSOLE = BUILD / f"{NAME}.console"
ACCESS = PROJECT / "vagrant" / f"access-{NAME}"
PORT = 50_081
HANG_S = 3600


@dataclass(frozen=True)
class Done:
    """One command that has ended."""

    status: int
    output: str  # stdout and stderr, as they came
    took_s: float

    def expect(self) -> str:
        """The output of a command that must not fail."""
        assert self.status == 0, self.output
        return self.output


@dataclass
class Machine:
    """A VM of the project's Vagrantfile."""

    kernel: str = "6.1"
    settings: dict[str, str] = field(default_factory=dict)  # KVMLOG_...
    times: dict[str, float] = field(default_factory=dict)  # seconds, printed at the end

    @property
    def environment(self) -> dict[str, str]:
        """Such that neither the developer's boxes nor his VM are touched."""
        return {
            **os.environ,
            "VAGRANT_HOME": str(BUILD / "home"),
            "VAGRANT_DOTFILE_PATH": str(BUILD / "machines"),
            "VAGRANT_CWD": str(PROJECT / "vagrant"),
            "VAGRANT_CHECKPOINT_DISABLE": "1",
            "KVMLOG_KERNEL": self.kernel,
            "KVMLOG_VM": NAME,
            "KVMLOG_RPC_PORT": str(PORT),
            **self.settings,
        }

    def command(
        self, *command: str, note: str = "", settings: dict[str, str] | None = None
    ) -> Done:
        """Run it from the project's directory; `note` is what its time is printed as."""
        begin = time.monotonic()
        done = subprocess.run(
            command,
            cwd=PROJECT,
            env={**self.environment, **(settings or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=HANG_S,
            check=False,
        )
        took_s = time.monotonic() - begin
        if note:
            self.times[note] = took_s
        return Done(done.returncode, done.stdout, took_s)

    def vagrant(
        self, *arguments: str, note: str = "", settings: dict[str, str] | None = None
    ) -> Done:
        """`vagrant ...`."""
        return self.command("vagrant", *arguments, note=note, settings=settings)

    def ssh(self, command: str, note: str = "") -> Done:
        """A shell command in the VM, as user vagrant."""
        return self.vagrant("ssh", "-c", command, note=note)

    def run(self, command: str) -> str:
        """What a shell command in the VM prints, which must not fail."""
        return self.ssh(command).expect()

    def kvmlog_remote(self, *arguments: str, token: Path | None = ACCESS / "token") -> Done:
        """`kvmlog remote` on this machine, through the forwarded port."""
        credentials = ["--token-file", str(token)] if token is not None else []
        return self.command(
            *(str(Path(sys.executable).with_name("kvmlog")), "remote"),
            *("--tls-ca", str(ACCESS / "ca.pem"), *credentials, f"localhost:{PORT}", *arguments),
        )
