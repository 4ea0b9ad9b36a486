# SPDX-License-Identifier: GPL-2.0-or-later
"""Benchmarks of tracing, in instructions (docs/support-matrix.md has the figures)."""
