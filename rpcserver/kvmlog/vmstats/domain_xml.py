# SPDX-License-Identifier: GPL-2.0-or-later
"""A domain's definition from its XML (libvirt.org/formatdomain.html), with Nova's metadata.

What the XML has may come from the guest's owner (title, metadata) or from another host (migration):
texts are made printable, numbers are checked, and DTDs and entities are refused unread.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from kvmlog.guests.sanitize import NAME_CHARACTERS, clean
from kvmlog.util.errors import VmStatsError
from kvmlog.vmstats.definition import Definition, Disk, Instance, Limits, Nic

# The longest text that libvirt's protocol carries (REMOTE_STRING_MAX).
XML_CHARACTERS: Final = 4 << 20
_NOVA: Final = tuple(f"http://openstack.org/xmlns/libvirt/nova/{version}" for version in (1.1, 1.0))
_PATH_CHARACTERS: Final = 4_096
# More digits make no size.
_DIGITS: Final = 18
# libvirt's scaled integers (virScaleInteger), in lower case.
_UNITS: Final = {
    "b": 1,
    "bytes": 1,
    **{
        spelling: base**power
        for power, letter in enumerate("kmgtpe", 1)
        for spelling, base in ((letter, 1024), (f"{letter}ib", 1024), (f"{letter}b", 1000))
    },
}
# Attributes of <source> that name a medium by themselves.
_SOURCES: Final = ("file", "dev", "dir", "path")
_NETWORKS: Final = ("network", "bridge", "dev")


def parse(xml: str) -> Definition:
    """Parse a domain's XML, of a running or an inactive one; VmStatsError for anything else."""
    if len(xml) > XML_CHARACTERS:
        raise VmStatsError(
            f"a domain's XML has {len(xml)} characters, at most {XML_CHARACTERS} are read; "
            "look at it with virsh dumpxml"
        )
    try:
        domain = fromstring(xml, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError) as error:
        raise _foreign(clean(str(error))) from None
    if domain.tag != "domain":
        raise _foreign(f"its root is <{clean(domain.tag)}>")
    vcpu = domain.find("vcpu")
    most = _number("1" if vcpu is None else vcpu.text) or 1
    balloon = domain.find("devices/memballoon")
    memory = _bytes(domain.find("memory")) or 0
    return Definition(
        title=_text(domain, "title"),
        kind=_attribute(domain, "type") or "",
        arch=_attribute(domain.find("os/type"), "arch"),
        machine=_attribute(domain.find("os/type"), "machine"),
        vcpus=_number(_attribute(vcpu, "current")) or most,
        max_vcpus=most,
        maximum_memory_bytes=memory,
        memory_bytes=_bytes(domain.find("currentMemory")) or memory,
        huge_pages=domain.find("memoryBacking/hugepages") is not None,
        huge_page_bytes=_huge_page_bytes(domain),
        balloon=balloon is not None and balloon.get("model") != "none",
        # 0 turns them off.
        balloon_period_s=_number(_attribute(domain.find("devices/memballoon/stats"), "period"))
        or None,
        disks=_unique(_disks(domain)),
        nics=tuple(_nic(interface) for interface in domain.iterfind("devices/interface")),
        instance=_instance(domain),
    )


def _disks(domain: Element) -> Iterator[Disk]:
    for disk in domain.iterfind("devices/disk"):
        target = disk.find("target")
        name = _attribute(target, "dev")
        if name is None:
            continue
        yield Disk(
            target=name,
            device=_attribute(disk, "device") or "disk",
            bus=_attribute(target, "bus"),
            alias=_attribute(disk.find("alias"), "name"),
            source=_medium(disk.find("source")),
            kind=_attribute(disk, "type"),
            format=_attribute(disk.find("driver"), "type"),
            read_only=disk.find("readonly") is not None,
            limits=_limits(disk.find("iotune")),
        )


def _limits(iotune: Element | None) -> Limits | None:
    """Return the limits that are set; libvirt writes 0 for those that are not."""
    if iotune is None:
        return None
    found = {
        f"{way}_{ours}_per_s": _number(iotune.findtext(f"{way}_{theirs}_sec")) or None
        for way in ("total", "read", "write")
        for theirs, ours in (("bytes", "bytes"), ("iops", "requests"))
    }
    return Limits(**found) if any(found.values()) else None


def _unique(disks: Iterator[Disk]) -> tuple[Disk, ...]:
    """Return the first of each target, which libvirt itself keeps unique."""
    found: dict[str, Disk] = {}
    for disk in disks:
        found.setdefault(disk.target, disk)
    return tuple(found.values())


def _medium(source: Element | None) -> str | None:
    """Return what a disk shows: a path, protocol:name, or pool/volume."""
    if source is None:
        return None
    for attribute in _SOURCES:
        if value := _attribute(source, attribute, _PATH_CHARACTERS):
            return value
    if volume := _attribute(source, "volume", _PATH_CHARACTERS):
        return f"{_attribute(source, 'pool') or ''}/{volume}"
    protocol = _attribute(source, "protocol")
    if protocol is None:
        return None
    name = _attribute(source, "name", _PATH_CHARACTERS) or _server(source.find("host"))
    return f"{protocol}:{name}" if name else protocol


def _server(host: Element | None) -> str | None:
    """Return where the only export of a server is, which has no name (NBD)."""
    if socket := _attribute(host, "socket", _PATH_CHARACTERS):
        return socket
    name, port = _attribute(host, "name"), _attribute(host, "port")
    return f"{name}:{port}" if name and port else name


def _nic(interface: Element) -> Nic:
    mac = _attribute(interface.find("mac"), "address")
    source = interface.find("source")
    return Nic(
        mac=mac.lower() if mac else None,
        kind=_attribute(interface, "type") or "",
        target=_attribute(interface.find("target"), "dev"),
        alias=_attribute(interface.find("alias"), "name"),
        model=_attribute(interface.find("model"), "type"),
        source=next(filter(None, (_attribute(source, name) for name in _NETWORKS)), None),
    )


def _huge_page_bytes(domain: Element) -> int | None:
    page = domain.find("memoryBacking/hugepages/page")
    if page is None:
        return None
    return _scaled(page.get("size"), page.get("unit"))


def _instance(domain: Element) -> Instance | None:
    for namespace in _NOVA:
        names = {"nova": namespace}
        found = domain.find("metadata/nova:instance", names)
        if found is not None:
            break
    else:
        return None
    flavor = found.find("nova:flavor", names)
    user = found.find("nova:owner/nova:user", names)
    project = found.find("nova:owner/nova:project", names)
    root = found.find("nova:root", names)

    def size(which: str) -> int | None:
        return _number(found.findtext(f"nova:flavor/nova:{which}", None, names))

    return Instance(
        name=_text(found, "nova:name", names),
        created=_text(found, "nova:creationTime", names),
        flavor_name=_attribute(flavor, "name"),
        flavor_id=_attribute(flavor, "id"),
        flavor_memory_mib=size("memory"),
        flavor_vcpus=size("vcpus"),
        flavor_disk_gib=size("disk"),
        flavor_ephemeral_gib=size("ephemeral"),
        flavor_swap_mib=size("swap"),
        user_id=_attribute(user, "uuid"),
        user_name=_text(user),
        project_id=_attribute(project, "uuid"),
        project_name=_text(project),
        root_kind=_attribute(root, "type"),
        root_id=_attribute(root, "uuid"),
    )


def _text(
    element: Element | None, path: str = ".", names: dict[str, str] | None = None
) -> str | None:
    """Return the printable text of an element below; None where there is none."""
    found = None if element is None else element.find(path, names)
    text = None if found is None else found.text
    return clean(text.strip()) or None if text else None


def _attribute(element: Element | None, name: str, most: int = NAME_CHARACTERS) -> str | None:
    value = None if element is None else element.get(name)
    return clean(value, most) if value else None


def _number(text: str | None) -> int | None:
    """Parse digits; None for all else."""
    text = (text or "").strip()
    if len(text) > _DIGITS or not (text.isascii() and text.isdecimal()):
        return None
    return int(text)


def _bytes(element: Element | None) -> int | None:
    return None if element is None else _scaled(element.text, element.get("unit"))


def _scaled(text: str | None, unit: str | None) -> int | None:
    """Return a size in bytes; without a unit it is in KiB."""
    number, scale = _number(text), _UNITS.get((unit or "KiB").lower())
    return None if number is None or scale is None else number * scale


def _foreign(what: str) -> VmStatsError:
    return VmStatsError(f"no XML of a domain ({what}); compare it with virsh dumpxml")
