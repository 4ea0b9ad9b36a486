# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line: a module or package for each command, found by `main`.

Shared by several: records (lines of dump and tail), selection (--vm, --reason, --slower-than),
table (the one layout), examples (the end of every --help).
"""
