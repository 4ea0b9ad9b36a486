# SPDX-License-Identifier: GPL-2.0-or-later
"""Builds the cffi extension kvmlog.native._native, and shows how another one is built on it.

The cdef is bridge/native/api.h and the headers in include/uapi/kvmlog that it includes,
as the preprocessor leaves them: no layout and no constant is typed a second time.

    python bridge/build_native.py     builds bridge/kvmlog/native/_native*.so in place

setuptools takes it as cffi_modules=["bridge/build_native.py:ffibuilder"].
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from cffi import FFI
from setuptools import Distribution

ROOT = Path(__file__).resolve().parent.parent
NATIVE = ROOT / "bridge" / "native"
INCLUDES = [ROOT / "include" / "uapi", ROOT / "include", ROOT / "bridge" / "bpf", NATIVE]
SOURCES = sorted(NATIVE.rglob("*.c"))
# Two copies of the C code can be in one process; each calls its own.
FLAGS = ["-std=gnu11", "-O2", "-g", "-fvisibility=hidden"]
WARNINGS = ["-Wall", "-Wextra", "-Wmissing-prototypes", "-Wstrict-prototypes"]
LIBRARIES = ["bpf", "pthread", "zstd"]

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


def preprocess(header: Path, *flags: str) -> str:
    """Return a header after the C preprocessor (CC, or gcc)."""
    compiler = shlex.split(os.environ.get("CC", "gcc"))
    command = [*compiler, "-E", "-std=gnu11", *flags]
    command += [f"-I{path}" for path in INCLUDES]
    command += [str(header)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def declarations(header: Path, folder: Path) -> str:
    """Return what a header declares in files below `folder`, without the rest it includes."""
    own = False
    kept: list[str] = []
    for line in preprocess(header).splitlines():
        marker = re.match(r'^# \d+ "([^"]*)"', line)
        if marker:
            own = Path(marker[1]).is_file() and folder in Path(marker[1]).resolve().parents
        elif own:
            kept.append(line)
    return "\n".join(kept)


def text_constants() -> str:
    """A C array for each text macro, so that Python can read it: KVMLOG_GENL_NAME."""
    names = [match[1] for match in TEXT_MACRO.finditer(preprocess(NATIVE / "api.h", "-dM"))]
    return "\n".join(f"static const char *const kvmlog_text_{name} = {name};" for name in names)


def set_source(
    builder: FFI,
    name: str,
    preamble: str,
    sources: Iterable[Path],
    folders: Iterable[Path] = (),
) -> None:
    """Tell cffi how the extension `name` is compiled; `folders` have further headers."""
    includes = [*INCLUDES, *folders]
    # What cffi generates defines this without a prototype.
    initializer = f"PyMODINIT_FUNC PyInit_{name.rpartition('.')[2]}(void);"
    builder.set_source(
        name,
        f"{preamble}\n{initializer}\n",
        sources=[str(source.relative_to(ROOT)) for source in sources],
        include_dirs=[str(path) for path in includes],
        depends=[str(path) for folder in includes for path in folder.rglob("*.h")],
        extra_compile_args=[*FLAGS, *WARNINGS],
        libraries=LIBRARIES,
    )


def make_builder() -> FFI:
    """Return the cffi builder of kvmlog.native._native; it compiles nothing yet."""
    builder = FFI()
    texts = text_constants()
    names = re.findall(r"kvmlog_text_\w+", texts)
    builder.cdef(LINUX_TYPES + declarations(NATIVE / "api.h", ROOT))
    builder.cdef("\n".join(f"static const char *const {name};" for name in names))
    set_source(builder, "kvmlog.native._native", f'#include "api.h"\n{texts}', SOURCES)
    return builder


def build(builder: FFI, work: Path, folder: Path, objects: Iterable[Path] = ()) -> None:
    """Build an extension into `folder`, linked with `objects` besides its own.

    The objects of its sources stay below `work`, where each has its source's path from the root.
    """
    os.chdir(ROOT)
    # Objects whose source is gone must not stay.
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    extension = builder.distutils_extension(str(work.relative_to(ROOT)), verbose=False)
    extension.extra_objects = [str(path) for path in objects]
    command = Distribution({"ext_modules": [extension]}).get_command_obj("build_ext")
    command.build_temp = str(work.relative_to(ROOT))
    command.build_lib = str(work / "lib")
    command.ensure_finalized()
    command.run()
    (built,) = map(Path, command.get_outputs())
    target = folder / built.name
    fresh = target.with_suffix(".new")
    fresh.write_bytes(built.read_bytes())
    fresh.chmod(0o755)
    fresh.replace(target)
    print(f"built {os.path.relpath(target, ROOT)}")


ffibuilder = make_builder()


def main() -> int:
    """Build in place; the objects go to build/native/bridge/native."""
    build(ffibuilder, ROOT / "build" / "native", ROOT / "bridge" / "kvmlog" / "native")
    return 0


if __name__ == "__main__":
    sys.exit(main())
