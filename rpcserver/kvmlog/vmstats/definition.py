# SPDX-License-Identifier: GPL-2.0-or-later
"""A domain as its XML defines it: devices, sizes, and what an engine wrote into its metadata."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Limits of a disk's I/O (<iotune>); None: no limit. total: of reads and writes together."""

    total_bytes_per_s: int | None = None
    read_bytes_per_s: int | None = None
    write_bytes_per_s: int | None = None
    total_requests_per_s: int | None = None
    read_requests_per_s: int | None = None
    write_requests_per_s: int | None = None


@dataclass(frozen=True)
class Disk:
    """A disk of the XML."""

    target: str  # vda
    device: str  # disk, lun, cdrom, floppy
    bus: str | None  # virtio, scsi, sata, ...
    alias: str | None
    source: str | None  # path, protocol:name (network), pool/name (volume); None: no medium
    kind: str | None  # file, block, network, volume, nvme, vhostuser
    format: str | None  # raw, qcow2
    read_only: bool
    limits: Limits | None = None  # None: none at all

    @property
    def counts(self) -> bool:
        """Return whether engines count its traffic: not that of CD-ROM and floppy drives."""
        return self.device in ("disk", "lun")


@dataclass(frozen=True)
class Nic:
    """A network interface of the XML."""

    mac: str | None
    kind: str  # network, bridge, user, ethernet, direct, hostdev, vhostuser
    target: str | None  # the host's device: vnet0
    alias: str | None
    model: str | None
    source: str | None  # network or bridge


@dataclass(frozen=True)
class Instance:
    """Nova's metadata, http://openstack.org/xmlns/libvirt/nova/1.1 or 1.0."""

    name: str | None
    created: str | None  # as it stands there
    flavor_name: str | None
    flavor_id: str | None
    flavor_memory_mib: int | None
    flavor_vcpus: int | None
    flavor_disk_gib: int | None
    flavor_ephemeral_gib: int | None
    flavor_swap_mib: int | None
    user_id: str | None
    user_name: str | None
    project_id: str | None
    project_name: str | None
    root_kind: str | None  # image
    root_id: str | None


@dataclass(frozen=True)
class Definition:
    """A domain's definition: of the running one where it runs."""

    title: str | None
    kind: str  # kvm, qemu (TCG), ...
    arch: str | None  # x86_64
    machine: str | None
    vcpus: int  # that it has now
    max_vcpus: int
    maximum_memory_bytes: int
    memory_bytes: int  # currentMemory
    huge_page_bytes: int | None  # size of its first node's backing pages; None: see huge_pages
    balloon: bool  # has a memory balloon
    balloon_period_s: int | None  # of the balloon's statistics; None: not set
    disks: tuple[Disk, ...]
    nics: tuple[Nic, ...]
    instance: Instance | None
    # Its memory is backed by huge pages; those of the host's default size have none in the XML.
    huge_pages: bool = False
