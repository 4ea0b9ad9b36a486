#!/usr/bin/python3 -I
# SPDX-License-Identifier: GPL-2.0-or-later
"""The installed command `kvmlog`: the package stands in ../lib/kvmlog, whatever the prefix."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib" / "kvmlog"))

from kvmlog.cli.main import main

sys.exit(main())
