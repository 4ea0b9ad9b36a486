# SPDX-License-Identifier: GPL-2.0-or-later
"""Recordings in the formats of other programs: docs/export.md."""
