# SPDX-License-Identifier: GPL-2.0-or-later
"""The meaning of records, for people and programs.

reasons: names of exit reasons, and looking them up; decode: details in words; explain: texts
on each reason; format: records as lines and JSON-ready objects; selection: which records to show.
"""
