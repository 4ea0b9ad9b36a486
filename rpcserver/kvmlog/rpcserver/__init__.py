# SPDX-License-Identifier: GPL-2.0-or-later
"""The XML-RPC server: hands the log to a cloud engine and takes its switch commands."""
