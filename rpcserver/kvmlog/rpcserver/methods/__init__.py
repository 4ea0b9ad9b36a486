# SPDX-License-Identifier: GPL-2.0-or-later
"""The RPC methods: their table, a module for each group, and what these share.

`table` finds, loads and runs them; everything else is private to this package.
"""
