# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests of what does not depend on the kernel: on the first one only, in a VM of their own.

The sources, which do, are tested beside this folder; what is made of their records is tested here:
commands, statistics, times of day, rights. `make soak` has all on each kernel.
"""
