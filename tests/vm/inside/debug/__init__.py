# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests for the debug kernel (scripts/debug-kernel), which appear for no other."""
