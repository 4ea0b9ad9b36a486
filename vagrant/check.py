# SPDX-License-Identifier: GPL-2.0-or-later
"""What `vagrant up` needs of this machine, checked before it does anything that takes long.

The Vagrantfile runs it with Debian's own Python. Exit status 1, and one sentence on stderr, for the
first thing that is amiss. --id is the UUID of the VM that Vagrant made before: that one is ours.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

URI = "qemu:///system"
# Where vagrant-libvirt makes the pool "default" when there is none.
IMAGES = Path("/var/lib/libvirt/images")
# The box's image, once, and what a VM writes in some days of work.
NEED_MIB = 4096
_RUNNING = ("running", "paused")


class CheckError(Exception):
    """What is amiss, and the remedy, in a sentence."""


def virsh(*arguments: str) -> str | None:
    """What virsh prints; None when it fails. Raises CheckError when nothing answers it at all."""
    command = ("virsh", "--connect", URI, "--quiet", *arguments)
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"}
    )
    if done.returncode == 0:
        return done.stdout.strip()
    if "failed to connect to the hypervisor" in done.stderr:
        raise CheckError(_unreachable(done.stderr))
    return None


def _unreachable(said: str) -> str:
    """Why libvirt does not answer, from what virsh says."""
    if re.search(r"permission denied|authentication|not authorized|polkit", said, re.IGNORECASE):
        return (
            f"this user may not use libvirt ({URI}): as root, adduser {_user()} libvirt, then log "
            "in again"
        )
    if shutil.which("libvirtd", path="/usr/sbin:/usr/bin") is None:
        start = "vagrant/setup installs it"
    elif Path("/run/systemd/system").is_dir():
        start = "sudo systemctl start libvirtd"
    else:
        start = "as root, without systemd: virtlogd -d && libvirtd -d"
    return f"libvirtd does not answer ({URI}): start it ({start})"


def _user() -> str:
    return os.environ.get("USER") or str(os.getuid())


def check_libvirt() -> None:
    """That libvirt is installed, runs, and that this user may use it."""
    for program, package in (("virsh", "libvirt-clients"), ("qemu-img", "qemu-utils")):
        if shutil.which(program) is None:
            raise CheckError(f"there is no {program} (package {package}): run vagrant/setup")
    virsh("version")


def check_name(name: str, ours: str) -> str:
    """That a VM of this name has the UUID `ours`; returns its state, "" when there is none."""
    found = virsh("domuuid", name)
    if found is None:
        return ""
    if found != ours:
        raise CheckError(
            f"there is another VM named {name} (UUID {found}), which is not this project's: choose "
            f"another name with KVMLOG_VM, or, if nobody needs that VM: "
            f"virsh -c {URI} destroy {name}; virsh -c {URI} undefine {name} --remove-all-storage"
        )
    return virsh("domstate", name) or ""


def check_box(box: str, *, missing: bool) -> None:
    """That the box is there: one of ours is built, not downloaded."""
    if missing:
        series = box.removeprefix("kvmlog-")
        how = f"vagrant box add --provider libvirt --name {shlex.quote(box)} FILE-OR-URL"
        if box != series:
            how = f"build it: vagrant/make-box {series}"
        raise CheckError(f"Vagrant has no box {box} for libvirt: {how}")


def check_image(pool: str, image: str, size: int) -> None:
    """That libvirt's copy of the box's image, when there is one, has all `size` bytes.

    vagrant-libvirt takes any volume of that name for the whole image.
    """
    volume = virsh("vol-dumpxml", "--pool", pool, image)
    found = re.search(r"<physical unit='bytes'>(\d+)<", volume or "")
    if found and int(found[1]) < size:
        raise CheckError(
            f"libvirt's copy of the box has {found[1]} of {size} bytes: a `vagrant up` was killed "
            "while it uploaded the box, unless another one is still at it: "
            f"virsh -c {URI} vol-delete --pool {pool} {image}; then vagrant up"
        )


def free_mib(pool: str) -> tuple[int, str]:
    """MiB free where the pool's volumes are, and where that is."""
    info = virsh("pool-info", "--bytes", pool)
    available = re.search(r"^Available:\s+(\d+)", info or "", re.MULTILINE)
    if available:
        return int(available[1]) >> 20, f"libvirt's storage pool {pool}"
    if info is not None:
        raise CheckError(
            f"libvirt's storage pool {pool} is not active: virsh -c {URI} pool-start {pool}"
        )
    place = next(path for path in (IMAGES, *IMAGES.parents) if path.exists())
    return shutil.disk_usage(place).free >> 20, str(IMAGES)


def check_space(pool: str) -> None:
    """That a new VM finds room for its disk."""
    free, where = free_mib(pool)
    if free < NEED_MIB:
        raise CheckError(
            f"{where} has {free} MiB free, {NEED_MIB} are needed at least: make room there "
            f"(virsh -c {URI} vol-list {pool} shows images of boxes that nobody may need), or "
            "choose a pool with KVMLOG_POOL"
        )


def check_port(port: int) -> None:
    """That the RPC server's port can be had on this machine's loopback."""
    if not 1024 <= port <= 65535:
        raise CheckError(f"KVMLOG_RPC_PORT must be 1024 to 65535, is {port}")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise CheckError(
                f"port {port} of 127.0.0.1, for the VM's RPC server, cannot be had "
                f"({error.strerror}): `ss -ltnp sport = :{port}` shows who has it; end "
                "that, or choose another with KVMLOG_RPC_PORT"
            ) from error


def check(options: argparse.Namespace) -> None:
    """All of it, in the order in which the remedies would be needed. Raises CheckError."""
    check_libvirt()
    state = check_name(options.name, options.id)
    if state in _RUNNING:
        return
    check_port(options.port)
    if not state:
        check_box(options.box, missing=options.box_missing)
        if options.image:
            check_image(options.pool, options.image, options.image_bytes)
        check_space(options.pool)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="check.py", description=__doc__)
    parser.add_argument("--name", required=True, help="of the VM")
    parser.add_argument("--id", default="", help="UUID of the VM that Vagrant made, if it did")
    parser.add_argument("--pool", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--box", required=True)
    parser.add_argument("--box-missing", action="store_true", help="Vagrant does not have it")
    parser.add_argument("--image", help="what vagrant-libvirt calls the box's image in the pool")
    parser.add_argument("--image-bytes", type=int, default=0)
    try:
        check(parser.parse_args(arguments))
    except CheckError as error:
        print(f"kvmlog: {error}.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
