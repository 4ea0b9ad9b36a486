# SPDX-License-Identifier: GPL-2.0-or-later
"""What cgroup paths tell, by the paths that are seen on hosts."""

from __future__ import annotations

import pytest

from kvmlog.guests.cgroup import Placement, cgroup_path, placement

POD = "6b1f9d2e-3c4d-4e5f-8a9b-0c1d2e3f4a5b"
UNDERSCORED = POD.replace("-", "_")
STATIC_POD = "0f9e8d7c6b5a49382716050403020100"
ID = "0123456789abcdef" * 4
INNER = "fedcba9876543210" * 4
KUBEPODS = "/kubepods.slice/kubepods-burstable.slice"


@pytest.mark.parametrize(
    ("path", "container", "pod", "machine"),
    [
        ("", None, None, None),
        ("/user.slice/user-1000.slice/session-2.scope", None, None, None),
        (f"{KUBEPODS}/kubepods-burstable-pod{UNDERSCORED}.slice", None, POD, None),
        (f"{KUBEPODS}/kubepods-burstable-pod{UNDERSCORED}.slice/crio-{ID}.scope", ID, POD, None),
        (f"/kubepods.slice/kubepods-pod{UNDERSCORED}.slice/docker-{ID}.scope", ID, POD, None),
        (
            f"/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/"
            f"kubelet-kubepods-besteffort-pod{UNDERSCORED}.slice/cri-containerd-{ID}.scope",
            ID,
            POD,
            None,
        ),
        (f"/kubepods/burstable/pod{POD}/{ID}", ID, POD, None),
        (
            f"/kubepods/besteffort/pod{POD}/{ID}/machine/qemu-1-a_b.libvirt-qemu/emulator",
            ID,
            POD,
            "qemu-1-a_b",
        ),
        (f"/kubepods/pod{STATIC_POD}/{ID}", ID, STATIC_POD, None),
        (
            f"/system.slice/containerd.service/kubepods-burstable-pod{UNDERSCORED}.slice:"
            f"cri-containerd:{ID}",
            ID,
            POD,
            None,
        ),
        (f"/docker/{ID}", ID, None, None),
        (f"/docker/{ID}/docker/{INNER}", INNER, None, None),
        (f"/system.slice/docker-{ID}.scope", ID, None, None),
        (f"/machine.slice/libpod-{ID}.scope/container", ID, None, None),
        (f"/machine.slice/libpod-conmon-{ID}.scope", None, None, None),
        (f"/user.slice/user@1000.service/user.slice/libpod-{ID}.scope/container", ID, None, None),
        (f"/docker/{ID[:-1]}", None, None, None),
        (f"/docker/{ID}0", None, None, None),
        (r"/machine.slice/machine-qemu\x2d1\x2dweb1.scope", None, None, "qemu-1-web1"),
        (r"/machine.slice/machine-qemu\x2d2\x2da.b.scope/libvirt", None, None, "qemu-2-a.b"),
        (r"/machine.slice/machine-qemu\x2d2\x2d\xc3\xb3.scope", None, None, "qemu-2-ó"),
        ("/machine/qemu-1-web1.libvirt-qemu/emulator", None, None, "qemu-1-web1"),
        (f"/xkubepods/pod{POD}", None, None, None),
        (f"/kubepods/burstable/pod{POD[:-1]}", None, None, None),
    ],
)
def test_container_pod_and_machine_are_found(
    path: str, container: str | None, pod: str | None, machine: str | None
) -> None:
    """Of both cgroup drivers, all usual runtimes, and nothing where there is nothing."""
    assert placement(path) == Placement(container, pod, machine)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("", ""),
        ("0::/\n", ""),
        ("0::/machine.slice/a.scope\n", "/machine.slice/a.scope"),
        ("0::/a:b\n", "/a:b"),
        ("0::/a.scope (deleted)\n", "/a.scope"),
        ("3:cpu,cpuacct:/c\n1:name=systemd:/s\n0::/\n", "/s"),
        ("3:cpu,cpuacct:/c\n1:name=systemd:/\n0::/\n", "/c"),
        ("3:cpuacct,cpu:/c\n2:memory:/m\n", "/c"),
        ("3:cpu,cpuacct:/c\n1:name=systemd:/s\n0::/two\n", "/two"),
        ("2:memory:/m\n", ""),
        ("garbage\n::\n0:\n", ""),
    ],
)
def test_the_path_is_version_2s_else_systemds_else_cpus(text: str, path: str) -> None:
    """Lines of /proc/PID/cgroup, of hosts with either version and with both."""
    assert cgroup_path(text) == path
