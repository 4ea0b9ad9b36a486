# SPDX-License-Identifier: GPL-2.0-or-later
"""What tracing costs, in instructions (docs/support-matrix.md has the figures)."""
