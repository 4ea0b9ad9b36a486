# SPDX-License-Identifier: GPL-2.0-or-later
"""SQL on recordings and data sets: docs/cli.md, and docs/fleet-analysis.md for other engines."""
