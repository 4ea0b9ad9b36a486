# SPDX-License-Identifier: GPL-2.0-or-later
"""The RPC methods: their table, one module for each group, and the replies they share."""
