# SPDX-License-Identifier: GPL-2.0-or-later
"""The screen as lines of styled text, and what keys and clicks do to it; no terminal is needed.

state: places, cursor, modes; screen: all lines; table, head, side: its parts; pages: help and
explanations; switching: the menu of the switch.
"""
