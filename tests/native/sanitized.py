# SPDX-License-Identifier: GPL-2.0-or-later
"""Builds both cffi extensions with AddressSanitizer and UndefinedBehaviorSanitizer.

    python tests/native/sanitized.py FOLDER

FOLDER then has the extensions and a sitecustomize.py: a Python that has FOLDER in PYTHONPATH, and
the sanitizer preloaded, imports them in place of those that `make setup` built. So do the
processes that it starts. scripts/sanitize does all that.
"""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "bridge"))

import build_native  # noqa: E402  # beside the sources, in no package

# Python is built with -fwrapv, for which no sum overflows.
FLAGS = "-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -fno-wrapv"

SITECUSTOMIZE = '''\
"""Imports the extensions beside this file in place of those of the same names elsewhere."""
import glob
import importlib.util
import os
import sys

HERE = os.path.dirname(__file__)
BUILT = {
    "kvmlog.native._native": glob.glob(os.path.join(HERE, "_native.*.so")),
    "tests.native._testing": glob.glob(os.path.join(HERE, "_testing.*.so")),
}


class Sanitized:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name in BUILT:
            return importlib.util.spec_from_file_location(name, BUILT[name][0])


sys.meta_path.insert(0, Sanitized)
'''


def main(name: str) -> int:
    """Build into the folder of that name."""
    folder = Path(name).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["CFLAGS"] = os.environ["LDFLAGS"] = FLAGS
    build_native.build(build_native.make_builder(), folder / "engine", folder)
    objects = (folder / "engine" / "bridge" / "native").rglob("*.o")
    make_builder = runpy.run_path(str(HERE / "build.py"))["make_builder"]
    build_native.build(make_builder(), folder / "tests", folder, sorted(objects))
    (folder / "sitecustomize.py").write_text(SITECUSTOMIZE)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
