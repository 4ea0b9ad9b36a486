# SPDX-License-Identifier: GPL-2.0-or-later
"""The switch as its clients know it: commands, their grammar, the two ways to send them."""
