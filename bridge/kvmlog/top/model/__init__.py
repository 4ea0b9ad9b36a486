# SPDX-License-Identifier: GPL-2.0-or-later
"""What the screen shows: pure functions of reports and of the bridge's status.

scope: what the table is of; groups: its lines; listing: their order; columns: their cells; history:
what was before; pictures: bars, histogram and heat map; health: tracing, cost and losses.
"""
