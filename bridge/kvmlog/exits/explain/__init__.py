# SPDX-License-Identifier: GPL-2.0-or-later
"""Explanations of exit reasons: what each is, what causes many of it, what to try."""
