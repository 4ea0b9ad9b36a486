# SPDX-License-Identifier: GPL-2.0-or-later
"""The identity of guests, from command lines as real hosts have them."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvmlog.guests.command_line import qemu_values
from kvmlog.guests.identity import Identity, identify
from kvmlog.guests.sanitize import NAME_CHARACTERS, clean, normal_uuid

UUID = "c7a5fdbd-edaf-9455-926a-d65c16db1809"
POD = "6b1f9d2e-3c4d-4e5f-8a9b-0c1d2e3f4a5b"
CONTAINER = "0123456789abcdef" * 4

LIBVIRT = f"""
    /usr/bin/qemu-system-x86_64 -name guest=web1,debug-threads=on -S
    -object '{{"qom-type":"secret","id":"masterKey0","format":"raw","file":"/var/lib/libvirt/k"}}'
    -machine pc-q35-7.2,usb=off,dump-guest-core=off -accel kvm -cpu host -m 2048
    -overcommit mem-lock=off -smp 2,sockets=2,cores=1,threads=1 -uuid {UUID}
    -no-user-config -nodefaults -chardev socket,id=charmonitor,fd=33,server=on,wait=off
    -mon chardev=charmonitor,id=monitor,mode=control -rtc base=utc -no-shutdown -boot strict=on
    -msg timestamp=on
"""
KUBEVIRT = f"""
    /usr/libexec/qemu-kvm -name guest=default_vmi-fedora,debug-threads=on -S
    -uuid {UUID} -smbios type=1,manufacturer=KubeVirt,product=None,uuid={UUID},family=KubeVirt
    -no-user-config -nodefaults
"""
PROXMOX = f"""
    /usr/bin/kvm -id 100 -name web1,debug-threads=on -no-shutdown
    -chardev socket,id=qmp,path=/var/run/qemu-server/100.qmp,server=on,wait=off
    -smbios type=1,uuid={UUID} -daemonize
"""
KATA = f"""
    /opt/kata/bin/qemu-system-x86_64 -name sandbox-{CONTAINER},debug-threads=on -uuid {UUID}
    -machine q35,accel=kvm -append 'tsc=reliable agent.log=debug'
"""
JAILED = "/firecracker --id 551e7604-e35c-42b3 --start-time-us 1 --start-time-cpu-us 2"
CH = f"cloud-hypervisor --cpus boot=1 --platform num_pci_segments=1,uuid={UUID.upper()}"

LINES = [
    (LIBVIRT, "qemu", "web1", UUID),
    (PROXMOX, "qemu", "web1", UUID),
    (KATA, "qemu", f"sandbox-{CONTAINER}", UUID),
    ("qemu-system-aarch64 -name web1", "qemu", "web1", None),
    ("qemu-system-x86_64 --name web1 --uuid " + UUID, "qemu", "web1", UUID),
    (".qemu-system-x86_64-wrapped -name web1", "qemu", "web1", None),
    ("qemu-system-x86_64 -name=web1", "qemu", None, None),
    ("qemu-system-x86_64 -name 'a,,b,process=x'", "qemu", "a,b", None),
    ("qemu-system-x86_64 -name 'guest=a=b'", "qemu", "a=b", None),
    ("qemu-system-x86_64 -name process=x,guest=web1", "qemu", "web1", None),
    ("qemu-system-x86_64 -name web1 -name debug-threads=on", "qemu", "web1", None),
    ("qemu-system-x86_64 -name web1 -name web2", "qemu", "web2", None),
    ("qemu-system-x86_64 -name debug-threads=on", "qemu", None, None),
    ("qemu-system-x86_64 -name ''", "qemu", None, None),
    ("qemu-system-x86_64 -name '   '", "qemu", None, None),
    ("qemu-system-x86_64 -name", "qemu", None, None),
    ("qemu-system-x86_64 -append -name -S -m 1G", "qemu", None, None),
    ("qemu-system-x86_64 -append '-name evil' -name web1", "qemu", "web1", None),
    ("qemu-system-x86_64 -name -uuid -S", "qemu", "-uuid", None),
    ("qemu-system-x86_64 -nodefaults -name web1", "qemu", "web1", None),
    ("qemu-system-x86_64 disk.img -name web1", "qemu", "web1", None),
    ("qemu-system-x86_64 -uuid none", "qemu", None, None),
    (f"qemu-system-x86_64 -smbios type=2,uuid={UUID}", "qemu", None, None),
    (f"qemu-system-x86_64 -smbios type=1,uuid=0 -uuid {UUID}", "qemu", None, UUID),
    ("qemu-system-x86_64 -machine none,accel=kvm:tcg -qmp unix:/m,server=on", "qemu", None, None),
    (JAILED, "firecracker", "551e7604-e35c-42b3", None),
    ("./firecracker-v1.7.0-x86_64 --api-sock /run/fc/web1.sock", "firecracker", "web1", None),
    ("firecracker --api-sock /run/firecracker.socket", "firecracker", None, None),
    ("firecracker --api-sock /srv/web1/api.socket --id vm7", "firecracker", "vm7", None),
    ("firecracker -- --id evil", "firecracker", None, None),
    (CH, "cloud-hypervisor", None, UUID),
    (CH + " --api-socket path=/run/vms/web1.sock", "cloud-hypervisor", "web1", UUID),
    (CH + " --api-socket=/run/vc/vm/hello1/clh-api.sock", "cloud-hypervisor", "hello1", UUID),
    (CH + " --api-socket fd=3", "cloud-hypervisor", None, UUID),
    (CH + " --cmdline --platform uuid=1", "cloud-hypervisor", None, UUID),
    ("crosvm run --name web1 --mem 512 -p 'root=/dev/vda' vmlinux", "crosvm", "web1", None),
    ("crosvm run -p --name vmlinux", "crosvm", None, None),
    ("lkvm run --name web1 -c 2 -m 512 -k bzImage", "kvmtool", "web1", None),
    ("/usr/bin/lkvm-static run -p --name -k bzImage", "kvmtool", None, None),
    ("/usr/bin/VBoxHeadless --startvm web1", "other", None, None),
    ("", "other", None, None),
]


def words(line: str) -> list[bytes]:
    """Split a line as the shell does."""
    return [word.encode() for word in shlex.split(line)]


@pytest.mark.parametrize(("line", "kind", "name", "uuid"), LINES)
def test_name_and_uuid_are_those_of_the_command_line(
    line: str, kind: str, name: str | None, uuid: str | None
) -> None:
    """Options are parsed as each monitor parses its own; values that look like options are not."""
    assert identify(words(line), "0::/\n") == Identity(kind, name, uuid)


QEMU = "/usr/bin/qemu-system-x86_64"
PROGRAMS = [
    (QEMU, "microvm@web7 -name web7 -machine q35,accel=kvm", "qemu", "web7"),
    (QEMU, "firecracker -name web7", "qemu", "web7"),
    (QEMU, "", "qemu", None),
    ("/nix/store/x/.qemu-system-x86_64-wrapped", "vm -name web7", "qemu", "web7"),
    ("", "kvm-spice -name web7", "qemu", "web7"),
    ("/usr/bin/qemu-spice", "web7 -name web7", "qemu", "web7"),
    ("/opt/acme/hypervisor", "microvm@web7 -name web7 -accel kvm", "qemu", "web7"),
    ("/opt/acme/hypervisor", "qemu-kvm -name web7", "qemu", "web7"),
    ("/opt/acme/hypervisor", "vm -nodefaults -enable-kvm -append -name", "qemu", None),
    ("/opt/acme/hypervisor", "vm -name web7", "other", None),
    ("/opt/acme/hypervisor", "vm -append '-name a' -append '-accel b'", "other", None),
    # Options of other monitors, renamed.
    ("/opt/acme/hypervisor", "vm --cpu 1 --device x --name web7", "other", None),
    ("/lib64/ld-linux-x86-64.so.2", f"ld.so {QEMU} -name web7", "qemu", "web7"),
    (
        "/usr/lib/x86_64-linux-gnu/ld-2.31.so",
        f"vm --inhibit-cache --library-path /opt/lib --argv0 crosvm {QEMU} -name web7",
        "qemu",
        "web7",
    ),
    ("/lib/ld-musl-x86_64.so.1", "ld --preload x ./firecracker --id web7", "firecracker", "web7"),
    ("", "/lib64/ld-linux-x86-64.so.2 crosvm run --name web7", "crosvm", "web7"),
    ("/lib64/ld-linux-x86-64.so.2", "ld.so --preload", "other", None),
    ("/usr/bin/cloud-hypervisor", "web7 --api-socket /run/web7.sock", "cloud-hypervisor", "web7"),
    ("/usr/bin/ldconfig", "x -name web7", "other", None),
]


@pytest.mark.parametrize(("exe", "line", "kind", "name"), PROGRAMS)
def test_the_program_is_known_whatever_argv0_is(
    exe: str, line: str, kind: str, name: str | None
) -> None:
    """Its file tells it, then what the loader runs, argv[0], and options that only QEMU has."""
    assert identify(words(line), "0::/\n", exe.encode()) == Identity(kind, name)


def test_kubevirt_is_shown_by_namespace_and_found_by_each_name() -> None:
    """The name is split only within a pod: elsewhere an underscore means nothing."""
    path = (
        f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{POD.replace('-', '_')}"
        f".slice/cri-containerd-{CONTAINER}.scope"
    )
    assert identify(words(KUBEVIRT), f"0::{path}\n") == Identity(
        kind="qemu",
        name="default/vmi-fedora",
        uuid=UUID,
        aliases=("default_vmi-fedora", "vmi-fedora"),
        cgroup=path,
        container=CONTAINER,
        pod=POD,
    )
    assert identify(words(KUBEVIRT), "0::/\n") == Identity("qemu", "default_vmi-fedora", UUID)


def test_libvirts_machine_is_another_name() -> None:
    """The alias is the name that machinectl shows."""
    path = r"/machine.slice/machine-qemu\x2d3\x2dweb1.scope/libvirt/emulator"
    found = identify(words(LIBVIRT), f"0::{path}\n")
    assert (found.name, found.aliases, found.cgroup) == ("web1", ("qemu-3-web1",), path)


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"a\x1b[31mb", "a\\x1b[31mb"),
        (b"a\nb\tc", "a\\nb\\tc"),
        (b"\xff\xfeweb", "\\xff\\xfeweb"),
        ("żółw".encode(), "żółw"),
        ("a\u202eb\u200bc\u2028d".encode(), "a\\u202eb\\u200bc\\u2028d"),
        (b"x" * 1000, "x" * NAME_CHARACTERS),
        (b"\x01" * 1000, ("\\x01" * 100)[:NAME_CHARACTERS]),
        ("\U0001f600".encode() * 1000, "\U0001f600" * NAME_CHARACTERS),
    ],
)
def test_a_hostile_name_is_shown_and_not_obeyed(raw: bytes, shown: str) -> None:
    """A name is made printable and cut: whoever starts a guest chooses it."""
    assert identify([b"qemu-kvm", b"-name", raw], "").name == shown


@given(st.lists(st.binary(max_size=60), max_size=20), st.text(max_size=200))
def test_any_command_line_gives_an_identity(line: list[bytes], cgroup: str) -> None:
    """Its texts are printable and bounded, whatever the words are."""
    assert identify(line, cgroup, b"/lib/ld-linux.so.2").kind
    found = identify([b"qemu-kvm", *line], cgroup)
    for text in (found.name or "", found.cgroup, *found.aliases):
        assert text.isprintable()
        assert len(text) <= 1024
    assert found.uuid is None or normal_uuid(found.uuid) == found.uuid


@given(st.text(max_size=40).map(lambda name: name.replace("=", ",") + "x"))
def test_doubled_commas_give_the_name_back(name: str) -> None:
    """QEMU's QemuOpts need a comma in a value doubled."""
    argument = name.replace(",", ",,").encode()
    assert qemu_values(argument, b"guest") == {b"guest": name.encode()}
    assert qemu_values(b"guest=" + argument + b",process=x", b"guest") == {
        b"guest": name.encode(),
        b"process": b"x",
    }


@given(st.one_of(st.text(max_size=400), st.binary(max_size=2000)), st.integers(1, 300))
def test_cleaning_twice_changes_nothing(text: str | bytes, most: int) -> None:
    """A cleaned text is clean, so what was written is read back unchanged."""
    once = clean(text, most)
    assert clean(once, most) == once
    assert once.isprintable()
    assert len(once) <= most


@pytest.mark.parametrize(
    ("text", "uuid"),
    [
        (UUID.upper(), UUID),
        (UUID.replace("-", ""), UUID),
        (UUID[:-1], None),
        (UUID + "0", None),
        ("{" + UUID + "}", None),
        (UUID.replace("c", "g"), None),
        (UUID + "\n", None),
        ("", None),
    ],
)
def test_a_uuid_has_one_form(text: str, uuid: str | None) -> None:
    """Lower case with dashes; anything else is none."""
    assert normal_uuid(text) == uuid
