# SPDX-License-Identifier: GPL-2.0-or-later
"""A real libvirt with real QEMU guests, in namespaces of its own: it needs root, and no systemd.

Its daemons see /etc/libvirt, /run/libvirt and so on as folders of this host alone, and a network
without a way out; outside, its sockets are found by their paths in that folder.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import libvirt

from scripts.vm.kernels import PROJECT
from tests.support.bridge_process import HANG_S, until

# What libvirtd and QEMU remember of each other's abilities; asking takes seconds.
_CACHE: Final = PROJECT / "build" / "libvirt-cache"
_QEMU_CONF: Final = (
    'security_driver = "none"\nuser = "root"\ngroup = "root"\ncgroup_controllers = []\n'
    "remember_owner = 0\nnamespaces = []\n"
)
_LIBVIRTD_CONF: Final = (
    'unix_sock_group = "root"\nunix_sock_ro_perms = "0777"\n'
    'auth_unix_rw = "none"\nauth_unix_ro = "none"\n'
)
# libvirt wants this user to be there, even where QEMU runs as another.
_USER: Final = "libvirt-qemu"
_FOLDERS: Final = {
    "etc": "/etc/libvirt",
    "run": "/run/libvirt",
    "lib": "/var/lib/libvirt",
    "log": "/var/log/libvirt",
}
_HOLD: Final = r"""
set -e
for pair; do mount --bind "${pair%%=*}" "${pair#*=}"; done
# No packets but those that a test sends.
for which in all default; do echo 1 >"/proc/sys/net/ipv6/conf/$which/disable_ipv6"; done
ip link set lo up
ip link add br0 type bridge mcast_snooping 0
ip link set br0 up
echo ready
exec sleep infinity
"""
# The binding's own handler prints each error.
libvirt.registerErrorHandler(lambda _context, _error: None, None)


class LibvirtHost:
    """A running libvirt."""

    def __init__(self, folder: Path, holder: int) -> None:
        self.folder = folder
        self.holder = holder  # pid of the process that keeps the namespaces
        self.daemon: subprocess.Popen[bytes] | None = None
        self._virtlogd: subprocess.Popen[bytes] | None = None

    @property
    def read_only_uri(self) -> str:
        """The URI of the socket that any user may open."""
        return self._uri("libvirt-sock-ro")

    @property
    def uri(self) -> str:
        """The URI of the socket that may change domains."""
        return self._uri("libvirt-sock")

    def _uri(self, socket: str) -> str:
        return f"qemu+unix:///system?socket={self.folder}/run/{socket}"

    def entering(self, *command: str) -> list[str]:
        """Return a command that runs in the host's namespaces; its pid is that of `command`."""
        return ["nsenter", f"--target={self.holder}", "--mount", "--net", "--", *command]

    def inside(self, *command: str, check: bool = True) -> str:
        """Run a command in the host's namespaces; return what it printed."""
        done = subprocess.run(
            self.entering(*command), capture_output=True, text=True, timeout=HANG_S, check=False
        )
        assert not check or done.returncode == 0, f"{command}: {done.stderr}{done.stdout}"
        return done.stdout

    def begin(self, *command: str, log: str) -> subprocess.Popen[bytes]:
        """Begin a command in the host's namespaces, with its output in a file of the folder."""
        with (self.folder / log).open("ab") as output:
            return subprocess.Popen(
                self.entering(*command), stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )

    def virsh(self, *arguments: str, check: bool = True) -> str:
        """Run one command of virsh; return what it printed."""
        return self.inside(
            "virsh", "--connect", "qemu:///system", "--quiet", *arguments, check=check
        )

    def start_daemon(self, *options: str) -> None:
        """Start libvirtd; it answers when this returns."""
        if self._virtlogd is None:
            self._virtlogd = self._daemon("virtlogd")
            until((self.folder / "run" / "virtlogd-sock").exists)
        self.daemon = self._daemon("libvirtd", *options)
        until(self._answers)

    def stop_daemon(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End libvirtd by a signal; its domains run on."""
        if self.daemon is not None:
            self.daemon.send_signal(number)
            self.daemon.wait(HANG_S)
            self.daemon = None

    def domain_pid(self, name: str) -> int:
        """Return the pid of a running domain's QEMU."""
        return int((self.folder / "run" / "qemu" / f"{name}.pid").read_text())

    def end(self) -> None:
        """End all that was started here."""
        for file in (self.folder / "run" / "qemu").glob("*.pid"):
            with contextlib.suppress(ProcessLookupError, ValueError):
                os.kill(int(file.read_text()), signal.SIGKILL)
        self.stop_daemon(signal.SIGKILL)
        if self._virtlogd is not None:
            self._virtlogd.kill()
            self._virtlogd.wait()

    def _daemon(self, program: str, *options: str) -> subprocess.Popen[bytes]:
        # In /run there may be one of another libvirt of this machine.
        own = f"--pid-file=/run/libvirt/{program}.pid"
        return self.begin(program, own, *options, log=f"{program}.log")

    def _answers(self) -> bool:
        assert self.daemon is not None
        assert self.daemon.poll() is None, (self.folder / "libvirtd.log").read_text()
        try:
            libvirt.openReadOnly(self.read_only_uri).close()
        except libvirt.libvirtError:
            return False
        return True


@contextlib.contextmanager
def libvirt_host() -> Iterator[LibvirtHost]:
    """A libvirtd without domains, until the end."""
    # A socket's path has to be short.
    folder = Path(tempfile.mkdtemp(prefix="kvmlog-lv-", dir="/tmp"))
    folder.chmod(0o755)
    try:
        with _namespaces(folder) as holder:
            host = LibvirtHost(folder, holder)
            try:
                host.start_daemon()
                yield host
            finally:
                host.end()
    finally:
        shutil.rmtree(folder)


@contextlib.contextmanager
def _namespaces(folder: Path) -> Iterator[int]:
    pairs = []
    for name, place in _FOLDERS.items():
        (folder / name).mkdir()
        Path(place).mkdir(parents=True, exist_ok=True)
        pairs.append(f"{folder / name}={place}")
    _CACHE.mkdir(parents=True, exist_ok=True)
    Path("/var/cache/libvirt").mkdir(parents=True, exist_ok=True)
    pairs.append(f"{_CACHE}=/var/cache/libvirt")
    (folder / "etc" / "qemu.conf").write_text(_QEMU_CONF)
    (folder / "etc" / "libvirtd.conf").write_text(_LIBVIRTD_CONF)
    for name in ("passwd", "group"):
        text = Path("/etc", name).read_text()
        if not re.search(rf"^{_USER}:", text, re.MULTILINE):
            more = "x:64055:64055::/:/bin/false" if name == "passwd" else "x:64055:"
            text += f"{_USER}:{more}\n"
        (folder / name).write_text(text)
        pairs.append(f"{folder / name}=/etc/{name}")
    holder = subprocess.Popen(
        ["unshare", "--mount", "--net", "sh", "-c", _HOLD, "sh", *pairs],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with holder:
        try:
            assert holder.stdout is not None
            said = holder.stdout.readline()
            assert said == "ready\n", said
            yield holder.pid
        finally:
            holder.kill()


def wait_for_state(host: LibvirtHost, name: str, state: str) -> None:
    """Wait until virsh names a domain's state so: "running", "paused", "shut off"."""
    limit = time.monotonic() + HANG_S
    while (said := host.virsh("domstate", name).strip()) != state:
        assert time.monotonic() < limit, said
        time.sleep(0.05)
