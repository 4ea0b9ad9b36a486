# SPDX-License-Identifier: GPL-2.0-or-later
"""Everyday tools of all other packages: errors, log, permissions, processes, units."""
