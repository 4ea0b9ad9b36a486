# SPDX-License-Identifier: GPL-2.0-or-later
"""What a record means: names of reasons and details, readable lines, JSON objects."""
