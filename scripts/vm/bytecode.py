# SPDX-License-Identifier: GPL-2.0-or-later
"""Bytecode of the project's modules, made here: a VM would compile them anew in every process.

Emulated, that is most of the time that a start of `kvmlog` takes. Python itself keeps none where
PYTHONDONTWRITEBYTECODE is set, as in many containers and always in the tests' VMs.
"""

from __future__ import annotations

import compileall
import sys

from scripts.vm.kernels import PROJECT

_FOLDERS = ("bridge/kvmlog", "rpcserver/kvmlog", "scripts", "tests")


def compile_project() -> bool:
    """Compile what has changed; return whether all of it is Python."""
    done = [compileall.compile_dir(PROJECT / folder, quiet=1) for folder in _FOLDERS]
    return all(done)


if __name__ == "__main__":
    sys.exit(0 if compile_project() else 1)
