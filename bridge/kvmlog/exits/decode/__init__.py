# SPDX-License-Identifier: GPL-2.0-or-later
"""Details of an exit in words: qualifications, MSRs, ports, addresses, vectors."""
