# SPDX-License-Identifier: GPL-2.0-or-later
"""Vagrant, run as a developer runs it, with a copy of the project, boxes, VM and port of its own.

The copy can be changed, and be reloaded into the VM, while others work on the project.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
BUILD = PROJECT / "build" / "vagrant"
COPY = BUILD / "project"
NAME = "kvmlog-test"
CONSOLE = COPY / "build" / "vagrant" / f"{NAME}.console"
ACCESS = COPY / "vagrant" / f"access-{NAME}"
PORT = 50_081
HANG_S = 3600
_NOT_COPIED = ("/build/", "/.venv/", "/.git/", "/vagrant/access*/", ".*_cache/", "__pycache__/")


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

    def copy(self) -> None:
        """Bring the copy to what the project is now; what VMs have written there stays."""
        COPY.mkdir(parents=True, exist_ok=True)
        left = [f"--exclude={name}" for name in _NOT_COPIED]
        command = ["rsync", "--archive", "--delete", *left, f"{PROJECT}/", f"{COPY}/"]
        subprocess.run(command, check=True)

    @property
    def environment(self) -> dict[str, str]:
        """Such that neither the developer's boxes nor his VM are touched."""
        return {
            **{k: v for k, v in os.environ.items() if not k.startswith(("KVMLOG_", "VAGRANT_"))},
            "VAGRANT_HOME": str(BUILD / "home"),
            "VAGRANT_DOTFILE_PATH": str(BUILD / "machines"),
            "VAGRANT_CWD": str(COPY / "vagrant"),
            "VAGRANT_CHECKPOINT_DISABLE": "1",
            "KVMLOG_KERNEL": self.kernel,
            "KVMLOG_VM": NAME,
            "KVMLOG_RPC_PORT": str(PORT),
            **self.settings,
        }

    def command(
        self, *command: str, note: str = "", settings: dict[str, str] | None = None
    ) -> Done:
        """Run it from the copy's directory; `note` is what its time is printed as."""
        begin = time.monotonic()
        done = subprocess.run(
            command,
            cwd=COPY,
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
        """Return the output of a shell command in the VM, which must not fail."""
        return self.ssh(command).expect()

    def kvmlog_remote(self, *arguments: str, token: Path | None = ACCESS / "token") -> Done:
        """`kvmlog remote` on this machine, through the forwarded port."""
        credentials = ["--token-file", str(token)] if token is not None else []
        return self.command(
            *(str(Path(sys.executable).with_name("kvmlog")), "remote"),
            *("--tls-ca", str(ACCESS / "ca.pem"), *credentials, f"localhost:{PORT}", *arguments),
        )
