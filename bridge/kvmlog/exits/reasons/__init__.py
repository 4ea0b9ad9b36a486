# SPDX-License-Identifier: GPL-2.0-or-later
"""Names of exit reasons, a table for each ISA."""
