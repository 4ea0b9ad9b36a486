# SPDX-License-Identifier: GPL-2.0-or-later
"""Only what pyproject.toml cannot say: the cffi extension, the demo guest's image, ECharts.

Everything else stands there.
"""

import runpy
import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
BUILD_GUEST = ROOT / "bridge" / "build_guest.py"
ECHARTS = ROOT / "build" / "npm" / "echarts.min.js"


class BuildPython(build_py):  # type: ignore[misc]  # setuptools is untyped
    """The Python files, what the demo's guest runs, and what draws the charts of reports."""

    def run(self) -> None:
        super().run()
        # Editable, both are where make guest and scripts/fetch-npm have them.
        if self.editable_mode:
            return
        package = Path(self.build_lib) / "kvmlog"
        runpy.run_path(str(BUILD_GUEST))["build"](package / "cli" / "demo" / "payload.rom")
        # Where nobody fetched it, reports have tables only.
        if ECHARTS.is_file():
            folder = package / "analysis" / "report" / "echarts"
            folder.mkdir(parents=True, exist_ok=True)
            for path in (ECHARTS, *sorted((ROOT / "LICENSES" / "echarts").iterdir())):
                shutil.copyfile(path, folder / path.name)


setup(cffi_modules=["bridge/build_native.py:ffibuilder"], cmdclass={"build_py": BuildPython})
