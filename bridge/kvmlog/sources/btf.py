# SPDX-License-Identifier: GPL-2.0-or-later
"""Prototypes and layouts as the running kernel has them (native/btf.c, native/btf_layout.c)."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from kvmlog.native import ffi, lib
from kvmlog.util.closeable import Closeable
from kvmlog.util.errors import SourceError

VMLINUX: Final = "/sys/kernel/btf/vmlinux"
MODULES: Final = ("kvm", "kvm_amd", "kvm_intel")


class BtfMissingError(SourceError):
    """This kernel shows no BTF."""


@dataclass(frozen=True)
class Tracepoint:
    """A tracepoint's type: its id in the BTF of `module`, None for the kernel's own."""

    type_id: int
    module: str | None


class Btf(Closeable):
    """The BTF of the kernel, of kvm and of the vendor's module, for as long as it is open.

    BtfMissingError when the kernel shows none; modules without are left out.
    """

    def __init__(self) -> None:
        error = ffi.new("int *")
        self._native: Any = lib.kvmlog_btf_open(VMLINUX.encode(), error)
        if self._native == ffi.NULL:
            raise BtfMissingError(f"{VMLINUX}: {os.strerror(-error[0])}")
        self.modules = [
            name for name in MODULES if lib.kvmlog_btf_module(self._native, name.encode()) == 0
        ]

    def close(self) -> None:
        """Gives the types back; a second call does nothing."""
        lib.kvmlog_btf_close(self._native)
        self._native = ffi.NULL

    def signature(self, name: str) -> str | None:
        """Parameter types of a tracepoint, without its data pointer, or of a function.

        "struct kvm_vcpu *, unsigned int"; None when there is no such thing.
        """
        text = ffi.new("char[]", lib.KVMLOG_MAX_SIGNATURE_BYTES)
        rc = lib.kvmlog_btf_signature(self._native, name.encode(), text, len(text))
        if rc == -errno.ENOENT:
            return None
        if rc:
            return f"unreadable: {os.strerror(-rc)}"
        return str(ffi.string(text).decode("ascii", "replace"))

    def offset(self, struct: str, member: str) -> int | None:
        """Bytes from the start of a struct to a member, "arch.regs"; None when it has none."""
        offset, size = ffi.new("__u32 *"), ffi.new("__u32 *")
        rc = lib.kvmlog_btf_member(self._native, struct.encode(), member.encode(), offset, size)
        return None if rc else int(offset[0])

    def tracepoint(self, name: str) -> Tracepoint | None:
        """What is needed to attach to a tracepoint with its type; None when there is none."""
        module = ffi.new("int *")
        type_id = lib.kvmlog_btf_tracepoint(self._native, name.encode(), module)
        if type_id < 0:
            return None
        return Tracepoint(type_id, None if module[0] < 0 else self.modules[module[0]])


def signatures(names: Iterable[str]) -> tuple[dict[str, str], str | None]:
    """Parameter lists by name, for those that this kernel has, and why there are none at all."""
    try:
        with Btf() as btf:
            found = {name: btf.signature(name) for name in names}
    except BtfMissingError as error:
        return {}, str(error)
    return {name: text for name, text in found.items() if text is not None}, None
