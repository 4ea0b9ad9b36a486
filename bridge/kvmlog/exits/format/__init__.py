# SPDX-License-Identifier: GPL-2.0-or-later
"""Records for people and for programs: lines, sentences, JSON-ready objects."""
