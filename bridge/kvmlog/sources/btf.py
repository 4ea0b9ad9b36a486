# SPDX-License-Identifier: GPL-2.0-or-later
"""Prototypes and layouts of the running kernel, from its BTF (bridge/native/btf)."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

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


class Field(NamedTuple):
    """Where a structure has a member: bytes from its start, and the member's size in bytes."""

    offset: int
    size: int


# A member that a structure does not have: no module expects it there.
NOWHERE: Final = Field(2**32 - 1, 0)


@dataclass(frozen=True)
class KernelTypes:
    """What a kernel's types are, by name: parameter lists, members ("kvm_vcpu.arch.regs")."""

    signatures: dict[str, str] = field(default_factory=dict)
    fields: dict[str, Field] = field(default_factory=dict)


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
        """Release the types; a second call does nothing."""
        lib.kvmlog_btf_close(self._native)
        self._native = ffi.NULL

    def signature(self, name: str) -> str | None:
        """Return the parameter types of a tracepoint, without its data pointer, or a function.

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
        """Return the byte offset of a struct's member, "arch.regs"; None when it has none."""
        found = self.field(struct, member)
        return None if found is None else found.offset

    def field(self, struct: str, member: str) -> Field | None:
        """Return where a struct has its member, "arch.regs"; None when it has none."""
        offset, size = ffi.new("__u32 *"), ffi.new("__u32 *")
        rc = lib.kvmlog_btf_member(self._native, struct.encode(), member.encode(), offset, size)
        return None if rc else Field(int(offset[0]), int(size[0]))

    def has_struct(self, struct: str) -> bool:
        """Return whether there is such a structure, in the kernel or a module that is loaded."""
        offset, size = ffi.new("__u32 *"), ffi.new("__u32 *")
        rc = lib.kvmlog_btf_member(self._native, struct.encode(), b"", offset, size)
        return bool(rc != -errno.ESRCH)

    def tracepoint(self, name: str) -> Tracepoint | None:
        """Return the type of a tracepoint; None when there is none."""
        module = ffi.new("int *")
        type_id = lib.kvmlog_btf_tracepoint(self._native, name.encode(), module)
        if type_id < 0:
            return None
        return Tracepoint(type_id, None if module[0] < 0 else self.modules[module[0]])


def running_types(
    signatures: Iterable[str], fields: Iterable[str]
) -> tuple[KernelTypes, str | None]:
    """Return what this kernel has of these, and why there is nothing at all."""
    try:
        with Btf() as btf:
            parameters = {name: btf.signature(name) for name in signatures}
            members = {name: btf.field(*name.split(".", 1)) for name in fields if "." in name}
            known = {name: btf.has_struct(name.split(".", 1)[0]) for name in members}
    except BtfMissingError as error:
        return KernelTypes(), str(error)
    return KernelTypes(
        {name: text for name, text in parameters.items() if text is not None},
        {name: found or NOWHERE for name, found in members.items() if found or known[name]},
    ), None
