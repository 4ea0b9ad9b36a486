# SPDX-License-Identifier: GPL-2.0-or-later
"""The capture side of kvmlog: sources, log engine, ring and switch."""
