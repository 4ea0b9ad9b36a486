# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests that take the bridge as they find it: all files here share one for each source."""
