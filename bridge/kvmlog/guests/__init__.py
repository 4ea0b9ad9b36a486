# SPDX-License-Identifier: GPL-2.0-or-later
"""Which guest a process is: its name, its UUID, and the numbers that the source gave it."""
