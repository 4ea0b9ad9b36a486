# SPDX-License-Identifier: GPL-2.0-or-later
"""Only what pyproject.toml cannot say: the cffi extension, and the demo guest's image.

Everything else stands there.
"""

import runpy
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

BUILD_GUEST = Path(__file__).resolve().parent / "bridge" / "build_guest.py"


class BuildPython(build_py):  # type: ignore[misc]  # setuptools is untyped
    """The Python files, and beside kvmlog.cli.demo what its guest runs."""

    def run(self) -> None:
        super().run()
        # Editable, the image is where make guest has it.
        if not self.editable_mode:
            image = Path(self.build_lib) / "kvmlog" / "cli" / "demo" / "payload.rom"
            runpy.run_path(str(BUILD_GUEST))["build"](image)


setup(cffi_modules=["bridge/build_native.py:ffibuilder"], cmdclass={"build_py": BuildPython})
