# SPDX-License-Identifier: GPL-2.0-or-later
"""The C extension: `ffi` and `lib` of cffi, from the sources in bridge/native."""

from kvmlog.native._native import ffi, lib

__all__ = ["ffi", "lib"]
