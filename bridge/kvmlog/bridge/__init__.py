# SPDX-License-Identifier: GPL-2.0-or-later
"""The bridge process: the two sockets of the switch around one log engine."""
