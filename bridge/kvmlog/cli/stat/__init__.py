# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog stat`.

command: the command; options: checks of its options; tables and csv_rows: its output.
"""
