# SPDX-License-Identifier: GPL-2.0-or-later
"""Recordings: records of a ring in a file of their own, which says all that it takes to read them.

format: blocks; header: what was recorded where; writer: RecordingWriter; reader: Recording.
docs/recording-format.md describes the file.
"""
