# SPDX-License-Identifier: GPL-2.0-or-later
"""Callers: who they are, how they prove it, what they may do."""
