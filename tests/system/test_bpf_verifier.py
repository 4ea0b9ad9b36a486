# SPDX-License-Identifier: GPL-2.0-or-later
"""Every way to a reason, compiled and loaded: this kernel's verifier judges it."""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Iterator
from typing import Any, Final, cast

import pytest

from kvmlog.native import lib
from kvmlog.sources.bpf import plan
from kvmlog.sources.bpf.cache import Cache
from kvmlog.sources.bpf.compiled import MAPS
from kvmlog.sources.bpf.loader import make_loaded
from kvmlog.sources.btf import Btf, BtfMissingError
from kvmlog.util.errors import SourceError
from tests.support.bpf_host import made, needs_programs
from tests.support.bridge_process import BPF_CACHE

CACHE: Final = Cache(str(BPF_CACHE))


class WithVendor:
    """This kernel's BTF with the vendor modules' structs beside it, which it may not have."""

    OFFSETS: Final = {
        "vcpu_svm.vcpu": 64,
        "vcpu_svm.vmcb": 9064,
        "vcpu_svm.vmcb01.ptr": 9072,
        "vmcb.control.exit_code": 112,
        "vmcb.control.exit_info_1": 120,
        "vmcb.control.exit_info_2": 128,
        "vcpu_vmx.loaded_vmcs": 9000,
        "vcpu_vmx.vmcs01": 9008,
    }

    def __init__(self, here: Btf) -> None:
        self._here = here

    def signature(self, name: str) -> str | None:
        return self._here.signature(name)

    def offset(self, struct: str, member: str) -> int | None:
        return self.OFFSETS.get(f"{struct}.{member}", self._here.offset(struct, member))

    def tracepoint(self, name: str) -> Any:
        return self._here.tracepoint(name)


@pytest.fixture
def kernel() -> Iterator[WithVendor]:
    """Yield the kernel's types where KVM is built in or loaded: its tracepoints have types."""
    try:
        with Btf() as here:
            if here.tracepoint("kvm_exit") is None:
                pytest.skip("the BTF here has no kvm_exit: KVM is not there")
            yield WithVendor(here)
    except BtfMissingError as error:
        pytest.skip(f"{error}; run where CONFIG_DEBUG_INFO_BTF is set")


@needs_programs
@pytest.mark.usefixtures("event")
@pytest.mark.parametrize(
    ("vendor", "wanted", "newest", "reason"),
    [
        ("kvm_amd", "vcpu", (99, 0), "vcpu"),
        ("kvm_amd", "vcpu", (0, 0), "vcpu"),
        ("kvm_amd", "event", (0, 0), "event"),
        ("kvm_intel", "auto", (0, 0), "event"),
        (None, "auto", (0, 0), "none"),
    ],
    ids=["vcpu-hflags", "vcpu", "event-svm", "event-vmx", "none"],
)
def test_every_way_to_a_reason_compiles_and_is_taken_by_the_verifier(
    kernel: WithVendor,
    monkeypatch: pytest.MonkeyPatch,
    vendor: str | None,
    wanted: str,
    newest: tuple[int, int],
    reason: str,
) -> None:
    """Every variant passes with this kernel's types; none of it is attached."""
    monkeypatch.setattr(plan, "NEWEST_KNOWN", newest)
    check(made(cast(Btf, kernel), vendor, wanted), reason)


@needs_programs
@pytest.mark.usefixtures("event")
@pytest.mark.parametrize(
    ("vendor", "reason"), [("kvm_intel", "event"), ("kvm_amd", "event"), (None, "none")]
)
def test_so_do_those_of_a_kernel_without_btf(vendor: str | None, reason: str) -> None:
    """No program knows a type."""
    found = made(None, vendor, "auto")
    assert lib.KVMLOG_BPF_TYPED not in {program.kind for program in found.programs}
    check(found, reason)


@needs_programs
@pytest.mark.usefixtures("event")
@pytest.mark.parametrize("unsure", [False, True])
def test_so_do_those_of_a_kernel_with_another_vcpu(
    kernel: WithVendor, monkeypatch: pytest.MonkeyPatch, unsure: bool
) -> None:
    """Tracepoints have types, and what they point to is not known; nor whether it is protected."""
    monkeypatch.setattr(plan, "_may_be_protected", lambda: unsure)
    monkeypatch.setitem(cast(dict[str, Any], kernel.OFFSETS), "kvm_vcpu.vcpu_id", None)
    found = made(cast(Btf, kernel), "kvm_intel", "auto")
    assert ("KVMLOG_RIP_UNSURE" in found.macros, "KVMLOG_VCPU" in found.macros) == (unsure, False)
    check(found, "event")


@needs_programs
def test_a_program_that_the_verifier_refuses_is_said(
    kernel: WithVendor, capfd: pytest.CaptureFixture[str]
) -> None:
    """The error names the program, the cause and the remedy; the verifier's words go to the log."""
    found = made(cast(Btf, kernel), "kvm_amd", "vcpu")
    beyond = dataclasses.replace(found, macros=found.macros | {"KVMLOG_AT_EXITS": 1 << 24})
    with pytest.raises(SourceError) as refused:
        make_loaded(beyond, CACHE, 16)
    assert re.match(
        r"the kernel refuses the BPF program kvmlog_kvm_exit \(.*\); use --source kmod",
        str(refused.value),
    )
    assert re.search(r"verifier: .*\S", capfd.readouterr().err)


@needs_programs
def test_a_text_that_does_not_compile_is_said(
    kernel: WithVendor, capfd: pytest.CaptureFixture[str]
) -> None:
    """The messages of clang go to the log, with the file's own name and line."""
    found = made(cast(Btf, kernel), "kvm_amd", "vcpu")
    macros = {name: at for name, at in found.macros.items() if name != "KVMLOG_AT_KVM"}
    with pytest.raises(SourceError, match="the BPF programs cannot be compiled"):
        make_loaded(dataclasses.replace(found, macros=macros), CACHE, 16)
    assert re.search(r"guest\.c:\d+.*KVMLOG_AT_KVM", capfd.readouterr().err)


def check(found: plan.Plan, reason: str) -> None:
    """Compiled in a process of its own, loaded, and gone when its descriptors are closed."""
    assert found.reason == reason
    loaded, _ = make_loaded(found, CACHE, 16)
    try:
        assert (set(loaded.maps), loaded.programs) == (set(MAPS) - {"kvmlog_records"}, {})
        loaded.load()
        assert list(loaded.programs) == [program.function for program in found.programs]
        assert set(loaded.maps) == set(MAPS)
        assert [lib.kvmlog_bpf_misses(fd) for fd in loaded.programs.values()] == [0] * len(
            found.programs
        )
    finally:
        loaded.close()
    assert "bcc" not in sys.modules
