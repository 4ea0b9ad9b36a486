# SPDX-License-Identifier: GPL-2.0-or-later
"""The ring file: its records, its header, readers that are never torn, its one writer."""
