# SPDX-License-Identifier: GPL-2.0-or-later
"""The log engine in C (bridge/native), as cffi offers it.

`lib` holds the functions and constants of bridge/native/api.h and of the headers in
include/uapi/kvmlog; `ffi` their types.
"""

from kvmlog.native._native import ffi, lib

__all__ = ["ffi", "lib"]
