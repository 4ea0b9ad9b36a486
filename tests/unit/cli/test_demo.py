# SPDX-License-Identifier: GPL-2.0-or-later
"""Requirements of `kvmlog demo`: whom it calls, what its guest runs, and what is missing."""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path

import pytest

from kvmlog.cli.demo import guest as demo_guest
from kvmlog.cli.demo import image as demo_image
from kvmlog.cli.demo.guest import ORDERS, DemoError, DemoGuest, check_host
from kvmlog.cli.demo.image import KINDS, Orders, read_image
from kvmlog.cli.demo.server import own_server
from kvmlog.cli.demo.visibility import EXITS, RETURNS, visibility_for
from kvmlog.cli.main import main
from kvmlog.config.load import Config
from kvmlog.util.errors import KvmlogError


def configured(folder: Path, rpc: str) -> Config:
    """A configuration whose section [rpc] has these lines."""
    path = folder / "kvmlog.toml"
    path.write_text(f"[rpc]\n{rpc}\n", encoding="utf-8")
    return Config.load(str(path))


@pytest.mark.parametrize(
    ("rpc", "expected"),
    [
        ("", ("http://127.0.0.1:50080", None)),
        ('listen = "localhost:7"', ("http://127.0.0.1:7", None)),
        ('listen = "0.0.0.0:7"\ntls_cert = "/c.pem"', ("https://127.0.0.1:7", "/c.pem")),
        ('listen = "[::]:7"\ntls_cert = "/c.pem"', ("https://[::1]:7", "/c.pem")),
        ('listen = "192.0.2.1:7"\ntls_cert = "/c.pem"', ("https://192.0.2.1:7", "/c.pem")),
    ],
)
def test_the_server_is_where_its_configuration_says(
    tmp_path: Path, rpc: str, expected: tuple[str, str | None]
) -> None:
    """A server on all addresses is called on loopback, and its own certificate is trusted."""
    assert own_server(configured(tmp_path, rpc)) == expected


def test_a_port_of_the_kernel_s_choice_has_to_be_given(tmp_path: Path) -> None:
    """The configuration does not know it."""
    with pytest.raises(KvmlogError, match=r"127\.0\.0\.1:0: the kernel chose .* as HOST:PORT"):
        own_server(configured(tmp_path, 'listen = "127.0.0.1:0"'))


def test_no_kvm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No device, or one that is none."""
    monkeypatch.setattr(demo_guest, "_KVM", str(tmp_path / "kvm"))
    with pytest.raises(DemoError, match="no KVM, or no nested virtualisation; load kvm_amd"):
        check_host()
    with socket.socket(socket.AF_UNIX) as end:
        end.bind(str(tmp_path / "kvm"))
        with pytest.raises(DemoError, match=r"cannot be used \(No such device or address\); load"):
            check_host()


def test_no_qemu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package that has it is named."""
    monkeypatch.setattr(demo_guest, "_KVM", os.devnull)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DemoError, match="is not installed; apt-get install qemu-system-x86"):
        check_host()


def test_a_guest_that_ends_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error has the messages of QEMU, except for its warnings."""
    program = tmp_path / "qemu-system-x86_64"
    program.write_text("#!/bin/sh\nprintf 'x: warning: odd\\nno\\nluck\\n' >&2\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setattr(demo_guest, "_KVM", os.devnull)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with DemoGuest() as guest:
        os.waitid(os.P_PID, guest.pid, os.WEXITED | os.WNOWAIT)
        with pytest.raises(DemoError, match=r"ended by itself with status 3 \(no / luck\); try"):
            guest.check()


def test_the_image_has_its_orders() -> None:
    """Kinds, turns and length of a halt behind the magic; nothing else is changed."""
    plain, image = read_image(), ORDERS.image()
    at = plain.index(b"kvmlog-payload 1") + 16
    kinds = sum(1 << KINDS.index(kind) for kind in ("cpuid", "pio", "mmio", "hlt", "rdmsr"))
    assert image == plain[:at] + struct.pack("<3I", kinds, 0, 500_000_000) + plain[at + 12 :]
    assert len(image) == 65_536


def test_no_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not installed, or another program's: what to do."""
    monkeypatch.setattr(demo_image, "_FOLDER", tmp_path / "lib/kvmlog/cli/demo")
    with pytest.raises(KvmlogError, match=r"payload\.rom\) is not installed; install kvmlog again"):
        Orders().image()
    (tmp_path / "lib/kvmlog/cli/demo").mkdir(parents=True)
    (tmp_path / "lib/kvmlog/cli/demo/payload.rom").write_bytes(bytes(65_536))
    with pytest.raises(KvmlogError, match="not what this version runs; install kvmlog again"):
        Orders().image()


def test_what_a_source_lets_see() -> None:
    """Exits of a processor that is known; else returns, and statistics by return."""
    assert (visibility_for("svm"), visibility_for("vmx"), visibility_for("none")) == (
        EXITS,
        EXITS,
        RETURNS,
    )


@pytest.mark.parametrize("options", [["--top"], ["--top", "--services", "--every", "3"]])
def test_the_screen_goes_with_services_of_its_own(
    options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """It reads their files."""
    assert main(["demo", *options]) == 1
    said = capsys.readouterr().err
    assert said == "kvmlog: --top goes with --services, and without --every\n"


def test_the_screen_takes_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything is started."""
    assert main(["demo", "--top", "--services"]) == 1
    assert "kvmlog top needs a terminal as stdin, stdout and stderr" in capsys.readouterr().err
