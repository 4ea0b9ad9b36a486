# SPDX-License-Identifier: GPL-2.0-or-later
"""The rules. `table` has them all, with condition, threshold, its source and the remedy of each."""
