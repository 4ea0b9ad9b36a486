# SPDX-License-Identifier: GPL-2.0-or-later
"""Explanations of exit reasons: meaning, common causes, remedies.

tables.explain() joins a reason with its texts; explanation and serialize load none of them.
"""
