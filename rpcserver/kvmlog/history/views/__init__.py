# SPDX-License-Identifier: GPL-2.0-or-later
"""What happened as engines expect it: pure functions of the history's model, a file for each.

What is not known is null, and no moment is made up.
"""
