# SPDX-License-Identifier: GPL-2.0-or-later
"""VM provisioned with vagrant/provision.sh --from-build, and its cleanup after a test."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.vm.inside import host
from tests.vm.inside.processes import HANG_S, KVMLOG, until

PROVISION = (str(host.PROJECT / "vagrant/provision.sh"), "--from-build")
RELOAD = (str(host.PROJECT / "vagrant/reload.sh"),)
UNCHANGED = "nothing had to be changed"
SERVICES = ("kvmlog-bridge", "kvmlog-rpc", "kvmlog-history")
ACCESS = Path("/root/access")
CONFIG = Path("/etc/kvmlog")
PIDS = Path("/run/kvmlog-services")
_MADE = (
    *(CONFIG, ACCESS, PIDS, Path("/run/kvmlog"), Path("/var/lib/kvmlog-vm")),
    *(Path("/run/kvmlog-history"), Path("/var/lib/kvmlog-history")),
    Path("/usr/local/bin/kvmlog"),
    *(Path(f"/etc/systemd/system/{name}.service") for name in SERVICES),
    *(Path(f"/etc/systemd/system/multi-user.target.wants/{name}.service") for name in SERVICES),
)
_USERS = [Path("/etc", name) for name in ("passwd", "group", "shadow", "gshadow")]


@contextlib.contextmanager
def forgotten() -> Iterator[None]:
    """Undo the provisioning of the VM at the end of the block."""
    before = {path: path.read_bytes() for path in _USERS if path.exists()}
    try:
        yield
    finally:
        for name in SERVICES:
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                _kill(pid_of(name))
        if host.loaded("kvmlog"):
            host.run("rmmod", "kvmlog")
        for path in _MADE:
            if path.is_symlink() or path.is_file():
                path.unlink()
            elif path.exists():
                shutil.rmtree(path)
        for path, content in before.items():
            path.write_bytes(content)


def _kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    until(lambda: not Path(f"/proc/{pid}").exists(), f"process {pid} does not end")


def run(*command: str, within: Sequence[str] = (), status: int = 0) -> str:
    """Return the output of a command that runs to its end.

    within: words before the command, which decide where it runs.
    """
    done = subprocess.run(
        [*within, *command],
        cwd=host.PROJECT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == status, done.stdout
    return done.stdout


def run_until(pattern: str, *command: str) -> str:
    """Return the output up to the pattern; kill the command there, and all that it has started."""
    said = ""
    with subprocess.Popen(
        command,
        cwd=host.PROJECT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        while not re.search(pattern, said):
            line = process.stdout.readline()
            assert line, f"ended before it said {pattern!r}: {said}"
            said += line
        os.killpg(process.pid, signal.SIGKILL)
    return said


def pid_of(service: str) -> int:
    """Return the pid of a service that was started directly."""
    return int((PIDS / f"{service}.pid").read_text())


def remote(*words: str, token: Path = ACCESS / "token") -> subprocess.CompletedProcess[str]:
    """`kvmlog remote` with the files that the developer's machine gets."""
    credentials = ("--tls-ca", str(ACCESS / "ca.pem"), "--token-file", str(token))
    command = (str(KVMLOG), "remote", *credentials, "localhost:50080", *words)
    return subprocess.run(command, capture_output=True, text=True, timeout=HANG_S)


def module_note() -> bytes:
    """The build id of the loaded module, as an ELF note."""
    return Path("/sys/module/kvmlog/notes/.note.gnu.build-id").read_bytes()
