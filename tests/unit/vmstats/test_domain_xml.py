# SPDX-License-Identifier: GPL-2.0-or-later
"""Definitions from the XML of real domains, and of what no domain here can have."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvmlog.util.errors import VmStatsError
from kvmlog.vmstats.definition import Definition, Disk, Instance, Limits, Nic
from kvmlog.vmstats.domain_xml import XML_CHARACTERS, parse

DATA = Path(__file__).resolve().parents[2] / "data" / "vmstats"
KIB = 1024
MIB = 1 << 20


def domain(inside: str = "", devices: str = "") -> Definition:
    """A domain of kind kvm with these elements."""
    return parse(f"<domain type='kvm'>{inside}<devices>{devices}</devices></domain>")


def disk(attributes: str, source: str) -> Disk:
    """The only disk of a domain."""
    (found,) = domain(devices=f"<disk {attributes}>{source}<target dev='vda'/></disk>").disks
    return found


def nic(interface: str) -> Nic:
    """The only interface of a domain."""
    (found,) = domain(devices=interface).nics
    return found


def test_a_running_domain() -> None:
    """All of what libvirt 9.0 wrote of one with a backing chain and Nova's metadata 1.1."""
    images = "/var/lib/libvirt/images"
    expected = Definition(
        title="Web server",
        kind="qemu",
        arch="x86_64",
        machine="pc-i440fx-7.2",
        vcpus=2,
        max_vcpus=4,
        maximum_memory_bytes=192 * MIB,
        memory_bytes=160 * MIB,
        huge_page_bytes=None,
        balloon=True,
        balloon_period_s=1,
        disks=(
            Disk(
                target="vda",
                device="disk",
                bus="virtio",
                alias="virtio-disk0",
                source=f"{images}/web-1.qcow2",
                kind="file",
                format="qcow2",
                read_only=False,
            ),
            Disk(
                target="vdb",
                device="disk",
                bus="virtio",
                alias="virtio-disk1",
                source=f"{images}/web-1.img",
                kind="file",
                format="raw",
                read_only=False,
            ),
            Disk("hda", "cdrom", "ide", "ide0-0-0", None, "file", None, read_only=True),
            Disk("fda", "floppy", "fdc", "fdc0-0-0", None, "file", None, read_only=False),
        ),
        nics=(
            Nic("52:54:00:aa:00:01", "bridge", "vnet0", "net0", "virtio", "br0"),
            Nic("52:54:00:aa:00:02", "bridge", "vnet1", "net1", "virtio", "br0"),
            Nic("52:54:00:aa:00:03", "user", None, "net2", "virtio", None),
        ),
        instance=Instance(
            name="web-1",
            created="2026-11-30 12:00:00",
            flavor_name="m1.small",
            flavor_id="7f2a",
            flavor_memory_mib=128,
            flavor_vcpus=2,
            flavor_disk_gib=20,
            flavor_ephemeral_gib=10,
            flavor_swap_mib=512,
            user_id="98ad1b5a8f6d4a0b9a9f6d5cdd8c1b2a",
            user_name="alice",
            project_id="5f705771d1d6442b9a3bb0b4c9cf3a9e",
            project_name="shop",
            root_kind="image",
            root_id="155d900f-4e14-4e4c-a73d-069cbf4541e6",
        ),
    )
    assert parse((DATA / "web-1.xml").read_text()) == expected


def test_a_domain_that_is_shut_off() -> None:
    """It has no aliases and no devices of the host, and nobody set a period or wrote metadata."""
    definition = parse((DATA / "off-1.xml").read_text())
    assert [(one.target, one.alias) for one in definition.disks] == [
        ("vda", None),
        ("vdb", None),
        ("hda", None),
        ("fda", None),
    ]
    assert {(one.target, one.alias) for one in definition.nics} == {(None, None)}
    assert (definition.balloon, definition.balloon_period_s) == (True, None)
    assert definition.instance is None


def test_metadata_of_nova_before_flavors_had_ids() -> None:
    """Version 1.0 has the same elements under another name; what is not there is None."""
    found = domain(
        '<metadata><nova:instance xmlns:nova="http://openstack.org/xmlns/libvirt/nova/1.0">'
        '<nova:name>db</nova:name><nova:flavor name="m1.tiny"><nova:memory>512</nova:memory>'
        "<nova:disk>1</nova:disk><nova:swap>0</nova:swap></nova:flavor><nova:owner>"
        '<nova:project uuid="p1">ops</nova:project></nova:owner></nova:instance></metadata>'
    ).instance
    assert found is not None
    assert (found.name, found.flavor_name, found.flavor_id) == ("db", "m1.tiny", None)
    assert (found.flavor_memory_mib, found.flavor_swap_mib, found.flavor_vcpus) == (512, 0, None)
    assert (found.project_id, found.project_name, found.user_id) == ("p1", "ops", None)
    assert (found.created, found.root_id) == (None, None)


def test_limits_of_a_disk() -> None:
    """Those that are set; libvirt writes 0 for the others, and none at all is no limits."""
    (limited, free, not_set) = domain(
        "<devices>"
        "<disk type='file'><target dev='vda'/><iotune><total_iops_sec>20</total_iops_sec>"
        "<read_bytes_sec>1048576</read_bytes_sec><write_iops_sec>0</write_iops_sec></iotune></disk>"
        "<disk type='file'><target dev='vdb'/></disk>"
        "<disk type='file'><target dev='vdc'/><iotune><total_iops_sec>0</total_iops_sec></iotune>"
        "</disk></devices>"
    ).disks
    assert limited.limits == Limits(total_requests_per_s=20, read_bytes_per_s=1 << 20)
    assert (free.limits, not_set.limits) == (None, None)


def test_metadata_of_others_is_not_novas() -> None:
    """An element of the same name in another namespace says nothing."""
    assert domain('<metadata><x:instance xmlns:x="urn:x"/></metadata>').instance is None


@pytest.mark.parametrize(
    ("attributes", "source", "shown", "kind"),
    [
        ("type='block'", "<source dev='/dev/vg/web'/>", "/dev/vg/web", "block"),
        ("type='dir'", "<source dir='/srv/fat'/>", "/srv/fat", "dir"),
        (
            "type='network'",
            "<source protocol='rbd' name='vms/web_disk'><host name='mon1' port='6789'/></source>",
            "rbd:vms/web_disk",
            "network",
        ),
        (
            "type='network'",
            "<source protocol='nbd' name='export'><host name='n1' port='10809'/></source>",
            "nbd:export",
            "network",
        ),
        (
            "type='network'",
            "<source protocol='nbd'><host name='n1' port='10809'/></source>",
            "nbd:n1:10809",
            "network",
        ),
        (
            "type='network'",
            "<source protocol='nbd'><host transport='unix' socket='/run/nbd'/></source>",
            "nbd:/run/nbd",
            "network",
        ),
        ("type='volume'", "<source pool='fast' volume='web'/>", "fast/web", "volume"),
        ("type='vhostuser'", "<source type='unix' path='/run/spdk'/>", "/run/spdk", "vhostuser"),
        ("type='nvme'", "<source type='pci'/>", None, "nvme"),
        ("type='file'", "<source/>", None, "file"),
    ],
)
def test_what_a_disk_shows(attributes: str, source: str, shown: str | None, kind: str) -> None:
    """Each kind of source has its name: a path, or protocol:name."""
    found = disk(attributes, source)
    assert (found.source, found.kind, found.device) == (shown, kind, "disk")


def test_a_source_below_a_backing_store_is_not_the_disks() -> None:
    """An empty drive with a mirror or a chain in its XML has no medium."""
    found = disk("device='cdrom'", "<mirror><source file='/x'/></mirror><backingStore/>")
    assert (found.source, found.counts) == (None, False)


def test_disks_without_a_target_or_with_the_same() -> None:
    """A target is what a disk is known by: the first one has it."""
    found = domain(
        devices="<disk><source file='/none'/></disk>"
        "<disk><source file='/first'/><target dev='vda'/></disk>"
        "<disk><source file='/second'/><target dev='vda'/></disk>"
    )
    assert [(one.target, one.source) for one in found.disks] == [("vda", "/first")]


def test_interfaces_without_a_device_of_the_host() -> None:
    """SR-IOV and vhost-user have a MAC and an alias only; macvtap names the card below."""
    assert nic(
        "<interface type='hostdev'><mac address='FA:16:3E:00:00:01'/><source><address type='pci' "
        "domain='0x0000'/></source><alias name='hostdev0'/></interface>"
    ) == Nic("fa:16:3e:00:00:01", "hostdev", None, "hostdev0", None, None)
    assert nic(
        "<interface type='vhostuser'><mac address='52:54:00:00:00:01'/><source type='unix' "
        "path='/run/ovs'/><model type='virtio'/><alias name='net0'/></interface>"
    ) == Nic("52:54:00:00:00:01", "vhostuser", None, "net0", "virtio", None)
    assert nic(
        "<interface type='direct'><source dev='eth0' mode='bridge'/><target dev='macvtap0'/>"
        "</interface>"
    ) == Nic(None, "direct", "macvtap0", None, None, "eth0")
    assert (
        nic("<interface type='network'><source network='default' bridge='virbr0'/></interface>")
    ).source == "default"


@pytest.mark.parametrize(
    ("written", "size"),
    [
        ("<memory>1048576</memory>", 1048576 * KIB),
        ("<memory unit='KiB'>1048576</memory>", 1048576 * KIB),
        ("<memory unit='k'>1048576</memory>", 1048576 * KIB),
        ("<memory unit='KB'>1000</memory>", 1_000_000),
        ("<memory unit='b'>4096</memory>", 4096),
        ("<memory unit='bytes'>4096</memory>", 4096),
        ("<memory unit='M'>512</memory>", 512 * MIB),
        ("<memory unit='GB'>2</memory>", 2 * 10**9),
        ("<memory unit='G'>2</memory>", 2 << 30),
        ("<memory unit='TiB'>1</memory>", 1 << 40),
        ("<memory unit='T'>\n 1 </memory>", 1 << 40),
    ],
)
def test_sizes_with_units(written: str, size: int) -> None:
    """Without a unit it is KiB; what the domain has now is all, if nothing else is written."""
    found = domain(written)
    assert (found.maximum_memory_bytes, found.memory_bytes) == (size, size)


def test_vcpus_of_which_all_are_there() -> None:
    """`current` is written only where some are missing."""
    found = domain("<vcpu placement='static'>8</vcpu>")
    assert (found.vcpus, found.max_vcpus) == (8, 8)


def test_huge_pages() -> None:
    """Pages of the host's default size have no size in the XML, but are huge all the same."""
    plain = domain()
    assert (plain.huge_pages, plain.huge_page_bytes) == (False, None)
    default = domain("<memoryBacking><hugepages/></memoryBacking>")
    assert (default.huge_pages, default.huge_page_bytes) == (True, None)
    sized = domain(
        "<memoryBacking><hugepages><page size='1' unit='G' nodeset='0'/>"
        "<page size='2048' unit='KiB' nodeset='1'/></hugepages></memoryBacking>"
    )
    assert (sized.huge_pages, sized.huge_page_bytes) == (True, 1 << 30)


@pytest.mark.parametrize(
    ("balloon", "there", "period_s"),
    [
        ("", False, None),
        ("<memballoon model='none'/>", False, None),
        ("<memballoon model='virtio'/>", True, None),
        ("<memballoon model='virtio'><stats period='0'/></memballoon>", True, None),
        ("<memballoon model='virtio'><stats period='10'/></memballoon>", True, 10),
    ],
)
def test_balloons(balloon: str, there: bool, period_s: int | None) -> None:
    """A period of 0 turns the guest's figures off, as none does."""
    found = domain(devices=balloon)
    assert (found.balloon, found.balloon_period_s) == (there, period_s)


def test_texts_are_made_printable_and_short() -> None:
    """The owner of a guest writes its title and its names."""
    found = domain("<title>a&#x9b;31m\nb</title>", "<disk><target dev='v\u202eda'/></disk>")
    assert found.title == "a\\x9b31m\\nb"
    assert found.disks[0].target == "v\\u202eda"
    assert len(domain(f"<title>{'x' * 10_000}</title>").title or "") == 256


def test_numbers_that_are_none() -> None:
    """They are None, or what libvirt takes for them."""
    found = domain(
        "<memory>-5</memory><vcpu current='x'>٣</vcpu>",
        "<memballoon model='virtio'><stats period='1e9'/></memballoon>",
    )
    assert (found.maximum_memory_bytes, found.vcpus, found.max_vcpus) == (0, 1, 1)
    assert found.balloon_period_s is None
    assert domain(f"<memory>{'9' * 5_000}</memory>").maximum_memory_bytes == 0
    assert domain("<memory unit='lb'>5</memory>").maximum_memory_bytes == 0


BOMB = (
    "<!DOCTYPE d [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;'>]>"
    "<domain><title>&b;</title></domain>"
)


@pytest.mark.parametrize(
    ("xml", "why"),
    [
        ("", "no element found"),
        ("<domain>", "no element found"),
        ("\ud800<domain/>", "surrogates"),
        ("<network/>", "its root is <network>"),
        ("<!DOCTYPE domain><domain/>", "DTDForbidden"),
        (BOMB, "DTDForbidden"),
        ("<domain/>" + " " * XML_CHARACTERS, "at most 4194304 are read"),
    ],
    ids=lambda value: value[:20],
)
def test_what_is_no_domain(xml: str, why: str) -> None:
    """Each is refused with a sentence."""
    with pytest.raises(VmStatsError, match=why) as caught:
        parse(xml)
    assert "virsh dumpxml" in str(caught.value)
    assert len(str(caught.value)) < 500


@given(
    st.lists(
        st.tuples(
            st.integers(0, 5_500),
            st.integers(0, 40),
            st.one_of(st.text(max_size=3), st.sampled_from(["<", "/>", "<disk>", "&x;", "-1"])),
        ),
        min_size=1,
        max_size=3,
    )
)
def test_a_damaged_xml(edits: list[tuple[int, int, str]]) -> None:
    """It is a definition with sensible sizes and printable texts, or refused in a sentence."""
    xml = (DATA / "web-1.xml").read_text()
    for at, removed, put in edits:
        xml = xml[:at] + put + xml[at + removed :]
    try:
        found = parse(xml)
    except VmStatsError:
        return
    assert min(found.vcpus, found.max_vcpus) >= 1
    assert min(found.maximum_memory_bytes, found.memory_bytes) >= 0
    targets = [disk.target for disk in found.disks]
    assert len(targets) == len(set(targets))
    assert "".join(targets).isprintable()
    assert (found.title or "").isprintable()
