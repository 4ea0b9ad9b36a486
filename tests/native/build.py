# SPDX-License-Identifier: GPL-2.0-or-later
"""Builds the cffi extension tests.native._testing.

    python tests/native/build.py     builds tests/native/_testing*.so in place

It is linked with the objects of kvmlog.native, which bridge/build_native.py leaves in build/native.
"""

from __future__ import annotations

import sys
from pathlib import Path

from cffi import FFI

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT / "bridge"))

import build_native  # noqa: E402  # stands beside the sources, in no package


def make_builder() -> FFI:
    """Return the cffi builder of tests.native._testing; its types are kvmlog.native's own."""
    builder = FFI()
    builder.include(build_native.ffibuilder)
    builder.cdef(build_native.declarations(HERE / "testing.h", HERE))
    build_native.set_source(
        builder, "tests.native._testing", '#include "testing.h"', sorted(HERE.glob("*.c")), [HERE]
    )
    return builder


def main() -> int:
    """Build in place; the objects go to build/native-tests."""
    objects = (ROOT / "build" / "native" / "bridge" / "native").rglob("*.o")
    build_native.build(make_builder(), ROOT / "build" / "native-tests", HERE, sorted(objects))
    return 0


if __name__ == "__main__":
    sys.exit(main())
