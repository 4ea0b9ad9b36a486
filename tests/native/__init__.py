# SPDX-License-Identifier: GPL-2.0-or-later
"""C code that only tests call: an extension beside kvmlog.native, which is not installed.

`lib` holds the functions of tests/native/testing.h; types are those of kvmlog.native's `ffi`, and
so are the objects, which go from one extension to the other as they are. It has a copy of the
engine's code in it (bridge/native), so both are built together: by `make setup`.
"""

from pathlib import Path

import kvmlog.native._native as engine

try:
    import tests.native._testing as testing
except ModuleNotFoundError as error:
    raise ImportError("tests/native is not built; run `make setup`") from error

if Path(testing.__file__).stat().st_mtime_ns < Path(engine.__file__).stat().st_mtime_ns:
    raise ImportError("tests/native is older than kvmlog.native; run `make setup`")

ffi, lib = testing.ffi, testing.lib

__all__ = ["ffi", "lib"]
