# SPDX-License-Identifier: GPL-2.0-or-later
"""What each engine expects, made of a snapshot: pure functions, a file for each engine's format.

What is not known is absent, or null where the format has the field, never 0 and never -1 unless the
format itself says so.
"""
