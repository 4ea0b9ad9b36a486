# SPDX-License-Identifier: GPL-2.0-or-later
"""Exit reasons: a table of names for each ISA.

names: the name for a record's ISA and number; lookup: the reasons that a user's word matches.
"""
