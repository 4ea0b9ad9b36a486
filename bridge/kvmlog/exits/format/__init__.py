# SPDX-License-Identifier: GPL-2.0-or-later
"""Records for people and for programs.

lines: one readable line each; notes: records that are not exits; serialize: JSON-ready objects.
"""
