# SPDX-License-Identifier: GPL-2.0-or-later
"""Records as Arrow columns, with their names decoded: what all exports are made of."""
