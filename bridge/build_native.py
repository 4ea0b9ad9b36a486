# SPDX-License-Identifier: GPL-2.0-or-later
"""Builds the cffi extension kvmlog.native._native.

The cdef is bridge/native/api.h and the headers in include/uapi/kvmlog that it includes,
as the preprocessor leaves them: no layout and no constant is typed a second time.

    python bridge/build_native.py     builds bridge/kvmlog/native/_native*.so in place

setuptools takes it as cffi_modules=["bridge/build_native.py:ffibuilder"].
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from cffi import FFI

ROOT = Path(__file__).resolve().parent.parent
NATIVE = ROOT / "bridge" / "native"
INCLUDES = [ROOT / "include" / "uapi", ROOT / "include", ROOT / "bridge" / "bpf", NATIVE]
SOURCES = sorted(NATIVE.glob("*.c"))
WARNINGS = ["-std=gnu11", "-O2", "-g", "-Wall", "-Wextra"]

# What <linux/types.h> says on every architecture with 64 bits that kvmlog runs on.
LINUX_TYPES = """
typedef unsigned char __u8;
typedef signed char __s8;
typedef unsigned short __u16;
typedef short __s16;
typedef unsigned int __u32;
typedef int __s32;
typedef unsigned long long __u64;
typedef long long __s64;
"""
# Strings cannot come from a cdef: text macros are found here by name.
TEXT_MACRO = re.compile(r'^#define (KVMLOG_\w+) (".*")$', re.MULTILINE)


def preprocess(*flags: str) -> str:
    """api.h after the C preprocessor (CC, or gcc)."""
    compiler = shlex.split(os.environ.get("CC", "gcc"))
    command = [*compiler, "-E", "-std=gnu11", *flags]
    command += [f"-I{path}" for path in INCLUDES]
    command += [str(NATIVE / "api.h")]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def declarations() -> str:
    """The lines of kvmlog's own headers, without those of the system's."""
    own = False
    kept: list[str] = []
    for line in preprocess().splitlines():
        marker = re.match(r'^# \d+ "([^"]*)"', line)
        if marker:
            own = Path(marker[1]).is_file() and ROOT in Path(marker[1]).resolve().parents
        elif own:
            kept.append(line)
    return LINUX_TYPES + "\n".join(kept)


def text_constants() -> str:
    """A C array for each text macro, so that Python can read it: KVMLOG_GENL_NAME."""
    names = [match[1] for match in TEXT_MACRO.finditer(preprocess("-dM"))]
    return "\n".join(f"static const char *const kvmlog_text_{name} = {name};" for name in names)


def make_builder(base: Path | None = ROOT) -> FFI:
    """The configured cffi builder; compiles nothing yet.

    Sources are named relative to `base` (setuptools wants them relative to the project), or
    absolutely when it is None.
    """
    builder = FFI()
    texts = text_constants()
    names = re.findall(r"kvmlog_text_\w+", texts)
    builder.cdef(
        declarations() + "\n" + "\n".join(f"static const char *const {name};" for name in names)
    )
    builder.set_source(
        "kvmlog.native._native",
        f'#include "api.h"\n{texts}\n',
        sources=[str(source.relative_to(base) if base else source) for source in SOURCES],
        include_dirs=[str(path) for path in INCLUDES],
        depends=[str(path) for folder in INCLUDES for path in folder.rglob("*.h")],
        extra_compile_args=WARNINGS,
        libraries=["bpf", "pthread"],
    )
    return builder


ffibuilder = make_builder()


def main() -> int:
    """Builds in place; objects go to build/native."""
    work = ROOT / "build" / "native"
    work.mkdir(parents=True, exist_ok=True)
    built = Path(make_builder(base=None).compile(tmpdir=str(work), verbose=False))
    target = ROOT / "bridge" / "kvmlog" / "native" / built.name
    fresh = target.with_suffix(".new")
    fresh.write_bytes(built.read_bytes())
    fresh.chmod(0o755)
    fresh.replace(target)
    print(f"built {os.path.relpath(target, ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
