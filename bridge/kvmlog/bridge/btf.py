# SPDX-License-Identifier: GPL-2.0-or-later
"""Prototypes of tracepoints and functions as the running kernel has them (native/btf.c)."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from typing import Final

from kvmlog.bridge._native import ffi, lib

VMLINUX: Final = "/sys/kernel/btf/vmlinux"
MODULES: Final = ("kvm", "kvm_amd", "kvm_intel")


def signatures(names: Iterable[str]) -> tuple[dict[str, str], str | None]:
    """Parameter lists by name, for those that this kernel has, and why there are none at all.

    A tracepoint's is without its leading data pointer. ("struct kvm_vcpu *, unsigned int")
    """
    error = ffi.new("int *")
    btf = lib.kvmlog_btf_open(VMLINUX.encode(), error)
    if btf == ffi.NULL:
        return {}, f"{VMLINUX}: {os.strerror(-error[0])}"
    try:
        for module in MODULES:
            lib.kvmlog_btf_module(btf, module.encode())
        found = {}
        text = ffi.new("char[]", lib.KVMLOG_MAX_SIGNATURE_BYTES)
        for name in names:
            rc = lib.kvmlog_btf_signature(btf, name.encode(), text, len(text))
            if rc == 0:
                found[name] = ffi.string(text).decode("ascii", "replace")
            elif rc != -errno.ENOENT:
                found[name] = f"unreadable: {os.strerror(-rc)}"
        return found, None
    finally:
        lib.kvmlog_btf_close(btf)
